import { closeFile } from '../create/file-modes.ts';
import type { DeleteRequest } from '../delete/deletion.ts';
import { type Deletions, openDeletions } from '../delete/series.ts';
import { KvmsnapError } from '../errors.ts';
import type { Writer } from '../host/interrupts.ts';
import { readByUuid } from '../libvirt/domains.ts';
import { isIdle } from '../libvirt/runtime.ts';
import { virshFailure } from '../libvirt/virsh-error.ts';
import { inText } from '../model/text.ts';
import type { Context } from '../run/context.ts';
import { type Operation, operate, skip } from '../run/operation.ts';
import { retryWhileBusy } from '../run/retry-while-busy.ts';
import { carryOut } from '../run/write.ts';
import { readAgain } from '../vm/load.ts';
import { type Checked, type CheckRequest, checkVm } from './check.ts';
import { type Fix, fixKey } from './fix-plan.ts';
import { type Command, fixLine, type PreparedFix } from './prepare-fixes.ts';

/** Fixing a VM, step by step, and looking whether it is so. */

export type FixOutcome =
  | 'done'
  | 'failed'
  /** It was so no longer when its turn came. */
  | 'not needed'
  /** The run was ended before, or the VM could not be begun with. */
  | 'not reached';

export interface FixResult {
  readonly fix: PreparedFix;
  readonly outcome: FixOutcome;
  readonly failure: KvmsnapError | null;
}

export interface Fixed {
  readonly results: readonly FixResult[];
  /** The VM as it is then; as it was before, where we were to stop at once. */
  readonly checked: Checked;
}

/**
 * Takes those of the steps that are still called for, going on after a failure, and judges the VM again: done is
 * what is not called for any more. A signal lets the step under way come to its end, and the rest is not reached. Throws
 * `busy` when a job holds the VM, which is left alone then.
 */
export async function fixVm(
  ctx: Context,
  { uuid, name }: { readonly uuid: string; readonly name: string },
  prepared: readonly PreparedFix[],
  request: CheckRequest,
): Promise<Fixed> {
  return retryWhileBusy(ctx, async (ctx) => {
    const look = async () => {
      const vm = await readAgain(ctx, { uuid, name });
      return { vm, checked: await checkVm(ctx, vm, request, 'now') };
    };
    const isBusy = async () =>
      (await readByUuid(ctx.virsh, uuid, name)).domain.busy || !(await isIdle(ctx.virsh, uuid));
    if (prepared.length > 0 && (await isBusy()))
      throw new KvmsnapError('busy', `a job of libvirt holds ${inText(name)}, which is left alone`);
    const { vm, checked: before } = await look();
    const needed = new Set(before.fixes.map(fixKey));
    const deletions = openDeletions(vm, FORGETTING);
    const tried: FixResult[] = [];
    for (const fix of prepared) {
      if (!needed.has(fixKey(fix))) tried.push({ fix, outcome: 'not needed', failure: null });
      else if (ctx.interrupts.pending) tried.push({ fix, outcome: 'not reached', failure: null });
      else tried.push(await tryFix(ctx, name, fix, deletions));
    }
    if (!tried.some(({ outcome }) => outcome === 'done' || outcome === 'failed'))
      return { results: tried, checked: before };
    const unproven = await deletions.prove(ctx);
    const after = await look().catch((error) => {
      if (ctx.interrupts.stop.aborted) return null;
      throw error;
    });
    if (!after) {
      ctx.terminal.note(`note: ${inText(name)} was not looked at again: what is said of it is from before`);
      return { results: tried, checked: before };
    }
    const left = new Set(after.checked.fixes.map(fixKey));
    const results = tried.map((result) => verified(withProof(result, unproven), left));
    return { results, checked: after.checked };
  });
}

/** Libvirt forgets snapshots by the same deletions as everywhere; all else is a step of its own. */
async function tryFix(ctx: Context, vm: string, fix: PreparedFix, deletions: Deletions): Promise<FixResult> {
  try {
    if (fix.action.kind === 'forget') await forget(ctx, vm, fix, fix.action.name, deletions);
    else await operate(ctx, fixStep(vm, fix));
    return { fix, outcome: 'done', failure: null };
  } catch (error) {
    if (!(error instanceof KvmsnapError)) throw error;
    return { fix, outcome: 'failed', failure: error };
  }
}

async function forget(
  ctx: Context,
  vm: string,
  { what }: Fix,
  name: string,
  deletions: Deletions,
): Promise<void> {
  try {
    await deletions.delete(ctx, name);
  } catch (error) {
    throw error instanceof KvmsnapError ? error.prefixed(`${vm}: could not ${what}: `) : error;
  }
}

/** How the commands of a step ended. */
interface StepEnd {
  readonly failure: KvmsnapError | null;
}

/** One step of a plan. Returns what it was to do. */
const fixStep = (vm: string, fix: PreparedFix): Operation<PreparedFix, null, string, never, StepEnd> => ({
  load: async () => fix,
  settled: skip('that it is still called for is looked at for all steps of the VM together'),
  rules: skip('a step is planned only where the rules of check call for it, and none is against it'),
  plan: skip('a dry run tells the plan of all VMs'),
  consent: {
    given: 'by one question over all VMs',
    consequences: ({ what, why }) => [`${what}, because ${why}`],
  },
  prepare: skip('what a step takes away is kept when the plan is made, which names the file'),
  write: {
    subject: (_, { what }) => `'${what}' of ${inText(vm)}`,
    by: writerOf(fix),
    async run(ctx, { commands, files, backup }) {
      for (const [i, command] of commands.entries()) {
        const failure = await run(ctx, vm, fix, command);
        if (failure) return { failure: withRest(ctx, failure, commands.slice(i)) };
      }
      // what was written only for virsh to read
      await Promise.all(files.filter((file) => file !== backup).map(ctx.stateFiles.drop));
      return { failure: null };
    },
  },
  // that it is so is seen by the check after all steps
  verify: async (_, { what }, { failure }) => (failure ? { failure, seen: null } : { done: what }),
  residue: skip('the failure names the commands that are still to be run'),
});

/** Who goes on with it without us; nobody, where this process does it itself. */
function writerOf({ commands }: PreparedFix): Writer | null {
  if (commands.some(({ tool }) => tool === 'virsh')) return 'libvirtd';
  return commands.some(({ tool }) => tool === 'qemu-img') ? 'qemu-img' : null;
}

/** What could not be done, or is left to itself, with the commands that are still to run. */
function withRest(ctx: Context, failure: KvmsnapError, commands: readonly Command[]): KvmsnapError {
  const { code, message, hint } = failure;
  const isLeft = failure === ctx.interrupts.pending;
  // what is under way comes to its end without us
  const rest = (isLeft ? commands.slice(1) : commands).map((command) => fixLine(ctx, command));
  if (rest.length === 0) return new KvmsnapError(code, message, { hint: 'kvmsnap check shows how it ended' });
  const then = isLeft ? 'once that has ended, this is still to be done' : hint;
  return new KvmsnapError(code, message, { hint: then, command: rest.join(' && ') });
}

/** Runs one command; null when it says that all is well. */
async function run(ctx: Context, vm: string, { what }: Fix, command: Command): Promise<KvmsnapError | null> {
  const failed = `${vm}: could not ${what}`;
  if (command.tool === 'chmod')
    return (await closeFile(ctx.files, command.path))
      ? null
      : new KvmsnapError('refused', `${failed}: only its owner or root can`);
  const { tool, args } = command;
  try {
    if (tool === 'virsh') {
      const { kind, stderr } = await carryOut(ctx, { command: args, label: what, growing: null });
      return kind === 'done' ? null : virshFailure(failed, stderr);
    }
    const { exitCode, stderr } = await ctx.changeImage(args);
    if (exitCode === 0) return null;
    const detail = stderr.trim().replace(/^qemu-img: /, '') || 'qemu-img was ended';
    return new KvmsnapError('refused', `${failed}: ${detail}`);
  } catch (error) {
    // what was done before is still to be told
    if (error === ctx.interrupts.pending && error instanceof KvmsnapError) return error;
    throw error;
  }
}

/** How libvirt forgets a snapshot. */
const FORGETTING: DeleteRequest = { scope: 'only', metadataOnly: true, removeUnused: false };

/** What libvirt said that it has forgotten, and has not. */
function withProof(result: FixResult, unproven: ReadonlyMap<string, KvmsnapError>): FixResult {
  const { fix, outcome } = result;
  const failure = fix.action.kind === 'forget' ? unproven.get(fix.action.name) : undefined;
  return outcome === 'done' && failure ? { fix, outcome: 'failed', failure } : result;
}

function verified(result: FixResult, left: ReadonlySet<string>): FixResult {
  const { fix, outcome } = result;
  if (outcome !== 'done' || !left.has(fixKey(fix))) return result;
  const failure = new KvmsnapError(
    'refused',
    `could not ${fix.what}: the command reported success, but it is not so`,
  );
  return { fix, outcome: 'failed', failure };
}
