import { KvmsnapError } from '../errors.ts';
import { saveHead } from '../libvirt/save-file.ts';
import { withImageFile } from '../qemu/image-file.ts';
import { readVmState } from '../qemu/vm-state.ts';
import type { Context } from '../run/context.ts';
import type { SavedMemory } from './facts.ts';
import { errorIn, NotStarted, refusedByLibvirt } from './not-started.ts';
import type { TemporaryFiles } from './stage.ts';

/** Resumes the throw-away VM from the saved memory of the snapshot. */

interface Resume {
  readonly xml: string;
  readonly memory: SavedMemory;
  readonly files: TemporaryFiles;
  /** How long the task takes at most. */
  readonly seconds: number;
}

const POLL_MILLISECONDS = 250;
/** Time for libvirt to load the memory and to end the VM. */
const SLACK_SECONDS = 60;

/**
 * Runs the task while the VM runs. libvirt does not bind a restored VM to a connection: so the process of virsh that restores it waits
 * for its end, and destroys it when the time is over, also if kvmsnap is killed meanwhile.
 */
export async function whileResumed<T>(
  ctx: Context,
  uuid: string,
  { xml, memory, files, seconds }: Resume,
  task: () => Promise<T>,
): Promise<T> {
  await writeSaveFile(ctx, xml, memory, files);
  const timeout = String(seconds + SLACK_SECONDS);
  let failure: Error | null = null;
  ctx.virsh
    .writeInOne([
      ['restore', '--file', memory.saveFile, '--running'],
      ['event', '--domain', uuid, '--event', 'lifecycle', '--timeout', timeout],
      ['destroy', '--domain', uuid],
    ])
    .then(
      ({ stderr }) => {
        failure ??= refusedByLibvirt(errorIn(stderr.split(/^error: .*event/m)[0] ?? stderr));
      },
      (error) => {
        failure ??= error;
      },
    );
  try {
    while (!(await isRunning(ctx, uuid))) {
      if (failure) throw failure;
      await ctx.clock.sleep(POLL_MILLISECONDS);
    }
    await files.remove();
    return await task();
  } finally {
    await ctx.virsh.setRight([['destroy', '--domain', uuid]]);
  }
}

async function isRunning({ virsh }: Context, uuid: string): Promise<boolean> {
  const { texts } = await virsh.read([['domstate', '--domain', uuid]]);
  return (texts[0] ?? '').startsWith('running');
}

/** Writes the file for virsh restore, which only root can read: it contains all that the guest had in its memory. */
async function writeSaveFile(
  ctx: Context,
  xml: string,
  memory: SavedMemory,
  files: TemporaryFiles,
): Promise<void> {
  const { path, saveFile } = memory;
  await files.expect(saveFile);
  const file = await ctx.files.create(saveFile, 0o600);
  let failure: KvmsnapError | null = null;
  const write = (piece: Uint8Array) =>
    file.append(piece).catch((error: unknown) => {
      failure = new KvmsnapError('check', `cannot write ${saveFile}: ${messageOf(error)}`, {
        hint: 'make room on this file system',
      });
      throw error;
    });
  try {
    const problem = await writeMemory(ctx, xml, memory, write);
    if (problem !== null) throw new NotStarted(`its saved memory in ${path} cannot be read: ${problem}`);
  } catch (error) {
    throw failure ?? error;
  } finally {
    await file.close();
  }
}

/** Why the memory cannot be read; null: all of it was written. */
async function writeMemory(
  { files }: Context,
  xml: string,
  { path, in: place }: SavedMemory,
  write: (piece: Uint8Array) => Promise<void>,
): Promise<string | null> {
  if ('tagId' in place) {
    await write(saveHead(xml, 0));
    return readVmState(files, path, place.tagId, write);
  }
  if (typeof place.stream === 'string') return place.stream;
  const { offset, compression } = place.stream;
  await write(saveHead(xml, compression));
  const read = await withImageFile(files, path, async (file) => {
    const piece = new Uint8Array(PIECE_BYTES);
    for (let at = offset, length = 0; at < file.size; at += length) {
      length = file.read(at, piece);
      if (length === 0) return 'it became shorter meanwhile';
      await write(piece.subarray(0, length));
    }
    return null;
  });
  return 'value' in read ? read.value : 'it cannot be opened';
}

const PIECE_BYTES = 2 ** 20;

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
