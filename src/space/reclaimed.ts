import { KvmsnapError } from '../errors.ts';
import { errorCode, type HostFiles } from '../host/files.ts';
import { isActive, takesPart } from '../model/domain.ts';
import { mentionedFiles } from '../model/domain-files.ts';
import { chainPaths } from '../model/image.ts';
import type { Context } from '../run/context.ts';
import type { Vm } from '../vm/load.ts';
import type { VmSpace } from './measure.ts';

/** The space that deletions give back to the host: predicted from the images' metadata, or measured from the files. */

export interface Freed {
  /** Bytes on the host; null if unknown. */
  readonly bytes: number | null;
  /**
   * True if the VM runs, because QEMU has not written all its metadata and the guest writes meanwhile; or as in
   * `SnapshotCost`.
   */
  readonly approximate: boolean;
}

/** The result of deleting nothing. */
export const NOTHING_FREED: Freed = { bytes: 0, approximate: false };

/**
 * Bytes that all files of a VM's disks and snapshots occupy; a missing file occupies none. Null if one of them cannot
 * be inspected.
 */
export async function occupiedBy(
  hostFiles: HostFiles,
  { domain, images, snapshots }: Vm,
): Promise<number | null> {
  const disks = domain.disks.filter(takesPart).flatMap(({ target, source }): (string | null)[] => {
    const image = images.get(target);
    if (image?.kind === 'seen') return chainPaths(image);
    return [image?.kind === 'unseen' && image.why !== 'permission' ? null : source];
  });
  const files = new Set([...disks, ...snapshots.flatMap(mentionedFiles)]);
  const sizes = await Promise.all([...files].map((path) => occupiedNow(hostFiles, path)));
  return sizes.reduce((all, one) => (all === null || one === null ? null : all + one), 0);
}

async function occupiedNow(files: HostFiles, path: string | null): Promise<number | null> {
  try {
    return path === null ? null : (await files.stat(path)).occupiedBytes;
  } catch (error) {
    return errorCode(error) === 'ENOENT' ? 0 : null;
  }
}

/** Runs a deletion, and returns by how much the files of the VM have shrunk, measured before and after. */
export async function whatIsFreed<T>(
  { files }: Pick<Context, 'files'>,
  vm: Vm,
  remove: () => Promise<T>,
): Promise<{ readonly done: T; readonly freed: Freed }> {
  const before = await occupiedBy(files, vm);
  const done = await remove();
  const after = await occupiedBy(files, vm);
  // metadata is rewritten, so the files may even have grown a little
  const bytes = before === null || after === null ? null : Math.max(0, before - after);
  return { done, freed: { bytes, approximate: isActive(vm.domain.state) } };
}

export interface Foreseen {
  /** By name, what deleting only this snapshot frees; absent if unknown. */
  readonly alone: ReadonlyMap<string, number>;
  readonly together: Freed;
}

/** What deleting these snapshots would free. What cannot be read is unknown, which is no failure. */
export async function foreseeFreed(ctx: Context, vm: Vm, names: readonly string[]): Promise<Foreseen> {
  if (names.length === 0) return { alone: new Map(), together: NOTHING_FREED };
  const space = await measureIfPossible(ctx, vm, names);
  const alone = new Map(
    (space?.snapshots ?? []).flatMap(({ snapshot: { name }, cost }) =>
      cost && names.includes(name) ? [[name, cost.frees.hostBytes] as const] : [],
    ),
  );
  // a sum with a missing part would be wrong
  const isWhole = names.every((name) => alone.has(name));
  const bytes = isWhole ? (space?.together.frees?.hostBytes ?? null) : null;
  return {
    alone,
    together: { bytes, approximate: space?.approximate ?? isActive(vm.domain.state) },
  };
}

/** The same for a question, with a time limit, because the question must not be delayed; null if reading takes longer. */
export async function foreseeQuickly(
  ctx: Context,
  vm: Vm,
  names: readonly string[],
  milliseconds: number,
): Promise<Foreseen | null> {
  const foreseen = foreseeFreed(ctx, vm, names).catch(() => null);
  return Promise.race([foreseen, ctx.clock.sleep(milliseconds).then(() => null)]);
}

/** The cost of these snapshots together; null if it cannot be read. */
export async function measureIfPossible(
  ctx: Context,
  vm: Vm,
  names: readonly string[],
): Promise<VmSpace | null> {
  const { measureVm } = await import('./measure.ts');
  try {
    return await measureVm(ctx, vm, names);
  } catch (error) {
    if (!(error instanceof KvmsnapError) || ctx.interrupts.stop.aborted) throw error;
    return null;
  }
}
