import type { Domain } from './domain.ts';
import { chainPaths, type Images } from './image.ts';
import { externalDisks, type Snapshot, stateFile, stateFormat } from './snapshot.ts';

/** The files that a VM and its snapshots name. */

/** Every path that the VM or one of its snapshots names, and what lies below its disks. */
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
  return new Set(named.filter((path) => path?.startsWith('/')) as string[]);
}

/** The files that a snapshot keeps its disks in, with their formats: for an external one those below its overlays. */
export const stateFiles = (
  snapshot: Pick<Snapshot, 'disks' | 'definedDisks'>,
): { readonly path: string; readonly format: string }[] =>
  snapshot.disks.flatMap((disk) => {
    const path = stateFile(snapshot, disk);
    return path === null ? [] : [{ path, format: stateFormat(snapshot, disk) }];
  });

/** The files that an external snapshot or a revert to it has made: overlays, and the guest's memory. */
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
  /** As the definition says; null: it says nothing. */
  readonly format: string | null;
  /** The disk; null for NVRAM, a kernel and the like. */
  readonly target: string | null;
  /** The guest never writes to it. */
  readonly readonly: boolean;
  /** What the VM's UEFI firmware writes to. */
  readonly nvram: boolean;
  /** It lies beneath the disk. */
  readonly below: boolean;
}

/** Options of QEMU whose value is a file that it reads, and those whose value names one in it. */
const IS_FILE = /^--?(?:cdrom|hd[a-d]|kernel|initrd|dtb|bios|option-rom|mtdblock|pflash)$/;
const NAMES_FILE = /^--?(?:drive|blockdev|fw_cfg|device|acpitable|smbios)$/;

/** The files that QEMU reads by these words of its command line, with the option before each; what it writes it makes. */
export function filesRead(words: readonly string[]): { readonly path: string; readonly option: string }[] {
  return words.flatMap((word, i) => {
    const option = words[i - 1] ?? '';
    const [, named = null] = /\b(?:file|filename)["']?\s*[=:]\s*["']?(\/[^,"']*)/.exec(word) ?? [];
    const path = IS_FILE.test(option) ? word : NAMES_FILE.test(option) ? named : null;
    return path === null ? [] : [{ path, option }];
  });
}
