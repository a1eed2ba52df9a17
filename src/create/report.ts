import { KvmsnapError } from '../errors.ts';
import type { VirshCommand } from '../libvirt/batch.ts';
import type { SnapshotReport } from '../model/report.ts';
import { kindOf, manualDisks } from '../model/snapshot.ts';
import { snapshotDocument } from '../output/documents.ts';
import { counted, stateWord } from '../output/format.ts';
import { type Column, LEAVES, type Line, section, vmColumn } from '../output/view.ts';
import { pruneDocument, prunedLines, pruneSection } from '../prune/columns.ts';
import { concludeSpace, spaceDocument, spaceLines } from '../prune/free-space-report.ts';
import type { SpaceRun } from '../prune/free-space-run.ts';
import type { PruneResult } from '../prune/outcomes.ts';
import { freedOf } from '../prune/report.ts';
import type { Context } from '../run/context.ts';
import {
  concludeDomains,
  type DomainOutcome,
  type Outcome,
  throwIfNothingDone,
} from '../run/for-each-domain.ts';
import { type HookRun, printedLines } from '../run/hooks.ts';
import { adviceBeneath, domainResult, ownName, shownName } from '../run/results.ts';
import { show, showPlan } from '../run/show.ts';
import { NOTHING_FREED } from '../space/reclaimed.ts';
import { freedDocument, freedLines, noteForeseen } from '../space/reclaimed-report.ts';
import type { Vm } from '../vm/load.ts';
import type { Targets } from '../vm/select.ts';

/** The results of a create, as a table and as a document. */

/** What a create did to one VM, or would do in a dry run. */
export interface Created {
  readonly name: string;
  /** null in a dry run. */
  readonly snapshot: SnapshotReport | null;
  readonly planned: VirshCommand | string | null;
  readonly pruned: PruneResult;
  /** The VM afterwards, for a prune with `--free-min`; null without one. */
  readonly after: Vm | null;
  /** What was run before and after; absent: nothing. */
  readonly hooks?: readonly HookRun[];
  /** Whether libvirt has left the VM paused, so that the storage can take the snapshot of a disk. */
  readonly leftPaused?: boolean;
  /** With `--together`: for how long its guest may have stood; null if it did not run. */
  readonly heldMilliseconds?: number | null;
  /** Whether its guest agent has frozen it for that time; otherwise it was paused. */
  readonly isFrozen?: boolean;
}

export type CreateResult = DomainOutcome<Created>;

export const NOTHING_PRUNED: PruneResult = { rows: [], freed: NOTHING_FREED, unusedFiles: [] };

const VM = vmColumn<CreateResult>(({ vm }) => vm.name);
const NAME: Column<CreateResult> = {
  key: 'name',
  title: 'SNAPSHOT',
  kind: 'text',
  value: ({ value }) => value?.name ?? null,
};
const CREATED: Column<CreateResult> = {
  key: 'createdAt',
  title: 'CREATED',
  kind: 'time',
  leaves: LEAVES.created,
  value: ({ value }) => value?.snapshot?.createdAtSeconds ?? null,
};
const STATE: Column<CreateResult> = {
  key: 'state',
  title: 'STATE',
  kind: 'text',
  leaves: LEAVES.state,
  value: ({ value }) => (value?.snapshot ? stateWord(value.snapshot.state) : null),
  data: ({ value }) => value?.snapshot?.state ?? null,
};
const KIND: Column<CreateResult> = {
  key: 'kind',
  title: 'KIND',
  kind: 'text',
  leaves: LEAVES.kind,
  value: ({ value }) => (value?.snapshot ? kindOf(value.snapshot) : null),
};
const MEMORY: Column<CreateResult> = {
  key: 'memoryBytes',
  title: 'MEMORY',
  kind: 'bytes',
  leaves: LEAVES.memory,
  value: ({ value }) => value?.snapshot?.memoryBytes || null,
  data: ({ value }) => value?.snapshot?.memoryBytes ?? null,
};
const RESULT: Column<CreateResult> = {
  key: 'outcome',
  title: 'RESULT',
  kind: 'text',
  wraps: true,
  value: ({ outcome, value, failures }) =>
    value?.snapshot
      ? // the failures are those of its prune
        [takenWords(value), ...failures.map(({ message }) => message)].join(': ')
      : [outcome, ...failures.map(({ why }) => why)].join(': '),
  data: ({ outcome }) => outcome,
  tone: ({ outcome }) => (outcome === 'done' ? 'good' : outcome === 'failed' ? 'bad' : 'warn'),
};
/** Only in CSV. */
const VM_STATE: Column<CreateResult> = {
  ...MEMORY,
  key: 'vmStateBytes',
  value: ({ value }) => value?.snapshot?.vmStateBytes ?? null,
  data: ({ value }) => value?.snapshot?.vmStateBytes ?? null,
};
const ERROR: Column<CreateResult> = {
  key: 'error',
  title: '',
  kind: 'text',
  value: ({ failures }) => failures.map(({ message }) => message).join('; ') || null,
};

const COLUMNS = [VM, NAME, CREATED, STATE, KIND, MEMORY, RESULT];
/** Only in CSV: how many snapshots the prune deleted, or would delete. */
const PRUNED: Column<CreateResult> = {
  key: 'pruned',
  title: '',
  kind: 'text',
  value: ({ value }) =>
    value?.pruned.rows.filter(({ outcome }) => ['deleted', 'to be deleted'].includes(outcome)).length ?? null,
};

/** Columns that came with later versions are last. */
const CSV = [VM, NAME, CREATED, STATE, VM_STATE, RESULT, KIND, MEMORY, ERROR, PRUNED];

const takenWords = ({ leftPaused = false, heldMilliseconds = null, isFrozen = false }: Created): string =>
  leftPaused
    ? 'taken, left paused'
    : heldMilliseconds === null
      ? 'taken'
      : `taken, ${isFrozen ? 'frozen' : 'paused'} ${(Math.ceil(heldMilliseconds / 100) / 10).toFixed(1)} s`;

/** Shows the results of all VMs. Throws what the run ends with if something failed. */
export async function report(
  ctx: Context,
  results: readonly CreateResult[],
  { single, strict }: { readonly single: boolean; readonly strict: boolean },
  space: SpaceRun | null,
): Promise<void> {
  const { dryRun } = ctx.settings;
  throwIfNothingDone(ctx, single, results);
  const conclusion = concludeDomains(ctx, results, { strict, parts: 'steps', inTable: () => !dryRun });
  const done = results.flatMap(({ vm, value }) => (value ? [{ vm, ...value }] : []));
  const pruned = done.flatMap((created) => created.pruned.rows);
  const prunedSections = [{ ...pruneSection(ctx, pruned), title: 'PRUNED' }];
  const freed = freedLines(
    dryRun,
    done.map(({ vm, pruned }) => freedOf(vm, pruned)),
  );
  const lines = [...freed, ...spaceLines(space)];
  const freeMin = spaceDocument(space);
  const names = done.map(({ vm, name }) => (single ? shownName(ctx, vm, name) : ownName(vm, name)));
  if (dryRun) {
    await showPlan(
      ctx,
      done.flatMap(({ planned }) => (planned ? [planned] : [])),
      {
        vms: results.map(({ vm }) => vm),
        document: { domains: results.map(plannedDocument(true)), freeMin },
        sections: prunedSections,
        names,
      },
    );
    noteForeseen(ctx, lines);
  } else {
    await show(ctx, {
      kind: 'create',
      document: { domains: results.map(document), freeMin },
      sections: [section({ columns: COLUMNS, rows: results, beneath: beneath(ctx) }), ...prunedSections],
      csv: section({ columns: CSV, rows: results }),
      names,
      remarks: [
        ...(single ? [] : [sumLine(results, conclusion !== null && ctx.terminal.isOneStream)]),
        ...prunedLines(ctx, pruned),
        ...lines,
      ],
    });
  }
  const end = await concludeSpace(ctx, conclusion, space);
  if (end) throw end;
}

/** Shows what a `--together` would do, over all VMs. */
export async function reportPlan(
  ctx: Context,
  { targets, single }: Pick<Targets, 'targets' | 'single'>,
  { planned, name }: { readonly planned: readonly (VirshCommand | string)[]; readonly name: string },
): Promise<void> {
  const results = targets.map(({ vm, reading }): CreateResult => {
    const state = reading instanceof KvmsnapError ? null : reading.domain.state;
    return { vm, state, outcome: 'planned', value: null, failures: [], succeeded: 0 };
  });
  await showPlan(ctx, planned, {
    vms: targets.map(({ vm }) => vm),
    document: { domains: results.map(plannedDocument(true)), freeMin: null },
    names: targets.map(({ vm }) => (single ? name : ownName(vm, name))),
  });
}

/** `3 snapshots taken, 1 VM failed, 40 skipped`; only the first of these if an error beside it tells the others. */
function sumLine(results: readonly CreateResult[], errorTellsOthers: boolean): string {
  const taken = counted(results.filter(({ value }) => value?.snapshot).length, 'snapshot');
  if (errorTellsOthers) return `${taken} taken`;
  const without = (wanted: Outcome) =>
    results.filter(({ outcome, value }) => outcome === wanted && !value?.snapshot).length;
  const others = (['failed', 'skipped', 'not reached'] as const)
    .filter((wanted) => without(wanted) > 0)
    .map((wanted, i) => `${i === 0 ? counted(without(wanted), 'VM') : without(wanted)} ${wanted}`);
  return [`${taken} taken`, ...others].join(', ');
}

/** The lines below a row: the new files of a snapshot and the disks left to their storage, or the hints of a failure. */
function beneath(ctx: Context): (result: CreateResult) => readonly Line[] {
  const { beneath: advice } = adviceBeneath<CreateResult>(ctx, ({ outcome, failures }) =>
    outcome === 'skipped' ? [] : failures,
  );
  return (result) => [
    ...(result.value?.snapshot ? filesOf(result.value.snapshot) : []),
    ...(result.value?.hooks ?? []).flatMap(printedLines).map((text) => ({ text })),
    ...(advice?.(result) ?? []),
  ];
}

function filesOf(snapshot: SnapshotReport): Line[] {
  const { disks, memory } = snapshot;
  const manual = manualDisks(snapshot);
  return [
    ...disks
      .filter(({ location }) => location === 'external')
      .map(({ target, source }) => ({ text: `disk ${target} now writes to ${source}`, verbatim: true })),
    ...(memory.file === null ? [] : [{ text: `memory saved in ${memory.file}`, verbatim: true }]),
    ...(manual.length === 0 ? [] : [{ text: `disk ${manual.join(', ')}: left to the storage` }]),
  ];
}

const plannedDocument = (dryRun: boolean) => (result: CreateResult) => ({
  ...domainResult(result),
  pruned: (result.value?.pruned.rows ?? []).map(pruneDocument),
  ...freedDocument(dryRun, result.value?.pruned.freed ?? null),
});

const document = (result: CreateResult) => ({
  ...plannedDocument(false)(result),
  leftovers: result.value?.pruned.unusedFiles ?? [],
  hooks: result.value?.hooks ?? [],
  snapshot: result.value?.snapshot ? snapshotDocument(result.value.snapshot) : null,
  heldMilliseconds: result.value?.heldMilliseconds ?? null,
});
