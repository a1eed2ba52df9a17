import { createHash } from 'node:crypto';
import { open, rm, stat } from 'node:fs/promises';
import { directoryState } from '../create/target-files.ts';
import { mostFreeBytes, occupiedBytes } from '../host/files.ts';
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
export async function readOverlayTargets(uri: string, snapshot: Snapshot): Promise<OverlayTarget[]> {
  if (isRemote(uri) || locationOf(snapshot) === 'internal') return [];
  return Promise.all(
    overlaidDisks(snapshot).map(async ({ target, path }) => ({
      target,
      path,
      isFile: await stat(path).then(
        (found) => found.isFile(),
        () => true, // that it is missing is told elsewhere
      ),
      directory: await directoryState(directoryOf(path) || '/'),
      freeBytes: await mostFreeBytes(directoryOf(path) || '/', true),
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
    while (await areTaken(stems, Math.floor(ctx.clock.now() / 1000)))
      await ctx.clock.sleep(PAUSE_MILLISECONDS);
    return await revert();
  } finally {
    await Promise.all(held.map((lock) => rm(lock, { force: true })));
  }
}

async function areTaken(stems: readonly string[], second: number): Promise<boolean> {
  const names = stems.flatMap((each) =>
    Array.from({ length: SECONDS_AHEAD }, (_, i) => `${each}.${second + i}`),
  );
  return (await Promise.all(names.map(occupiedBytes))).some((bytes) => bytes !== null);
}

/** Makes the lock of a name; where none can be made, as another user, the names alone must do. */
async function hold(ctx: Context, name: string): Promise<string[]> {
  const key = createHash('sha256').update(name).digest('hex').slice(0, 16);
  const lock = `/run/lock/kvmsnap-revert-${key}`;
  const since = ctx.clock.now();
  for (;;) {
    try {
      await (await open(lock, 'wx', 0o600)).close();
      return [lock];
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') return [];
    }
    if (ctx.clock.now() - since > HELD_MILLISECONDS) {
      await rm(lock, { force: true }).catch(() => {});
      return [];
    }
    await ctx.clock.sleep(PAUSE_MILLISECONDS);
  }
}
