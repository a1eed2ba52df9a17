import type { UnusedMemory } from '../unused-memory.ts';
import {
  BREATH_BYTES,
  bytesAt,
  createBreath,
  type ImageBytes,
  offsetIn,
  Unmeasurable,
  viewOf,
} from './bytes.ts';
import { openClusters } from './clusters.ts';
import { bytesPerTable, type Header, readHeader } from './header.ts';
import { findReferences, roomForReferences } from './l2-entries.ts';
import { countedClusters, readRefcounts } from './refcounts.ts';

/**
 * Finds memory of a guest that stays in an image and belongs to no snapshot, mostly after QEMU failed to save it. QEMU
 * writes the memory beyond the end of the disk, gives it to the snapshot, and removes it from the image's own table
 * (qcow2_snapshot_create); if it never gets to the snapshot, the memory stays. A revert (qcow2_snapshot_goto) makes the
 * image refer to the memory of the snapshot again, even if the snapshot is deleted afterwards.
 */

const NONE: UnusedMemory = { bytes: 0, endBytes: 0 };

/**
 * Reads the part of the image's L1 table beyond the end of the disk, which is empty in most images. Null for an image
 * that cannot be read, or whose refcounts cannot be trusted. The result is meaningless while a save is under way.
 */
export async function readUnusedMemory(image: ImageBytes): Promise<UnusedMemory | null> {
  try {
    const header = readHeader(image);
    return header.dirty ? null : await measure(image, header);
  } catch (error) {
    if (error instanceof Unmeasurable) return null;
    throw error;
  }
}

async function measure(image: ImageBytes, header: Header): Promise<UnusedMemory> {
  const { clusterBytes, l1, virtualBytes } = header;
  const covered = bytesPerTable(header);
  const first = Math.ceil(virtualBytes / covered);
  if (first >= l1.entries) return NONE;
  const view = bytesAt(image, l1.offset + first * 8, (l1.entries - first) * 8);
  const tables = Array.from({ length: l1.entries - first }, (_, i) => ({
    index: first + i,
    offset: offsetIn(view, i * 8),
  })).filter(({ offset }) => offset > 0 && offset % clusterBytes === 0 && offset < image.size);
  if (tables.length === 0) return NONE;

  const clusters = countedClusters(image, header);
  const counts = await readRefcounts(image, header, clusters);
  const contents = openClusters(
    image,
    clusterBytes,
    tables.map(({ offset }) => offset),
  );
  const found = roomForReferences(header);
  const breath = createBreath(BREATH_BYTES);
  let unused = NONE;
  for (const [place, { index }] of tables.entries()) {
    const count = findReferences(viewOf(contents.at(place)), header, clusters, false, found);
    const own = found.subarray(0, count).filter((cluster) => counts[cluster] === 1).length;
    if (own > 0) unused = { bytes: unused.bytes + own * clusterBytes, endBytes: (index + 1) * covered };
    await breath(clusterBytes);
  }
  return unused;
}
