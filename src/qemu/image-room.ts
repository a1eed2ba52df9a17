import type { HostFiles } from '../host/files.ts';
import { withImageFile } from './image-file.ts';
import { asAnswer, type ImageBytes } from './qcow2/bytes.ts';
import { readHeader } from './qcow2/header.ts';
import { snapshotClusters, spareClusters, TABLE_CLUSTERS } from './qcow2/room.ts';

/** The smallest unit that file systems allocate. */
const BLOCK_BYTES = 4096;

/**
 * Whether another snapshot (`snapshot`), or the table that remains after a deletion (`table`), can be added to a qcow2
 * image on a block device, or in a file whose file system has `freeBytes` left. Null if unknown. Deleting the only
 * snapshot needs no space.
 */
export async function hasRoom(
  files: HostFiles,
  path: string,
  adds: 'snapshot' | 'table',
  freeBytes = 0,
): Promise<boolean | null> {
  const opened = await withImageFile(files, path, (image) => {
    try {
      const clusters = clustersFor(image, adds);
      if (clusters === null) return null;
      if (freeBytes >= clusters * BLOCK_BYTES) return true;
      // a freed cluster may be a hole by now, which needs new space
      const isWhole = image.kind === 'block-device' || image.occupiedBytes >= image.size;
      return isWhole && spareClusters(image, image.size, clusters) >= clusters;
    } catch (error) {
      asAnswer(error);
      return null;
    }
  });
  return 'closed' in opened ? null : opened.value;
}

/** Null if the refcounts cannot be trusted. */
function clustersFor(image: ImageBytes, adds: 'snapshot' | 'table'): number | null {
  const { dirty, snapshots } = readHeader(image);
  if (dirty) return null;
  if (adds === 'snapshot') return snapshotClusters(image);
  return snapshots.count > 1 ? TABLE_CLUSTERS : 0;
}

/** Bytes that can be added to the qcow2 image on a block device, counted up to `enough`; null if unknown. */
export async function roomOnDevice(files: HostFiles, path: string, enough: number): Promise<number | null> {
  const opened = await withImageFile(files, path, (image) => {
    try {
      if (image.kind !== 'block-device') return null;
      const { clusterBytes } = readHeader(image);
      return spareClusters(image, image.size, Math.ceil(enough / clusterBytes)) * clusterBytes;
    } catch (error) {
      asAnswer(error);
      return null;
    }
  });
  return 'closed' in opened ? null : opened.value;
}
