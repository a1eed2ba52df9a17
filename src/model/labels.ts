/**
 * Labeled names such as `nightly-20261123T030000Z`, by which a prune distinguishes scheduled snapshots from those that
 * a person took.
 */

const STAMPED = /^(.+)-\d{8}T\d{6}Z(-\d+)?$/;

interface Dated {
  readonly name: string;
  /** Seconds since the epoch. */
  readonly createdAtSeconds: number;
}

/**
 * Sorts the oldest first. Snapshots of one second are sorted by name, but labeled ones by their count: `-2` before
 * `-10`.
 */
export function byTimeAndName(a: Dated, b: Dated): number {
  if (a.createdAtSeconds !== b.createdAtSeconds) return a.createdAtSeconds - b.createdAtSeconds;
  const [one, other] = [countedName(a.name), countedName(b.name)];
  return byText(one.base, other.base) || one.count - other.count || byText(a.name, b.name);
}

const byText = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

/** Splits a labeled name with a count within its second into the name without the count, and the count. */
function countedName(name: string): { readonly base: string; readonly count: number } {
  const count = STAMPED.exec(name)?.[2] ?? '';
  return {
    base: name.slice(0, name.length - count.length),
    count: count === '' ? 1 : Number(count.slice(1)),
  };
}

/** The label in a snapshot's name; null for a name of another form. */
export function labelOf(name: string): string | null {
  return STAMPED.exec(name)?.[1] ?? null;
}

/** Why this cannot be a label; null if it can. The resulting names are valid for every libvirt, also for running VMs. */
export function labelProblem(label: string): string | null {
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]*$/.test(label))
    return "use only letters A-Z a-z, digits, '.', '_' and '-', and begin with a letter or digit";
  if (label.length > 150) return 'use at most 150 characters';
  return labelOf(label) === null ? null : 'it ends like a time stamp';
}

/** Whole seconds since the epoch -> `20261123T030000Z`. */
export const utcStamp = (seconds: number): string =>
  new Date(seconds * 1000).toISOString().replace(/[-:]|\.\d+/g, '');

/** The most names within one second that are tried. */
const MOST_IN_A_SECOND = 100;

/**
 * The name of a labeled snapshot taken at that moment (seconds since the epoch). If the second has some already, the
 * count continues after the last one: if it filled a gap that a prune has left, the newest snapshot would count as the
 * oldest of that second.
 */
export function labeledName(label: string, seconds: number, taken: (name: string) => boolean): string {
  const stamp = utcStamp(seconds);
  const nth = (n: number) => (n === 1 ? `${label}-${stamp}` : `${label}-${stamp}-${n}`);
  let n = MOST_IN_A_SECOND;
  while (n > 0 && !taken(nth(n))) n--;
  do n++;
  while (taken(nth(n)));
  return nth(n);
}
