import { fstatSync, openSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { ReadStream, WriteStream } from 'node:tty';
import pLimit from 'p-limit';
import { KvmsnapError } from '../errors.ts';
import { visible, visibleLines } from '../output/format.ts';
import { prioritized, TRACE } from '../output/priority.ts';
import { columnsOf, wrapMessage } from '../output/wrap.ts';
import type { OutputFormat } from '../run/context.ts';

/** The terminal or pipe that the program writes to. Data goes to stdout, messages go to stderr. */
export interface Terminal {
  /** Where data is shown; decides borders, colors, truncation and times. */
  readonly out: Screen;
  readonly err: Screen;
  /**
   * Whether stdout and stderr go to the same terminal, file or pipe, so that facts in a table need not be repeated as
   * messages.
   */
  readonly isOneStream: boolean;
  /** Prints data to stdout. */
  print(text: string): void;
  /** Prints a message to stderr; on a terminal it is wrapped at words. */
  note(line: string): void;
  /** Prints a command line that is run to stderr. */
  trace(line: string): void;
  /** Whether stdin is a terminal. Then the user can be asked, wherever stdout and stderr go. */
  readonly hasPerson: boolean;
  /**
   * Asks a yes-or-no question on the controlling terminal, after all notes that were not shown there. Throws `declined`
   * if the terminal cannot be opened, `interrupted` after Ctrl-C, and the reason of `stop` if that is aborted.
   */
  ask(question: string, stop: AbortSignal): Promise<boolean>;
  /** Asks for a line of text in the same way; '' if nothing is typed. */
  askLine(question: string, stop: AbortSignal): Promise<string>;
  /** Prints what `--silent` has held back. */
  release(): void;
  /** Redraws the progress line if stderr is a terminal. An empty text clears it. */
  progress(text: string): void;
}

export interface Screen {
  readonly isTerminal: boolean;
  readonly columns: number;
  /** chalk's level: 0 none, 1 sixteen colors, 2 and 3 more. */
  readonly color: 0 | 1 | 2 | 3;
  /** It is to be drawn on with ASCII only. */
  readonly ascii: boolean;
}

export type ColorChoice = 'always' | 'never' | 'auto';

export interface TerminalSettings {
  readonly color: ColorChoice;
  /** Hold back all output unless something fails. */
  readonly silent: boolean;
  /** For `nagios`, which takes every text for the result, nothing but data is printed. */
  readonly output: OutputFormat;
}

/** The real terminal. Colors are decided by the option, then by NO_COLOR, then FORCE_COLOR, then whether it is a terminal. */
export function systemTerminal({ color: choice, silent, output }: TerminalSettings): Terminal {
  const { stdin, stdout, stderr } = process;
  const screen = (stream: NodeJS.WriteStream): Screen => ({
    isTerminal: stream.isTTY === true,
    columns: stream.columns || 80,
    color: colorLevel(choice, stream.isTTY === true, process.env),
    ascii: isAsciiOnly(process.env),
  });
  const toJournal = isJournal(stderr.fd, output, process.env);
  const forJournal = (text: string, priority?: number) => (toJournal ? prioritized(text, priority) : text);
  let drawn = false;
  const isPlugin = output === 'nagios';
  // what a monitoring system reads is not held back: without it, all would seem to be gone
  const isMonitored = isPlugin || output === 'prometheus';
  let held: (() => void)[] | null = silent && !isPlugin ? [] : null;
  const say = (write: () => void) => (held ? held.push(write) : write());
  const err = screen(stderr);
  // a dumb terminal cannot clear a line
  const isRedrawn = err.isTerminal && process.env['TERM'] !== 'dumb';
  const wrapsAt = err.isTerminal ? err.columns : null;
  const unseen: string[] = [];
  const turns = pLimit(1); // several VMs may each have a question
  const clear = () => {
    if (drawn) stderr.write('\r\x1b[K');
    drawn = false;
  };
  const askLine = (question: string, stop: AbortSignal) =>
    turns(() => {
      clear();
      return readAnswer(visibleLines([...unseen.splice(0), question].join('\n')), stop);
    });
  return {
    out: screen(stdout),
    err,
    isOneStream: isOneStream(stdout.fd, stderr.fd),
    print(text) {
      clear();
      if (isMonitored) stdout.write(text);
      else say(() => stdout.write(text));
    },
    note(line) {
      if (isPlugin) return;
      clear();
      if (!err.isTerminal || held) unseen.push(line);
      say(() => stderr.write(forJournal(`${wrapMessage(visibleLines(line), wrapsAt)}\n`)));
    },
    trace(line) {
      clear();
      say(() => stderr.write(forJournal(`${visibleLines(line)}\n`, TRACE)));
    },
    hasPerson: stdin.isTTY === true,
    release() {
      for (const write of held ?? []) write();
      held = null;
    },
    ask: async (question, stop) => /^(y|yes)$/i.test(await askLine(`${question} [y/N]`, stop)),
    askLine,
    progress(text) {
      if (!isRedrawn || silent || isPlugin) return;
      clear();
      if (text === '') return;
      stderr.write(cutTo(err.columns - 1, visible(text)));
      drawn = true;
    },
  };
}

/** The text as far as it fits on one line. */
function cutTo(columns: number, text: string): string {
  let kept = '';
  let used = 0;
  for (const char of text) {
    used += columnsOf(char);
    if (used > columns) break;
    kept += char;
  }
  return kept;
}

/**
 * Asks on /dev/tty and reads one line; the terminal's own Ctrl-D is an empty answer, and its Ctrl-C ends the run. Only the last
 * line is the prompt: readline redraws it, and cannot do so with what is longer than the screen.
 */
async function readAnswer(question: string, stop: AbortSignal): Promise<string> {
  stop.throwIfAborted();
  const { input, output } = openTerminal();
  const isHungUp = watchRawMode(input);
  const lines = wrapMessage(question, output.columns || 80).split('\n');
  const prompt = `${lines.pop()} `;
  for (const line of lines) output.write(`${line}\n`);
  const reader = createInterface({ input, output, signal: stop });
  const answer = new Promise<string>((resolve, reject) => {
    for (const stream of [input, output]) stream.on('error', () => reader.close()); // the terminal hung up
    reader.on('SIGINT', () => {
      // before close, after which it would count as a no
      reject(new KvmsnapError('interrupted', 'ended by Ctrl-C'));
      reader.close();
    });
    let answered = false;
    reader.on('close', () => {
      if (!answered) output.write('\n');
      if (stop.aborted) reject(stop.reason);
      else if (isHungUp()) reject(new KvmsnapError('hung-up', 'the terminal was closed'));
      else resolve('');
    });
    reader.question(prompt, (answer) => {
      answered = true;
      resolve(answer.trim());
      reader.close();
    });
  });
  return answer.finally(() => {
    input.destroy();
    output.destroy();
  });
}

/**
 * readline changes the mode of a terminal also when it ends, which throws for one that was closed meanwhile. The returned function
 * tells whether that happened.
 */
function watchRawMode(input: ReadStream): () => boolean {
  const setRawMode = input.setRawMode.bind(input);
  let failed = false;
  input.setRawMode = (mode) => {
    try {
      setRawMode(mode);
    } catch {
      failed = true;
    }
    return input;
  };
  return () => failed;
}

/** stdin may be a terminal although the process has no controlling terminal (setsid) on which it could ask. */
function openTerminal(): { readonly input: ReadStream; readonly output: WriteStream } {
  try {
    return {
      input: new ReadStream(openSync('/dev/tty', 'r')),
      output: new WriteStream(openSync('/dev/tty', 'w')),
    };
  } catch (error) {
    const detail = error instanceof Error ? error.message : String(error);
    throw new KvmsnapError(
      'declined',
      `confirmation is needed, but the terminal cannot be opened (${detail}); nothing was changed`,
      { hint: 'run it again with --yes' },
    );
  }
}

function isOneStream(...descriptors: readonly [number, number]): boolean {
  try {
    const [out, err] = descriptors.map((descriptor) => fstatSync(descriptor));
    return out?.dev === err?.dev && out?.ino === err?.ino;
  } catch {
    return false; // one of them is closed
  }
}

/**
 * Whether this is the stream that systemd connects with its journal: JOURNAL_STREAM names its device and inode (systemd.exec(5)).
 * Programs that read JSON do not expect priorities.
 */
export function isJournal(descriptor: number, output: string | undefined, env: NodeJS.ProcessEnv): boolean {
  const named = env['JOURNAL_STREAM'];
  if (!named || output === 'json') return false;
  try {
    const { dev, ino } = fstatSync(descriptor, { bigint: true });
    return named === `${dev}:${ino}`;
  } catch {
    return false; // it is closed
  }
}

/** Exported for its tests. `env` as in process.env. Level 2 where the terminal says that it has 256 colors. */
export function colorLevel(
  choice: ColorChoice,
  isTerminal: boolean,
  env: NodeJS.ProcessEnv,
): Screen['color'] {
  const level = /256|truecolor|24bit/.test(`${env['TERM']} ${env['COLORTERM']}`) ? 2 : 1;
  if (choice === 'always') return level;
  if (choice === 'never' || env['NO_COLOR']) return 0;
  const forced = env['FORCE_COLOR'];
  if (forced !== undefined) return forced === '0' || forced === 'false' ? 0 : level;
  return isTerminal && env['TERM'] !== 'dumb' ? level : 0;
}

/** Exported for its tests. Whether a reader has no more than ASCII, or wants no more: by the locale's encoding, TERM and NO_COLOR. */
export function isAsciiOnly(env: NodeJS.ProcessEnv): boolean {
  const locale = env['LC_ALL'] || env['LC_CTYPE'] || env['LANG'] || 'C';
  return env['TERM'] === 'dumb' || Boolean(env['NO_COLOR']) || !/utf-?8/i.test(locale);
}
