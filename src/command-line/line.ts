import { KvmsnapError, type Meant, type ReplacedName } from '../errors.ts';
import { commandLine } from '../model/quote.ts';
import type { AnyCommand } from './commander.ts';
import { meaningOf } from './meaning.ts';
import { type KnownOption, type Part, partsOf } from './parts.ts';

/** A command line as typed, split at its command; and the same line with other words, to paste. */

export interface WrittenLine {
  /** The words before the command: global options. */
  readonly head: readonly string[];
  readonly command: string;
  readonly rest: readonly string[];
}

/** Splits the words at the command; null if there is none, or if the help of the program is requested before it. */
export function splitLine(program: AnyCommand, words: readonly string[]): WrittenLine | null {
  const parts = partsOf(optionsOf(program, null), words);
  const at = parts.findIndex(({ kind }) => kind !== 'options');
  const part = parts[at];
  if (part?.kind !== 'operand' || parts.slice(0, at).some(asksForHelp)) return null;
  const head = parts.slice(0, at).flatMap((each) => [...each.words]);
  return { head, command: part.words[0], rest: words.slice(head.length + 1) };
}

/** Whether it is `--help` or `-h`. */
export const asksForHelp = (part: Part): boolean =>
  part.kind === 'options' && part.uses.some(([option]) => option.long === '--help');

/** The options that may stand with a command; null: only the global ones. */
export const optionsOf = (program: AnyCommand, command: AnyCommand | null): readonly KnownOption[] => [
  ...(command?.options ?? []),
  ...program.createHelp().visibleOptions(program),
];

/** The commands for users. */
export const shownCommands = (program: AnyCommand): readonly AnyCommand[] =>
  program.createHelp().visibleCommands(program);

/** A command's name and its aliases. */
export const namesOf = (command: AnyCommand): string[] => [command.name(), ...command.aliases()];

/** The command with that name or alias, even if it is hidden. */
export const commandCalled = (program: AnyCommand, word: string): AnyCommand | null =>
  program.commands.find((each) => namesOf(each).includes(word)) ?? null;

/** The operands, after a `--` if one of them looks like an option. */
export const afterDashes = (operands: readonly string[]): readonly string[] =>
  operands.some((word) => word.startsWith('-')) ? ['--', ...operands] : operands;

/** The line as typed, with another command or other names; ready to paste. Null: the name that is to be replaced does not stand in it. */
export function retyped(program: AnyCommand, words: readonly string[], meant: Meant): string | null {
  const line = splitLine(program, words);
  if (!line) return commandLine('kvmsnap', words);
  const command = meant.command ?? line.command;
  const { without = [] } = meant;
  const typed = {
    head: partsOf(optionsOf(program, null), line.head),
    rest: partsOf(optionsOf(program, commandCalled(program, line.command)), line.rest).filter(
      (part) => part.kind !== 'options' || !part.uses.some(([{ long }]) => without.includes(long ?? '')),
    ),
  };
  // values are looked at first: an operand can be the same word as a part of the user's own command (try)
  const changed = withOtherValue(typed, meant.operands);
  const { head, rest: parts } = changed ?? typed;
  const operands = changed ? operandsIn(parts) : operandsOf(parts, meant);
  if (operands === null) return null;
  return commandLine('kvmsnap', [
    ...head.flatMap(({ words }) => [...words]).filter((word) => !without.includes(word)),
    command,
    ...(meant.options ?? []),
    ...withOperands(parts, operands),
  ]);
}

/** The failure with the line that was probably meant, if there is one. */
export function withMeantLine(
  program: AnyCommand,
  words: readonly string[],
  { code, message, hint, cause }: KvmsnapError,
  meant: Meant,
): KvmsnapError {
  return new KvmsnapError(code, message, {
    hint,
    cause,
    command: retyped(program, words, meant) ?? undefined,
  });
}

const operandsIn = (parts: readonly Part[]): readonly string[] =>
  parts.flatMap(({ kind, words }) => (kind === 'operand' ? words : []));

interface TypedParts {
  readonly head: readonly Part[];
  readonly rest: readonly Part[];
}

/** What the values of options must stand for, so that a name of this kind can be one. */
const STANDS_FOR: Readonly<Record<ReplacedName['kind'], readonly unknown[]>> = {
  vm: ['vm', 'vm-pattern'],
  snapshot: ['snapshot'],
  policy: ['policy', 'policy-choice'],
  host: ['host'],
};

/** The parts with the name replaced in the first value of an option that is this name; null if there is none. */
function withOtherValue({ head, rest }: TypedParts, name: Meant['operands']): TypedParts | null {
  if (!('word' in name)) return null;
  const changed = [...head, ...rest].map((part) => valueReplaced(part, name));
  const at = changed.findIndex((part) => part !== null);
  const all = [...head, ...rest].map((part, i) => (i === at ? (changed[i] ?? part) : part));
  return at < 0 ? null : { head: all.slice(0, head.length), rest: all.slice(head.length) };
}

/** The part with the name replaced in the value of its last option; null if that is not the name. */
function valueReplaced(part: Part, name: ReplacedName): Part | null {
  if (part.kind !== 'options') return null;
  const [option, value] = part.uses.at(-1) ?? [];
  if (!option || !value || !STANDS_FOR[name.kind].includes(meaningOf(option))) return null;
  const other = replacedIn(value, false, name);
  const [first = '', ...others] = part.words;
  if (other === null) return null;
  const words = others.length > 0 ? [first, other] : [first.slice(0, first.length - value.length) + other];
  return { ...part, words };
}

function operandsOf(parts: readonly Part[], { operands }: Meant): readonly string[] | null {
  if (!('word' in operands)) return operands;
  const typed = operandsIn(parts);
  const replaced = typed.map((word, i) => replacedIn(word, i === 0, operands));
  const at = replaced.findIndex((word) => word !== null);
  return at < 0 ? null : typed.map((word, i) => (i === at ? (replaced[i] ?? word) : word));
}

/** A list of hosts with one replaced; null if it is not in the list. */
function listReplaced(list: string, word: string, by: string): string | null {
  const hosts = list.split(',');
  return hosts.includes(word) ? hosts.map((each) => (each === word ? by : each)).join(',') : null;
}

/** The operand or value with the name replaced; null if it is not that name. A snapshot is never the first operand. */
function replacedIn(operand: string, isFirst: boolean, { kind, word, by }: ReplacedName): string | null {
  if (kind === 'host') return listReplaced(operand, word, by);
  if (kind === 'policy') return operand === `@${word}` ? `@${by}` : operand === word ? by : null;
  if (operand === word) return kind === 'snapshot' && isFirst ? null : by;
  if (kind === 'vm') return operand.startsWith(`${word}/`) ? by + operand.slice(word.length) : null;
  return operand.endsWith(`/${word}`) ? operand.slice(0, -word.length) + by : null;
}

/** Replaces the operands that were typed by others. */
function withOperands(parts: readonly Part[], operands: readonly string[]): string[] {
  const options = parts.filter(({ kind }) => kind === 'options');
  if (operands.some((word) => word.startsWith('-')))
    return [...options.flatMap(({ words }) => [...words]), ...afterDashes(operands)];
  const left = [...operands];
  const last = parts.findLastIndex(({ kind }) => kind === 'operand');
  const words = parts.flatMap((part, i): readonly string[] => {
    if (part.kind === 'options') return part.words;
    if (part.kind === 'end') return [];
    return left.splice(0, i === last ? left.length : 1);
  });
  return [...words, ...left];
}
