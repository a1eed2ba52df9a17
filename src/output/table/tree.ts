import type { SnapshotReport } from '../../model/report.ts';
import type { TreeNode } from '../../model/tree.ts';
import { GLYPHS } from './glyphs.ts';

/** A row of a tree. */
export interface TreeRow extends SnapshotReport {
  /** The lines before the name. */
  readonly lead: string;
}

/**
 * The rows of a tree, parents before children, drawn like `git log --graph`: a snapshot is directly below its parent,
 * and only side branches are indented, so a chain of any length has no indent. If a snapshot has several children, the
 * line continues with the one that leads to the current snapshot, otherwise with the youngest. It is iterative, because
 * a chain may be 1000 deep.
 */
export function treeRows(
  roots: readonly TreeNode[],
  reports: ReadonlyMap<string, SnapshotReport>,
): TreeRow[] {
  const isMain = mainLine(reports);
  const rows: TreeRow[] = [];
  const several = roots.length > 1;
  const stack = roots
    .map((node) => ({ node, lead: several ? GLYPHS.root : '', indent: several ? '  ' : '' }))
    .reverse();
  for (let top = stack.pop(); top; top = stack.pop()) {
    const { node, lead, indent } = top;
    const report = reports.get(node.snapshot.name);
    if (report) rows.push({ ...report, lead });
    const main = node.children.find(({ snapshot }) => isMain.has(snapshot.name)) ?? node.children.at(-1);
    if (main) stack.push({ node: main, lead: indent, indent });
    const branches = node.children.filter((child) => child !== main);
    stack.push(
      ...branches
        .map((child) => ({
          node: child,
          lead: `${indent}${GLYPHS.fork}`,
          indent: `${indent}${GLYPHS.line}`,
        }))
        .reverse(),
    );
  }
  return rows;
}

/** The names of the current snapshot and its ancestors. */
function mainLine(reports: ReadonlyMap<string, SnapshotReport>): ReadonlySet<string> {
  const names = new Set<string>();
  const current = [...reports.values()].find(({ isCurrent }) => isCurrent);
  for (let at = current; at && !names.has(at.name); at = reports.get(at.parent ?? '')) names.add(at.name);
  return names;
}
