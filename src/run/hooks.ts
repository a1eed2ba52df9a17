import { KvmsnapError } from '../errors.ts';
import type { ProgramEnd } from '../host/process/user-programs.ts';
import { quote } from '../model/quote.ts';
import { inText } from '../model/text.ts';
import { humanSpan } from '../output/format.ts';
import { fold } from '../output/question.ts';
import type { Context } from './context.ts';

/**
 * The programs of `--before` and `--after`: one is run before the action on a VM, the other after it. Wherever the first one was run,
 * the second one is run too, whatever happened in between, so that it can undo what the first one did.
 */
export interface Hooks {
  /** Absolute paths; null: none. */
  readonly before: string | null;
  readonly after: string | null;
  /** How long each of them may run. */
  readonly seconds: number;
}

/** What a hook did. */
export interface HookRun extends ProgramEnd {
  readonly hook: 'before' | 'after';
  readonly program: string;
}

/** What is done between the hooks. */
export interface HookedAction {
  readonly action: string;
  readonly vm: string;
  readonly snapshot: string;
  /** Such as `cannot take a snapshot of web-1`. */
  readonly cannot: string;
}

/** The values of the options. */
interface HookOptions {
  readonly before?: string | undefined;
  readonly after?: string | undefined;
  /** Seconds. */
  readonly hookTimeout?: number | undefined;
}

const DEFAULT_SECONDS = 60;

/** The hooks that the options name. Throws `usage` for a program that cannot be run, or that others may have written. */
export async function toHooks(
  ctx: Context,
  { before, after, hookTimeout }: HookOptions,
): Promise<Hooks | null> {
  if (before === undefined && after === undefined) {
    if (hookTimeout !== undefined)
      throw new KvmsnapError('usage', '--hook-timeout needs --before or --after');
    return null;
  }
  return {
    before: before === undefined ? null : await findHook(ctx, 'before', before),
    after: after === undefined ? null : await findHook(ctx, 'after', after),
    seconds: hookTimeout ?? DEFAULT_SECONDS,
  };
}

async function findHook({ userPrograms }: Context, hook: HookRun['hook'], program: string): Promise<string> {
  const { path, problem } = await userPrograms.look(program).catch((error: NodeJS.ErrnoException) => {
    const why = error.code === 'EACCES' ? 'it is not executable' : error.message;
    throw new KvmsnapError('usage', `cannot run the program of --${hook}, ${inText(program)}: ${why}`, {
      hint: `--${hook} takes the path of one program, without arguments; its environment tells it what is done (kvmsnap help hooks)`,
    });
  });
  if (problem)
    throw new KvmsnapError(
      'usage',
      `the program of --${hook} is not run, because ${problem.why}`,
      problem.advice,
    );
  return path;
}

/**
 * Runs the hooks around `act`, and adds what they did to `runs`. Throws `check` if the first one fails; then nothing else was done. What
 * they printed is a note if `act` fails, because there is no report then.
 */
export async function betweenHooks<T>(
  ctx: Context,
  hooks: Hooks,
  about: HookedAction,
  runs: HookRun[],
  act: () => Promise<T>,
): Promise<T> {
  const { interrupts, userPrograms, terminal } = ctx;
  const own: HookRun[] = [];
  const run = async (
    hook: HookRun['hook'],
    result: string,
    stop: AbortSignal | null,
  ): Promise<HookRun | null> => {
    const program = hooks[hook];
    if (program === null) return null;
    terminal.progress(`running ${program}`);
    const environment = {
      KVMSNAP_VM: about.vm,
      KVMSNAP_SNAPSHOT: about.snapshot,
      KVMSNAP_ACTION: about.action,
      KVMSNAP_RESULT: result,
    };
    const end = await userPrograms.run(program, environment, { seconds: hooks.seconds, stop });
    terminal.progress('');
    const done = { hook, program, ...end };
    runs.push(done);
    own.push(done);
    return done;
  };
  const release = interrupts.hold('finishing what --before and --after do');
  let result = 'failed';
  try {
    const begun = await run('before', '', interrupts.stop);
    if (interrupts.pending) throw interrupts.pending;
    if (begun && !hasSucceeded(begun)) throw hookFailure(hooks, begun, `${about.cannot}: `);
    const done = await act();
    result = 'done';
    return done;
  } finally {
    // also after a time limit: then libvirt may still be working
    const ended = await run('after', interrupts.stop.aborted ? 'unknown' : result, null);
    if (result !== 'done') {
      if (ended && !hasSucceeded(ended)) terminal.note(`warning: ${hookFailure(hooks, ended, '').message}`);
      for (const line of own.flatMap(printedLines)) terminal.note(`note: ${line}`);
    }
    release();
  }
}

/** Whether it has ended by itself, with exit code 0. */
export const hasSucceeded = ({ exitCode, why }: HookRun): boolean => exitCode === 0 && why === null;

/** The failures of hooks after which the action is complete. */
export const afterFailures = (hooks: Hooks, runs: readonly HookRun[]): KvmsnapError[] => {
  const last = runs.at(-1);
  return last?.hook === 'after' && !hasSucceeded(last) ? [hookFailure(hooks, last, '')] : [];
};

function hookFailure({ seconds }: Hooks, run: HookRun, what: string): KvmsnapError {
  const { hook, program, exitCode, signal, why, output } = run;
  const how =
    why === 'timed out'
      ? `did not end within ${humanSpan(seconds)}`
      : why !== null
        ? why === 'stopped'
          ? 'was ended'
          : `cannot be started (${why})`
        : exitCode === null
          ? `was ended by ${signal}`
          : `failed with exit code ${exitCode}`;
  const lines = outputLines(output);
  return new KvmsnapError('check', `${what}the program of --${hook}, ${quote(program)}, ${how}`, {
    hint: lines.length === 0 ? undefined : `it printed: ${lines.slice(-MOST_IN_HINT).join(' / ')}`,
  });
}

const MOST_IN_HINT = 3;

/** What a hook printed, for the user; of one that failed, its failure says it. */
export const printedLines = (run: HookRun): string[] =>
  hasSucceeded(run) ? fold(outputLines(run.output)).map((line) => `--${run.hook}: ${line}`) : [];

/** The lines that a hook printed, without empty ones. */
const outputLines = (output: string): string[] =>
  output
    .split('\n')
    .map((line) => line.trimEnd())
    .filter((line) => line !== '');
