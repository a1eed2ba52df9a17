import type { VirshCommand } from '../libvirt/batch.ts';
import { virshFailure } from '../libvirt/virsh-error.ts';
import type { SnapshotReport } from '../model/report.ts';
import type { Context } from '../run/context.ts';
import { carryOut, readAfter } from '../run/write.ts';
import { completeVm, stillBeingTaken, type Vm } from '../vm/load.ts';

/**
 * Has libvirt take a snapshot for the current one, and looks. Only libvirt's mark moves: no disk and no guest changes, and
 * the next snapshot becomes a child of this one. Returns the VM afterwards; with `--dry-run` the command.
 */
export async function setCurrent(
  ctx: Context,
  vm: Vm,
  snapshot: SnapshotReport,
): Promise<Vm | { readonly planned: VirshCommand }> {
  const { domain } = vm;
  const { name } = snapshot;
  if (snapshot.underWay) throw stillBeingTaken(vm, snapshot);
  const command: VirshCommand = ['snapshot-current', '--domain', domain.uuid, '--snapshotname', name];
  if (ctx.settings.dryRun) return { planned: command };
  if (snapshot.isCurrent) return vm;
  return ctx.interrupts.protect(`the mark on '${name}' of '${domain.name}'`, async () => {
    const end = await carryOut(ctx, { command, label: `marking '${name}'`, growing: null });
    const after = await completeVm(ctx, await readAfter(ctx, domain.uuid, end));
    if (after.current === name) return after;
    throw virshFailure(`'${name}' is not the current snapshot of '${domain.name}'`, end.stderr);
  });
}
