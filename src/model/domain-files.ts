import type { Domain } from './domain.ts';
import { chainPaths, type Images } from './image.ts';
import { externalDisks, type Snapshot, stateFile, stateFormat } from './snapshot.ts';

/** The files that a VM and its snapshots name. */

/** Every path that the VM or one of its snapshots names, and the backing files of its disks; images on the network by their addresses. */
export function namedFiles(
  { disks }: Pick<Domain, 'disks'>,
  snapshots: readonly Snapshot[],
  images: Images,
): Set<string> {
  const named = [
    ...disks.flatMap(({ source, backing }) => [source, ...backing]),
    ...[...images.values()].flatMap(chainPaths),
    ...snapshots.flatMap(({ memory, disks, definedDisks, revertOverlays = [] }) => [
      memory.file,
      ...revertOverlays,
      ...disks.map(({ source }) => source),
      ...definedDisks.map(({ source }) => source),
    ]),
  ];
  const onNetwork = [...disks, ...snapshots.flatMap((snapshot) => snapshot.disks)].flatMap(
    ({ address }) => address ?? [],
  );
  return new Set([...(named.filter((path) => path?.startsWith('/')) as string[]), ...onNetwork]);
}

/**
 * The files in which a snapshot keeps its disks, with their formats: for an external snapshot, the backing files of its
 * overlays.
 */
export const stateFiles = (
  snapshot: Pick<Snapshot, 'disks' | 'definedDisks'>,
): { readonly path: string; readonly format: string }[] =>
  snapshot.disks.flatMap((disk) => {
    const path = stateFile(snapshot, disk);
    return path === null ? [] : [{ path, format: stateFormat(snapshot, disk) }];
  });

/** The files that an external snapshot or a revert to it has made: overlays, and the memory file. */
export function mentionedFiles({
  disks,
  memory,
  revertOverlays = [],
}: Pick<Snapshot, 'disks' | 'memory' | 'revertOverlays'>): string[] {
  const overlays = externalDisks({ disks }).map(({ source }) => source);
  return [...overlays, ...revertOverlays, memory.file].filter((path) => path !== null);
}

/** A file that a definition names. */
export interface NamedFile {
  readonly path: string;
  /** According to the definition; null if it names none. */
  readonly format: string | null;
  /** The target of the disk; null for NVRAM, a kernel and so on. */
  readonly target: string | null;
  /** Whether the guest never writes to it. */
  readonly readonly: boolean;
  /** Whether the VM's UEFI firmware writes to it. */
  readonly nvram: boolean;
  /** Whether it is a backing file of the disk. */
  readonly below: boolean;
}

/** Options of QEMU whose value is a file that it reads, and options whose value contains the name of such a file. */
const IS_FILE = /^--?(?:cdrom|hd[a-d]|kernel|initrd|dtb|bios|option-rom|mtdblock|pflash)$/;
const NAMES_FILE = /^--?(?:drive|blockdev|fw_cfg|device|acpitable|smbios)$/;

/**
 * The files that QEMU reads according to these words of its command line, each with its option. Files that QEMU writes
 * are left out, because it makes them.
 */
export function filesRead(words: readonly string[]): { readonly path: string; readonly option: string }[] {
  return words.flatMap((word, i) => {
    const option = words[i - 1] ?? '';
    const [, named = null] = /\b(?:file|filename)["']?\s*[=:]\s*["']?(\/[^,"']*)/.exec(word) ?? [];
    const path = IS_FILE.test(option) ? word : NAMES_FILE.test(option) ? named : null;
    return path === null ? [] : [{ path, option }];
  });
}
