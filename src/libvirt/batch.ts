import { virshQuote } from '../model/quote.ts';

/**
 * Many virsh commands in one process: `virsh 'echo @@0; cmd; echo @@1; cmd'` costs what one command costs.
 * The exit code is the last command's only, so every answer stands between two markers.
 */

/**
 * The most bytes of one batch. On Linux an argument may have 128 KiB; above this size another process is cheaper than
 * the risk.
 */
export const MAX_BATCH_BYTES = 100_000;

export type VirshCommand = readonly string[];

export interface Batch {
  /** The single argument for virsh. */
  readonly script: string;
  /** The number of commands in it. */
  readonly size: number;
}

/**
 * Packs commands, in order, into as few batches as possible, of about the same length because their processes run in
 * parallel. `nonce` makes the markers unguessable, so that data of a VM cannot imitate them.
 */
export function packBatches(commands: readonly VirshCommand[], nonce: string): Batch[] {
  const texts = commands.map((command) => command.map(virshQuote).join(' '));
  const sizes = texts.map(
    (text) => Buffer.byteLength(text) + marker(nonce, 9999).length + 'echo ; ; '.length,
  );
  const total = sizes.reduce((sum, bytes) => sum + bytes, 0);
  const longest = sizes.reduce((most, bytes) => Math.max(most, bytes), 0);
  // with room for one command more than the average, so that no command is left over for a batch of its own
  const limit = Math.min(MAX_BATCH_BYTES, total / Math.ceil(total / MAX_BATCH_BYTES) + longest);
  const batches: { parts: string[]; bytes: number }[] = [];
  for (const [i, text] of texts.entries()) {
    const bytes = sizes[i] ?? 0;
    let batch = batches.at(-1);
    if (!batch || batch.bytes + bytes > limit) {
      batch = { parts: [], bytes: 0 };
      batches.push(batch);
    }
    batch.parts.push(`echo ${marker(nonce, batch.parts.length)}; ${text}`);
    batch.bytes += bytes;
  }
  return batches.map(({ parts }) => ({ script: parts.join('; '), size: parts.length }));
}

/**
 * The answer to each command of a batch, without the blank line at its end. Null for a command that did not run because
 * the process ended before.
 */
export function splitAnswers(stdout: string, batch: Batch, nonce: string): (string | null)[] {
  const answers: (string | null)[] = [];
  let from = 0;
  for (let i = 0; i < batch.size; i++) {
    const start = `${marker(nonce, i)}\n`;
    const at = stdout.indexOf(start, from);
    if (at < 0) {
      answers.push(null);
      continue;
    }
    const next = stdout.indexOf(`${marker(nonce, i + 1)}\n`, at + start.length);
    answers.push(stdout.slice(at + start.length, next < 0 ? undefined : next).replace(/\n$/, ''));
    from = at + start.length;
  }
  return answers;
}

function marker(nonce: string, index: number): string {
  return `@@${nonce}-${index}`;
}
