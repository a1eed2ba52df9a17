import type { HostFiles } from '../host/files.ts';
import { withImageFile } from './image-file.ts';
import { asAnswer, bytesAt, damaged, fill, type ImageBytes, offsetIn } from './qcow2/bytes.ts';
import { type Header, readHeader } from './qcow2/header.ts';
import { COMPRESSED } from './qcow2/l2-entries.ts';
import { readL1 } from './qcow2/l2-tables.ts';
import { readSnapshotTable } from './qcow2/snapshot-table.ts';

/**
 * The saved memory of an internal snapshot: a migration stream of QEMU, which lies behind the end of the disk in the snapshot's own
 * tables (docs/interop/qcow2.rst, "Snapshots"; `qcow2_vm_state_offset` in block/qcow2.h). Passes it to `write` in pieces. Returns why
 * it cannot be read; null: all of it was read.
 */
export async function readVmState(
  files: HostFiles,
  path: string,
  tagId: string,
  write: (piece: Uint8Array) => Promise<void>,
): Promise<string | null> {
  const found = await withImageFile(files, path, async (file) => {
    try {
      await readPieces(file, tagId, write);
      return null;
    } catch (error) {
      return asAnswer(error).detail;
    }
  });
  return 'value' in found ? found.value : `${path} cannot be opened`;
}

async function readPieces(
  image: ImageBytes,
  tagId: string,
  write: (piece: Uint8Array) => Promise<void>,
): Promise<void> {
  const header: Header = readHeader(image);
  const { clusterBytes } = header;
  const snapshot = readSnapshotTable(image, header).snapshots.find(({ id }) => id === tagId);
  if (!snapshot || snapshot.vmStateBytes === 0) throw damaged('it contains no saved memory');
  const clusters = Math.ceil(image.size / clusterBytes);
  const l1 = readL1(image, header, clusters, snapshot.l1, 'the snapshot');
  const piece = new Uint8Array(clusterBytes);
  let left = snapshot.vmStateBytes;
  for (let index = snapshot.vmStateIndex; left > 0; index++) {
    for (const offset of offsetsIn(image, header, clusters, l1[index] ?? 0)) {
      if (offset === 0) piece.fill(0);
      else fill(image, offset, piece);
      await write(piece.subarray(0, Math.min(clusterBytes, left)));
      left -= clusterBytes;
      if (left <= 0) return;
    }
  }
}

/** Where the clusters are to which an L2 table refers; 0 for one that reads as zeros. `table`: its cluster; 0: there is none. */
function offsetsIn(
  image: ImageBytes,
  { clusterBytes, l2EntryBytes }: Header,
  clusters: number,
  table: number,
): number[] {
  const offsets = new Array<number>(clusterBytes / l2EntryBytes).fill(0);
  if (table === 0) return offsets;
  const view = bytesAt(image, table * clusterBytes, clusterBytes);
  return offsets.map((_, i) => {
    const at = i * l2EntryBytes;
    if (view.getInt32(at) & COMPRESSED) throw damaged('its saved memory is compressed');
    const offset = view.getInt32(at + 4) & 1 ? 0 : offsetIn(view, at);
    if (offset + clusterBytes > clusters * clusterBytes) throw damaged(`it has memory at offset ${offset}`);
    return offset;
  });
}
