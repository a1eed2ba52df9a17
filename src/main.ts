import { CommanderError, createProgram, usageError } from './cli.ts';
import type { Context, Settings } from './context.ts';
import { type EndingSignal, exitCodeOf, SIGNAL_FAILURES } from './errors.ts';

/** Runs the program. The one place that prints errors and sets the exit code. */

async function main(argv: readonly string[]): Promise<number> {
  try {
    await createProgram(start).parseAsync(argv as string[]);
    return 0;
  } catch (thrown) {
    const error = thrown instanceof CommanderError ? usageError(thrown) : thrown;
    if (error === null) return 0;
    await report(error, argv);
    return exitCodeOf(error);
  }
}

async function start(settings: Settings, action: (ctx: Context) => Promise<void>): Promise<void> {
  const { systemContext } = await import('./context.ts');
  const ctx = systemContext(settings);
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
  const { describeError } = await import('./render/error.ts');
  const { colourLevel } = await import('./terminal.ts');
  const level = colourLevel(colourChoice(argv), process.stderr.isTTY === true, process.env);
  process.stderr.write(describeError(error, { json: wantsJson(argv), level }));
}

/** A command line that could not be parsed still says in which form its error is wanted. */
function wantsJson(argv: readonly string[]): boolean {
  return argv.some(
    (word, i) =>
      /^(--json|-ojson|--output=json)$/.test(word) ||
      (/^(-o|--output)$/.test(word) && argv[i + 1] === 'json'),
  );
}

function colourChoice(argv: readonly string[]): 'always' | 'never' | 'auto' {
  const at = argv.findIndex((word) => /^--color(=|$)/.test(word));
  const value = at < 0 ? undefined : (argv[at]?.split('=')[1] ?? argv[at + 1]);
  return value === 'always' || value === 'never' ? value : 'auto';
}

/** A reader that has closed its end (`| head`, a dead terminal) is no error of ours, and no reason to stop a write. */
function ignoreClosedPipe(error: NodeJS.ErrnoException): void {
  if (error.code !== 'EPIPE' && error.code !== 'EIO') throw error;
}

process.stdout.on('error', ignoreClosedPipe);
process.stderr.on('error', ignoreClosedPipe);

main(process.argv).then((code) => {
  // Not process.exit at once: what was written must reach a pipe. But a virsh that we no longer wait for must not hold us.
  process.exitCode = code;
  process.stdout.write('', () => process.stderr.write('', () => process.exit(code)));
});

process.on('uncaughtException', (error) => {
  report(error, process.argv).finally(() => process.exit(exitCodeOf(error)));
});
