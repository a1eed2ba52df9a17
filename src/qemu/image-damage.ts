import type { HostFiles } from '../host/files.ts';
import { withImageFile } from './image-file.ts';
import { BREATH_BYTES, createBreath, type ImageBytes, Unmeasurable, viewOf } from './qcow2/bytes.ts';
import { openClusters } from './qcow2/clusters.ts';
import { readHeader } from './qcow2/header.ts';
import { findReferences, roomForReferences } from './qcow2/l2-entries.ts';
import { readL1 } from './qcow2/l2-tables.ts';

/** The L2 tables that are read, in bytes: those of 512 GiB of data with the usual clusters. */
const MOST_BYTES = 64 * 2 ** 20;

/**
 * Whether a qcow2 image that nobody writes to has lost a part of its content: its tables name places beyond the end of the
 * file, as after it was cut off, or cannot be read. Returns what is wrong; null if nothing is, or if that is not known.
 */
export async function damageIn(files: HostFiles, path: string): Promise<string | null> {
  const opened = await withImageFile(files, path, async (image) => {
    try {
      await readAllReferences(image);
      return null;
    } catch (error) {
      if (!(error instanceof Unmeasurable)) throw error;
      return ['damaged', 'corrupt', 'not-qcow2'].includes(error.why) ? error.message : null;
    }
  });
  return 'closed' in opened ? null : opened.value;
}

/** Throws Unmeasurable for a reference beyond the end of the file. */
async function readAllReferences(image: ImageBytes): Promise<void> {
  const header = readHeader(image);
  const { clusterBytes } = header;
  const clusters = Math.ceil(image.size / clusterBytes);
  const l1 = readL1(image, header, clusters, header.l1, 'the image');
  const tables = [...l1].filter((cluster) => cluster !== 0).slice(0, Math.ceil(MOST_BYTES / clusterBytes));
  const contents = openClusters(
    image,
    clusterBytes,
    tables.map((cluster) => cluster * clusterBytes),
  );
  const found = roomForReferences(header);
  const breath = createBreath(BREATH_BYTES);
  for (const place of tables.keys()) {
    findReferences(viewOf(contents.at(place)), header, clusters, true, found);
    await breath(clusterBytes);
  }
}
