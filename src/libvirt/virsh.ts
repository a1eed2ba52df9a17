import { KvmsnapError } from '../errors.ts';
import type { Exec, Executed } from '../host/processes.ts';
import { commandLine, virshQuote } from '../model/quote.ts';
import { packBatches, splitAnswers, type VirshCommand } from './batch.ts';
import { connectionFailure } from './virsh-error.ts';

/** The port to virsh: batched reads, single writes, one connection URI. */

export interface Answers {
  /** One per command; null where virsh ended before it, '' where it failed or had nothing to say. */
  readonly texts: readonly (string | null)[];
  readonly stderr: string;
  /** True when the very last command succeeded, which is all that virsh's exit code tells. */
  readonly lastSucceeded: boolean;
}

export interface Virsh {
  /**
   * Runs commands that change nothing, as few processes as fit, and returns each one's output; throws `unreachable` when
   * one was killed.
   */
  read(commands: readonly VirshCommand[]): Promise<Answers>;
  /** Runs one command that changes something. The outcome is virsh's word only: look at the state afterwards. */
  write(command: VirshCommand): Promise<Executed>;
  /**
   * Runs commands that change something in one process, each whatever came of those before, and to the end though kvmsnap
   * be killed between two of them. After each answer virsh says how long that took: `(Time: 1.234 ms)`.
   */
  writeInOne(commands: readonly VirshCommand[]): Promise<Answers>;
  /** The command line that `write`, or `writeInOne` of several, would run, to paste into a shell. */
  line(...commands: readonly VirshCommand[]): string;
}

/**
 * `uri` null: whatever virsh itself would connect to. `nonce` marks the answers in a batch; any random word. `readonly`: the
 * reads go by a read-only connection, and a write is refused.
 */
export function createVirsh(exec: Exec, uri: string | null, nonce: string, readonly = false): Virsh {
  if (uri?.startsWith('-')) throw new KvmsnapError('usage', `'${uri}' is not a connection URI`);
  const connection = uri === null ? [] : ['-c', uri];
  const reading = readonly ? ['-r', ...connection] : connection;
  const mustWrite = () => {
    if (readonly) throw new KvmsnapError('usage', '--readonly: nothing is changed');
  };
  return {
    async read(commands) {
      const batches = packBatches(commands, nonce);
      const results = await Promise.all(
        batches.map((batch) => exec.read('virsh', [...reading, batch.script])),
      );
      const stderr = results.map((result) => result.stderr).join('');
      // what a killed one said may end anywhere, in the middle of a name even
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
    line: (...commands) => {
      const [command = []] = commands;
      const words =
        commands.length === 1 ? command : [commands.map((each) => each.map(virshQuote).join(' ')).join('; ')];
      return commandLine('virsh', [...connection, ...words]);
    },
  };
}

/**
 * A virsh of which the next reading takes these commands along in its process; where nothing was read by it, `answers` reads
 * them alone. Null for a command that virsh did not come to.
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
