import type { HostFiles } from '../host/files.ts';
import { withImageFile } from './image-file.ts';
import { asAnswer } from './qcow2/bytes.ts';
import { readHeader } from './qcow2/header.ts';
import { type InternalSnapshot, readSnapshotTable } from './qcow2/snapshot-table.ts';

/** The entries of the snapshot table of an image, or why they cannot be read. */
export type TagEntries = { readonly entries: readonly InternalSnapshot[] } | { readonly problem: string };

/** How often it is read: QEMU may be writing the table. */
const TRIES = 3;

/** Reads the snapshot table of a qcow2 image, also while a guest uses it. */
export async function readTagEntries(files: HostFiles, path: string): Promise<TagEntries> {
  let read = await readOnce(files, path);
  for (let tries = 1; 'problem' in read && tries < TRIES; tries++) read = await readOnce(files, path);
  return read;
}

async function readOnce(files: HostFiles, path: string): Promise<TagEntries> {
  const found = await withImageFile(files, path, (file): TagEntries => {
    try {
      return { entries: readSnapshotTable(file, readHeader(file)).snapshots };
    } catch (error) {
      return { problem: asAnswer(error).detail };
    }
  });
  if ('value' in found) return found.value;
  const why = {
    permission: 'permission denied',
    missing: 'there is no such file',
    'no-file': 'it is not a file',
  };
  return { problem: why[found.closed] };
}
