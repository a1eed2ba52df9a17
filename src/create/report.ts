import type { VirshCommand } from '../libvirt/batch.ts';
import type { SnapshotReport } from '../model/report.ts';
import { locationOf, manualDisks } from '../model/snapshot.ts';
import { inText } from '../model/text.ts';
import { snapshotDocument } from '../output/documents.ts';
import { type Column, section } from '../output/view.ts';
import { concludeSpace, spaceDocument, spaceLines } from '../prune/free-space-report.ts';
import type { SpaceRun } from '../prune/free-space-run.ts';
import { freedOf, type PruneResult, pruneColumns, pruneDocument } from '../prune/report.ts';
import type { Context } from '../run/context.ts';
import { concludeDomains, type DomainOutcome, throwIfNothingDone } from '../run/for-each-domain.ts';
import { domainResult, ownName } from '../run/results.ts';
import { show, showPlan } from '../run/show.ts';
import { NOTHING_FREED } from '../space/reclaimed.ts';
import { freedDocument, freedLines, noteForeseen } from '../space/reclaimed-report.ts';
import type { Vm } from '../vm/load.ts';

/** What a create did to each VM, as a table and as a document. */

/** What a create did to one VM, or in a dry run would do. */
export interface Created {
  readonly name: string;
  /** null in a dry run. */
  readonly snapshot: SnapshotReport | null;
  readonly planned: VirshCommand | string | null;
  readonly pruned: PruneResult;
  /** The VM afterwards, for a prune with `--free-min`; null where there is none. */
  readonly after: Vm | null;
  /** Whether libvirt has left the VM paused, so that the storage can take the snapshot of a disk. */
  readonly leftPaused?: boolean;
}

export type Result = DomainOutcome<Created>;

export const NOTHING_PRUNED: PruneResult = { rows: [], freed: NOTHING_FREED, unusedFiles: [] };

const COLUMNS: readonly Column<Result>[] = [
  { key: 'machine', title: 'VM', kind: 'text', value: ({ vm }) => vm.name },
  { key: 'name', title: 'SNAPSHOT', kind: 'text', value: ({ value }) => value?.name ?? null },
  {
    key: 'createdAt',
    title: 'CREATED',
    kind: 'time',
    value: ({ value }) => value?.snapshot?.createdAtSeconds ?? null,
  },
  { key: 'state', title: 'STATE', kind: 'text', value: ({ value }) => value?.snapshot?.state ?? null },
  {
    key: 'vmStateBytes',
    title: 'VM STATE',
    kind: 'bytes',
    value: ({ value }) => value?.snapshot?.vmStateBytes || null,
    data: ({ value }) => value?.snapshot?.vmStateBytes ?? null,
  },
  {
    key: 'outcome',
    title: 'RESULT',
    kind: 'text',
    // if the snapshot was taken, the failures are those of its prune
    value: ({ outcome, value, failures }) =>
      [value?.snapshot ? takenWords(value) : outcome, ...failures.map(({ message }) => message)].join(': '),
    data: ({ outcome }) => outcome,
    tone: ({ outcome }) => (outcome === 'done' ? 'good' : outcome === 'failed' ? 'bad' : 'warn'),
    flexible: true,
  },
];

const takenWords = ({ leftPaused = false }: Created): string => (leftPaused ? 'taken, left paused' : 'taken');

export async function report(
  ctx: Context,
  results: readonly Result[],
  { single, strict }: { readonly single: boolean; readonly strict: boolean },
  space: SpaceRun | null,
): Promise<void> {
  const { dryRun } = ctx.settings;
  throwIfNothingDone(ctx, single, results);
  const conclusion = concludeDomains(ctx, results, { strict, parts: 'steps' });
  const done = results.flatMap(({ vm, value }) => (value ? [{ vm, ...value }] : []));
  const pruned = done.flatMap((created) => created.pruned.rows);
  const prunedSections = pruned.length > 0 ? [section({ columns: pruneColumns(dryRun), rows: pruned })] : [];
  const freed = freedLines(
    dryRun,
    done.map(({ vm, pruned }) => freedOf(vm, pruned)),
  );
  const lines = [...freed, ...spaceLines(space)];
  const freeMin = spaceDocument(space);
  const names = done.map(({ vm, name }) => (single ? name : ownName(vm, name)));
  if (dryRun) {
    await showPlan(
      ctx,
      done.flatMap(({ planned }) => (planned ? [planned] : [])),
      { document: { domains: results.map(plannedDocument(true)), freeMin }, sections: prunedSections, names },
    );
    noteForeseen(ctx, lines);
  } else {
    await show(ctx, {
      kind: 'create',
      document: { domains: results.map(document), freeMin },
      sections: [section({ columns: COLUMNS, rows: results }), ...prunedSections],
      names,
      remarks: [
        // for many VMs the table tells it, except where overlays are
        ...done
          .filter(({ snapshot }) => results.length === 1 || (snapshot && isSaid(snapshot)))
          .map(
            ({ vm, name, snapshot }) =>
              `${inText(name)} of ${inText(vm.name)} is complete${snapshot ? `, in ${whereItIs(snapshot)}` : ''}`,
          ),
        ...lines,
      ],
    });
  }
  const end = await concludeSpace(ctx, conclusion, space);
  if (end) throw end;
}

/**
 * Whether the snapshot is worth a line of its own: it made files, or the storage of a disk still has to take its
 * part.
 */
const isSaid = (snapshot: SnapshotReport): boolean =>
  locationOf(snapshot) === 'external' || manualDisks(snapshot).length > 0;

function whereItIs({ disks, memory }: SnapshotReport): string {
  const overlays = disks.filter(({ location }) => location === 'external');
  const saved = memory.file === null ? [] : [`memory ${memory.file}`];
  if (overlays.length + saved.length === 0)
    return `disk ${disks
      .filter(({ location }) => location !== 'manual')
      .map(({ target }) => target)
      .join(', ')}`;
  return [...overlays.map(({ target, source }) => `disk ${target} (now on ${source})`), ...saved].join(', ');
}

const plannedDocument = (dryRun: boolean) => (result: Result) => ({
  ...domainResult(result),
  pruned: (result.value?.pruned.rows ?? []).map(pruneDocument),
  ...freedDocument(dryRun, result.value?.pruned.freed ?? null),
});

const document = (result: Result) => ({
  ...plannedDocument(false)(result),
  leftovers: result.value?.pruned.unusedFiles ?? [],
  snapshot: result.value?.snapshot ? snapshotDocument(result.value.snapshot) : null,
});
