/** Labelled names, `nightly-20261123T030000Z`: how a prune knows the snapshots that a schedule took from those of a person. */

const STAMPED = /^(.+)-\d{8}T\d{6}Z(-\d+)?$/;

interface Dated {
  readonly name: string;
  /** Seconds since the epoch. */
  readonly createdAtSeconds: number;
}

/** Sorts the oldest first. Those of one second by name, but labelled ones as they were counted: `-2` before `-10`. */
export function byTimeAndName(a: Dated, b: Dated): number {
  if (a.createdAtSeconds !== b.createdAtSeconds) return a.createdAtSeconds - b.createdAtSeconds;
  const [one, other] = [countedName(a.name), countedName(b.name)];
  return byText(one.base, other.base) || one.count - other.count || byText(a.name, b.name);
}

const byText = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

/** A labelled name that counts within its second as the name without the count, and the count. */
function countedName(name: string): { readonly base: string; readonly count: number } {
  const count = STAMPED.exec(name)?.[2] ?? '';
  return {
    base: name.slice(0, name.length - count.length),
    count: count === '' ? 1 : Number(count.slice(1)),
  };
}

/** The label that a snapshot's name carries; null for a name of any other form. */
export function labelOf(name: string): string | null {
  return STAMPED.exec(name)?.[1] ?? null;
}

/** Why this cannot be a label, or null when it can. The resulting names suit every libvirt, running VMs included. */
export function labelProblem(label: string): string | null {
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]*$/.test(label))
    return "letters A-Z a-z, digits, '.', '_' and '-' only, the first one no sign";
  if (label.length > 150) return 'at most 150 characters';
  return labelOf(label) === null ? null : 'it ends like a time stamp itself';
}

/** Whole seconds since the epoch -> `20261123T030000Z`. */
export const utcStamp = (seconds: number): string =>
  new Date(seconds * 1000).toISOString().replace(/[-:]|\.\d+/g, '');

/** Of one second, so many names are looked through for a gap. */
const MOST_IN_A_SECOND = 100;

/**
 * The name of a labelled snapshot taken at that moment (seconds since the epoch). In a second that has some already, it
 * counts on from the last: in a gap that a prune has left, the newest would stand as the oldest of that second.
 */
export function labelledName(label: string, seconds: number, taken: (name: string) => boolean): string {
  const stamp = utcStamp(seconds);
  const nth = (n: number) => (n === 1 ? `${label}-${stamp}` : `${label}-${stamp}-${n}`);
  let n = MOST_IN_A_SECOND;
  while (n > 0 && !taken(nth(n))) n--;
  do n++;
  while (taken(nth(n)));
  return nth(n);
}
