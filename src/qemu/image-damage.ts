import type { HostFiles } from '../host/files.ts';
import { withImageFile } from './image-file.ts';
import { BREATH_BYTES, createBreath, type ImageBytes, Unmeasurable, viewOf } from './qcow2/bytes.ts';
import { openClusters } from './qcow2/clusters.ts';
import { type Header, readHeader } from './qcow2/header.ts';
import { findReferences, roomForReferences } from './qcow2/l2-entries.ts';
import { readL1 } from './qcow2/l2-tables.ts';
import { countedClusters, readRefcounts, TOO_MANY } from './qcow2/refcounts.ts';
import { readSnapshotTable } from './qcow2/snapshot-table.ts';

/** The L2 tables that are read, in bytes: those of 512 GiB of data with the usual clusters. */
const MOST_BYTES = 64 * 2 ** 20;

/**
 * Whether a qcow2 image that nobody writes to has lost a part of its content: its tables name places beyond the end of the
 * file, as after it was cut off, or cannot be read. Returns what is wrong; null if nothing is, or if that is not known.
 */
export async function damageIn(files: HostFiles, path: string): Promise<string | null> {
  const opened = await withImageFile(files, path, async (image) => {
    try {
      const header = readHeader(image);
      const l1 = readL1(image, header, fileClusters(image, header), header.l1, 'the image');
      await readReferences(image, header, [...l1].filter(isTable), true, () => {});
      return null;
    } catch (error) {
      if (!(error instanceof Unmeasurable)) throw error;
      return ['damaged', 'corrupt', 'not-qcow2'].includes(error.why) ? error.message : null;
    }
  });
  return 'closed' in opened ? null : opened.value;
}

/**
 * The number of clusters to which a qcow2 image that nobody writes to, or one of its snapshots, refers more often than it counts. QEMU
 * writes over those that it counts as free, and frees the others too early. 0 also if that is not known, and for an image whose dirty
 * bit is set, which QEMU counts anew when it opens it.
 */
export async function undercountedClusters(files: HostFiles, path: string): Promise<number> {
  const opened = await withImageFile(files, path, async (image) => {
    try {
      const header = readHeader(image);
      return header.dirty ? 0 : await undercountedIn(image, header);
    } catch (error) {
      if (!(error instanceof Unmeasurable)) throw error;
      return 0;
    }
  });
  return 'closed' in opened ? 0 : opened.value;
}

async function undercountedIn(image: ImageBytes, header: Header): Promise<number> {
  const left = await readRefcounts(image, header, countedClusters(image, header));
  const low = new Set<number>();
  const refer = (cluster: number, times: number) => {
    const count = left[cluster];
    if (count === undefined || count === TOO_MANY) return;
    if (count < times) low.add(cluster);
    left[cluster] = Math.max(0, count - times);
  };
  const clusters = fileClusters(image, header);
  // a snapshot shares the L2 tables that have not changed since; each is read once
  const owners = new Map<number, number>();
  for (const table of [header.l1, ...readSnapshotTable(image, header).snapshots.map(({ l1 }) => l1)]) {
    const start = table.offset / header.clusterBytes;
    const length = Math.ceil((table.entries * 8) / header.clusterBytes);
    for (let i = 0; i < length; i++) refer(start + i, 1);
    for (const cluster of readL1(image, header, clusters, table, null).filter(isTable))
      owners.set(cluster, (owners.get(cluster) ?? 0) + 1);
  }
  await readReferences(image, header, [...owners.keys()], false, (cluster, table) =>
    refer(cluster, owners.get(table) ?? 1),
  );
  return low.size;
}

const isTable = (cluster: number): boolean => cluster !== 0;

const fileClusters = (image: ImageBytes, { clusterBytes }: Header): number =>
  Math.ceil(image.size / clusterBytes);

/**
 * Calls `visit` with each of the L2 tables, as far as they are read, and with each cluster to which it refers, as often as it does. A
 * reference beyond the end of the file throws Unmeasurable if `strict`.
 */
async function readReferences(
  image: ImageBytes,
  header: Header,
  all: readonly number[],
  strict: boolean,
  visit: (cluster: number, table: number) => void,
): Promise<void> {
  const { clusterBytes } = header;
  const tables = all.slice(0, Math.ceil(MOST_BYTES / clusterBytes));
  const contents = openClusters(
    image,
    clusterBytes,
    tables.map((cluster) => cluster * clusterBytes),
  );
  const found = roomForReferences(header);
  const breath = createBreath(BREATH_BYTES);
  for (const [place, table] of tables.entries()) {
    visit(table, table);
    const count = findReferences(
      viewOf(contents.at(place)),
      header,
      fileClusters(image, header),
      strict,
      found,
    );
    for (let i = 0; i < count; i++) visit(found[i] ?? 0, table);
    await breath(clusterBytes);
  }
}
