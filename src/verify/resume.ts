import { KvmsnapError } from '../errors.ts';
import { saveHead } from '../libvirt/save-file.ts';
import { readVmState } from '../qemu/vm-state.ts';
import type { Context } from '../run/context.ts';
import type { SavedMemory } from './facts.ts';
import { errorIn, NotStarted } from './not-started.ts';
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
        failure ??= new NotStarted(errorIn(stderr.split(/^error: .*event/m)[0] ?? stderr));
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
  { path, tagId, saveFile }: SavedMemory,
  files: TemporaryFiles,
): Promise<void> {
  await files.expect(saveFile);
  const file = await ctx.files.create(saveFile, 0o600);
  try {
    await file.append(saveHead(xml));
    const problem = await readVmState(ctx.files, path, tagId ?? '', (piece) => file.append(piece));
    if (problem !== null)
      throw new KvmsnapError('check', `the saved memory in ${path} cannot be read: ${problem}`);
  } finally {
    await file.close();
  }
}
