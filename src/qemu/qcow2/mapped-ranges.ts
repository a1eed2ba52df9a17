import { BREATH_BYTES, createBreath, type ImageBytes, viewOf } from './bytes.ts';
import { openClusters } from './clusters.ts';
import { bytesPerTable, type Header } from './header.ts';
import { COMPRESSED } from './l2-entries.ts';
import { readL1 } from './l2-tables.ts';

/** Which parts of its disk an image holds itself, independent of its backing file. */

/** Bytes of the guest's disk from `start` up to, not including, `end`. */
export interface Range {
  readonly start: number;
  readonly end: number;
}

/** Called with each range, in ascending order: `data` for data in the image, `zeros` for parts that read as zeros. */
export interface RangeVisitor {
  data(range: Range): void;
  zeros(range: Range): void;
}

/** An image whose ranges are read. */
export interface Mapped {
  readonly image: ImageBytes;
  readonly header: Header;
  /** The number of clusters in the file to which anything may refer. */
  readonly clusters: number;
}

export const SUBCLUSTERS = 32;

/**
 * The ranges that the image itself holds now. Adjoining ranges of one kind are joined within an L2 table. Source of the
 * format: as in l2-entries.ts.
 */
export async function visitRanges({ image, header, clusters }: Mapped, visitor: RangeVisitor): Promise<void> {
  const { clusterBytes } = header;
  const l1 = readL1(image, header, clusters, header.l1, 'the image');
  const tableBytes = bytesPerTable(header);
  // tables beyond the end of the disk map saved memory
  const indexes = [...l1.keys()].filter(
    (index) => l1[index] !== 0 && index * tableBytes < header.virtualBytes,
  );
  const contents = openClusters(
    image,
    clusterBytes,
    indexes.map((index) => (l1[index] ?? 0) * clusterBytes),
  );
  const breath = createBreath(BREATH_BYTES);
  for (const [place, index] of indexes.entries()) {
    const join = joiner(visitor, header.virtualBytes);
    visitTable(viewOf(contents.at(place)), header, index * tableBytes, join);
    join(0, 0, NONE);
    await breath(clusterBytes);
  }
}

const [NONE, DATA, ZEROS] = [0, 1, 2];

/** Joins adjoining ranges, which come in ascending order, and leaves out what is beyond the end of the disk. */
function joiner(visitor: RangeVisitor, limit: number) {
  let [start, end, kind] = [0, 0, NONE];
  return (from: number, bytes: number, next: number): void => {
    if (next === kind && from === end) {
      end += bytes;
      return;
    }
    const range = { start, end: Math.min(end, limit) };
    if (kind !== NONE && range.start < range.end) {
      if (kind === DATA) visitor.data(range);
      else visitor.zeros(range);
    }
    [start, end, kind] = [from, from + bytes, next];
  };
}

function visitTable(
  table: DataView,
  { clusterBytes, l2EntryBytes }: Header,
  from: number,
  join: (from: number, bytes: number, kind: number) => void,
): void {
  let guest = from;
  for (let at = 0; at < clusterBytes; at += l2EntryBytes, guest += clusterBytes) {
    const [high, low] = [table.getInt32(at), table.getInt32(at + 4)];
    if (high & COMPRESSED) join(guest, clusterBytes, DATA);
    else if (l2EntryBytes === 16) visitSubclusters(table, at + 8, guest, clusterBytes / SUBCLUSTERS, join);
    else if (low & 1) join(guest, clusterBytes, ZEROS);
    else if ((high & 0xff_ffff) !== 0 || (low & ~511) !== 0) join(guest, clusterBytes, DATA);
  }
}

/** For each subcluster a bit in the high word if it reads as zeros, and in the low word if it is allocated. */
function visitSubclusters(
  table: DataView,
  at: number,
  from: number,
  bytes: number,
  join: (from: number, bytes: number, kind: number) => void,
): void {
  const [zeros, allocated] = [table.getUint32(at), table.getUint32(at + 4)];
  if ((zeros | allocated) === 0) return;
  for (let i = 0; i < SUBCLUSTERS; i++) {
    const bit = 1 << i;
    if (zeros & bit) join(from + i * bytes, bytes, ZEROS);
    else if (allocated & bit) join(from + i * bytes, bytes, DATA);
  }
}
