import { createHash } from 'node:crypto';
import { directoryState } from '../create/target-files.ts';
import { errorCode, type HostFiles, mostFreeBytes, occupiedBytes } from '../host/files.ts';
import { directoryOf, stem } from '../model/paths.ts';
import { locationOf, overlaidDisks, type Snapshot } from '../model/snapshot.ts';
import type { Context } from '../run/context.ts';
import { isRemote } from '../vm/disks.ts';
import type { OverlayTarget } from '../vm/external-state.ts';

/**
 * The overlays of a revert to an external snapshot: libvirt creates one on top of the file of every disk of the stored
 * definition, also of a CD-ROM's medium, and names it by the present second. If that fails, the guest is already stopped.
 */

/** Where the overlays will be created; empty for an internal snapshot, or one on another host. */
export async function readOverlayTargets(
  { files }: Pick<Context, 'files'>,
  uri: string,
  snapshot: Snapshot,
): Promise<OverlayTarget[]> {
  if (isRemote(uri) || locationOf(snapshot) === 'internal') return [];
  return Promise.all(
    overlaidDisks(snapshot).map(async ({ target, path }) => ({
      target,
      path,
      isFile: await files.stat(path).then(
        ({ kind }) => kind === 'file',
        () => true, // another check reports that it is missing
      ),
      directory: await directoryState(files, directoryOf(path) || '/'),
      freeBytes: await mostFreeBytes(files, directoryOf(path) || '/', true),
    })),
  );
}

/** How many seconds the clock of the host may be behind the one that named a file. */
const SECONDS_AHEAD = 5;
const PAUSE_MILLISECONDS = 100;
/** A lock older than this belongs to a run that has died. */
const HELD_MILLISECONDS = 60_000;

/**
 * Runs a revert as soon as the file names that libvirt will choose are free, and locks them against every other kvmsnap of
 * this host meanwhile: VMs with the same backing file, or the same CD-ROM medium, would get the same names.
 */
export async function withFreeNames<T>(
  ctx: Context,
  uri: string,
  snapshot: Snapshot,
  revert: () => Promise<T>,
): Promise<T> {
  if (isRemote(uri) || locationOf(snapshot) === 'internal') return revert();
  const stems = [...new Set(overlaidDisks(snapshot).map(({ path }) => stem(path)))].sort();
  const held: string[] = [];
  try {
    for (const each of stems) held.push(...(await hold(ctx, each)));
    while (await areTaken(ctx.files, stems, Math.floor(ctx.clock.now() / 1000)))
      await ctx.clock.sleep(PAUSE_MILLISECONDS);
    return await revert();
  } finally {
    await Promise.all(held.map((lock) => removeLock(ctx, lock)));
  }
}

async function areTaken(files: HostFiles, stems: readonly string[], second: number): Promise<boolean> {
  const names = stems.flatMap((each) =>
    Array.from({ length: SECONDS_AHEAD }, (_, i) => `${each}.${second + i}`),
  );
  return (await Promise.all(names.map((name) => occupiedBytes(files, name)))).some((bytes) => bytes !== null);
}

/** Creates the lock of a name; a user who may not create locks relies on free names alone. */
async function hold(ctx: Context, name: string): Promise<string[]> {
  const key = createHash('sha256').update(name).digest('hex').slice(0, 16);
  const lock = `/run/lock/kvmsnap-revert-${key}`;
  const since = ctx.clock.now();
  for (;;) {
    try {
      await ctx.files.write(lock, new Uint8Array(), 0o600);
      return [lock];
    } catch (error) {
      if (errorCode(error) !== 'EEXIST') return [];
    }
    if (ctx.clock.now() - since > HELD_MILLISECONDS) {
      await removeLock(ctx, lock);
      return [];
    }
    await ctx.clock.sleep(PAUSE_MILLISECONDS);
  }
}

/** Removes a lock, which another run may have removed already. */
const removeLock = ({ files }: Pick<Context, 'files'>, lock: string): Promise<void> =>
  files.remove(lock).catch(() => undefined);
