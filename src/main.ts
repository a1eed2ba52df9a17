import { writeSync } from 'node:fs';
import { CommanderError, createProgram, spokenOptions, usageError } from './cli.ts';
import { type EndingSignal, exitCodeOf, FAILURES, KvmsnapError, SIGNAL_FAILURES } from './errors.ts';
import type { Context, Settings } from './run/context.ts';

/** Runs the program. The one place that prints errors and sets the exit code. */

async function main(argv: readonly string[]): Promise<number> {
  try {
    await createProgram(start).parseAsync(argv as string[]);
    return 0;
  } catch (thrown) {
    const error = thrown instanceof CommanderError ? usageError(thrown, argv.slice(2)) : thrown;
    if (error === null) return 0;
    await report(error, argv);
    return exitCodeOf(error);
  }
}

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

async function report(error: unknown, argv: readonly string[]): Promise<void> {
  const abandoned = error instanceof KvmsnapError ? null : context?.interrupts.abandoned;
  if (abandoned) process.stderr.write(`warning: ${abandoned}\n`);
  const { describeError } = await import('./output/error.ts');
  const { colorLevel } = await import('./host/terminal.ts');
  const { json, color } = spokenOptions(argv.slice(2));
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
    await report(unwritten, process.argv);
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

main(process.argv).then((code) => {
  settled = true;
  // Not process.exit at once: what was written must reach a pipe. But a virsh that we no longer wait for must not hold us.
  // A failed write is told to the callbacks first, and only then as an error.
  process.stdout.write('', (failed) => (failed ? setImmediate(end, code) : end(code)));
});

process.on('uncaughtException', (error) => {
  settled = true;
  report(error, process.argv).finally(() => process.exit(exitCodeOf(error)));
});
