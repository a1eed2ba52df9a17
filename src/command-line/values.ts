import { InvalidArgumentError } from './commander.ts';
import { type Meaning, MeantOption } from './meaning.ts';

/** Parsers for the values of options. Each throws commander's InvalidArgumentError. */

/** Separates the problem from the hint; an argument of a process cannot contain it. */
const HINT = '\0';

/** The error for an invalid value: `why` follows a colon, and `hint` says what to write instead. */
export const unfit = (why: string, hint = '') =>
  new InvalidArgumentError(hint === '' ? why : `${why}${HINT}${hint}`);

/** Extracts the arguments of `unfit` from commander's message. */
export function splitHint(message: string): { readonly says: string; readonly hint: string | null } {
  const [says = '', hint = null] = message.split(HINT);
  return { says, hint };
}

/** `0`, `7`: a whole number of at most six digits. */
export function parseCount(text: string): number {
  if (!/^\d{1,6}$/.test(text)) throw unfit('expected a whole number, 0 or greater');
  return Number(text);
}

/** A whole number, 1 or greater. */
export function parseJobs(text: string): number {
  const jobs = parseCount(text);
  if (jobs < 1) throw unfit('expected a whole number, 1 or greater');
  return jobs;
}

const SECONDS: Readonly<Record<string, number>> = { s: 1, m: 60, min: 60, h: 3600 };

/** `0`, `30`, `30s`, `10m`, `10min`, `2h` -> seconds. */
export function parseDuration(text: string): number {
  const [, number, unit = ''] = /^(\d+(?:\.\d+)?)(s|m|min|h)?$/.exec(text) ?? [];
  const seconds = Number(number) * (SECONDS[unit] ?? 1);
  if (!(seconds >= 0) || seconds > 2_000_000)
    throw unfit('expected a duration such as 30s, 10min or 2h, at most 23 days');
  return seconds;
}

/** An option that may be given several times; its values keep their order. */
export const repeated = <Usage extends string>(usage: Usage, takes: Meaning, help: string) =>
  repeatedAs(usage, takes, help, (text) => text);

/** The same with a parser for the values. */
export const repeatedAs = <Usage extends string, Value>(
  usage: Usage,
  takes: Meaning,
  help: string,
  parse: (text: string) => Value,
) =>
  new MeantOption(usage, takes, help, { repeatable: true }).argParser(
    (text, before: readonly Value[] = []): readonly Value[] => [...before, parse(text)],
  );

/** An option that may be given several times, each time with one of these words; `others` are other words for some of them. */
export function repeatedChoice<Usage extends string, Word extends string>(
  usage: Usage,
  words: readonly Word[],
  help: string,
  others: ReadonlyMap<string, Word> = new Map(),
) {
  const option = new MeantOption(usage, 'text', help, { repeatable: true });
  const check = option.choices(words).parseArg;
  return option.argParser((text, before: readonly Word[] = []): readonly Word[] => {
    const word = others.get(text) ?? text;
    return [...before, check ? check<Word>(word, word as Word) : (word as Word)];
  });
}
