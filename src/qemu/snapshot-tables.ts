import type { HostFiles } from '../host/files.ts';
import { withImageFile } from './image-file.ts';
import { asAnswer, BREATH_BYTES, bytesAt, createBreath, type ImageBytes } from './qcow2/bytes.ts';
import { type Header, readHeader } from './qcow2/header.ts';
import { findReferences, roomForReferences } from './qcow2/l2-entries.ts';
import { readL1 } from './qcow2/l2-tables.ts';
import { readSnapshotTable } from './qcow2/snapshot-table.ts';

/**
 * Checks the tables by which QEMU finds the data of an internal snapshot, also while a guest uses the image: they do not change as
 * long as the snapshot exists, whereas `qemu-img check -U` takes half written tables of the guest for damage. Returns what is wrong;
 * null: nothing, or the file cannot be read. Data that is stored at a wrong place, but within the file, is not noticed.
 */
export async function findTableDamage(files: HostFiles, path: string, tagId: string): Promise<string | null> {
  const found = await withImageFile(files, path, async (file) => {
    try {
      await readTables(file, tagId);
      return null;
    } catch (error) {
      return asAnswer(error).detail;
    }
  });
  return 'value' in found ? found.value : null;
}

async function readTables(image: ImageBytes, tagId: string): Promise<void> {
  const header: Header = readHeader(image);
  const { clusterBytes } = header;
  const { snapshots } = readSnapshotTable(image, header);
  const snapshot = snapshots.find(({ id }) => id === tagId);
  if (!snapshot) return;
  const clusters = Math.ceil(image.size / clusterBytes);
  const references = roomForReferences(header);
  const breath = createBreath(BREATH_BYTES);
  for (const cluster of readL1(image, header, clusters, snapshot.l1, 'the snapshot')) {
    if (cluster === 0) continue;
    findReferences(bytesAt(image, cluster * clusterBytes, clusterBytes), header, clusters, true, references);
    await breath(clusterBytes);
  }
}
