import type { SnapshotReport } from '../model/report.ts';
import { applyRules } from '../model/rule.ts';
import { inText } from '../model/text.ts';
import type { Context } from '../run/context.ts';
import { refuseOn } from '../run/enforce.ts';
import type { RuleTable } from '../run/operation.ts';
import { requireAllRead, stillBeingTaken, type Vm } from '../vm/load.ts';
import type { DeleteRequest } from './deletion.ts';
import { findDeletionSet } from './deletion-set.ts';
import { type KnownFacts, readDeleteFacts } from './facts.ts';
import type { DeleteFacts } from './rules/facts.ts';
import { HOLD_RULES } from './rules/hold.ts';
import { DELETE_RULES } from './rules/table.ts';

/** The checks before a deletion. */

/** What the checks of a deletion need. */
export interface CheckedDeletion {
  readonly vm: Vm;
  readonly snapshot: SnapshotReport;
  /** null: only the metadata is deleted, and the data stay in the images. */
  readonly facts: DeleteFacts | null;
}

/** The holds are checked first; the other findings are printed once the holds are released. */
export const deleteTables = <Facts extends CheckedDeletion>({
  scope,
}: Pick<DeleteRequest, 'scope'>): readonly RuleTable<Facts>[] => [
  {
    cannot,
    find: ({ vm: { domain, snapshots }, snapshot }) =>
      applyRules(HOLD_RULES, { domain, snapshot, scope, snapshots }),
    force: false,
  },
  { cannot, find: ({ facts }) => (facts ? applyRules(DELETE_RULES, facts) : []), force: false },
];

const cannot = ({ vm: { domain }, snapshot: { name } }: CheckedDeletion): string =>
  `cannot delete ${inText(name)} of ${inText(domain.name)}`;

/** Throws if the rules cannot decide: the snapshot is still being taken, or not all of the VM could be read. */
export function requireKnown(
  ctx: Pick<Context, 'virsh'>,
  vm: Vm,
  snapshot: SnapshotReport,
  { scope, metadataOnly }: DeleteRequest,
): void {
  for (const member of findDeletionSet(vm.snapshots, snapshot, scope))
    if (member.underWay) throw stillBeingTaken(vm, member);
  if (!metadataOnly || scope !== 'only')
    requireAllRead(ctx, vm, `delete ${inText(snapshot.name)} of ${inText(vm.domain.name)}`);
}

/** Throws if the deletion would be incomplete, or would delete more than the user asked for. */
export async function checkDeletable(
  ctx: Context,
  vm: Vm,
  snapshot: SnapshotReport,
  request: DeleteRequest,
  known: KnownFacts,
): Promise<void> {
  requireKnown(ctx, vm, snapshot, request);
  checkHolds(ctx, vm, snapshot, request);
  const facts = request.metadataOnly ? null : await readDeleteFacts(ctx, vm, snapshot, request.scope, known);
  refuse(ctx, { vm, snapshot, facts }, request);
}

/** Throws if the snapshot, or another that would be deleted with it, is held. */
export function checkHolds(
  ctx: Pick<Context, 'terminal' | 'virsh'>,
  vm: Vm,
  snapshot: SnapshotReport,
  request: Pick<DeleteRequest, 'scope'>,
): void {
  refuse(ctx, { vm, snapshot, facts: null }, request);
}

function refuse(
  ctx: Pick<Context, 'terminal' | 'virsh'>,
  deletable: CheckedDeletion,
  request: Pick<DeleteRequest, 'scope'>,
): void {
  for (const { cannot, find, force } of deleteTables(request))
    refuseOn(ctx, cannot(deletable), find(deletable), force);
}
