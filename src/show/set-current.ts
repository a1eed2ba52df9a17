import type { Context } from '../run/context.ts';
import type { SnapshotReport } from '../model/report.ts';
import type { VirshCommand } from '../libvirt/batch.ts';
import { virshFailure } from '../libvirt/virsh-error.ts';
import { carryOut, readAfter } from '../run/write.ts';
import { completeMachine, type Machine, stillBeingTaken } from '../vm/load.ts';

/**
 * Has libvirt take a snapshot for the current one, and looks. Only libvirt's mark moves: no disk and no guest changes, and
 * the next snapshot becomes a child of this one. Returns the machine afterwards; with `--dry-run` the command.
 */
export async function setCurrent(
  ctx: Context,
  machine: Machine,
  snapshot: SnapshotReport,
): Promise<Machine | { readonly planned: VirshCommand }> {
  const { domain } = machine;
  const { name } = snapshot;
  if (snapshot.underWay) throw stillBeingTaken(machine, snapshot);
  const command: VirshCommand = ['snapshot-current', '--domain', domain.uuid, '--snapshotname', name];
  if (ctx.settings.dryRun) return { planned: command };
  if (snapshot.isCurrent) return machine;
  return ctx.interrupts.protect(`the mark on '${name}' of '${domain.name}'`, async () => {
    const end = await carryOut(ctx, { command, label: `marking '${name}'`, growing: null });
    const after = await completeMachine(ctx, await readAfter(ctx, domain.uuid, end));
    if (after.current === name) return after;
    throw virshFailure(`'${name}' is not the current snapshot of '${domain.name}'`, end.stderr);
  });
}
