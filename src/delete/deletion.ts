import type { VirshCommand } from '../libvirt/batch.ts';
import { readMerged } from '../libvirt/runtime.ts';
import type { SnapshotReport } from '../model/report.ts';
import { externalDisks } from '../model/snapshot.ts';
import { inText } from '../model/text.ts';
import { localTime } from '../output/format.ts';
import type { Context } from '../run/context.ts';
import { type Operation, skip } from '../run/operation.ts';
import { carryOut, type WriteEnd } from '../run/write.ts';
import type { Vm } from '../vm/load.ts';
import { type CheckedDeletion, deleteTables } from './check.ts';
import type { DeleteScope } from './deletion-set.ts';
import type { UnusedFilesFound } from './remove-unused-files.ts';
import type { Proof } from './verify.ts';

export interface DeleteRequest {
  readonly scope: DeleteScope;
  /** Only the metadata is deleted; the data stay in the images. */
  readonly metadataOnly: boolean;
  /** Unused files that libvirt leaves behind are removed too. */
  readonly removeUnused: boolean;
}

/** The virsh command of a deletion. */
export function deleteCommand(
  { domain }: Pick<Vm, 'domain'>,
  { name }: SnapshotReport,
  { scope, metadataOnly }: DeleteRequest,
): VirshCommand {
  return [
    'snapshot-delete',
    ...['--domain', domain.uuid, '--snapshotname', name],
    ...(scope === 'only' ? [] : [`--${scope}`]),
    ...(metadataOnly ? ['--metadata'] : []),
  ];
}

export interface DeletionFacts extends CheckedDeletion {
  /** All snapshots that are deleted. */
  readonly deletionSet: readonly SnapshotReport[];
  /** Whether another process has deleted the snapshot since the series began. */
  readonly isGone: boolean;
}

/** The snapshots that were deleted, and the files that were left behind. */
export interface DeleteDone extends UnusedFilesFound {
  readonly gone: readonly SnapshotReport[];
}

/** The lines for stderr about what will be deleted, printed after the checks and before the deletion. */
export type TellLoss = (ctx: Context, facts: DeletionFacts) => readonly string[];

/** What a deletion needs from the series that it belongs to. */
export interface Series {
  /** Reads the VM and the snapshot as they are now, and the facts for the rules. */
  look(ctx: Context, name: string, again: boolean): Promise<DeletionFacts>;
  prepare(ctx: Context, facts: DeletionFacts): Promise<DeletionFacts>;
  /** Verifies the deletion at once, or later together with the next ones. */
  verify(
    ctx: Context,
    facts: DeletionFacts,
    end: WriteEnd,
  ): Promise<
    | { readonly done: DeleteDone }
    | { readonly failure: NonNullable<Proof['failures'][number]>; readonly seen: Proof }
  >;
}

/** The deletion of one snapshot, with its children if the request says so. `count`: such as `37 of 184`. */
export const deletion = (
  series: Series,
  name: string,
  request: DeleteRequest,
  { tell, count }: { readonly tell?: TellLoss | undefined; readonly count: string | null },
): Operation<DeletionFacts, Proof, DeleteDone, never> => ({
  load: (ctx, again) => series.look(ctx, name, again),
  rules: deleteTables(request),
  settled: ({ isGone, deletionSet }) =>
    isGone ? { gone: deletionSet, unusedFiles: [], unremoved: [] } : null,
  plan: skip('a dry run plans a whole series of deletions at once (dry-run.ts)'),
  consent: {
    given: 'by one question about all VMs, or in a script by naming the snapshot',
    consequences: ({ deletionSet }) =>
      deletionSet.map(
        ({ name, createdAtSeconds }) =>
          `snapshot ${inText(name)} (taken ${localTime(createdAtSeconds)}) would be deleted`,
      ),
    notes: (ctx, facts) => tell?.(ctx, facts) ?? [],
  },
  prepare: (ctx, facts) => series.prepare(ctx, facts),
  write: {
    subject: (_, { vm: { domain } }) => `the deletion of ${inText(name)} of ${inText(domain.name)}`,
    run(ctx, { vm, snapshot }) {
      const { domain } = vm;
      const merged = request.metadataOnly ? [] : externalDisks(snapshot).map(({ target }) => target);
      return carryOut(ctx, {
        command: deleteCommand(vm, snapshot, request),
        label: `${count === null ? '' : `${count}: `}deleting ${inText(name)} of ${inText(domain.name)}`,
        growing: null,
        ...(merged.length > 0 ? { progress: () => readMerged(ctx.virsh, domain.uuid, merged) } : {}),
      });
    },
  },
  log: ({ vm: { domain }, deletionSet }) => ({
    action: request.metadataOnly ? 'unregister' : 'delete',
    vm: domain.name,
    snapshots: deletionSet.map(({ name }) => name),
  }),
  verify: (ctx, facts, end) => series.verify(ctx, facts, end),
  residue: (_, __, { odd, lost }) => [...odd, ...lost],
});
