import { KvmsnapError } from '../errors.ts';
import { kvmsnapLine } from '../model/quote.ts';
import { allInText, inText } from '../model/text.ts';
import { localTime } from '../output/format.ts';
import { seekConsent } from '../run/confirm.ts';
import type { Context } from '../run/context.ts';
import { withConnection } from '../run/enforce.ts';
import { letAllGo } from '../run/left-pauses.ts';
import { loadChecked } from '../run/operation.ts';
import { withNotesOnce } from '../run/retry-while-busy.ts';
import { showPlan } from '../run/show.ts';
import { missingInWords, readGroup } from '../vm/group.ts';
import { completeVm, findSnapshot, type Vm } from '../vm/load.ts';
import type { RevertOptions } from './command.ts';
import { revertSnapshot } from './operation.ts';
import { showRevertedGroup } from './report.ts';
import { revertAll } from './revert-all.ts';

/**
 * `revert --group`: reverts all VMs to the snapshots that were taken of them at one moment. One question over all; none is reverted as
 * long as one of them cannot be.
 */
export async function revertGroup(
  ctx: Context,
  vm: string | undefined,
  name: string,
  options: RevertOptions,
): Promise<void> {
  checkUse(options);
  const group = await readGroup(ctx, name, vm ?? null);
  if (group.missing.length > 0)
    throw KvmsnapError.of('not-found', 'no VM was reverted', [
      {
        message: missingInWords(group),
        hint: 'you can revert each of the other VMs alone; what it has written since the snapshot is then lost',
        commands: group.readings.map(({ domain }) => kvmsnapLine('revert', [domain.name, name])),
      },
    ]);
  const readings = await letAllGo(ctx, group.readings);
  const vms = await Promise.all(
    readings.map(async (reading) => ({ vm: await completeVm(ctx, reading), name })),
  );
  const request = {
    running: options.running ?? false,
    paused: options.paused ?? false,
    force: options.force ?? false,
    resetNvram: options.resetNvram ?? false,
    backup: null,
  };
  if (ctx.settings.dryRun) {
    const planned = [];
    for (const { vm } of vms)
      planned.push(await loadChecked(ctx, revertSnapshot(vm, findSnapshot(vm, name), request), false));
    return showPlan(
      ctx,
      planned.map(({ command }) => command),
      { vms: vms.map(({ vm }) => vm.domain) },
    );
  }
  const once = withNotesOnce(ctx);
  const all = revertAll(once, vms, request, {
    how: [`the snapshots named ${inText(name)} were taken at the same moment${takenAt(vms, name)}`],
    tellDone: () => {},
    goOn: (done) => ({
      message: 'the VMs are not at the same moment now',
      hint: `fix the cause, then revert all of them again; what ${allInText(done.map(({ vm }) => vm.domain.name))} ${done.length === 1 ? 'has' : 'have'} written since this revert will be lost`,
      commands: [groupLine(ctx, name, vm, options)],
    }),
  });
  const { plan } = await seekConsent(once, { ...all, mustConsent: true }).catch(noneReverted);
  const reverted = await all.carryOut(once, plan);
  if (reverted.done.length > 0) await showRevertedGroup(ctx, reverted);
  if (reverted.failure) throw reverted.failure;
}

/** ` (2027-12-27 10:06:40)` */
function takenAt([first]: readonly { readonly vm: Vm }[], name: string): string {
  return first ? ` (${localTime(findSnapshot(first.vm, name).createdAtSeconds)})` : '';
}

function noneReverted(error: unknown): never {
  const isOurs = error instanceof KvmsnapError && error.code !== 'declined';
  throw isOurs ? error.prefixed('no VM was reverted: ') : error;
}

/** The same command again. */
function groupLine(ctx: Context, name: string, vm: string | undefined, options: RevertOptions): string {
  const flags = (['running', 'paused', 'force'] as const).filter((each) => options[each]);
  const words = [...flags, ...(options.resetNvram ? ['reset-nvram'] : [])].map((each) => `--${each}`);
  const command = kvmsnapLine('revert', vm === undefined ? [] : [vm], '--group', name, ...words);
  return withConnection(ctx, { what: '', command }).command;
}

/** Throws `usage` for options that are about a single VM. */
function checkUse({ current, backup, backupName, running, paused }: RevertOptions): void {
  const other = current
    ? '--current'
    : backupName !== undefined
      ? '--backup-name'
      : backup
        ? '--backup'
        : null;
  if (other !== null)
    throw new KvmsnapError('usage', `${other} cannot be combined with --group`, {
      ...(backup || backupName !== undefined
        ? { hint: 'to keep the present state, first take snapshots of all VMs with create-as and --together' }
        : {}),
    });
  if (running && paused) throw new KvmsnapError('usage', '--running cannot be combined with --paused');
}
