import { closeSync } from 'node:fs';
import { KvmsnapError } from '../../errors.ts';
import { commandLine } from '../../model/quote.ts';
import { openNamelessFile } from '../process/nameless-file.ts';
import type { ControlSocket } from './control-socket.ts';
import { type Destination, explained, HostAway, unreachable } from './host-away.ts';
import { type Limits, openShell, type Reply, type Shell, ShellFailure } from './shell.ts';
import type { SshPrograms } from './ssh-process.ts';

/**
 * A connection to one host: a master of ssh that other runs of kvmsnap use too, and within it one shell. Its keys, jump hosts and
 * ports are those of the user's ssh_config.
 */

export interface Connection {
  readonly name: string;
  /**
   * Runs a script in the kept shell. Connects first, and once more if the connection was lost meanwhile: only for a script that may
   * be run twice. Throws `unreachable`, `timed-out`, `refused`, and the reason of `stop`.
   */
  read(script: string, limits: Limits): Promise<Reply>;
  /** The same, never run twice: throws ShellFailure `lost` if it is unknown whether it was run. */
  once(script: string, limits: Limits): Promise<Reply>;
  /** Lets the shell end. The master stays for the next run, for a minute. */
  close(): void;
}

export interface ConnectionOptions {
  readonly destination: Destination;
  readonly programs: SshPrograms;
  /** Called when it is needed first. */
  readonly socket: () => ControlSocket;
  /** Aborted if the run must end now. */
  readonly stop: AbortSignal;
  /** A random word. */
  readonly nonce: string;
  /** Whether somebody can answer questions of ssh, such as for a passphrase, on the terminal. */
  readonly hasPerson: boolean;
  /** Seconds in which ssh must be connected. */
  readonly connectSeconds: number;
  /** Called before a command is run, with its line. */
  readonly onRun: (line: string) => void;
  /** Milliseconds. */
  readonly now: () => number;
  readonly sleep: (milliseconds: number) => Promise<void>;
}

/** After a host was away for so long, nothing more is tried in this run: each attempt may take as long as the first. */
const ABSENCE_SECONDS = 60;

/**
 * A server that is asked for many connections at once drops some of them before it has asked who is there (`MaxStartups` of
 * sshd_config), as does a jump host. So it is asked again, after so many milliseconds and a share of them that differs by host.
 */
const PAUSES = [1000, 2000, 4000];
const DROPPED = /kex_exchange_identification|Connection (closed|reset) by|Not allowed at this time/;

/** How long the shell of a host may take for its first answer, with all profiles. */
const HELLO: Limits = { mostBytes: 64 * 1024, seconds: 30 };

/** The same on a connection that was opened before: it may be one of which a firewall or a router knows nothing any more. */
const HELLO_AGAIN: Limits = { ...HELLO, seconds: 15 };

/** Of every ssh. A host is given nothing of this one: no agent, no display, no forwarded port. */
const optionsOf = ({ connectSeconds }: ConnectionOptions): string[] => [
  ...['-T', '-a', '-x', '-o', 'LogLevel=ERROR', '-o', `ConnectTimeout=${connectSeconds}`],
  ...['-o', 'ServerAliveInterval=15', '-o', 'ServerAliveCountMax=3', '-o', 'ClearAllForwardings=yes'],
  ...['-o', 'PermitLocalCommand=no', '-o', 'RemoteCommand=none', '-o', 'EscapeChar=none'],
];

/** A refused session must not become a connection of its own. */
const SHARED_ONLY = ['-o', 'BatchMode=yes', '-o', 'ControlMaster=no', '-o', 'ProxyCommand=false'];

/**
 * What every script finds: English messages in UTF-8 (hazard 20), and the directories of programs, which a shell that is no login
 * shell may lack.
 */
const PREAMBLE = [
  'PATH="$PATH:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" LC_ALL=C.UTF-8 LANGUAGE= TZ=UTC0',
  'export PATH LC_ALL LANGUAGE TZ',
  'unset VIRSH_DEBUG VIRSH_LOG_FILE LIBVIRT_DEBUG LIBVIRT_LOG_FILTERS LIBVIRT_LOG_OUTPUTS POSIXLY_CORRECT',
  'umask 077; cd /',
].join('\n');

/** Connects at the first script. */
export function createConnection(options: ConnectionOptions): Connection {
  const { destination, stop } = options;
  let opening: Promise<Shell> | null = null;
  const shell = async (): Promise<Shell> => {
    stop.throwIfAborted();
    const before = opening;
    const found = await before?.catch(() => null);
    // another script may have connected again meanwhile
    if (found && !found.isOpen && opening === before) opening = null;
    opening ??= connect(options);
    try {
      return await opening;
    } catch (error) {
      opening = null;
      throw error;
    }
  };
  let awaySince: number | null = null;
  const runOnce = async (script: string, limits: Limits): Promise<Reply> => {
    if (awaySince !== null && options.now() - awaySince > ABSENCE_SECONDS * 1000)
      throw unreachable(destination, 'it was away for more than a minute');
    try {
      const reply = await tryOnce(script, limits);
      awaySince = null;
      return reply;
    } catch (error) {
      if (isLost(error) || (error instanceof HostAway && error.code === 'unreachable'))
        awaySince ??= options.now();
      throw error;
    }
  };
  const tryOnce = async (script: string, limits: Limits): Promise<Reply> => {
    const opened = await unlessStopped(shell(), stop);
    try {
      return await unlessStopped(opened.run(script, limits), stop);
    } catch (error) {
      if (!(error instanceof ShellFailure) || error.why === 'lost') throw error;
      throw explained(destination, error);
    }
  };
  return {
    name: destination.name,
    once: runOnce,
    async read(script, limits) {
      for (let again = true; ; again = false) {
        try {
          return await runOnce(script, limits);
        } catch (error) {
          if (!(error instanceof ShellFailure)) throw error;
          if (!again) throw unreachable(destination, error.message);
        }
      }
    },
    close() {
      opening?.then(
        (opened) => opened.end(),
        () => undefined,
      );
      opening = null;
    },
  };
}

async function unlessStopped<T>(ended: Promise<T>, stop: AbortSignal): Promise<T> {
  ended.catch(() => undefined); // it may fail after the run was stopped
  stop.throwIfAborted();
  const listening = new AbortController();
  const stopped = new Promise<never>((_, reject) => {
    stop.addEventListener('abort', () => reject(stop.reason), { once: true, signal: listening.signal });
  });
  return Promise.race([ended, stopped]).finally(() => listening.abort());
}

async function connect(options: ConnectionOptions): Promise<Shell> {
  const { address } = options.destination;
  if (address === null) return hello(options, 'sh', ['-s'], HELLO);
  const socket = options.socket();
  const through = (path: string, limits: Limits) =>
    hello(options, 'ssh', shellArguments(options, ['-S', path]), limits);
  if (socket.exists()) {
    try {
      return await through(socket.path, HELLO_AGAIN);
    } catch (error) {
      // a master that has gone, that has no room for another session, or whose connection is dead
      if (!isLost(error) && !isSilent(error)) throw error;
    }
  }
  const own = await sharedByUser(options, address);
  if (own) return own;
  const fresh = socket.fresh();
  await startMaster(options, address, fresh);
  // before others share it, who may leave no room for another session
  const opened = await through(fresh, HELLO).catch(asUnreachable(options));
  try {
    socket.adopt(fresh);
  } catch {
    // it is gone already: nobody shares it
  }
  return opened;
}

/** Whether nothing was answered in time. */
const isSilent = (error: unknown): boolean => error instanceof HostAway && error.code === 'timed-out';

const isLost = (error: unknown): boolean => error instanceof ShellFailure && error.why === 'lost';

const asUnreachable =
  ({ destination }: ConnectionOptions) =>
  (error: unknown): never => {
    throw isLost(error) ? unreachable(destination, (error as Error).message) : error;
  };

/** The connection that the user's ssh_config already shares; null if there is none. */
async function sharedByUser(options: ConnectionOptions, address: string): Promise<Shell | null> {
  const { programs } = options;
  if ((await programs.run(['-O', 'check', '--', address], 'ignore')) !== 0) return null;
  return hello(options, 'ssh', shellArguments(options, []), HELLO_AGAIN).catch((error: unknown) => {
    if (isLost(error) || isSilent(error)) return null;
    throw error;
  });
}

function shellArguments(options: ConnectionOptions, sharing: readonly string[]): string[] {
  const { destination } = options;
  const command = destination.sudo ? 'exec sudo -n sh -s' : 'exec sh -s';
  return [...optionsOf(options), ...sharing, ...SHARED_ONLY, '--', destination.address ?? '', command];
}

/** Starts a master of its own. ssh goes to the background when it is connected, and ends a minute after its last session. */
async function startMaster(options: ConnectionOptions, address: string, path: string): Promise<void> {
  const { programs, destination, hasPerson, onRun } = options;
  const argumentsWith = (batch: 'yes' | 'no') => [
    ...['-M', '-f', '-N', '-S', path, '-o', 'ControlMaster=yes', '-o', 'ControlPersist=60'],
    ...[...optionsOf(options), '-o', `BatchMode=${batch}`, '--', address],
  ];
  const attempt = async (batch: 'yes' | 'no') => {
    const { file, text } = openNamelessFile(64 * 1024);
    try {
      onRun(commandLine('ssh', argumentsWith(batch)));
      return {
        code: await unlessStopped(programs.run(argumentsWith(batch), file), options.stop),
        text: text(),
      };
    } finally {
      closeSync(file);
    }
  };
  let { code, text } = await attempt('yes');
  for (const pause of PAUSES) {
    if (code !== 255 || !DROPPED.test(text)) break;
    await unlessStopped(options.sleep(pause * (1 + shareOf(options.nonce))), options.stop);
    ({ code, text } = await attempt('yes'));
  }
  if (code !== 0 && code !== 127 && hasPerson && /Permission denied|verification failed/i.test(text))
    ({ code, text } = await attempt('no'));
  if (code === 127)
    throw new KvmsnapError('tool-missing', 'ssh is not installed, or not in PATH', {
      hint: 'install the package openssh-client (Debian, Ubuntu) or openssh-clients (Fedora, RHEL, SUSE)',
    });
  if (code !== 0) throw unreachable(destination, lastOf(text));
}

/** A number from 0 to 1 that the random word gives. */
const shareOf = (nonce: string): number => (nonce.charCodeAt(0) % 16) / 16;

const lastOf = (text: string): string =>
  text
    .trimEnd()
    .split(/\r?\n/)
    .filter((line) => line.trim() !== '')
    .at(-1)
    ?.trim() ?? '';

/** Starts the shell, and waits for its first answer; what profiles and banners have printed before it is thrown away. */
async function hello(
  { destination, programs, nonce }: ConnectionOptions,
  program: 'ssh' | 'sh',
  args: readonly string[],
  limits: Limits,
): Promise<Shell> {
  const opened = openShell(programs.start(program, args), nonce);
  try {
    await opened.run(PREAMBLE, limits);
    return opened;
  } catch (error) {
    throw error instanceof ShellFailure && error.why !== 'lost' ? explained(destination, error) : error;
  }
}

/** Throws `unreachable` for a script that is not run again after the connection was lost, and any other error as it is. */
export const throwLost =
  ({ name }: Connection) =>
  (error: unknown): never => {
    if (!(error instanceof ShellFailure)) throw error;
    throw new HostAway('unreachable', `the connection to the host ${name} was lost: ${error.message}`);
  };
