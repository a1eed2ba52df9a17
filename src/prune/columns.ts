import type { KvmsnapError } from '../errors.ts';
import { counted, rfc3339 } from '../output/format.ts';
import { type Column, LEAVES, type Section, section, vmColumn } from '../output/view.ts';
import type { Context, Output } from '../run/context.ts';
import { adviceBeneath } from '../run/results.ts';
import type { PruneCandidate } from './prune-vm.ts';
import type { Decision } from './retention.ts';

/** The decisions and results of a prune, as a table and as members of a document. */

/** One snapshot in the plan, with its result. */
export interface PruneRow {
  readonly vm: string;
  readonly decision: Decision<PruneCandidate>;
  readonly outcome: PruneOutcome;
  /** In a dry run: the bytes that deleting it alone frees; null if unknown. */
  readonly freesBytes: number | null;
  readonly approximate: boolean;
  /** Why it could not be deleted; null if it was deleted or not tried. */
  readonly failure: KvmsnapError | null;
}

/** A VM that failed as a whole, for example because it does not exist: it has no snapshots to show. */
export interface FailedVmRow {
  readonly vm: string;
  readonly decision: null;
  readonly outcome: 'failed';
  readonly freesBytes: null;
  readonly approximate: false;
  readonly failure: KvmsnapError;
}

type Row = PruneRow | FailedVmRow;

export type PruneOutcome = 'kept' | 'to be deleted' | 'deleted' | 'failed' | 'not reached';

const VM: Column<Row> = { ...vmColumn<Row>(({ vm }) => vm), grouped: true };
const NAME: Column<Row> = {
  key: 'name',
  title: 'NAME',
  kind: 'text',
  value: ({ decision }) => decision?.snapshot.name ?? null,
};
const CREATED: Column<Row> = {
  key: 'createdAt',
  title: 'CREATED',
  kind: 'time',
  leaves: LEAVES.created,
  value: ({ decision }) => decision?.snapshot.createdAtSeconds ?? null,
};
const RESULT: Column<Row> = {
  key: 'outcome',
  title: 'RESULT',
  kind: 'text',
  value: ({ outcome }) => outcome,
  tone: ({ outcome }) => (outcome === 'failed' ? 'bad' : outcome === 'kept' ? 'plain' : 'warn'),
};
const REASONS: Column<Row> = {
  key: 'reasons',
  title: 'WHY',
  kind: 'text',
  wraps: true,
  value: ({ decision, failure }) =>
    failure?.why ?? (decision?.reasons.join(', ') || (decision?.keep ? null : 'no rule')),
  data: ({ decision }) => decision?.reasons.join(', ') ?? null,
};
const FREES: Column<Row> = {
  key: 'freesBytes',
  title: 'FREES',
  kind: 'bytes',
  leaves: LEAVES.figures,
  value: ({ freesBytes }) => freesBytes,
  approximate: ({ approximate }) => approximate,
};
/** Only in CSV. */
const ERROR: Column<Row> = {
  key: 'error',
  title: '',
  kind: 'text',
  value: ({ failure }) => failure?.message ?? null,
};

/** The table of all snapshots in the plan, and of the VMs that failed. */
export const pruneSection = (ctx: Output, rows: readonly Row[]): Section<never> =>
  section({
    columns: [VM, NAME, CREATED, RESULT, ...(ctx.settings.dryRun ? [FREES] : []), REASONS],
    rows,
    ...adviceBeneath<Row>(ctx, ({ failure }) => (failure ? [failure] : [])),
  });

/** The same for programs; columns that came with later versions are last. */
export const pruneCsv = (ctx: Pick<Context, 'settings'>, rows: readonly Row[]): Section<never> =>
  section({
    columns: [VM, NAME, CREATED, RESULT, ...(ctx.settings.dryRun ? [FREES] : []), REASONS, ERROR],
    rows,
  });

/** `2 of 9 snapshots deleted`, or what a dry run would delete; empty if the plan is empty. */
export function prunedLines({ settings }: Pick<Context, 'settings'>, rows: readonly PruneRow[]): string[] {
  if (rows.length === 0) return [];
  const count = (wanted: PruneOutcome) => rows.filter(({ outcome }) => outcome === wanted).length;
  const gone = count(settings.dryRun ? 'to be deleted' : 'deleted');
  const what =
    gone === rows.length ? counted(gone, 'snapshot') : `${gone} of ${counted(rows.length, 'snapshot')}`;
  const failed = count('failed');
  const done = settings.dryRun ? `would delete ${what}` : `${what} deleted`;
  return [failed > 0 ? `${done}, ${failed} failed` : done];
}

/** A snapshot of the plan, as a member of a document. */
export function pruneDocument({ decision, outcome, freesBytes }: PruneRow) {
  const { snapshot, keep, reasons } = decision;
  const createdAt = rfc3339(snapshot.createdAtSeconds);
  return { name: snapshot.name, createdAt, keep, reasons, outcome, freesBytes };
}
