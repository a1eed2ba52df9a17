import { KvmsnapError } from '../errors.ts';
import { loadMeanwhile } from '../host/meanwhile.ts';
import type { VirshCommand } from '../libvirt/batch.ts';
import { type DomainReading, readByUuid } from '../libvirt/domains.ts';
import { readDaemonVersion } from '../libvirt/runtime.ts';
import { isPattern } from '../model/input/selection.ts';
import { disksInText, inText } from '../model/text.ts';
import { toPruneRequest } from '../prune/options.ts';
import type { PruneRequest } from '../prune/prune-vm.ts';
import { hasRules, mostKept } from '../prune/retention.ts';
import type { Context } from '../run/context.ts';
import type { ActionResult } from '../run/for-each-domain.ts';
import { afterFailures, type HookRun, toHooks } from '../run/hooks.ts';
import { withoutLeftPauses } from '../run/left-pauses.ts';
import { toSelection } from '../run/select-options.ts';
import { readSelection, type Targets } from '../vm/select.ts';
import type { CreateOptions } from './command.ts';
import { checkSpec, checkTogetherOptions, checkXmlOptions } from './options.ts';
import { isExternalSpec } from './plan.ts';
import type { Created, CreateResult } from './report.ts';
import {
  byXml,
  type CreateRequest,
  checkForMany,
  checkUse,
  type SnapshotRequest,
  toRequest,
} from './request.ts';
import type { Taken } from './take.ts';
import type { TakenTogether } from './together/member.ts';

/**
 * Takes a snapshot of each selected VM, and then prunes its old ones if there are keep rules. What is needed only after the first
 * answer of virsh is loaded while virsh runs.
 */

/**
 * Runs `create` (name null: kvmsnap chooses one, from the label if there is one) and `create-as`. Prunes only after the
 * snapshot was taken.
 */
export async function create(
  ctx: Context,
  words: readonly string[],
  name: string | null,
  options: CreateOptions,
): Promise<void> {
  checkXmlOptions(options);
  checkTogetherOptions(options);
  const pruning = toPruneRequest(options);
  checkUse(ctx, pruning, options);
  const asked = toRequest(name, pruning, options);
  const hooks = await toHooks(ctx, options);
  const request = { ...(options.xml === undefined ? asked : await byXml(asked, options.xml)), hooks };
  if (!options.printXml) {
    checkSpec(request.spec);
    await refuseTooMany(ctx, request, pruning);
  }
  const isBare = name === null && options.label === undefined && options.xml === undefined;
  const [found, [{ forEachDomain }, { report }]] = await loadMeanwhile(
    readSelection(ctx, toSelection(words, options)).catch((error) => {
      throw isBare ? explainPair(error) : error;
    }),
    () =>
      Promise.all([
        import('../run/for-each-domain.ts'),
        import('./report.ts'),
        import('./take.ts'),
        import('../vm/memory-sizes.ts'),
      ]),
  );
  if (isBare) refuseSecondName(words, found);
  const selected = await withoutLeftPauses(ctx, found);
  if (!selected.single) checkForMany(request, options);
  if (options.printXml) return (await import('./print-xml.ts')).printXml(ctx, selected, request, options);
  const together = options.together
    ? await (await import('./together/together.ts')).takeTogether(ctx, selected, request)
    : null;
  if (together && 'planned' in together)
    return (await import('./report.ts')).reportPlan(ctx, selected, together);
  const skips = { jobs: options.jobs ?? 1, skips: ({ unsupported }: KvmsnapError) => unsupported };
  const reached = await forEachDomain(ctx, selected, skips, async (ctx, reading) => {
    const taken = together?.done.get(reading.domain.uuid);
    if (taken) return withPrune(ctx, reading, await createdBy(ctx, reading, taken), pruning);
    // in a run over many VMs, an hour may have passed since this one was read
    const isFresh = selected.single || ctx.settings.dryRun;
    const now = isFresh ? reading : await readByUuid(ctx.virsh, reading.domain.uuid, reading.domain.name);
    return options.redefine ? registerOne(ctx, now, request, options) : createOne(ctx, now, request, pruning);
  });
  const results = together ? await withTaken(selected, reached, together.done) : reached;
  const run = { single: selected.single, strict: options.strict ?? false };
  const { freeMin } = pruning;
  if (freeMin === null) return report(ctx, results, run, null);
  // the oldest snapshots of all VMs are deleted first, so this waits until all new ones are taken
  const { freeTogether } = await import('./prune-after.ts');
  const { pruned, space } = await freeTogether(ctx, results, { ...pruning, freeMin });
  await report(ctx, pruned, run, space);
}

/** After a signal nothing is pruned, but what was taken together is taken. */
async function withTaken(
  { targets }: Targets,
  results: readonly CreateResult[],
  done: ReadonlyMap<string, TakenTogether>,
): Promise<CreateResult[]> {
  const { NOTHING_PRUNED } = await import('./report.ts');
  return Promise.all(
    results.map(async (result, i) => {
      const reading = targets[i]?.reading;
      if (result.outcome !== 'not reached' || result.value || !reading || reading instanceof KvmsnapError)
        return result;
      const taken = done.get(reading.domain.uuid);
      if (!taken) return result;
      const value = { ...begun(reading, taken, taken.snapshot), pruned: NOTHING_PRUNED, after: null };
      return { ...result, value, outcome: 'done', succeeded: 1 };
    }),
  );
}

/** Throws `check` for keep rules that keep more external snapshots than libvirt can start a VM with. */
async function refuseTooMany(
  { virsh }: Context,
  { spec }: CreateRequest,
  { rules }: PruneRequest,
): Promise<void> {
  const kept = mostKept(rules);
  if (!isExternalSpec(spec)) return;
  const { keptTooDeep, mayBeTooDeep } = await import('../vm/findings/chain-depth.ts');
  if (!mayBeTooDeep(kept)) return;
  const why = keptTooDeep(kept, await readDaemonVersion(virsh));
  if (why === null) return;
  throw new KvmsnapError('check', `no snapshot was taken: ${why}`, {
    hint: 'keep fewer snapshots, or take internal ones (without --external)',
  });
}

/** A failure over `VM/NAME`, with the line for create-as; any other failure is returned unchanged. */
function explainPair(error: unknown): unknown {
  if (!(error instanceof KvmsnapError) || error.meant === undefined) return error;
  const { operands } = error.meant;
  if (!('word' in operands)) return error;
  const { word, by: vm } = operands;
  if (!word.startsWith(`${vm}/`)) return error;
  return new KvmsnapError(error.code, error.message, {
    hint: `create chooses the name itself; to take a snapshot of ${inText(vm)} with that name`,
    meant: { command: 'create-as', operands: [vm, word.slice(vm.length + 1)] },
    cause: error,
  });
}

/** Throws `not-found` with the line for create-as if one of two words is no VM: `create VM NAME`, `create NAME VM`. */
function refuseSecondName(words: readonly string[], { targets }: Targets): void {
  const missing = targets.find(({ vm }) => vm.uuid === null && words.includes(vm.name));
  const found = targets.find(({ named, vm }) => named && vm.uuid !== null);
  if (words.length !== 2 || !missing || !found || !(missing.reading instanceof KvmsnapError)) return;
  const name = missing.vm.name;
  const vm = words.find((word) => word !== name) ?? found.vm.name;
  if (isPattern(name)) return;
  const { message, hint } = missing.reading;
  const slip = hint?.startsWith('did you mean') ? `${hint} Or, ` : '';
  throw new KvmsnapError('not-found', `${message}; nothing was done`, {
    hint: `${slip}to take a snapshot of ${inText(vm)} with that name`,
    meant: { command: 'create-as', operands: [vm, name] },
  });
}

async function registerOne(
  ctx: Context,
  reading: DomainReading,
  { xml }: SnapshotRequest,
  { current = false }: CreateOptions,
): Promise<ActionResult<Created>> {
  if (!xml) throw new Error('--redefine without a file');
  const { dryRun } = ctx.settings;
  // the user's file is not where virsh runs
  const isElsewhere = ctx.host !== null;
  const { uuid } = reading.domain;
  const kept =
    isElsewhere && !dryRun
      ? await ctx.savedXml.keep(`${uuid}.${ctx.clock.now()}.create.xml`, xml.text)
      : null;
  const { registerSnapshot } = await import('../describe/register.ts');
  const { operate } = await import('../run/operation.ts');
  const { NOTHING_PRUNED } = await import('./report.ts');
  const { FROM_PIPE, pipedLine, printing } = await import('../libvirt/piped-lines.ts');
  const path = kept ?? (isElsewhere ? FROM_PIPE : xml.path);
  const ended = await operate(
    ctx,
    registerSnapshot(reading, { path, text: xml.text, makeCurrent: current }),
  ).finally(() => (kept === null ? undefined : ctx.savedXml.drop(kept)));
  const planned = (command: VirshCommand) =>
    isElsewhere ? pipedLine(ctx.virsh, printing(xml.text), command) : command;
  const value =
    'planned' in ended
      ? { name: ended.planned.name, snapshot: null, planned: planned(ended.planned.command) }
      : { name: ended.done.name, snapshot: ended.done, planned: null };
  return { value: { ...value, pruned: NOTHING_PRUNED, after: null }, failures: [], succeeded: 1 };
}

async function createOne(
  ctx: Context,
  reading: DomainReading,
  request: SnapshotRequest,
  pruning: PruneRequest,
): Promise<ActionResult<Created>> {
  const { takeSnapshot } = await import('./take.ts');
  const hooks: HookRun[] = [];
  const ended = await takeSnapshot(ctx, reading, request, hooks);
  const unwell = request.hooks ? afterFailures(request.hooks, hooks) : [];
  const created =
    'planned' in ended
      ? { name: ended.planned.name, snapshot: null, planned: ended.planned.command }
      : await createdBy(ctx, reading, ended.done);
  return withPrune(ctx, reading, created, pruning, { hooks, unwell });
}

type Begun = Omit<Created, 'pruned' | 'after' | 'hooks'>;

const NO_HOOKS = { hooks: [], unwell: [] };

/** The result for a snapshot that was taken. */
async function createdBy(
  ctx: Context,
  reading: DomainReading,
  taken: Taken & Pick<Created, 'heldMilliseconds' | 'isFrozen'>,
): Promise<Begun> {
  const { withMemoryFiles } = await import('../vm/memory-sizes.ts');
  const [snapshot = null] = taken.snapshot ? await withMemoryFiles(ctx, reading.uri, [taken.snapshot]) : [];
  if (isLeftPaused(reading, taken)) noteHowToResume(ctx, taken);
  return begun(reading, taken, snapshot);
}

const begun = (
  reading: DomainReading,
  taken: Taken & Pick<Created, 'heldMilliseconds' | 'isFrozen'>,
  snapshot: Created['snapshot'],
): Begun => ({
  ...{ name: taken.name, snapshot, planned: null },
  leftPaused: isLeftPaused(reading, taken),
  heldMilliseconds: taken.heldMilliseconds ?? null,
  isFrozen: taken.isFrozen ?? false,
});

/** The same, after the prune that follows by keep rules. */
async function withPrune(
  ctx: Context,
  reading: DomainReading,
  created: Begun,
  pruning: PruneRequest,
  {
    hooks,
    unwell,
  }: { readonly hooks: readonly HookRun[]; readonly unwell: readonly KvmsnapError[] } = NO_HOOKS,
): Promise<ActionResult<Created>> {
  const { NOTHING_PRUNED } = await import('./report.ts');
  const complete = { ...created, pruned: NOTHING_PRUNED, after: null, hooks };
  if (!hasRules(pruning.rules)) return { value: complete, failures: unwell, succeeded: 1 };
  const { pruneAfter } = await import('./prune-after.ts');
  const { value, failures, succeeded, cutShort } = await pruneAfter(ctx, reading, pruning, created.name);
  return {
    value: { ...complete, ...value },
    failures: [...unwell, ...failures],
    succeeded: 1 + succeeded,
    cutShort: cutShort ?? false,
  };
}

const isLeftPaused = ({ domain }: DomainReading, { vm, plan }: Taken): boolean =>
  plan.manual.length > 0 && domain.state === 'running' && vm.domain.state === 'paused';

function noteHowToResume({ terminal, virsh }: Context, { vm, plan }: Taken): void {
  const { name, uuid } = vm.domain;
  terminal.note(
    `note: ${inText(name)} is paused. Take the snapshot of the storage of ${disksInText(plan.manual)} now, then resume the VM:\n  ${virsh.line(['resume', uuid])}`,
  );
}
