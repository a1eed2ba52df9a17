import type { HostFiles } from './files.ts';

/** How the host sees the file systems that are mounted. Format: proc(5), /proc/pid/mountinfo. */

export interface Mount {
  /** The directory that it is mounted on. */
  readonly point: string;
  /** By the options of this mount alone. */
  readonly isReadOnly: boolean;
  /** By those of the file system itself: so it is under every mount. */
  readonly isFileSystemReadOnly: boolean;
}

/** The mount that an absolute path without links is seen through; null where that cannot be told. */
export async function mountOf(files: HostFiles, path: string): Promise<Mount | null> {
  const text = await files.read('/proc/self/mountinfo').catch(() => new Uint8Array());
  return findMount(new TextDecoder().decode(text), path);
}

/** The same in the text of a mountinfo. */
export function findMount(text: string, path: string): Mount | null {
  const isAbove = ({ point }: Mount) => point === '/' || path === point || path.startsWith(`${point}/`);
  const above = text.split('\n').flatMap(parseMount).filter(isAbove);
  const deepest = Math.max(...above.map(({ point }) => point.length));
  // the last of several on one directory covers the others
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
