import type { ColorChoice } from '../host/terminal.ts';
import { type KnownOption, partsOf } from './parts.ts';

/** Reads the global options of a command line, even if the rest of it cannot be parsed. */

export interface Spoken {
  /** By the name of the option in camel case. */
  readonly values: ReadonlyMap<string, string>;
  /** The first word that belongs to no global option, which is the command. */
  readonly operand: string | undefined;
}

/** Reads the words before a `--`, knowing only these options. */
export function spokenBy(options: readonly KnownOption[], words: readonly string[]): Spoken {
  const values = new Map<string, string>();
  let operand: string | undefined;
  for (const part of partsOf(options, words)) {
    if (part.kind === 'end') break;
    if (part.kind === 'operand') operand ??= part.words[0];
    else for (const [option, value] of part.uses) values.set(option.attributeName(), value ?? 'yes');
    // before a command, --help means the help of the program, whatever follows
    if (values.has('help')) break;
  }
  return { values, operand };
}

/** Whether raw words seem to ask for the output of a monitoring plugin; of options and values, it knows only this one. */
export const speaksAsPlugin = (words: readonly string[]): boolean =>
  words.some(
    (word, i) =>
      /^(-[a-zA-Z]*o|--output=)nagios$/.test(word) ||
      (word === 'nagios' && /^(-[a-zA-Z]*o|--output)$/.test(words[i - 1] ?? '')),
  );

/** How the command line wants errors to be shown. */
export function errorStyleOf({ values }: Spoken): {
  readonly format: 'text' | 'json' | 'nagios';
  readonly color: ColorChoice;
} {
  const color = values.get('color');
  const output = values.get('output');
  return {
    format: output === 'nagios' ? 'nagios' : values.has('json') || output === 'json' ? 'json' : 'text',
    color: color === 'always' || color === 'never' ? color : 'auto',
  };
}
