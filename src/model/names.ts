/**
 * Names: which names a new snapshot may have, which name it gets if none is given, and which name a misspelled word
 * means.
 */

/**
 * The most bytes of a new name. At 247 bytes libvirt fails and leaves an orphan tag (hazard 5); overlay file names need
 * room for a suffix too.
 */
export const MAX_NAME_BYTES = 200;

/**
 * The names that an internal snapshot of a running VM may have with libvirt 10.9 or newer, where it is a QEMU job id
 * (hazard 6).
 */
const JOB_ID = /^[A-Za-z0-9._-]+$/;

/** Code points that Unicode will never assign: U+FDD0 to U+FDEF, and the last two of each plane. */
const NONCHARACTER = /\p{Noncharacter_Code_Point}/u;

/**
 * Why this cannot be the name of a new snapshot; null if it can. Existing snapshots may have any name. `mostBytes`: the
 * limit; libvirt's own limit is a little higher than kvmsnap's.
 */
export function nameProblem(name: string, mostBytes: number = MAX_NAME_BYTES): string | null {
  if (name === '') return 'it is empty';
  if (name.includes('/')) return "it contains '/', and libvirt stores a file with the name of the snapshot";
  if (name.startsWith('.')) return "it starts with '.'";
  if (/\p{Cc}/u.test(name)) return 'it contains a control character';
  if (/\p{Cs}/u.test(name)) return 'it is not valid Unicode';
  // qemu-img prints U+FFFD for such a character, so nobody could verify that the images hold the snapshot
  if (NONCHARACTER.test(name)) return 'it contains a Unicode noncharacter';
  const bytes = new TextEncoder().encode(name).length;
  if (bytes > mostBytes) return `it is ${bytes} bytes long, and the limit is ${mostBytes}`;
  return null;
}

/** True if QEMU's snapshot job accepts the name. */
export function isJobName(name: string): boolean {
  return JOB_ID.test(name);
}

/** True if an older libvirt can pass the name to `savevm` of QEMU's monitor; it escapes these two characters wrongly. */
export function isMonitorName(name: string): boolean {
  return !/["\\]/.test(name);
}

/** True if another snapshot in the image can have this name as its id, which QEMU looks for first (hazard 31). */
export function couldBeId(name: string): boolean {
  return /^[1-9]\d{0,5}$/.test(name);
}

/** The most similar name that QEMU's snapshot job accepts; `snapshot` if nothing of the name is left. */
export function jobNameFor(name: string): string {
  const kept = name
    .normalize('NFKD')
    .replace(/[^A-Za-z0-9._-]+/g, '-')
    .replace(/^[.-]+|-+$/g, '');
  return kept.slice(0, MAX_NAME_BYTES) || 'snapshot';
}

/**
 * The name of a snapshot for which none was given: the seconds since the epoch, as with virsh, with `-2`, `-3` ... if
 * it is taken.
 */
export function automaticName(nowSeconds: number, taken: (name: string) => boolean): string {
  const base = String(nowSeconds);
  for (let n = 1; ; n++) {
    const name = n === 1 ? base : `${base}-${n}`;
    if (!taken(name)) return name;
  }
}

/**
 * The candidate that the user most likely meant, or null. Of a beginning of two characters or more, the only one that begins so;
 * else it counts insertions, deletions, swaps and replacements; a
 * candidate further away than a third of the word, or that shares nothing with it, is no help. Case and a disk file's
 * ending are forgiven.
 */
export function nearest(word: string, candidates: readonly string[]): string | null {
  const wanted = plain(word);
  const begun = candidates.filter((candidate) => plain(candidate).startsWith(wanted));
  if (wanted.length > 1 && begun.length === 1) return begun[0] ?? null;
  let best: string | null = null;
  let bestDistance = Math.min(wanted.length, Math.max(1, Math.floor(wanted.length / 3)) + 1);
  for (const candidate of candidates) {
    const distance = editDistance(wanted, plain(candidate), bestDistance);
    if (distance < bestDistance) [best, bestDistance] = [candidate, distance];
  }
  return best;
}

const plain = (word: string): string => word.toLowerCase().replace(/\.(qcow2|img|raw|xml)$/, '');

/** Damerau-Levenshtein distance (optimal string alignment) of two words; at least `limit` if it is that large. */
function editDistance(a: string, b: string, limit: number): number {
  if (Math.abs(a.length - b.length) >= limit) return limit;
  const rows: number[][] = [Array.from({ length: b.length + 1 }, (_, j) => j)];
  const at = (i: number, j: number): number => rows[i]?.[j] ?? limit;
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    rows.push(row);
    for (let j = 1; j <= b.length; j++) {
      const replaced = at(i - 1, j - 1) + (a[i - 1] === b[j - 1] ? 0 : 1);
      const swapped = a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1] ? at(i - 2, j - 2) + 1 : limit;
      row.push(Math.min(at(i - 1, j) + 1, at(i, j - 1) + 1, replaced, swapped));
    }
  }
  return at(a.length, b.length);
}
