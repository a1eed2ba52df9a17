import { constants } from 'node:os';
import { planAll, type TakenOf, takeAll } from '../create/together/all-or-none.ts';
import { KvmsnapError } from '../errors.ts';
import { findProgram } from '../host/user-files.ts';
import { isPattern } from '../model/input/selection.ts';
import { utcStamp } from '../model/labels.ts';
import { commandLine } from '../model/quote.ts';
import { allInText, inText } from '../model/text.ts';
import { revertAll } from '../revert/revert-all.ts';
import { seekConsent } from '../run/confirm.ts';
import type { Context } from '../run/context.ts';
import { letAllGo } from '../run/left-pauses.ts';
import { withNotesOnce } from '../run/retry-while-busy.ts';
import { showPlan } from '../run/show.ts';
import { readSelection } from '../vm/select.ts';
import type { TryOptions } from './command.ts';
import { deletion, noteKept, noteReverted, ourLine } from './keep-or-delete.ts';

/** `try`: snapshots of the VMs, a command of the user, and what follows from how it ended. */

/**
 * Takes a snapshot of each VM, runs the command, and reverts all VMs or deletes the snapshots as the options or the user say. Returns
 * the exit code of the command; of one that a signal has ended, 128 and its number, as a shell does. Throws what kvmsnap itself fails
 * with, and the failure of a SIGTERM or SIGHUP; the snapshots exist then.
 */
export async function tryOut(
  ctx: Context,
  words: readonly string[],
  command: readonly string[],
  options: TryOptions,
): Promise<number> {
  checkUse(ctx, words, options);
  const [program = '', ...args] = command;
  findProgram(program, ctx.searchPath);
  const vms = [...new Set(words)];
  const { targets } = await readSelection(ctx, { words: vms, all: false, exclude: [], states: [] });
  const readings = targets.map(({ reading }) => {
    if (reading instanceof KvmsnapError) throw reading.prefixed('nothing was done: ');
    return reading;
  });
  const line = commandLine(program, args);
  const request = {
    name: options.name ?? `try-${utcStamp(Math.floor(ctx.clock.now() / 1000))}`,
    description: `taken by kvmsnap try before: ${line}`.slice(0, MOST_DESCRIPTION),
    force: options.force ?? false,
  };
  if (ctx.settings.dryRun) {
    const commands = await planAll(ctx, readings, request);
    await showPlan(ctx, [...commands, line], { vms: readings.map(({ domain }) => domain) });
    return 0;
  }
  const tried = await takeAll(ctx, await letAllGo(ctx, readings), request, 'the command was not run');
  const whose = allInText(tried.map(({ vm }) => vm.domain.name));
  ctx.terminal.note(`took the snapshot ${inText(request.name)} of ${whose}; now running ${line}`);

  const end = await run(ctx, [program, ...args], request.name);
  if (ctx.interrupts.pending) {
    noteKept(ctx, tried);
    throw ctx.interrupts.pending;
  }
  if (end.exitCode === 0) await afterSuccess(ctx, tried, line, options);
  else await afterFailure(ctx, tried, `${line} ${howItEnded(end)}`, options);
  return end.exitCode ?? 128 + (end.signal === null ? 0 : constants.signals[end.signal]);
}

/** libvirt prints the description in a table of virsh. */
const MOST_DESCRIPTION = 200;

type Ended = Awaited<ReturnType<Context['runForeground']>>;

const howItEnded = ({ exitCode, signal }: Ended): string =>
  exitCode === null ? `was ended by ${signal}` : `failed with exit code ${exitCode}`;

/** Throws `usage`. */
function checkUse({ settings }: Context, words: readonly string[], options: TryOptions): void {
  const pattern = words.find(isPattern);
  if (pattern !== undefined)
    throw new KvmsnapError('usage', `try needs the names of the VMs, not a pattern: ${inText(pattern)}`, {
      hint: 'name each further VM with --vm',
    });
  if (options.keep && options.delete)
    throw new KvmsnapError('usage', '--keep cannot be combined with --delete');
  if (settings.timeout !== null)
    throw new KvmsnapError('usage', '--timeout cannot be combined with try', {
      hint: 'to limit the time of the command, run it with timeout(1): kvmsnap try VM -- timeout 10m COMMAND',
    });
  if (settings.output !== 'table')
    throw new KvmsnapError('usage', 'try has no output format, because stdout belongs to the command', {
      hint: 'leave out -o, --json and -q',
    });
}

/** Runs the command; signals go to it. */
async function run(ctx: Context, words: readonly [string, ...string[]], name: string): Promise<Ended> {
  let takeBack = () => {};
  try {
    return await ctx.runForeground(words, { KVMSNAP_SNAPSHOT: name }, (kill) => {
      // on a terminal, Ctrl-C reaches the command by itself
      takeBack = ctx.interrupts.handOver((signal) => {
        if (signal !== 'SIGINT' || !ctx.terminal.hasPerson) kill(signal);
      });
    });
  } finally {
    takeBack();
  }
}

async function afterSuccess(
  ctx: Context,
  tried: readonly TakenOf[],
  line: string,
  options: TryOptions,
): Promise<void> {
  if (options.keep || !(options.delete || ctx.settings.yes || ctx.terminal.hasPerson))
    return noteKept(ctx, tried);
  const action = deletion(ctx, tried, `${line} succeeded`);
  const chosen = await unlessKept(ctx, tried, () => seekConsent(withYes(ctx, options.delete), action));
  if (chosen) await action.carryOut(ctx, chosen.plan);
}

async function afterFailure(
  ctx: Context,
  tried: readonly TakenOf[],
  how: string,
  options: TryOptions,
): Promise<void> {
  ctx.terminal.note(how);
  if (!(options.revert || ctx.settings.yes || ctx.terminal.hasPerson)) return noteKept(ctx, tried);
  const request = {
    running: false,
    paused: false,
    force: options.force ?? false,
    resetNvram: false,
    backup: null,
  };
  const action = revertAll(ctx, tried, request, {
    // it was told above
    how: [],
    tellDone: ({ vm, snapshot }) => noteReverted(ctx, vm.domain.name, snapshot.name),
    goOn: (_, left) => ({
      message: 'not all VMs are as they were before the command',
      hint: 'fix the cause, then revert the other VMs too',
      commands: left.map(({ domain }) => ourLine(ctx, 'revert', domain.name, tried[0]?.name ?? '')),
    }),
  });
  const once = withNotesOnce(ctx);
  const chosen = await unlessKept(ctx, tried, () => seekConsent(withYes(once, options.revert), action));
  const { failure } = chosen ? await action.carryOut(once, chosen.plan) : { failure: null };
  if (failure) throw failure;
}

/** An option is the answer to the question. */
const withYes = (ctx: Context, yes: boolean | undefined): Context =>
  yes ? { ...ctx, settings: { ...ctx.settings, yes: true } } : ctx;

/** The result of a question; null if the answer was no. An error says that nothing was done after the command. */
async function unlessKept<T>(
  ctx: Context,
  tried: readonly TakenOf[],
  ask: () => Promise<T>,
): Promise<T | null> {
  try {
    return await ask();
  } catch (error) {
    if (!(error instanceof KvmsnapError)) throw error;
    if (error.code !== 'declined') throw error.prefixed('nothing was reverted or deleted: ');
    noteKept(ctx, tried);
    return null;
  }
}
