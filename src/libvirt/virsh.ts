import { KvmsnapError } from '../errors.ts';
import type { Exec, Executed, Running } from '../host/process/exec.ts';
import { commandLine, virshQuote } from '../model/quote.ts';
import { packBatches, splitAnswers, type VirshCommand } from './batch.ts';
import { connectionFailure } from './virsh-error.ts';

/** The port to virsh: batched reads, single writes, one connection URI. */

export interface Answers {
  /** One per command; null if virsh ended before it, '' if it failed or printed nothing. */
  readonly texts: readonly (string | null)[];
  readonly stderr: string;
  /** True if the last command succeeded; virsh's exit code tells nothing about the others. */
  readonly lastSucceeded: boolean;
}

export interface Virsh {
  /**
   * Runs commands that change nothing, in as few processes as possible, and returns the output of each; throws
   * `unreachable` if a process was killed.
   */
  read(commands: readonly VirshCommand[]): Promise<Answers>;
  /** Runs one command that changes something. The outcome is only what virsh reports: verify the state afterwards. */
  write(command: VirshCommand): Promise<Executed>;
  /**
   * Runs commands that change something in one process. A failure does not stop the following commands, and all of them
   * run even if kvmsnap is killed meanwhile. After each answer virsh prints how long it took: `(Time: 1.234 ms)`.
   */
  writeInOne(commands: readonly VirshCommand[]): Promise<Answers>;
  /**
   * Runs commands that set right what this run has begun, in one process, even if the run is being stopped. Verify the state afterwards.
   */
  setRight(commands: readonly VirshCommand[]): Promise<void>;
  /**
   * Runs commands in a virsh that stays connected until it is ended, or until kvmsnap ends, however that ends: libvirt ends then what is
   * bound to the connection, as a VM of `create --autodestroy`.
   */
  stay(commands: readonly VirshCommand[]): Running;
  /** The command line that `write`, or `writeInOne` for several commands, would run, ready to paste. */
  line(...commands: readonly VirshCommand[]): string;
}

/**
 * `uri` null: virsh's default connection. `nonce`: a random word that marks the answers in a batch. `readonly`: reads
 * use a read-only connection, and writes are refused.
 */
export function createVirsh(exec: Exec, uri: string | null, nonce: string, readonly = false): Virsh {
  if (uri?.startsWith('-')) throw new KvmsnapError('usage', `'${uri}' is not a connection URI`);
  const connection = uri === null ? [] : ['-c', uri];
  const reading = readonly ? ['-r', ...connection] : connection;
  const mustWrite = () => {
    if (readonly) throw new KvmsnapError('usage', '--readonly does not allow changes');
  };
  return {
    async read(commands) {
      const batches = packBatches(commands, nonce);
      const results = await Promise.all(
        batches.map((batch) => exec.read('virsh', [...reading, batch.script])),
      );
      const stderr = results.map((result) => result.stderr).join('');
      // the output of a killed process may end anywhere, even in the middle of a name
      if (results.some(({ exitCode }) => exitCode === null))
        throw connectionFailure(stderr || 'virsh was killed before it had answered');
      return {
        texts: batches.flatMap((batch, i) => splitAnswers(results[i]?.stdout ?? '', batch, nonce)),
        stderr,
        lastSucceeded: results.at(-1)?.exitCode === 0,
      };
    },
    async write(command) {
      mustWrite();
      return exec.write('virsh', [...connection, ...command]);
    },
    async writeInOne(commands) {
      mustWrite();
      const [batch, ...others] = packBatches(commands, nonce);
      if (!batch || others.length > 0) throw new Error('these commands do not fit into one process');
      const args = [...connection, '-t', batch.script];
      const { stdout, stderr, exitCode } = await exec.writeToTheEnd('virsh', args);
      return { texts: splitAnswers(stdout, batch, nonce), stderr, lastSucceeded: exitCode === 0 };
    },
    async setRight(commands) {
      mustWrite();
      const [batch] = packBatches(commands, nonce);
      if (batch) await exec.setRight('virsh', [...connection, batch.script]);
    },
    stay(commands) {
      mustWrite();
      const lines = commands.map((command) => `${command.map(virshQuote).join(' ')}\n`);
      return exec.start('virsh', connection, lines.join(''));
    },
    line: (...commands) => {
      const [command = []] = commands;
      const words =
        commands.length === 1 ? command : [commands.map((each) => each.map(virshQuote).join(' ')).join('; ')];
      return commandLine('virsh', [...connection, ...words]);
    },
  };
}

/**
 * A virsh port whose next read also runs these commands in its process. If nothing was read, `answers` reads them
 * alone. Null for a command that did not run.
 */
export function takingAlong(
  virsh: Virsh,
  commands: readonly VirshCommand[],
): { readonly virsh: Virsh; answers(): Promise<readonly (string | null)[]> } {
  let reading: Promise<Answers> | null = null;
  return {
    virsh: {
      ...virsh,
      async read(wanted) {
        if (reading) return virsh.read(wanted);
        reading = virsh.read([...commands, ...wanted]);
        const answers = await reading;
        return { ...answers, texts: answers.texts.slice(commands.length) };
      },
    },
    async answers() {
      const { texts } = await (reading ?? virsh.read(commands));
      return texts.slice(0, commands.length);
    },
  };
}
