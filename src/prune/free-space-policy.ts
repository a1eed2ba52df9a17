import type { FileSystem } from '../host/file-systems.ts';
import { parseBytes } from '../model/input/bytes.ts';
import { byTimeAndName } from '../model/labels.ts';

/**
 * Which snapshots are deleted until the file systems have enough free space, of those that neither a keep rule nor a hold
 * keeps. Pure: the free space is an argument, and the caller asks again after each deletion.
 */

/** How much space must be free: bytes, or a share of the size. */
export type FreeMin = { readonly bytes: number } | { readonly share: number };

/** A snapshot that may be deleted. */
export interface Freeing {
  readonly vm: string;
  readonly name: string;
  /** Seconds since the epoch. */
  readonly createdAtSeconds: number;
  /** By file system that contains a part of it, the bytes that its deletion is expected to free. */
  readonly frees: ReadonlyMap<string, number>;
}

/** `20%`, `50G`, `1.5T` -> how much; null for any other text. */
export function parseFreeMin(text: string): FreeMin | null {
  const [, number] = /^(\d{1,9}(?:\.\d{1,9})?)%$/.exec(text) ?? [];
  if (number !== undefined) {
    const percent = Number(number);
    return percent > 0 && percent < 100 ? { share: percent / 100 } : null;
  }
  const bytes = parseBytes(text);
  return bytes === null ? null : { bytes };
}

/** The bytes that must be free on this file system. */
export function wantedBytes({ sizeBytes }: FileSystem, freeMin: FreeMin): number {
  return 'bytes' in freeMin ? freeMin.bytes : Math.ceil(sizeBytes * freeMin.share);
}

/** Whether the file system has less free space than it must have. */
export function isShort(fileSystem: FileSystem, freeMin: FreeMin): boolean {
  return fileSystem.freeBytes < wantedBytes(fileSystem, freeMin);
}

/**
 * The next snapshot to delete: the oldest of all VMs that is at least partly on a file system with too little free space.
 * Null if there is none.
 */
export function nextToGo<E extends Freeing>(candidates: readonly E[], short: ReadonlySet<string>): E | null {
  return [...candidates].sort(byAge).find((one) => isIn(one, short)) ?? null;
}

const isIn = ({ frees }: Freeing, short: ReadonlySet<string>): boolean =>
  [...frees.keys()].some((id) => short.has(id));

/** Sorts the oldest first; those of the same age and name by the names of the VMs. */
function byAge(a: Freeing, b: Freeing): number {
  return byTimeAndName(a, b) || (a.vm < b.vm ? -1 : a.vm > b.vm ? 1 : 0);
}

/** The snapshots that would be deleted, in order, and the free space afterwards, if each frees what is expected. */
export function simulateDeletions<E extends Freeing, F extends FileSystem>(
  candidates: readonly E[],
  fileSystems: readonly F[],
  freeMin: FreeMin,
): { readonly goes: readonly E[]; readonly fileSystems: readonly F[] } {
  const left = [...candidates].sort(byAge);
  const goes: E[] = [];
  let now = fileSystems;
  for (;;) {
    const short = new Set(now.filter((each) => isShort(each, freeMin)).map(({ id }) => id));
    const place = left.findIndex((one) => isIn(one, short));
    const [next] = place < 0 ? [] : left.splice(place, 1);
    if (!next) return { goes, fileSystems: now };
    goes.push(next);
    now = now.map((each) => ({ ...each, freeBytes: each.freeBytes + (next.frees.get(each.id) ?? 0) }));
  }
}
