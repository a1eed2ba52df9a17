import type { HostFiles } from '../host/files.ts';
import { withImageFile } from './image-file.ts';
import { BREATH_BYTES, createBreath, type ImageBytes, Unmeasurable, viewOf } from './qcow2/bytes.ts';
import { openClusters } from './qcow2/clusters.ts';
import { type Header, readHeader } from './qcow2/header.ts';
import { findReferences, roomForReferences } from './qcow2/l2-entries.ts';
import { readL1 } from './qcow2/l2-tables.ts';
import { countedClusters, readRefcounts } from './qcow2/refcounts.ts';

/** The L2 tables that are read, in bytes: those of 512 GiB of data with the usual clusters. */
const MOST_BYTES = 64 * 2 ** 20;

/**
 * Whether a qcow2 image that nobody writes to has lost a part of its content: its tables name places beyond the end of the
 * file, as after it was cut off, or cannot be read. Returns what is wrong; null if nothing is, or if that is not known.
 */
export async function damageIn(files: HostFiles, path: string): Promise<string | null> {
  const opened = await withImageFile(files, path, async (image) => {
    try {
      await readReferences(image, readHeader(image), true, () => {});
      return null;
    } catch (error) {
      if (!(error instanceof Unmeasurable)) throw error;
      return ['damaged', 'corrupt', 'not-qcow2'].includes(error.why) ? error.message : null;
    }
  });
  return 'closed' in opened ? null : opened.value;
}

/**
 * The number of clusters that a qcow2 image that nobody writes to uses, and counts as free (a refcount of 0): whatever is written next
 * overwrites them. 0 also if that is not known, and for an image whose dirty bit is set, which QEMU counts anew when it opens it.
 */
export async function usedButFree(files: HostFiles, path: string): Promise<number> {
  const opened = await withImageFile(files, path, async (image) => {
    try {
      const header = readHeader(image);
      if (header.dirty) return 0;
      const counts = await readRefcounts(image, header, countedClusters(image, header));
      const free = new Set<number>();
      await readReferences(image, header, false, (cluster) => {
        if (counts[cluster] === 0) free.add(cluster);
      });
      return free.size;
    } catch (error) {
      if (!(error instanceof Unmeasurable)) throw error;
      return 0;
    }
  });
  return 'closed' in opened ? 0 : opened.value;
}

/**
 * Calls `visit` with each cluster of an L2 table of the image and of the data to which it refers. A reference beyond the end of the file
 * throws Unmeasurable if `strict`.
 */
async function readReferences(
  image: ImageBytes,
  header: Header,
  strict: boolean,
  visit: (cluster: number) => void,
): Promise<void> {
  const { clusterBytes } = header;
  const clusters = Math.ceil(image.size / clusterBytes);
  const l1 = readL1(image, header, clusters, header.l1, strict ? 'the image' : null);
  const tables = [...l1].filter((cluster) => cluster !== 0).slice(0, Math.ceil(MOST_BYTES / clusterBytes));
  const contents = openClusters(
    image,
    clusterBytes,
    tables.map((cluster) => cluster * clusterBytes),
  );
  const found = roomForReferences(header);
  const breath = createBreath(BREATH_BYTES);
  for (const [place, table] of tables.entries()) {
    visit(table);
    const count = findReferences(viewOf(contents.at(place)), header, clusters, strict, found);
    for (let i = 0; i < count; i++) visit(found[i] ?? 0);
    await breath(clusterBytes);
  }
}
