import type { ColorChoice } from '../host/terminal.ts';
import type { AnyCommand } from './commander.ts';

/** What a command line says of the global options, also where the rest of it cannot be parsed. */

type Option = AnyCommand['options'][number];

export interface Spoken {
  /** By the option's name in camel case. */
  readonly values: ReadonlyMap<string, string>;
  /** The first word that belongs to no global option: the command's. */
  readonly operand: string | undefined;
}

/** Reads the words up to a `--` by these options alone. */
export function spokenBy(options: readonly Option[], words: readonly string[]): Spoken {
  const values = new Map<string, string>();
  const rest = [...words];
  let operand: string | undefined;
  for (let word = rest.shift(); word !== undefined && word !== '--'; word = rest.shift()) {
    if (!word.startsWith('-')) operand ??= word;
    for (const [option, value] of optionsIn(options, word))
      values.set(option.attributeName(), value ?? (option.required ? (rest.shift() ?? '') : 'yes'));
    // before a command it is the program's help, whatever follows
    if (values.has('help')) break;
  }
  return { values, operand };
}

/** The options of one word, as commander reads it: `--long`, `--long=value`, `-abvalue`; null: no value in it. */
function optionsIn(options: readonly Option[], word: string): [Option, string | null][] {
  const [, long, value = null] = /^(--[^=]+)(?:=(.*))?$/s.exec(word) ?? [];
  if (long) return options.flatMap((option) => (option.long === long ? [[option, value]] : []));
  const found: [Option, string | null][] = [];
  for (let i = 1; word.startsWith('-') && i < word.length; i++) {
    const option = options.find(({ short }) => short === `-${word[i]}`);
    if (!option) break;
    const tail = word.slice(i + 1);
    found.push([option, option.required && tail !== '' ? tail : null]);
    if (option.required) break;
  }
  return found;
}

/** How the line wants an error to be shown, where there is a line. */
export function errorStyleOf(spoken: Spoken | undefined): {
  readonly json: boolean;
  readonly color: ColorChoice;
} {
  const color = spoken?.values.get('color');
  return {
    json: spoken?.values.has('json') || spoken?.values.get('output') === 'json',
    color: color === 'always' || color === 'never' ? color : 'auto',
  };
}
