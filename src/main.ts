import { writeSync } from 'node:fs';
import { type CommandLine, createProgram } from './cli.ts';
import { CommanderError } from './command-line/commander.ts';
import { errorStyleOf } from './command-line/spoken.ts';
import { type EndingSignal, exitCodeOf, FAILURES, KvmsnapError, SIGNAL_FAILURES } from './errors.ts';
import type { Context, Settings } from './run/context.ts';

/** Runs the program. The one place that prints errors and sets the exit code. */

async function main(words: readonly string[]): Promise<number> {
  try {
    line = await createProgram(words, start, helpWidth());
    await line.run();
    return 0;
  } catch (thrown) {
    if (thrown instanceof CommanderError && thrown.exitCode === 0) return 0;
    const error = thrown instanceof CommanderError && line ? await usageOf(thrown, line) : thrown;
    await report(error);
    return exitCodeOf(error);
  }
}

/** Columns: those of the terminal, else what COLUMNS says. */
const helpWidth = (): number => process.stdout.columns || Number(process.env['COLUMNS']) || 80;

const usageOf = async (thrown: InstanceType<typeof CommanderError>, { program, spoken }: CommandLine) =>
  (await import('./command-line/usage-error.ts')).usageError(thrown, program, spoken);

/** What is parsed, once it is known. */
let line: CommandLine | null = null;

/** The run's context, once there is one. */
let context: Context | null = null;

async function start(settings: Settings, action: (ctx: Context) => Promise<void>): Promise<void> {
  const { systemContext } = await import('./run/context.ts');
  const ctx = systemContext(settings);
  context = ctx;
  for (const signal of Object.keys(SIGNAL_FAILURES) as EndingSignal[]) {
    process.on(signal, () => ctx.interrupts.raise(signal));
  }
  try {
    await action(ctx);
    if (ctx.interrupts.pending) throw ctx.interrupts.pending;
  } catch (error) {
    ctx.terminal.release();
    throw ctx.interrupts.explain(error);
  }
}

async function report(error: unknown): Promise<void> {
  const abandoned = error instanceof KvmsnapError ? null : context?.interrupts.abandoned;
  if (abandoned) process.stderr.write(`warning: ${abandoned}\n`);
  const { describeError } = await import('./output/error.ts');
  const { colorLevel } = await import('./host/terminal.ts');
  const { json, color } = errorStyleOf(line?.spoken);
  const level = colorLevel(color, process.stderr.isTTY === true, process.env);
  process.stderr.write(describeError(error, { json, level }));
}

/** Why data that was asked for is nowhere, such as on a disk that is full; null when it was written. */
let unwritten: KvmsnapError | null = null;

// A reader that has closed its end (`| head`, a dead terminal) is no error of ours. None is a reason to stop a write.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE' && error.code !== 'EIO') {
    unwritten ??= new KvmsnapError('refused', `cannot write the output: ${error.message}`, {
      hint: 'what was done stands, only its report is lost',
      cause: error,
    });
  }
});
process.stderr.on('error', () => undefined);

async function end(code: number): Promise<void> {
  process.exitCode = code;
  if (unwritten && code === 0) {
    process.exitCode = unwritten.exitCode;
    await report(unwritten);
  }
  process.stderr.write('', () => process.exit());
}

// A run that settles nothing is no success: an empty event loop ends the process with whatever stands here.
process.exitCode = FAILURES.bug.exitCode;
let settled = false;
process.on('exit', () => {
  if (!settled)
    writeSync(process.stderr.fd, 'error: kvmsnap ended without a result; this is a bug in kvmsnap\n');
});

main(process.argv.slice(2)).then((code) => {
  settled = true;
  // Not process.exit at once: what was written must reach a pipe. But a virsh that we no longer wait for must not hold us.
  // A failed write is told to the callbacks first, and only then as an error.
  process.stdout.write('', (failed) => (failed ? setImmediate(end, code) : end(code)));
});

process.on('uncaughtException', (error) => {
  settled = true;
  report(error).finally(() => process.exit(exitCodeOf(error)));
});
