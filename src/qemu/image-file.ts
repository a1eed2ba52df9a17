import { errorCode, type HostFiles, type OpenFile, readFetched } from '../host/files.ts';

/** Opens an image to read some of its bytes: only a regular file or a block device. */

/** Why a path is not opened. */
export type Closed = 'permission' | 'missing' | 'no-file';

/** Passes the opened file to `read`, which may be called several times, and closes it; or returns why it was not opened. */
export async function withImageFile<T>(
  files: HostFiles,
  path: string,
  read: (file: OpenFile) => T | Promise<T>,
): Promise<{ readonly value: T } | { readonly closed: Closed }> {
  let file: OpenFile | null = null;
  try {
    file = await files.open(path);
    if (file === null) return { closed: 'no-file' };
    const opened = file;
    return { value: await readFetched(() => read(opened)) };
  } catch (error) {
    const code = errorCode(error);
    if (code === null) throw error;
    return { closed: code === 'EACCES' || code === 'EPERM' ? 'permission' : 'missing' };
  } finally {
    await file?.close();
  }
}
