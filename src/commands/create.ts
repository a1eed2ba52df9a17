import type { Context } from '../context.ts';
import { labelledName } from '../core/labels.ts';
import { automaticName } from '../core/names.ts';
import { hasRules } from '../core/retention.ts';
import { combineFailures, KvmsnapError } from '../errors.ts';
import { completeMachine } from '../host/machine.ts';
import type { PruneRequest } from '../host/prune-snapshots.ts';
import { type NameMaker, takeSnapshot } from '../host/take-snapshot.ts';
import { type MachineReading, readByUuid, readMachine } from '../libvirt/machine.ts';
import { domainDocument, snapshotDocument } from '../render/documents.ts';
import { SNAPSHOT_COLUMNS } from '../render/snapshot-columns.ts';
import { section } from '../render/view.ts';
import {
  isDeleted,
  noteFailures,
  PRUNE_COLUMNS,
  pruneDocument,
  pruneMachine,
  type RuleOptions,
  toPruneRequest,
} from './prune.ts';
import { show, showPlan } from './show.ts';

export interface CreateOptions extends RuleOptions {
  readonly description?: string;
  readonly force?: boolean;
}

/** `create` (name null: one is given, with a label where wanted) and `create-as`. Prunes after, and only after, success. */
export async function create(
  ctx: Context,
  machineName: string,
  name: string | null,
  options: CreateOptions,
): Promise<void> {
  const pruning = toPruneRequest(options);
  const { label } = pruning.scope;
  if (hasRules(pruning.rules) && label === null) {
    throw new KvmsnapError('usage', 'rules of retention go with --label: only labelled snapshots are pruned');
  }
  const maker: NameMaker = label === null ? automaticName : (now, taken) => labelledName(label, now, taken);
  const reading = await readMachine(ctx.virsh, machineName);
  const taken = await takeSnapshot(ctx, reading, {
    name: name ?? maker,
    description: options.description ?? null,
    force: options.force ?? false,
  });
  if ('planned' in taken) return showPlanned(ctx, reading, taken, pruning);

  const { snapshot, machine } = taken;
  const pruned = hasRules(pruning.rules)
    ? await pruneMachine(ctx, await reread(ctx, reading), pruning, snapshot.name)
    : null;
  await show(ctx, {
    document: {
      domain: domainDocument(machine.domain),
      snapshot: snapshotDocument(snapshot),
      pruned: (pruned?.rows ?? []).map(pruneDocument),
    },
    sections: [
      section({ columns: SNAPSHOT_COLUMNS, rows: [snapshot] }),
      ...(pruned ? [section({ columns: PRUNE_COLUMNS, rows: pruned.rows })] : []),
    ],
    names: [snapshot.name],
    remarks: [
      `'${snapshot.name}' of '${machine.domain.name}' is complete, in disk ${snapshot.disks.map(({ target }) => target).join(', ')}`,
    ],
  });
  if (!pruned || pruned.failures.length === 0) return;
  noteFailures(ctx, pruned.failures);
  throw combineFailures(pruned.failures, 1 + pruned.rows.filter(isDeleted).length, 'steps');
}

const reread = async (ctx: Context, { domain }: MachineReading) =>
  completeMachine(ctx, await readByUuid(ctx.virsh, domain.uuid));

/** What a dry run would do: the command, and the prune that would follow, the new snapshot counted. */
async function showPlanned(
  ctx: Context,
  reading: MachineReading,
  { planned, name }: { readonly planned: readonly string[]; readonly name: string },
  pruning: PruneRequest,
): Promise<void> {
  const rows = hasRules(pruning.rules)
    ? (await pruneMachine(ctx, await completeMachine(ctx, reading), pruning, name)).rows
    : [];
  await showPlan(ctx, [planned], {
    document: { pruned: rows.map(pruneDocument) },
    sections: rows.length > 0 ? [section({ columns: PRUNE_COLUMNS, rows })] : [],
    names: [name],
  });
}
