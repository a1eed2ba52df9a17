/** Which VMs or snapshots the words of a command line select: by exact name first, then by pattern. */

/** One element of a pattern: any number of characters, or one character of some kind. */
type Place = '*' | ((char: string) => boolean);

/**
 * Matches `*`, `?` and `[...]` as in a shell, by code points. Never throws; an unterminated bracket is matched
 * literally.
 */
export function matcher(pattern: string): (name: string) => boolean {
  const places = [...pattern.matchAll(/\[([!^]|(?![!^]))(\][^\]]*|[^\]]+)\]|[\s\S]/gu)].map(
    ([part, negated, set]): Place => {
      if (set !== undefined) return bracket(set, negated !== '');
      if (part === '*') return part;
      return part === '?' ? () => true : (char) => char === part;
    },
  );
  return (name) => fits(places, [...name]);
}

/** The content of a bracket. A range from a later to an earlier character is empty. */
function bracket(set: string, negated: boolean): (char: string) => boolean {
  const ranges = [...set.matchAll(/([\s\S])-([\s\S])|[\s\S]/gu)].map(([one, from = one, to = one]) => ({
    from: codePoint(from),
    to: codePoint(to),
  }));
  return (char) =>
    ranges.some(({ from, to }) => from <= codePoint(char) && codePoint(char) <= to) !== negated;
}

const codePoint = (char: string): number => char.codePointAt(0) ?? 0;

/** Only the last of several stars ever needs another attempt, so the time is limited by elements times characters. */
function fits(places: readonly Place[], chars: readonly string[]): boolean {
  let place = 0;
  let char = 0;
  let retry: { readonly place: number; char: number } | null = null;
  while (char < chars.length) {
    const wanted = places[place];
    if (wanted === '*') {
      retry = { place: ++place, char };
    } else if (wanted?.(chars[char] ?? '')) {
      place++;
      char++;
    } else if (retry) {
      char = ++retry.char;
      place = retry.place;
    } else return false;
  }
  return places.slice(place).every((rest) => rest === '*');
}

/** Whether a word contains a pattern character. */
export function isPattern(word: string): boolean {
  return /[*?[]/.test(word);
}

export interface Selection {
  /** Names, UUIDs or patterns. */
  readonly words: readonly string[];
  readonly all: boolean;
  readonly exclude: readonly string[];
  /** Empty: any state. */
  readonly states: readonly string[];
  /** VMs that have chosen another policy than this one are left out, if they are not named exactly; null or absent: none. */
  readonly policy?: string | null;
  /** Whether an --exclude that matches nothing is an error instead of a note, because it may be a typo. */
  readonly exacting?: boolean;
}

export interface Selected<M> {
  readonly vms: readonly M[];
  /** The VMs that a word names exactly. */
  readonly named: ReadonlySet<M>;
  /** Words that match no VM. */
  readonly unmatched: readonly string[];
  /** Words of --exclude that match no VM. */
  readonly idle: readonly string[];
}

/**
 * The VMs that the words select, each once. An exact name or UUID takes precedence over a pattern. `states` is left to
 * the caller.
 */
export function selectDomains<M extends { readonly name: string; readonly uuid: string }>(
  vms: readonly M[],
  { words, all, exclude }: Selection,
): Selected<M> {
  // excluding too much is safe: here a name that is also a pattern is used as both
  const excludes = (word: string) => (vm: M) => isCalled(vm, word) || matcher(word)(vm.name);
  const isExcluded = (vm: M) => exclude.some((word) => excludes(word)(vm));
  const found = words.map((word) => ({ word, ...meant(vms, word) }));
  const chosen = new Set(all ? vms : found.flatMap((each) => each.vms));
  return {
    vms: vms.filter((vm) => chosen.has(vm) && !isExcluded(vm)),
    named: new Set(found.flatMap((each) => (each.exact ? each.vms : []))),
    unmatched: found.filter((each) => each.vms.length === 0).map(({ word }) => word),
    idle: exclude.filter((word) => !vms.some(excludes(word))),
  };
}

const isCalled = ({ name, uuid }: { readonly name: string; readonly uuid: string }, word: string): boolean =>
  name === word || uuid === word.toLowerCase();

function meant<M extends { readonly name: string; readonly uuid: string }>(
  vms: readonly M[],
  word: string,
): { readonly vms: readonly M[]; readonly exact: boolean } {
  const exact = vms.find(({ name }) => name === word) ?? vms.find(({ uuid }) => uuid === word.toLowerCase());
  if (exact) return { vms: [exact], exact: true };
  return {
    vms: isPattern(word) ? vms.filter(({ name }) => matcher(word)(name)) : [],
    exact: false,
  };
}
