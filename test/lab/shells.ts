// Interactive shells on a terminal, as a person has them, with kvmsnap's completion set up as the manual says.
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { kvmsnap, kvmsnapPath } from './cli.ts';
import { scratch, waitFor } from './lab.ts';
import { commandOnTerminal } from './terminal.ts';

export interface ShellSession {
  /** Types this, then Enter, and hands back the words that `kvmsnap` was run with by the shell. */
  run(typed: string): Promise<string[]>;
  type(text: string): void;
  /** All that was shown so far. */
  screen(): string;
  close(): void;
}

interface Shell {
  readonly command: readonly string[];
  /** Typed first. The commands `kvmsnap` and `sudo` become functions: the one tells its words, the other runs its own. */
  readonly setUp: readonly string[];
  /** Where the script lies, below the session's directory; null: the session reads it from the program. */
  readonly script: string | null;
  readonly language: 'bash' | 'zsh' | 'fish';
}

const POSIX = [
  'kvmsnap() { printf "%s\\0" "$@" >"$RECORD.new"; mv "$RECORD.new" "$RECORD"; }',
  'sudo() { "$@"; }',
];
const FISH = ['function kvmsnap; printf "%s\\0" $argv >$RECORD.new; mv $RECORD.new $RECORD; end'];
const BASH = ['bash', '--noprofile', '--norc'];

const SHELLS = {
  bash: {
    command: BASH,
    setUp: ['source <(kvmsnap completion bash)', ...POSIX],
    script: null,
    language: 'bash',
  },
  'bash with bash-completion': {
    command: BASH,
    setUp: ['source /usr/share/bash-completion/bash_completion', ...POSIX],
    script: 'data/bash-completion/completions/kvmsnap',
    language: 'bash',
  },
  zsh: {
    command: ['zsh', '-f'],
    setUp: ['fpath=("$HERE/functions" $fpath)', 'autoload -Uz compinit && compinit -u -D', ...POSIX],
    script: 'functions/_kvmsnap',
    language: 'zsh',
  },
  'zsh that sources it': {
    command: ['zsh', '-f'],
    setUp: ['autoload -Uz compinit && compinit -u -D', 'source <(command kvmsnap completion zsh)', ...POSIX],
    script: null,
    language: 'zsh',
  },
  fish: { command: ['fish'], setUp: FISH, script: 'config/fish/completions/kvmsnap.fish', language: 'fish' },
} as const satisfies Record<string, Shell>;

export type ShellName = keyof typeof SHELLS;

/** Starts a shell in a directory of its own; `program` is what it finds as kvmsnap. */
export async function startShell(name: ShellName, program: string = kvmsnapPath): Promise<ShellSession> {
  const { command, setUp, script, language } = SHELLS[name];
  const here = mkdtempSync(join(scratch, 'shell-'));
  const record = join(here, 'record');
  mkdirSync(join(here, 'bin'));
  // where it is missing, fish reads all man pages of the system, for half a minute of processor time
  mkdirSync(join(here, 'data/fish/generated_completions'), { recursive: true });
  symlinkSync(program, join(here, 'bin', 'kvmsnap'));
  if (script !== null) {
    const { stdout } = await kvmsnap(['completion', language]);
    mkdirSync(dirname(join(here, script)), { recursive: true });
    writeFileSync(join(here, script), stdout);
  }
  const terminal = commandOnTerminal(command, {
    cwd: here,
    timeoutMs: 600_000,
    env: {
      PATH: `${join(here, 'bin')}:${process.env['PATH']}`,
      HERE: here,
      RECORD: record,
      HOME: here,
      XDG_CONFIG_HOME: join(here, 'config'),
      XDG_DATA_HOME: join(here, 'data'),
      BASH_COMPLETION_USER_DIR: undefined,
      HISTFILE: undefined,
    },
  });
  const session: ShellSession = {
    async run(typed) {
      rmSync(record, { force: true });
      terminal.type(`${typed}\r`);
      await waitFor(() => existsSync(record), {
        what: `a run of kvmsnap for ${typed}`,
        timeoutMs: 60_000,
      }).catch((error: Error) => {
        terminal.type('\x03'); // whatever it waits for
        throw new Error(`${error.message}\n${terminal.screen().slice(-2000)}`);
      });
      return readFileSync(record, 'utf8').split('\0').slice(0, -1);
    },
    type: terminal.type,
    screen: terminal.screen,
    close: terminal.close,
  };
  for (const line of setUp) terminal.type(`${line}\r`);
  await session.run('kvmsnap ready');
  return session;
}
