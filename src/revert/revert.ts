import { checkName } from '../create/naming.ts';
import { KvmsnapError } from '../errors.ts';
import { readDomain } from '../libvirt/domains.ts';
import { chooseSnapshots } from '../run/choose.ts';
import type { Context } from '../run/context.ts';
import { letGoOfLeft } from '../run/left-pauses.ts';
import { operate } from '../run/operation.ts';
import { showPlan } from '../run/show.ts';
import { completeVm, currentSnapshot, findSnapshot } from '../vm/load.ts';
import type { RevertOptions } from './command.ts';
import { revertSnapshot } from './operation.ts';
import { showReverted } from './report.ts';

const CHOICE = { asks: 'Revert to which snapshot of', several: false };

/** `revert`. On a terminal, a user who names no snapshot is asked which. */
export async function revert(
  ctx: Context,
  vmName: string,
  given: string | undefined,
  options: RevertOptions,
): Promise<void> {
  const mayChoose = given === undefined && !options.current && ctx.terminal.hasPerson;
  const [name] = mayChoose ? await chooseSnapshots(ctx, vmName, CHOICE) : [given];
  if ((name === undefined) === !options.current) {
    throw new KvmsnapError('usage', 'give either the name of a snapshot or --current');
  }
  if (options.running && options.paused)
    throw new KvmsnapError('usage', '--running cannot be combined with --paused');
  const reading = await letGoOfLeft(ctx, await readDomain(ctx.virsh, vmName));
  const vm = await completeVm(ctx, reading);
  const { backup, backupName } = options;
  if (backupName !== undefined) checkName(backupName);
  const operation = revertSnapshot(vm, name === undefined ? currentSnapshot(vm) : findSnapshot(vm, name), {
    running: options.running ?? false,
    paused: options.paused ?? false,
    force: options.force ?? false,
    resetNvram: options.resetNvram ?? false,
    backup: backup || backupName !== undefined ? { name: backupName ?? null } : null,
  });
  const reverted = await operate(ctx, operation);
  if ('planned' in reverted) return showPlan(ctx, reverted.planned, { vms: [vm.domain] });
  await showReverted(ctx, reverted.done);
}
