/** Names: which ones a new snapshot may have, which one it gets when none is given, and which one a typing slip meant. */

/** libvirt breaks at 247 bytes and leaves an orphan tag (hazard 5); overlay file names need room for a suffix too. */
export const MAX_NAME_BYTES = 200;

/** What a running VM's internal snapshot may be called from libvirt 10.9 on (a QEMU job id, hazard 6). */
const JOB_ID = /^[A-Za-z0-9._-]+$/;

/** Code points that Unicode will never assign: U+FDD0 to U+FDEF, and the last two of each plane. */
const NONCHARACTER = /\p{Noncharacter_Code_Point}/u;

/**
 * Why this cannot be the name of a new snapshot, or null when it can. Existing ones may have any name. `mostBytes`: libvirt's
 * own limit is a little higher than ours.
 */
export function nameProblem(name: string, mostBytes: number = MAX_NAME_BYTES): string | null {
  if (name === '') return 'it is empty';
  if (name.includes('/')) return "it has a '/', and libvirt keeps a file by the snapshot's name";
  if (name.startsWith('.')) return "it starts with '.'";
  if (/\p{Cc}/u.test(name)) return 'it has a control character';
  if (/\p{Cs}/u.test(name)) return 'it is not valid Unicode';
  // qemu-img prints U+FFFD for one, so that nobody could verify that the images hold the snapshot
  if (NONCHARACTER.test(name)) return 'it has a Unicode noncharacter';
  const bytes = new TextEncoder().encode(name).length;
  if (bytes > mostBytes) return `it is ${bytes} bytes long, and the limit is ${mostBytes}`;
  return null;
}

/** True when QEMU's snapshot job takes the name as it is. */
export function isJobName(name: string): boolean {
  return JOB_ID.test(name);
}

/** True when an older libvirt can hand the name to `savevm` of QEMU's monitor: its escapes of these two come out wrong. */
export function isMonitorName(name: string): boolean {
  return !/["\\]/.test(name);
}

/** True when another snapshot in the image can have the name for its id, which QEMU looks for first (hazard 31). */
export function couldBeId(name: string): boolean {
  return /^[1-9]\d{0,5}$/.test(name);
}

/** The nearest name that QEMU's snapshot job takes; falls back to `snapshot` where nothing of the name is left. */
export function jobNameFor(name: string): string {
  const kept = name
    .normalize('NFKD')
    .replace(/[^A-Za-z0-9._-]+/g, '-')
    .replace(/^[.-]+|-+$/g, '');
  return kept.slice(0, MAX_NAME_BYTES) || 'snapshot';
}

/** A name for a snapshot that was given none: the seconds since the epoch, as virsh does, with `-2`, `-3` ... if taken. */
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

/** Damerau-Levenshtein distance (optimal string alignment) of two words; at least `limit` where it is that far. */
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
