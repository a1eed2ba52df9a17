import { createHash } from 'node:crypto';
import { directoryState } from '../create/target-files.ts';
import { errorCode, type HostFiles, mostFreeBytes, occupiedBytes } from '../host/files.ts';
import { directoryOf, stem } from '../model/paths.ts';
import { locationOf, overlaidDisks, type Snapshot } from '../model/snapshot.ts';
import type { Context } from '../run/context.ts';
import { isRemote } from '../vm/disks.ts';
import type { OverlayTarget } from '../vm/external-state.ts';

/**
 * The overlays that a revert to an external snapshot makes: libvirt lays one over the file of every disk of the stored
 * definition, a CD-ROM's medium too, and calls it by the second. It has stopped the guest before it finds that it cannot.
 */

/** Where they are to be; empty for an internal snapshot, or another host's. */
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

/** No clock of a host is so far behind one that has named a file. */
const SECONDS_AHEAD = 5;
const PAUSE_MILLISECONDS = 100;
/** A run that is to hold a name no longer than this is taken for dead. */
const HELD_MILLISECONDS = 60_000;

/**
 * Runs a revert when the names that libvirt will choose are free, and holds them against every other kvmsnap of this host
 * meanwhile: VMs with one base, or one CD-ROM medium, would get the same.
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

/** Makes the lock of a name; where none can be made, as another user, the names alone must do. */
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

/** Another run may have removed it. */
const removeLock = ({ files }: Pick<Context, 'files'>, lock: string): Promise<void> =>
  files.remove(lock).catch(() => undefined);
