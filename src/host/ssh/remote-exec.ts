import { KvmsnapError } from '../../errors.ts';
import { commandLine } from '../../model/quote.ts';
import type { Exec, Executed, Tool } from '../process/exec.ts';
import type { Connection } from './connection.ts';
import { shellLine } from './quoting.ts';
import { runJob } from './remote-job.ts';
import type { Reply } from './shell.ts';

/** Exec for a host that is reached over ssh: its own virsh and qemu-img, in the kept shell. */

export interface RemoteExecOptions {
  readonly connection: Connection;
  readonly readLimitSeconds: number;
  readonly mostBytes: number;
  readonly onRun: (line: string) => void;
  /** Called as soon as a write may have been begun. */
  readonly onWrite: () => void;
  /** Tells the user what happens to a write whose connection was lost. */
  readonly note: (line: string) => void;
  readonly sleep: (milliseconds: number) => Promise<void>;
  /** Milliseconds. */
  readonly now: () => number;
  /** A random word, another one at each call. */
  readonly newId: () => string;
}

/** The Exec of that host. A tool that it lacks is `tool-missing`. */
export function createRemoteExec(options: RemoteExecOptions): Exec {
  const { connection, readLimitSeconds, mostBytes, onRun } = options;
  const begin = (tool: Tool, args: readonly string[]) =>
    onRun(`${connection.name}: ${commandLine(tool, args)}`);
  const write = async (tool: Tool, args: readonly string[]): Promise<Executed> => {
    begin(tool, args);
    return executed(connection, tool, await runJob(options, shellLine([tool, ...args])));
  };
  return {
    async read(tool, args) {
      begin(tool, args);
      const limits = { mostBytes, seconds: readLimitSeconds };
      return executed(connection, tool, await connection.read(shellLine([tool, ...args]), limits));
    },
    write,
    // every write outlives its connection
    writeToTheEnd: write,
    async setRight(tool, args) {
      // without a connection the record in the VM is left, by which the next run does it
      await write(tool, args).catch(() => undefined);
    },
    // only export uses it, which does not take hosts
    start() {
      throw new KvmsnapError(
        'usage',
        `export does not work on other hosts; run kvmsnap on ${connection.name} itself`,
      );
    },
  };
}

/** `null`: it is unknown how it ended. */
function executed({ name }: Connection, tool: Tool, reply: Reply | null): Executed {
  if (reply === null) return { stdout: '', stderr: '', exitCode: null };
  const stderr = reply.stderr.toString('utf8');
  // POSIX: 127 if there is no such command, 126 if it cannot be run
  if (reply.code === 127 || reply.code === 126)
    throw new KvmsnapError('tool-missing', `${tool} is not installed on ${name}, or not in the PATH there`, {
      hint: `on ${name}, install libvirt-clients and qemu-utils (Debian, Ubuntu), or libvirt-client and qemu-img (Fedora, RHEL)`,
    });
  return { stdout: reply.stdout.toString('utf8'), stderr, exitCode: reply.code > 128 ? null : reply.code };
}
