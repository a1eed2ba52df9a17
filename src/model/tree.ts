import { byTimeAndName } from './labels.ts';
import type { Snapshot } from './snapshot.ts';

/** A snapshot with its children, oldest first. */
export interface TreeNode {
  readonly snapshot: Snapshot;
  readonly children: readonly TreeNode[];
}

/**
 * Oldest first, but a parent always before its children, because the clock may have been set back between them, or both
 * are of the same second (hazard 52). Unrelated snapshots are sorted by time, and by name within a second.
 */
export function oldestFirst<S extends Pick<Snapshot, 'name' | 'parent' | 'createdAtSeconds'>>(
  snapshots: readonly S[],
): S[] {
  const byName = new Map(snapshots.map((snapshot) => [snapshot.name, snapshot]));
  const placed = new Set<S>();
  for (const snapshot of [...snapshots].sort(byTimeAndName)) {
    const family = new Set<S>();
    let at: S | undefined = snapshot;
    while (at && !placed.has(at) && !family.has(at)) {
      family.add(at);
      at = at.parent === null ? undefined : byName.get(at.parent);
    }
    // broken metadata may contain a cycle, which has no first snapshot
    const isCycle = at !== undefined && family.has(at);
    for (const member of isCycle ? [snapshot] : [...family].reverse()) placed.add(member);
  }
  return [...placed];
}

/** The names of each snapshot's direct children, oldest first. A parent that is not in the list has no entry. */
export function childNames(snapshots: readonly Snapshot[]): ReadonlyMap<string, readonly string[]> {
  const children = new Map<string, string[]>(snapshots.map((snapshot) => [snapshot.name, []]));
  for (const snapshot of oldestFirst(snapshots)) {
    if (snapshot.parent !== null) children.get(snapshot.parent)?.push(snapshot.name);
  }
  return children;
}

/** The forest of a VM's snapshots. A snapshot whose parent is gone, or that is its own ancestor, becomes a root. */
export function growTree(snapshots: readonly Snapshot[]): TreeNode[] {
  const sorted = oldestFirst(snapshots);
  const nodes = new Map(sorted.map((snapshot) => [snapshot.name, { snapshot, children: [] as TreeNode[] }]));
  const roots: TreeNode[] = [];
  for (const snapshot of sorted) {
    const node = nodes.get(snapshot.name);
    if (!node) continue;
    const parent = snapshot.parent === null ? undefined : nodes.get(snapshot.parent);
    if (parent && !isAncestor(snapshot.name, parent.snapshot, nodes)) parent.children.push(node);
    else roots.push(node);
  }
  return roots;
}

/** All snapshots below this one, parents before children; libvirt deletes them with `--children`. */
export function descendants(snapshots: readonly Snapshot[], name: string): Snapshot[] {
  const byName = new Map(snapshots.map((snapshot) => [snapshot.name, snapshot]));
  const children = childNames(snapshots);
  const found = new Map<string, Snapshot>();
  const queue = [...(children.get(name) ?? [])];
  for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
    const snapshot = byName.get(next);
    if (!snapshot || found.has(next) || next === name) continue;
    found.set(next, snapshot);
    queue.push(...(children.get(next) ?? []));
  }
  return [...found.values()];
}

/** The ancestors of this snapshot, its parent first; ends at a cycle. */
export function ancestors(snapshots: readonly Snapshot[], name: string): string[] {
  const parents = new Map(snapshots.map((snapshot) => [snapshot.name, snapshot.parent]));
  const found: string[] = [];
  for (let at = parents.get(name); at && parents.has(at) && !found.includes(at); at = parents.get(at))
    found.push(at);
  return found;
}

/** Broken metadata may contain a cycle; a node must not become its own ancestor. */
function isAncestor(
  name: string,
  of: Snapshot,
  nodes: ReadonlyMap<string, { readonly snapshot: Snapshot }>,
): boolean {
  const seen = new Set<string>();
  for (let at: Snapshot | undefined = of; at && !seen.has(at.name); ) {
    if (at.name === name) return true;
    seen.add(at.name);
    at = at.parent === null ? undefined : nodes.get(at.parent)?.snapshot;
  }
  return false;
}
