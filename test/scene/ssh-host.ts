// Hosts that are reached over ssh: a real sshd within the lab, on a loopback address, with keys of its own.
import { spawn } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { processes } from '../lab/daemon.ts';
import { scratch, tool, tryTool, waitFor } from '../lab/lab.ts';

/** Whether this machine has sshd (the package openssh-server). */
export const hasSshd: boolean = tryTool('sh', ['-c', 'command -v sshd && command -v ssh']).code === 0;

export interface SshHosts {
  /** Ends all connections, as a network that fails does; new ones are possible. */
  cut(): void;
  /** The search path on which `ssh` knows the aliases of these hosts, and nothing of this user's own configuration. */
  readonly path: string;
  readonly directory: string;
  /** Ends the server, and all connections to it. */
  stop(): void;
}

let port = 2200;

export interface SshHostOptions {
  /** Lines of sshd_config. */
  readonly config?: readonly string[];
  /** What the shell of the user runs first (~/.bashrc); nothing unless given. */
  readonly profile?: string;
  /** Variables of the sessions; kvmsnap keeps its files there in a directory of the lab unless they say otherwise. */
  readonly environment?: Readonly<Record<string, string>>;
  /** Lines of ssh_config for all aliases. */
  readonly client?: readonly string[];
  /** For aliases that are hosts of their own: the words before each command that runs there. */
  readonly inside?: Readonly<Record<string, readonly string[]>>;
}

/** Starts one sshd, which is all these aliases. */
export async function startSshHosts(
  aliases: readonly string[],
  options: SshHostOptions = {},
): Promise<SshHosts> {
  const directory = mkdtempSync(join(scratch, 'ssh-'));
  const at = (name: string) => join(directory, name);
  mkdirSync('/run/sshd', { recursive: true, mode: 0o755 });
  for (const key of ['host', 'user'])
    tool('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', key, '-f', at(key)]);
  const own = port++;
  const others = Object.entries(options.inside ?? {}).map(([alias, words], i) => ({
    ...{ alias, words },
    address: `127.0.0.${2 + i}`,
  }));
  // bash runs it for commands over ssh too; the real one of this machine may take seconds
  const profile = join(homedir(), '.bashrc');
  writeFileSync(at('bashrc'), options.profile ?? '');
  const hasProfile = existsSync(profile);
  if (hasProfile) tool('mount', ['--bind', at('bashrc'), profile]);
  writeFileSync(
    at('sshd_config'),
    [
      ...(options.config ?? []),
      `SetEnv ${Object.entries({ XDG_STATE_HOME: at('state'), ...options.environment })
        .map(([name, value]) => `${name}=${value}`)
        .join(' ')}`,
      ...['127.0.0.1', ...others.map(({ address }) => address)].map((each) => `ListenAddress ${each}:${own}`),
      `HostKey ${at('host')}`,
      `AuthorizedKeysFile ${at('user.pub')}`,
      'StrictModes no',
      'UsePAM no',
      'PermitRootLogin yes',
      `PidFile ${at('sshd.pid')}`,
      ...others.flatMap(({ address, words }) => [
        `Match LocalAddress ${address}`,
        `ForceCommand exec ${words.join(' ')} sh -c "$SSH_ORIGINAL_COMMAND"`,
      ]),
      '',
    ].join('\n'),
  );
  writeFileSync(
    at('ssh_config'),
    [
      ...(options.client ?? []),
      ...others.flatMap(({ alias, address }) => [`Host ${alias}`, `  HostName ${address}`]),
      `Host ${aliases.join(' ')}`,
      '  HostName 127.0.0.1',
      `  Port ${own}`,
      `  IdentityFile ${at('user')}`,
      '  IdentitiesOnly yes',
      '  StrictHostKeyChecking no',
      `  UserKnownHostsFile ${at('known')}`,
      '',
    ].join('\n'),
  );
  mkdirSync(at('bin'));
  const ssh = tool('sh', ['-c', 'command -v ssh']).trim();
  writeFileSync(at('bin/ssh'), `#!/bin/sh\nexec ${ssh} -F ${at('ssh_config')} "$@"\n`);
  chmodSync(at('bin/ssh'), 0o755);
  const server = spawn(tool('sh', ['-c', 'command -v sshd']).trim(), ['-D', '-e', '-f', at('sshd_config')], {
    stdio: ['ignore', 'ignore', 'ignore'],
    detached: true,
  });
  await waitFor(() => tryTool(at('bin/ssh'), ['-o', 'BatchMode=yes', aliases[0] ?? '', 'true']).code === 0, {
    what: 'an answer of sshd',
  });
  return {
    path: `${at('bin')}:${process.env['PATH']}`,
    directory,
    cut() {
      for (const pid of sessionsOf(server.pid ?? -1)) tryTool('kill', ['-KILL', String(pid)]);
    },
    stop() {
      const ended = [...sessionsOf(server.pid ?? -1), ...clientsIn(directory)];
      server.kill('SIGKILL');
      for (const pid of ended) tryTool('kill', ['-KILL', String(pid)]);
      // otherwise the next one would be mounted on this file, which could not be removed then
      if (hasProfile) tryTool('umount', ['--lazy', profile]);
    },
  };
}

/** The processes of sshd for connections to this server; the shells in them are not among these. */
function sessionsOf(server: number): number[] {
  const all = processes()
    .filter(({ args }) => args[0]?.startsWith('sshd'))
    .map(({ pid }) => ({ pid, parent: parentOf(pid) }));
  const below = (parent: number): number[] =>
    all.filter((each) => each.parent === parent).flatMap(({ pid }) => [pid, ...below(pid)]);
  return below(server);
}

/** 0 for a process that has ended meanwhile. */
function parentOf(pid: number): number {
  try {
    return Number(/^PPid:\t(\d+)$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0);
  } catch {
    return 0;
  }
}

/** The connections of ssh that are shared through a socket in this directory. */
const clientsIn = (directory: string): number[] =>
  processes()
    .filter(({ args }) => args[0]?.startsWith('ssh') && args.join(' ').includes(directory))
    .map(({ pid }) => pid);
