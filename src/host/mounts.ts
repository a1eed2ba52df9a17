import type { HostFiles } from './files.ts';

/** Reads which file systems are mounted on the host. Format: proc(5), /proc/pid/mountinfo. */

export interface Mount {
  /** The directory that it is mounted on. */
  readonly point: string;
  /** Whether the options of this mount make it read-only. */
  readonly isReadOnly: boolean;
  /** Whether the file system itself is read-only, and therefore at every mount. */
  readonly isFileSystemReadOnly: boolean;
}

/** The mount of an absolute path without links; null if it is unknown. */
export async function mountOf(files: HostFiles, path: string): Promise<Mount | null> {
  const text = await files.read('/proc/self/mountinfo').catch(() => new Uint8Array());
  return findMount(new TextDecoder().decode(text), path);
}

/** The same from the text of a mountinfo file. */
export function findMount(text: string, path: string): Mount | null {
  const isAbove = ({ point }: Mount) => point === '/' || path === point || path.startsWith(`${point}/`);
  const above = text.split('\n').flatMap(parseMount).filter(isAbove);
  const deepest = Math.max(...above.map(({ point }) => point.length));
  // of several mounts on one directory, the last one covers the others
  return above.findLast(({ point }) => point.length === deepest) ?? null;
}

function parseMount(line: string): Mount[] {
  const [own = '', shared = ''] = line.split(' - ');
  const [, , , , point, options = ''] = own.split(' ');
  const [, , ofFileSystem = ''] = shared.split(' ');
  if (!point) return [];
  const isReadOnly = (all: string) => all.split(',').includes('ro');
  return [
    {
      point: point.replace(/\\([0-7]{3})/g, (_, octal) => String.fromCharCode(Number.parseInt(octal, 8))),
      isReadOnly: isReadOnly(options),
      isFileSystemReadOnly: isReadOnly(ofFileSystem),
    },
  ];
}
