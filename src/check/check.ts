import { readDaemonVersion } from '../libvirt/runtime.ts';
import { NO_SNAPSHOTS } from '../libvirt/snapshots.ts';
import type { Selection } from '../model/input/selection.ts';
import type { Context } from '../run/context.ts';
import { forEachDomain, throwIfNothingDone } from '../run/for-each-domain.ts';
import { toSelection } from '../run/select-options.ts';
import { createUnusedFileFinder } from '../sharing/find-unused-files.ts';
import { noteUnseen } from '../vm/disks.ts';
import { assembleVm, isDrifting, readAgain } from '../vm/load.ts';
import { readAllSnapshots, readSelection, type Targets } from '../vm/select.ts';
import { type CheckRequest, checkVm } from './check-vm.ts';
import type { CheckOptions } from './command.ts';
import { fixVms, type LookedAt, type VmCheck } from './fix-vms.ts';
import { toLimits } from './limit-options.ts';
import { reportAsPlugin, requireNoFix } from './nagios.ts';
import { prepareFixes } from './prepare-fixes.ts';
import { report, showFixes } from './report.ts';
import type { Limits } from './rules/limits.ts';

/**
 * `check`: whether snapshots of these VMs can be taken and reverted, and the existing ones are intact. Only `--fix` changes something. Throws
 * `check` when one cannot. Returns the exit code, which is that of a plugin with `-o nagios`, and 0 otherwise.
 */
export async function check(ctx: Context, words: readonly string[], options: CheckOptions): Promise<number> {
  const limits = toLimits(options);
  const isPlugin = ctx.settings.output === 'nagios';
  if (isPlugin) requireNoFix(options.fix ?? false);
  const all = words.length === 0 ? { ...options, all: true } : options;
  const selection = toSelection(words, all);
  const look = (ctx: Context) => lookAll(ctx, selection, limits, options.fix ?? false);
  const first = await look(ctx);
  throwIfNothingDone(ctx, first.selected.single, first.looked);
  if (isPlugin) {
    if (ctx.interrupts.pending) throw ctx.interrupts.pending;
    return reportAsPlugin(ctx, first.looked, limits);
  }
  if (options.fix && ctx.settings.dryRun) {
    await showFixes(ctx, first.looked);
    return 0;
  }
  const results = options.fix ? await fixVms(ctx, first, look) : first.looked;
  await report(ctx, results, options.fix ?? false);
  return 0;
}

/** A VM that has chosen another policy is checked too; only the limits do not apply to it. By UUID, why. */
function withAll({ targets, single }: Targets): {
  readonly selected: Targets;
  readonly leftOut: CheckRequest['leftOut'];
} {
  const leftOut = targets.flatMap(({ vm, leftOut }) =>
    leftOut ? [[vm.uuid ?? '', leftOut.message] as const] : [],
  );
  return {
    selected: { targets: targets.map(({ leftOut: _, ...target }) => target), single },
    leftOut: new Map(leftOut),
  };
}

/** Those with a file, and that of this run, which needs none. The files are those of this host. */
const policiesOf = async ({ host, configFiles }: Context, { policy = null }: Selection) =>
  host === null ? [...(await configFiles.names('.conf')), ...(policy === null ? [] : [policy])] : null;

/** Checks all VMs of the selection as they are now; with `fix` the steps to fix them are prepared. */
async function lookAll(ctx: Context, selection: Selection, limits: Limits, fix: boolean): Promise<LookedAt> {
  const { selected, leftOut } = withAll(await readSelection(ctx, selection));
  const request: CheckRequest = {
    limits,
    leftOut,
    policies: await policiesOf(ctx, selection),
    daemonVersion: await readDaemonVersion(ctx.virsh),
    findUnusedFiles: createUnusedFileFinder(ctx),
  };
  const known = await readAllSnapshots(ctx, selected);
  const run = { jobs: 1, skips: () => false };
  const looked = await forEachDomain<VmCheck>(ctx, selected, run, async (ctx, reading) => {
    const seen = await assembleVm(ctx, reading, known.get(reading.domain.uuid) ?? NO_SNAPSHOTS);
    const vm = isDrifting(seen) ? await readAgain(ctx, seen.domain) : seen;
    noteUnseen(ctx, vm.domain, vm.images);
    const checked = await checkVm(ctx, vm, request);
    const prepared = fix ? await prepareFixes(ctx, vm, checked.fixes) : [];
    return { value: { checked, prepared, fixed: null }, failures: [], succeeded: 1 };
  });
  return { selected, looked, request };
}
