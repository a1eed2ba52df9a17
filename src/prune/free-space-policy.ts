import type { FileSystem } from '../host/file-systems.ts';
import { byTimeAndName } from '../model/labels.ts';

/**
 * Which snapshots go so that file systems have enough free, of those that neither a rule nor a hold keeps. Pure: what is
 * free is given, and whoever deletes asks again after each one.
 */

/** How much is to be free: so many bytes, or a part of the size. */
export type FreeMin = { readonly bytes: number } | { readonly share: number };

/** A snapshot that may go. */
export interface Deletable {
  readonly vm: string;
  readonly name: string;
  /** Seconds since the epoch. */
  readonly createdAtSeconds: number;
  /** By the file systems that hold a part of it, the bytes that are expected back. */
  readonly frees: ReadonlyMap<string, number>;
}

const UNITS: Readonly<Record<string, number>> = { K: 2 ** 10, M: 2 ** 20, G: 2 ** 30, T: 2 ** 40 };

/** `20%`, `50G`, `1.5T` -> how much; null when it is neither. A number alone is none: 20 bytes are never meant. */
export function parseFreeMin(text: string): FreeMin | null {
  const [, number, unit = ''] = /^(\d{1,9}(?:\.\d{1,9})?)(%|[KMGT])$/i.exec(text) ?? [];
  const amount = Number(number);
  if (!(amount > 0)) return null;
  if (unit === '%') return amount < 100 ? { share: amount / 100 } : null;
  return { bytes: Math.ceil(amount * (UNITS[unit.toUpperCase()] ?? 1)) };
}

/** The bytes that are to be free of this file system. */
export function wantedBytes({ sizeBytes }: FileSystem, freeMin: FreeMin): number {
  return 'bytes' in freeMin ? freeMin.bytes : Math.ceil(sizeBytes * freeMin.share);
}

/** Whether less is free than is to be. */
export function isShort(fileSystem: FileSystem, freeMin: FreeMin): boolean {
  return fileSystem.freeBytes < wantedBytes(fileSystem, freeMin);
}

/**
 * The next to go: the oldest of all VMs that is, in part, in one of the file systems that are short. Null when none of
 * these can be helped.
 */
export function nextToGo<E extends Deletable>(
  expendable: readonly E[],
  short: ReadonlySet<string>,
): E | null {
  return [...expendable].sort(byAge).find((one) => isIn(one, short)) ?? null;
}

const isIn = ({ frees }: Deletable, short: ReadonlySet<string>): boolean =>
  [...frees.keys()].some((id) => short.has(id));

/** Of one age and name, in the order of the VMs' names. */
function byAge(a: Deletable, b: Deletable): number {
  return byTimeAndName(a, b) || (a.vm < b.vm ? -1 : a.vm > b.vm ? 1 : 0);
}

/** What would go, in this order, and what would be free then, if each gave back what is expected. */
export function foresee<E extends Deletable, F extends FileSystem>(
  expendable: readonly E[],
  fileSystems: readonly F[],
  freeMin: FreeMin,
): { readonly goes: readonly E[]; readonly fileSystems: readonly F[] } {
  const left = [...expendable].sort(byAge);
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
