import type { AnyCommand } from './commander.ts';

/** Splits the words of a command line into options and operands, as commander does. */

export type KnownOption = AnyCommand['options'][number];

export type Part =
  | { readonly kind: 'operand'; readonly words: readonly [string] }
  /**
   * The options in one word with their values; the value of the last one may be the next word. Empty: no option is
   * known.
   */
  | { readonly kind: 'options'; readonly words: readonly string[]; readonly uses: readonly OptionUse[] }
  /** `--`: all words after it are operands. */
  | { readonly kind: 'end'; readonly words: readonly ['--'] };

/** An option and its value; null: no value. */
export type OptionUse = readonly [option: KnownOption, value: string | null];

/** All parts in their order. An unknown option is assumed to have no value. */
export function partsOf(options: readonly KnownOption[], words: readonly string[]): Part[] {
  const parts: Part[] = [];
  const rest = [...words];
  for (let word = rest.shift(); word !== undefined; word = rest.shift()) {
    if (word === '--') {
      parts.push({ kind: 'end', words: ['--'] }, ...rest.splice(0).map(operand));
    } else if (!/^-./.test(word)) parts.push(operand(word));
    else parts.push(optionsPart(options, word, rest));
  }
  return parts;
}

const operand = (word: string): Part => ({ kind: 'operand', words: [word] });

/** Takes the value from `rest` if the word contains none. */
function optionsPart(options: readonly KnownOption[], word: string, rest: string[]): Part {
  const uses = optionsIn(options, word);
  const last = uses.at(-1);
  if (!last?.[0].required || last[1] !== null) return { kind: 'options', words: [word], uses };
  const value = rest.shift();
  return {
    kind: 'options',
    words: value === undefined ? [word] : [word, value],
    uses: [...uses.slice(0, -1), [last[0], value ?? '']],
  };
}

/** `--long`, `--long=value`, `-abvalue`. */
function optionsIn(options: readonly KnownOption[], word: string): OptionUse[] {
  const [, long, value = null] = /^(--[^=]+)(?:=(.*))?$/s.exec(word) ?? [];
  if (long) return options.flatMap((option): OptionUse[] => (option.long === long ? [[option, value]] : []));
  const found: OptionUse[] = [];
  for (let i = 1; i < word.length; i++) {
    const option = options.find(({ short }) => short === `-${word[i]}`);
    if (!option) break;
    const tail = word.slice(i + 1);
    found.push([option, option.required && tail !== '' ? tail : null]);
    if (option.required) break;
  }
  return found;
}

/** Whether a word may be an option of virsh with another name in kvmsnap (other-words.ts, which most lines do not need). */
export const isVirshOption = (word: string): boolean =>
  /^--(domain|snapshotname|name|xmlfile|parent|metadata|topological)(=|$)/.test(word);
