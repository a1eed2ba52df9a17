import { KvmsnapError } from '../errors.ts';
import { occupiedBytes } from '../host/files.ts';
import { humanBytes } from '../output/format.ts';
import { parseMeasured } from '../qemu/measure.ts';
import { compareArguments, copyArguments, measureArguments, type ServedDisk } from '../qemu/serving.ts';
import type { Context } from '../run/context.ts';
import type { Part } from './facts.ts';
import { serve } from './serve.ts';
import type { Session } from './session.ts';

/** Copies one disk of a snapshot into a file, and compares the two. */

export interface CopyTo {
  /** An unfinished file, which exists and is empty. */
  readonly path: string;
  readonly format: 'qcow2' | 'raw';
  readonly compress: boolean;
}

/** Runs a task with the disk of a snapshot on a socket. */
export async function whileServed<T>(
  ctx: Context,
  { run }: Session,
  part: Part,
  task: (disk: ServedDisk) => Promise<T>,
): Promise<T> {
  const server = await serve(ctx, run, part, { name: `${part.target}.sock`, clients: 1 });
  try {
    return await task(server);
  } finally {
    await server.close();
  }
}

/** The bytes that a copy needs: as qcow2, and a raw file with holes needs less. Throws `refused`. */
export async function measureCopy(ctx: Context, disk: ServedDisk): Promise<number> {
  const { stdout } = await runQemuImg(ctx, measureArguments(disk), 'cannot measure the snapshot');
  return parseMeasured(stdout);
}

/** Copies the disk; `expected`: the bytes that were measured, for the progress. Throws `refused`. */
export async function copyDisk(
  ctx: Context,
  disk: ServedDisk,
  to: CopyTo,
  label: string,
  expected: number,
): Promise<void> {
  const timer = setInterval(async () => {
    const written = (await occupiedBytes(ctx.files, to.path)) ?? 0;
    const of = to.compress ? 'at most' : 'about';
    ctx.terminal.progress(`${humanBytes(written)} of ${of} ${humanBytes(expected)}: copying ${label}`);
  }, PROGRESS_MILLISECONDS);
  try {
    await runQemuImg(ctx, copyArguments(disk, to), `cannot copy ${label}`);
  } finally {
    clearInterval(timer);
    ctx.terminal.progress('');
  }
}

const PROGRESS_MILLISECONDS = 500;

/** Compares a copy with the disk, byte by byte. Throws `refused` if they differ. */
export async function verifyCopy(ctx: Context, disk: ServedDisk, to: CopyTo, label: string): Promise<void> {
  ctx.terminal.progress(`comparing ${label} with the snapshot`);
  try {
    await runQemuImg(ctx, compareArguments(disk, to), `the copy of ${label} differs from the snapshot`);
  } finally {
    ctx.terminal.progress('');
  }
}

async function runQemuImg(ctx: Context, args: readonly string[], failed: string) {
  const ended = await ctx.start('qemu-img', args).ended;
  if (ended.exitCode === 0) return ended;
  const said = `${ended.stderr}${ended.stdout}`.trim().replace(/^qemu-img: /, '');
  const why = ended.exitCode === null ? 'qemu-img was killed' : said || `exit code ${ended.exitCode}`;
  throw new KvmsnapError('refused', `${failed}: ${why}`);
}
