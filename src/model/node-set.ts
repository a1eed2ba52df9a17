/**
 * Node sets, as administrators of clusters write many names: `kvm[01-03,7]` is kvm01, kvm02, kvm03 and kvm7. Numbers keep their
 * leading zeros. The notation is that of ClusterShell and of pdsh.
 */

/** The most names of one set: a slip such as `kvm[1-99999]` is no list of hosts. */
const MOST_NAMES = 5000;

/** Splits a list at the commas that are not between brackets; empty parts are left out. */
export function splitSets(text: string): string[] {
  return (text.match(/(?:\[[^\]]*\]?|[^,[])+/g) ?? [])
    .map((part) => part.trim())
    .filter((part) => part !== '');
}

/** All names of a set, in their order, or what is wrong with it. */
export function expandNodeSet(text: string): readonly string[] | { readonly problem: string } {
  const [, before, inner, after] = /^([^[\]]*)\[([^[\]]*)\](.*)$/s.exec(text) ?? [];
  if (before === undefined || inner === undefined || after === undefined)
    return /[[\]]/.test(text) ? { problem: 'a bracket has no counterpart' } : [text];
  const tails = expandNodeSet(after);
  if ('problem' in tails) return tails;
  const names: string[] = [];
  for (const part of inner.split(',')) {
    const numbers = numbersOf(part.trim(), MOST_NAMES / tails.length - names.length);
    if ('problem' in numbers) return numbers;
    names.push(...numbers.flatMap((number) => tails.map((tail) => `${before}${number}${tail}`)));
  }
  return names;
}

/** The numbers of `7` or `01-20`, at most so many. */
function numbersOf(part: string, most: number): readonly string[] | { readonly problem: string } {
  const [, from, to = from] = /^(\d{1,9})(?:-(\d{1,9}))?$/.exec(part) ?? [];
  if (from === undefined || to === undefined)
    return { problem: `'${part}' is neither a number nor a range such as 01-20` };
  const count = Number(to) - Number(from) + 1;
  if (count < 1) return { problem: `the range ${part} ends before it begins` };
  if (count > most) return { problem: `it has more than ${MOST_NAMES} names` };
  return Array.from({ length: count }, (_, i) => String(Number(from) + i).padStart(from.length, '0'));
}

/** Names as a list of sets: kvm1, kvm2, kvm3 and web as `kvm[1-3],web`. */
export function foldNames(names: readonly string[]): string {
  const groups = new Map<string, Numbered[]>();
  for (const name of new Set(names)) {
    const parts = numberedOf(name);
    const key = parts ? `${parts.before}\0${parts.after}` : `\0\0${name}`;
    groups.set(key, [...(groups.get(key) ?? []), parts ?? { before: name, digits: '', after: '' }]);
  }
  return [...groups.values()].map(foldGroup).join(',');
}

interface Numbered {
  readonly before: string;
  readonly digits: string;
  readonly after: string;
}

/** The last number of a name; null if there is none. */
function numberedOf(name: string): Numbered | null {
  const [, before = '', digits, after = ''] = /^(.*?)(\d{1,9})(\D*)$/s.exec(name) ?? [];
  return digits === undefined ? null : { before, digits, after };
}

function foldGroup(group: readonly Numbered[]): string {
  const [first] = group;
  if (!first) return '';
  const { before, after } = first;
  if (group.length === 1) return `${before}${first.digits}${after}`;
  const digits = group
    .map((each) => each.digits)
    .sort((a, b) => Number(a) - Number(b) || a.length - b.length);
  const runs: [string, string][] = [];
  for (const each of digits) {
    const run = runs.at(-1);
    const next = run && String(Number(run[1]) + 1).padStart(run[0].length, '0');
    if (run && next === each) run[1] = each;
    else runs.push([each, each]);
  }
  const ranges = runs.map(([from, to]) => (from === to ? from : `${from}-${to}`));
  return `${before}[${ranges.join(',')}]${after}`;
}
