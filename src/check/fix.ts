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
import { type CheckRequest, checkVm, type Findings } from './check-vm.ts';
import { type Fix, fixKey } from './fix-plan.ts';
import { type Command, fixLine, type PreparedFix } from './prepare-fixes.ts';

/** Fixes a VM step by step, and verifies the result. */

export type FixOutcome =
  | 'done'
  | 'failed'
  /** The problem no longer existed when the step was due. */
  | 'not needed'
  /** The run ended before this step, or the VM could not be fixed at all. */
  | 'not reached';

export interface FixResult {
  readonly fix: PreparedFix;
  readonly outcome: FixOutcome;
  readonly failure: KvmsnapError | null;
}

export interface Fixed {
  readonly results: readonly FixResult[];
  /** The VM afterwards; or as it was before, if the run was stopped at once. */
  readonly checked: Findings;
}

/**
 * Takes the steps that are still needed, continues after a failure, and checks the VM again: a step is done if it is
 * not needed any more. After a signal, the step under way is finished and the others are not reached. Throws `busy` if
 * a job holds the VM; then nothing is done.
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
      throw new KvmsnapError('busy', `another job is running on ${inText(name)}, so nothing was fixed there`);
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
      ctx.terminal.note(
        `note: ${inText(name)} was not checked again; the findings below are from before the fix`,
      );
      return { results: tried, checked: before };
    }
    const left = new Set(after.checked.fixes.map(fixKey));
    const results = tried.map((result) => verified(withProof(result, unproven), left));
    return { results, checked: after.checked };
  });
}

/** Snapshots are unregistered by the same deletion series as in `delete`; each other fix is an operation of its own. */
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

/** The operation for one step of a plan. */
const fixStep = (vm: string, fix: PreparedFix): Operation<PreparedFix, null, string, never, StepEnd> => ({
  load: async () => fix,
  settled: skip('fixVm checks for all steps of the VM together whether they are still needed'),
  rules: skip('a step is planned only if the rules of check require it and none forbids it'),
  plan: skip('a dry run shows the plan of all VMs'),
  consent: {
    given: 'by one question over all VMs',
    consequences: ({ what, why }) => [`${what}, because ${why}`],
  },
  prepare: skip('what a step takes away is saved when the plan is made, and the plan names the file'),
  write: {
    subject: (_, { what }) => `'${what}' of ${inText(vm)}`,
    by: writerOf(fix),
    async run(ctx, { commands, files, backup }) {
      for (const [i, command] of commands.entries()) {
        const failure = await run(ctx, vm, fix, command);
        if (failure) return { failure: withRest(ctx, failure, commands.slice(i)) };
      }
      // the file was written only for virsh to read
      await Promise.all(files.filter((file) => file !== backup).map(ctx.savedXml.drop));
      return { failure: null };
    },
  },
  log: ({ rule, snapshot }) => ({
    action: `fix ${rule}`,
    vm,
    snapshots: snapshot === null ? [] : [snapshot],
  }),
  // the check after all steps verifies this one too
  verify: async (_, { what }, { failure }) => (failure ? { failure, seen: null } : { done: what }),
  residue: skip('the failure names the commands that still have to be run'),
});

/** The tool that continues if kvmsnap stops waiting; null if this process does the step itself. */
function writerOf({ commands }: PreparedFix): Writer | null {
  if (commands.some(({ tool }) => tool === 'virsh')) return 'libvirtd';
  return commands.some(({ tool }) => tool === 'qemu-img') ? 'qemu-img' : null;
}

/** The failure of a step, with the commands that still have to be run. */
function withRest(ctx: Context, failure: KvmsnapError, commands: readonly Command[]): KvmsnapError {
  const { code, message, hint } = failure;
  const isLeft = failure === ctx.interrupts.pending;
  // the command under way finishes without kvmsnap
  const rest = (isLeft ? commands.slice(1) : commands).map((command) => fixLine(ctx, command));
  if (rest.length === 0)
    return new KvmsnapError(code, message, { hint: 'look how it ended with kvmsnap check' });
  const then = isLeft ? 'when that has ended, these commands still have to be run' : hint;
  return KvmsnapError.of(code, null, [{ message, hint: then ?? null, commands: rest }]);
}

/** Runs one command; null if it succeeded. */
async function run(ctx: Context, vm: string, { what }: Fix, command: Command): Promise<KvmsnapError | null> {
  const failed = `${vm}: could not ${what}`;
  if (command.tool === 'chmod')
    return (await closeFile(ctx.files, command.path))
      ? null
      : new KvmsnapError('refused', `${failed}: only its owner or root can do that`);
  const { tool, args } = command;
  try {
    if (tool === 'virsh') {
      const { kind, stderr } = await carryOut(ctx, { command: args, label: what, growing: null });
      return kind === 'done' ? null : virshFailure(failed, stderr);
    }
    const { exitCode, stderr } = await ctx.changeImage(args);
    if (exitCode === 0) return null;
    const detail = stderr.trim().replace(/^qemu-img: /, '') || 'qemu-img was killed';
    return new KvmsnapError('refused', `${failed}: ${detail}`);
  } catch (error) {
    // the earlier steps must still be reported
    if (error === ctx.interrupts.pending && error instanceof KvmsnapError) return error;
    throw error;
  }
}

/** Unregisters a snapshot. */
const FORGETTING: DeleteRequest = { scope: 'only', metadataOnly: true, removeUnused: false };

/** Turns a reported success into a failure if the snapshot is still registered. */
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
    `could not ${fix.what}: the command reported success, but the problem is still there`,
  );
  return { fix, outcome: 'failed', failure };
}
