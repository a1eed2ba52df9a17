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

/** How the command line wants errors to be shown. */
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
