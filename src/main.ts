import { closeSync, fstatSync, writeSync } from 'node:fs';
import { isatty } from 'node:tty';
import { type CommandLine, createProgram } from './cli.ts';
import { CommanderError } from './command-line/commander.ts';
import { errorStyleOf, speaksAsPlugin } from './command-line/spoken.ts';
import { type EndingSignal, exitCodeOf, FAILURES, KvmsnapError, SIGNAL_FAILURES } from './errors.ts';
import type { Context, Settings } from './run/context.ts';

/** Runs the program. Only this file prints errors and sets the exit code. */

async function main(words: readonly string[]): Promise<number> {
  try {
    line = await createProgram(words, start, helpWidth());
    await line.run();
    return passedOn;
  } catch (thrown) {
    if (thrown instanceof CommanderError && thrown.exitCode === 0) return 0;
    if (line && !context && words.some((word) => word.startsWith('--metrics'))) {
      const { recordUnusableLine } = await import('./watch/unusable-line.ts');
      await recordUnusableLine(line.program, words, Math.floor(Date.now() / 1000));
    }
    return report(thrown instanceof CommanderError && line ? await usageOf(thrown, line) : thrown);
  }
}

/** The width of help in columns: that of the terminal, otherwise COLUMNS. */
const helpWidth = (): number => process.stdout.columns || Number(process.env['COLUMNS']) || 80;

const usageOf = async (thrown: InstanceType<typeof CommanderError>, { program, spoken }: CommandLine) =>
  (await import('./command-line/usage-error.ts')).usageError(thrown, program, spoken);

/** The command line, after it was parsed. */
let line: CommandLine | null = null;

/** The context of the run, after it was made. */
let context: Context | null = null;

/** The exit code of a run without a failure: 0, or what the command passes on. */
let passedOn = 0;

async function start(
  settings: Settings,
  action: (ctx: Context) => Promise<void> | Promise<number>,
): Promise<void> {
  const { systemContext } = await import('./run/context.ts');
  const ctx = systemContext(settings);
  context = ctx;
  for (const signal of Object.keys(SIGNAL_FAILURES) as EndingSignal[]) {
    process.on(signal, () => ctx.interrupts.raise(signal));
  }
  try {
    const code = await action(ctx);
    if (typeof code === 'number') passedOn = code;
    if (ctx.interrupts.pending) throw ctx.interrupts.pending;
  } catch (error) {
    ctx.terminal.release();
    throw ctx.interrupts.explain(error);
  }
}

/** How errors are shown, even if the command line could not be read. */
const errorStyle = () =>
  errorStyleOf(
    line?.spoken ?? { values: new Map(isPlugin ? [['output', 'nagios']] : []), operand: undefined },
  );

/** Of a monitoring plugin, every failure must be a line on stdout, and exit code 3. */
const isPlugin = speaksAsPlugin(process.argv.slice(2));

/** Prints the error, and returns the exit code. */
async function report(error: unknown): Promise<number> {
  const abandoned = error instanceof KvmsnapError ? null : context?.interrupts.abandoned;
  if (abandoned) process.stderr.write(`warning: ${abandoned}\n`);
  const { describeError } = await import('./output/error.ts');
  const { colorLevel, isJournal } = await import('./host/terminal.ts');
  const { format, color } = errorStyle();
  const exitCode = line?.exitCodeOf(error) ?? exitCodeOf(error);
  if (format === 'nagios') {
    const { unknownLine, NAGIOS_EXIT_CODES } = await import('./output/nagios.ts');
    process.stdout.write(unknownLine(error));
    // with a bug, also the place where it happened
    if (!(error instanceof KvmsnapError))
      process.stderr.write(describeError(error, { json: false, level: 0 }));
    return NAGIOS_EXIT_CODES.UNKNOWN;
  }
  if (isJournal(process.stderr.fd, format, process.env)) {
    const { prioritized } = await import('./output/priority.ts');
    process.stderr.write(prioritized(describeError(error, { json: false, level: 0 })));
  } else {
    const level = colorLevel(color, process.stderr.isTTY === true, process.env);
    const columns = process.stderr.isTTY ? process.stderr.columns || 80 : null;
    process.stderr.write(describeError(error, { json: format === 'json', level, exitCode, columns }));
  }
  return exitCode;
}

/** The failure to write data to stdout, for example because a disk is full; null if there was none. */
let unwritten: KvmsnapError | null = null;

// A reader that has closed its end (`| head`, a dead terminal) is not an error of kvmsnap, and no reason to stop a
// write.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE' && error.code !== 'EIO') {
    unwritten ??= new KvmsnapError('refused', `cannot write the output: ${error.message}`, {
      hint: 'the action itself was done; only its output is lost',
      cause: error,
    });
  }
});
process.stderr.on('error', () => undefined);

async function end(code: number): Promise<void> {
  process.exitCode = code;
  if (unwritten && code === 0) {
    process.exitCode = await report(unwritten);
  }
  process.stderr.write('', () => process.exit());
}

// If the event loop becomes empty before the run has a result, the process ends with this exit code and not with
// success.
process.exitCode = FAILURES.bug.exitCode;
let settled = false;
process.on('exit', () => {
  if (settled) return;
  const text = 'kvmsnap ended without a result; this is a bug in kvmsnap\n';
  if (!isPlugin) return void writeSync(process.stderr.fd, `error: ${text}`);
  writeSync(process.stdout.fd, `KVMSNAP UNKNOWN - ${text}`);
  process.exitCode = 3;
});

// At its end Node puts back the modes of the terminal that it started on, and crashes if that was closed meanwhile.
process.on('exit', () => {
  for (const descriptor of [0, 1, 2]) {
    try {
      if (fstatSync(descriptor).isCharacterDevice() && !isatty(descriptor)) closeSync(descriptor);
    } catch {
      // it is closed already
    }
  }
});

/** Ends a plugin that a signal reaches before its run has a context. */
function endEarly(signal: EndingSignal): void {
  if (context) return;
  settled = true;
  report(new KvmsnapError(SIGNAL_FAILURES[signal], `ended by ${signal}`)).then((code) => process.exit(code));
}
if (isPlugin)
  for (const signal of Object.keys(SIGNAL_FAILURES) as EndingSignal[]) process.on(signal, endEarly);

main(process.argv.slice(2)).then((code) => {
  settled = true;
  // process.exit comes only after the output has reached the pipe; but a virsh that kvmsnap no longer waits for must
  // not delay the end. A failed write calls the callbacks first, and only then emits an error.
  process.stdout.write('', (failed) => (failed ? setImmediate(end, code) : end(code)));
});

process.on('uncaughtException', (error) => {
  settled = true;
  const bug = exitCodeOf(error);
  report(error).then(
    (code) => process.exit(code),
    () => process.exit(bug),
  );
});
