/** Which machines, or snapshots, the words of a command line mean: exact names first, then patterns. */

/** `*`, `?` and `[...]` as in a shell. Throws nothing: an unfinished bracket stands for itself. */
export function matcher(pattern: string): (name: string) => boolean {
  const source = pattern.replace(
    /\[([!^]?)([^\]]+)\]|[\s\S]/gu,
    (part, negated: string | undefined, set: string | undefined) => {
      if (set !== undefined) return `[${negated ? '^' : ''}${set.replace(/[\\[\]^]/g, '\\$&')}]`;
      if (part === '*') return '[\\s\\S]*';
      if (part === '?') return '[\\s\\S]';
      return part.replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&');
    },
  );
  const expression = new RegExp(`^${source}$`, 'u');
  return (name) => expression.test(name);
}

function isPattern(word: string): boolean {
  return /[*?[]/.test(word);
}

export interface Selection {
  /** Names, UUIDs or patterns. */
  readonly words: readonly string[];
  readonly all: boolean;
  readonly exclude: readonly string[];
  /** Empty: any state. */
  readonly states: readonly string[];
}

/** True when the selection names exactly one machine, which is then consent to what is done to it. */
export function isOneName({ words, all }: Selection): boolean {
  return !all && words.length === 1 && !words.some(isPattern);
}

export interface Selected<M> {
  readonly machines: readonly M[];
  /** Words that mean no machine. */
  readonly unmatched: readonly string[];
}

/** The machines that the words mean, each once. An exact name or UUID wins over a pattern; states are for who knows them. */
export function selectMachines<M extends { readonly name: string; readonly uuid: string }>(
  machines: readonly M[],
  { words, all, exclude }: Selection,
): Selected<M> {
  const excluded = exclude.map(matcher);
  const found = words.map((word) => ({ word, machines: meant(machines, word) }));
  const chosen = new Set(all ? machines : found.flatMap((each) => each.machines));
  return {
    machines: machines.filter(
      (machine) => chosen.has(machine) && !excluded.some((matches) => matches(machine.name)),
    ),
    unmatched: found.filter((each) => each.machines.length === 0).map(({ word }) => word),
  };
}

function meant<M extends { readonly name: string; readonly uuid: string }>(
  machines: readonly M[],
  word: string,
): readonly M[] {
  const exact =
    machines.find(({ name }) => name === word) ?? machines.find(({ uuid }) => uuid === word.toLowerCase());
  if (exact) return [exact];
  return isPattern(word) ? machines.filter(({ name }) => matcher(word)(name)) : [];
}
