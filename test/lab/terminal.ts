// Commands on a real pseudo-terminal, which `script` of util-linux provides.
import { spawn } from 'node:child_process';
import { cleanEnvironment, kvmsnapWords } from './cli.ts';
import { waitFor } from './lab.ts';

export interface TerminalOptions {
  readonly columns?: number;
  readonly rows?: number;
  /** Added to the clean environment; undefined takes a variable out. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  readonly cwd?: string;
  /** SIGKILL and an error after that; 240 s unless told, for a loaded machine. */
  readonly timeoutMs?: number;
}

/** A command on a terminal of its own. */
export interface Terminal {
  /** Types: '\r' is Enter, '\x03' Ctrl-C, '\x04' Ctrl-D. */
  type(text: string): void;
  /** All that was shown so far, with its control sequences; lines end with '\r\n'. */
  screen(): string;
  /** Waits till the screen matches, and hands the match back. */
  waitForText(pattern: RegExp, timeoutMs?: number): Promise<RegExpExecArray>;
  /** Hangs up, as closing the window does. */
  close(): void;
  /** 128+N after a signal N. */
  readonly done: Promise<{ readonly code: number; readonly screen: string }>;
}

/** Shown by the terminal before the command: what is typed earlier would go to the shell that sets it up. */
const READY = '@@ready@@';

function quote(word: string): string {
  return `'${word.replaceAll("'", "'\\''")}'`;
}

/** Runs any command with a terminal as stdin, stdout and stderr, and as its controlling terminal. */
export function commandOnTerminal(command: readonly string[], options: TerminalOptions = {}): Terminal {
  const { columns = 100, rows = 40, timeoutMs = 240_000 } = options;
  const words = command.map(quote).join(' ');
  const line = `stty cols ${columns} rows ${rows} && printf '${READY}' && exec ${words}`;
  // --echo always: our stdin is a pipe, and the terminal is to echo all the same, as terminals do
  const child = spawn('script', ['-qef', '--echo', 'always', '-c', line, '/dev/null'], {
    env: cleanEnvironment({ TERM: 'xterm-256color', ...options.env, SHELL: '/bin/sh' }),
    stdio: ['pipe', 'pipe', 'pipe'],
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
  });
  let shown = '';
  let typed = '';
  let ready = false;
  const show = (text: string) => {
    shown += text;
    if (ready || !shown.includes(READY)) return;
    ready = true;
    shown = shown.replace(READY, '');
    child.stdin.write(typed);
  };
  child.stdout.setEncoding('utf8').on('data', show);
  child.stderr.setEncoding('utf8').on('data', show);
  child.stdin.on('error', () => {}); // typed after the end
  let ended = false;
  const done = new Promise<{ code: number; screen: string }>((resolve, reject) => {
    const timer = setTimeout(() => {
      child.kill('SIGKILL');
      reject(new Error(`on a terminal: not done within ${timeoutMs} ms: ${command.join(' ')}\n${shown}`));
    }, timeoutMs);
    child.on('error', reject);
    child.on('close', (code) => {
      ended = true;
      clearTimeout(timer);
      resolve({ code: code ?? -1, screen: shown });
    });
  });
  done.catch(() => {}); // whoever awaits it gets it; nobody has to
  const screen = () => (ready || ended ? shown : '');
  return {
    type: (text) => {
      if (ready) child.stdin.write(text);
      else typed += text;
    },
    screen,
    waitForText: async (pattern, limitMs = 60_000) => {
      const look = () => {
        const match = new RegExp(pattern.source, pattern.flags.replace('g', '')).exec(screen());
        if (match === null && ended) throw new Error(`ended without ${pattern}:\n${shown}`);
        return match;
      };
      const found = await waitFor(look, { what: `${pattern} on the terminal`, timeoutMs: limitMs }).catch(
        (error: Error) => {
          throw new Error(`${error.message}\n${shown}`);
        },
      );
      if (found === null) throw new Error('unreachable');
      return found;
    },
    close: () => void child.kill('SIGKILL'),
    done,
  };
}

/** Runs the built kvmsnap on a terminal. */
export function onTerminal(args: readonly string[], options: TerminalOptions = {}): Terminal {
  return commandOnTerminal([...kvmsnapWords, ...args], options);
}

/** Runs the built kvmsnap in a shell on a terminal; in the line it is called `kvmsnap`, and what else goes into it is the caller's. */
export function shellOnTerminal(line: string, options: TerminalOptions = {}): Terminal {
  const script = `kvmsnap() { ${kvmsnapWords.map(quote).join(' ')} "$@"; }; ${line}`;
  return commandOnTerminal(['bash', '--norc', '-o', 'pipefail', '-c', script], options);
}
