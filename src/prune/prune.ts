import { planDeletions } from '../delete/dry-run.ts';
import type { DomainReading } from '../libvirt/domains.ts';
import { NO_SNAPSHOTS, type SnapshotsRead } from '../libvirt/snapshots.ts';
import { inText } from '../model/text.ts';
import { isAsked } from '../run/confirm.ts';
import type { Context } from '../run/context.ts';
import { type ActionResult, type DomainOutcome, forEachDomain, resultOf } from '../run/for-each-domain.ts';
import { withoutLeftPauses } from '../run/left-pauses.ts';
import { toSelection } from '../run/select-options.ts';
import { foreseeFreed, whatIsFreed } from '../space/reclaimed.ts';
import { assembleVm, readAgain, reportOn, requireAllRead, type Vm } from '../vm/load.ts';
import { readAllSnapshots, readSelection } from '../vm/select.ts';
import type { PruneOptions } from './command.ts';
import type { VmToPrune } from './free-space-candidates.ts';
import type { SpaceRequest, SpaceRun } from './free-space-run.ts';
import { toPruneRequest } from './options.ts';
import { actionResultOf, outcomeOf, type PruneResult, planned, toRow } from './outcomes.ts';
import {
  checkPruneRequest,
  deletionBy,
  notPruned,
  type PruneCandidate,
  type PruneRequest,
  planWithExternal,
  prune,
  pruneFailures,
} from './prune-vm.ts';
import { agreeToPrune } from './question.ts';
import { report } from './report.ts';
import type { Decision } from './retention.ts';

/** Prunes the selected VMs: each by its own plan, or all together for free space. */

/**
 * `prune`: plans for every VM, shows the reasons, asks on a terminal, and deletes the snapshots that no keep rule keeps.
 * Continues after a failure.
 */
export async function pruneVms(ctx: Context, words: readonly string[], options: PruneOptions): Promise<void> {
  const rules = toPruneRequest(options);
  checkPruneRequest(rules);
  const selection = toSelection(words, options);
  const request = isAsked(ctx, false)
    ? { ...rules, agreed: await agreeToPrune(ctx, selection, rules) }
    : rules;
  const selected = await withoutLeftPauses(ctx, await readSelection(ctx, selection));
  const known = await readAllSnapshots(ctx, selected);
  const run = { jobs: options.jobs ?? 1, skips: () => false };
  const { freeMin } = request;
  if (freeMin !== null) {
    const readings = await forEachDomain(ctx, selected, run, async (ctx, reading) =>
      readable(ctx, await assembleVm(ctx, reading, known.get(reading.domain.uuid) ?? NO_SNAPSHOTS)),
    );
    const vmsToPrune = readings.map(({ value }) => value && { vm: value, fresh: null });
    const { results, space } = await pruneTogether(ctx, readings, vmsToPrune, { ...request, freeMin });
    noteNone(ctx, results, request);
    return report(ctx, results, selected.single, space);
  }
  const results = await forEachDomain(ctx, selected, run, (ctx, reading) =>
    pruneFound(ctx, reading, known.get(reading.domain.uuid) ?? NO_SNAPSHOTS, request),
  );
  noteNone(ctx, results, request);
  await report(ctx, results, selected.single, null);
}

/** Prints a note if no snapshot is in the scope: a mistyped label would prune nothing, night after night. */
function noteNone(
  ctx: Context,
  results: readonly DomainOutcome<PruneResult>[],
  { scope: { label, matches } }: PruneRequest,
): void {
  if (!results.every(({ value }) => value?.rows.length === 0)) return;
  const ways = [
    ...(label === null ? [] : [`has the label ${label}`]),
    ...(matches ? ['matches the pattern'] : []),
  ];
  ctx.terminal.note(`note: nothing to prune: no snapshot of ${whose(results)} ${ways.join(' or ')}`);
}

const whose = ([first, ...others]: readonly DomainOutcome<unknown>[]): string =>
  first && others.length === 0 ? inText(first.vm.name) : 'these VMs';

function readable(ctx: Context, vm: Vm): ActionResult<Vm> {
  requireAllRead(ctx, vm, `prune ${inText(vm.domain.name)}`);
  return { value: vm, failures: [], succeeded: 0 };
}

/**
 * Prunes the VMs in `vmsToPrune` for free space, and leaves the results of the others as they are. `before`: the results so
 * far.
 */
export async function pruneTogether(
  ctx: Context,
  before: readonly DomainOutcome<unknown>[],
  vmsToPrune: readonly (VmToPrune | null)[],
  request: SpaceRequest,
): Promise<{ readonly results: DomainOutcome<PruneResult>[]; readonly space: SpaceRun }> {
  const { pruneForSpace } = await import('./free-space.ts');
  const space = await pruneForSpace(
    ctx,
    vmsToPrune.filter((vmToPrune) => vmToPrune !== null),
    request,
  );
  const pruned = [...space.vms];
  const results = before.map((result, i): DomainOutcome<PruneResult> => {
    const done = vmsToPrune[i] ? pruned.shift() : undefined;
    return done
      ? resultOf(ctx, result, actionResultOf(ctx, result.vm.name, done))
      : { ...result, value: null };
  });
  return { results, space };
}

/**
 * Plans from what was read of all VMs at once. If that plan deletes something, the disks are inspected and, unless it is a
 * dry run, the VM is read again, because its turn may come late; then the plan is made again.
 */
async function pruneFound(
  ctx: Context,
  reading: DomainReading,
  found: SnapshotsRead,
  request: PruneRequest,
): Promise<ActionResult<PruneResult>> {
  const { domain } = reading;
  requireAllRead(ctx, { ...reading, ...found }, `prune ${inText(domain.name)}`);
  const snapshots = reportOn(reading, found.snapshots, null);
  const atAGlance = await planWithExternal(ctx, { ...reading, snapshots, images: null }, request);
  if (atAGlance.every(({ keep }) => keep)) return planned(domain.name, atAGlance);
  const vm = ctx.settings.dryRun ? await assembleVm(ctx, reading, found) : await readAgain(ctx, domain);
  return pruneVm(ctx, vm, request);
}

/** Plans for one VM and, unless it is a dry run, carries out the plan. `fresh`: the snapshot that the same run has taken. */
export async function pruneVm(
  ctx: Context,
  vm: Vm,
  request: PruneRequest,
  fresh: string | null = null,
): Promise<ActionResult<PruneResult>> {
  const { name } = vm.domain;
  requireAllRead(ctx, vm, `prune ${inText(name)}`);
  const plan = await planWithExternal(ctx, vm, request, fresh);
  const going = plan.filter(({ keep }) => !keep).map(({ snapshot }) => snapshot.name);
  if (ctx.settings.dryRun) return foreseen(ctx, vm, plan, request);
  const {
    done: { done, held },
    freed,
  } = await whatIsFreed(ctx, vm, () => prune(ctx, vm, plan, request));
  const settled = plan.map((decision) =>
    held.has(decision.snapshot.name) ? { ...decision, keep: true, reasons: ['held'] } : decision,
  );
  return {
    value: {
      rows: settled.map((decision) => toRow(name, decision, done, outcomeOf(decision, done))),
      freed,
      unusedFiles: done.flatMap(({ unusedFiles }) => unusedFiles),
    },
    failures: done.flatMap(pruneFailures),
    succeeded: done.filter(({ failure }) => failure === null).length,
    cutShort: ctx.interrupts.pending !== null && done.length + held.size < going.length,
  };
}

/** What the run would do; a deletion that a rule refuses counts as failed, as it would in the run. */
async function foreseen(
  ctx: Context,
  vm: Vm,
  plan: readonly Decision<PruneCandidate>[],
  request: PruneRequest,
): Promise<ActionResult<PruneResult>> {
  const names = plan.filter(({ keep }) => !keep).map(({ snapshot }) => snapshot.name);
  const { gone, refused } = await planDeletions(ctx, vm, names, deletionBy(request));
  const done = refused.map(({ name, failure }) => notPruned(name, failure));
  return planned(vm.domain.name, plan, done, await foreseeFreed(ctx, vm, [...gone]));
}
