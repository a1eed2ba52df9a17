import { occupiedBytes } from '../host/files.ts';
import { readDaemonVersion } from '../libvirt/runtime.ts';
import type { DiskImage, Image } from '../model/image.ts';
import { isFrom, REMOVES_MEMORY } from '../model/libvirt-versions.ts';
import type { SnapshotReport } from '../model/report.ts';
import { measureMerge } from '../qemu/image-space.ts';
import { NOTHING, plus, type Space } from '../qemu/qcow2/survey.ts';
import type { Context, VmReader } from '../run/context.ts';

/**
 * What external snapshots cost. Each has an overlay, to which everything since then was written. Deleting the snapshot
 * merges the overlay into its backing file, which grows, and removes the overlay.
 */

export type OverlayCost =
  | { readonly kind: 'measured'; readonly frees: Space; readonly holds: Space; readonly approximate: boolean }
  | { readonly kind: 'unmeasured'; readonly problem: string };

const unmeasured = (problem: string): OverlayCost => ({ kind: 'unmeasured', problem });

/** The cost of deleting external snapshots together: these overlays of one disk. */
export async function measureOverlays(
  ctx: Pick<Context, 'files' | 'qemuImg'>,
  looked: DiskImage | undefined,
  overlays: readonly string[],
): Promise<OverlayCost> {
  if (looked?.kind !== 'seen') return unmeasured('the image cannot be read');
  const { chain } = looked;
  const places = overlays.map((overlay) => chain.findIndex(({ path }) => path === overlay));
  const missing = places.indexOf(-1);
  if (missing >= 0) return unmeasured(`its overlay ${overlays[missing]} is not in use`);
  const costs: OverlayCost[] = [];
  for (const { first, last } of runsOf(places)) costs.push(await measureRun(ctx, chain, first, last));
  return costs.reduce(add, { kind: 'measured', frees: NOTHING, holds: NOTHING, approximate: false });
}

/** Groups the overlays that follow each other directly in the chain. */
function runsOf(places: readonly number[]): { first: number; last: number }[] {
  const runs: { first: number; last: number }[] = [];
  for (const place of [...places].sort((a, b) => a - b)) {
    const run = runs.at(-1);
    if (run && run.last === place - 1) run.last = place;
    else runs.push({ first: place, last: place });
  }
  return runs;
}

function add(one: OverlayCost, other: OverlayCost): OverlayCost {
  if (one.kind === 'unmeasured') return one;
  if (other.kind === 'unmeasured') return other;
  return {
    kind: 'measured',
    frees: plus(one.frees, other.frees),
    holds: plus(one.holds, other.holds),
    approximate: one.approximate || other.approximate,
  };
}

/** The cost of merging the overlays from the first to the last place in the chain into the backing file of the last. */
async function measureRun(
  tools: Pick<Context, 'qemuImg' | 'files'>,
  chain: readonly Image[],
  first: number,
  last: number,
): Promise<OverlayCost> {
  const overlays = chain.slice(first, last + 1);
  const base = chain[last + 1];
  if (!base)
    return unmeasured(
      overlays.at(-1)?.backing === null
        ? 'its overlay has no backing file'
        : 'the backing file of its overlay is not on this host',
    );
  const { format } = base;
  if (format !== 'raw' && format !== 'qcow2')
    return unmeasured(`the backing file of its overlay is ${format}`);
  const paths = overlays.map(({ path }) => path);
  const merge = await measureMerge(tools, paths, { path: base.path, format });
  if (merge.kind === 'unmeasured') return unmeasured(merge.detail);
  const { growth, overlayBytes, approximate } = merge;
  // read again, because QEMU may have written metadata since the disks were inspected
  const occupied = await Promise.all(paths.map((path) => occupiedBytes(tools.files, path)));
  const hostBytes = occupied.reduce<number>((sum, bytes) => sum + (bytes ?? 0), 0);
  return {
    kind: 'measured',
    holds: { clusterBytes: overlayBytes, hostBytes },
    frees: {
      clusterBytes: Math.max(0, overlayBytes - growth.clusterBytes),
      hostBytes: Math.max(0, hostBytes - growth.hostBytes),
    },
    approximate,
  };
}

/** The file with the guest's memory. */
export interface MemorySpace {
  readonly space: Space;
  /** Whether a delete removes the file. */
  readonly isFreed: boolean;
}

/** The memory files of external snapshots, by name of the snapshot. Reads libvirtd's version if there are any. */
export async function measureMemory(
  ctx: VmReader,
  snapshots: readonly SnapshotReport[],
): Promise<ReadonlyMap<string, MemorySpace>> {
  const files = snapshots.flatMap(({ name, memory }) =>
    memory.location === 'external' && memory.file !== null ? [{ name, file: memory.file }] : [],
  );
  if (files.length === 0) return new Map();
  const isFreed = isFrom(await readDaemonVersion(ctx.virsh), REMOVES_MEMORY);
  return new Map(
    await Promise.all(
      files.map(async ({ name, file }): Promise<[string, MemorySpace]> => {
        const bytes = (await occupiedBytes(ctx.files, file)) ?? 0;
        return [name, { isFreed, space: { clusterBytes: bytes, hostBytes: bytes } }];
      }),
    ),
  );
}
