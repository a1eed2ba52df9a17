import { stat, statfs } from 'node:fs/promises';

/** What this host's file systems tell of a file. */

/** Bytes that an ordinary user may still write on the file system of this path; null where it cannot be asked. */
export async function freeBytes(path: string): Promise<number | null> {
  try {
    const { bavail, bsize } = await statfs(path);
    return bavail * bsize;
  } catch {
    return null;
  }
}

/** When a file was last written to, in milliseconds since the epoch; null where that does not show: of a device. */
export async function writtenAt(path: string): Promise<number | null> {
  try {
    const found = await stat(path);
    return found.isFile() ? found.mtimeMs : null;
  } catch {
    return null;
  }
}

/** Bytes that a file occupies on its file system now; null where it cannot be asked. */
export async function occupiedBytes(path: string): Promise<number | null> {
  try {
    return (await stat(path)).blocks * 512;
  } catch {
    return null;
  }
}
