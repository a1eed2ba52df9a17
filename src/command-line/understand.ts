import { KvmsnapError } from '../errors.ts';
import { nearest } from '../model/names.ts';
import { commandLine } from '../model/quote.ts';
import type { AnyCommand } from './commander.ts';
import {
  afterDashes,
  asksForHelp,
  commandCalled,
  namesOf,
  optionsOf,
  shownCommands,
  splitLine,
  type WrittenLine,
} from './line.ts';
import { EVERYDAY_WORDS, MISPLACED, type OtherWord, VIRSH_COMMANDS, virshOptionsOf } from './other-words.ts';
import { type Part, partsOf } from './parts.ts';
import { seeHelp } from './see-help.ts';

/**
 * Translates a command line with words of virsh or of everyday language into kvmsnap's own words. Words for commands
 * that change nothing, and virsh's names for the same thing, are accepted; any other unknown word is answered with the
 * command that was probably meant.
 */

/** Throws `usage` with a line that uses the command which has the option. */
function refuseMisplaced(program: AnyCommand, line: WrittenLine): void {
  const [flag, command] = MISPLACED.get(line.command) ?? [];
  if (!flag || !command) return;
  const parts = partsOf(optionsOf(program, commandCalled(program, line.command)), line.rest);
  const isThere = ({ kind, words }: Part) => kind === 'options' && words[0]?.split('=')[0] === flag;
  if (!parts.some(isThere)) return;
  throw new KvmsnapError('usage', `unknown option '${flag}'`, {
    hint: `${command} has this option`,
    command: commandLine('kvmsnap', translate(program, line, { means: [[command]] })),
  });
}

/** The words for commander. Throws `usage` for an unknown command, with the line to paste. */
export function understand(program: AnyCommand, words: readonly string[]): readonly string[] {
  const line = splitLine(program, words);
  if (!line) return words;
  if (commandCalled(program, line.command)) {
    refuseMisplaced(program, line);
    return translate(program, line, { means: [[line.command]] });
  }
  const other = otherWord(line.command);
  const isHelp = partsOf(optionsOf(program, null), line.rest).some(asksForHelp);
  if (!other || !(other.taken || isHelp)) throw unknownCommand(program, words);
  return translate(program, line, isHelp ? { means: other.means } : other);
}

/** The command that an unknown word probably means; null if the command exists or no command is similar. */
export function commandFor(word: string): string | null {
  return otherWord(word)?.means.at(-1)?.[0] ?? null;
}

/** The `usage` failure for an unknown command, with the command that was probably meant if one is similar. */
export function unknownCommand(program: AnyCommand, words: readonly string[]): KvmsnapError {
  const line = splitLine(program, words);
  const word = line?.command ?? words[0] ?? '';
  const message = `there is no command '${word}'`;
  const meant = line && meantBy(program, line);
  if (!meant) return new KvmsnapError('usage', message, seeHelp(null));
  return new KvmsnapError('usage', message, {
    hint: meant.hint,
    command: commandLine('kvmsnap', meant.words),
  });
}

const otherWord = (word: string): OtherWord | undefined =>
  VIRSH_COMMANDS.get(word) ?? EVERYDAY_WORDS.get(word);

interface Suggestion {
  readonly hint: string;
  readonly words: readonly string[];
}

/** What an unknown command with its arguments probably meant; null if nothing is similar. */
function meantBy(program: AnyCommand, line: WrittenLine): Suggestion | null {
  const known = otherWord(line.command);
  const inner = behindPrefix(program, line);
  if (inner) return inner;
  if (known)
    return {
      hint: `kvmsnap calls this ${known.means.at(-1)?.join(' ')}`,
      words: translate(program, line, known),
    };
  const near = nearestWord(program, line.command);
  if (near === null) return commandBehind(program, line);
  return { hint: 'did you mean', words: translate(program, line, meaningOf(program, near)) };
}

/** The meaning of a word of virsh or of everyday language. */
const meaningOf = (program: AnyCommand, word: string): Meaning =>
  (commandCalled(program, word) ? null : otherWord(word)) ?? { means: [[word]] };

/** `snapshot list VM`: a command after a superfluous word. */
function behindPrefix(program: AnyCommand, line: WrittenLine): Suggestion | null {
  if (!/^(snap|snapshot|snapshots|virsh)$/.test(line.command)) return null;
  const [command = '', ...rest] = line.rest;
  if (!shownCommands(program).some((each) => namesOf(each).includes(command)) && !otherWord(command))
    return null;
  return {
    hint: `leave out '${line.command}'`,
    words: translate(program, { ...line, command, rest }, meaningOf(program, command)),
  };
}

/** `VM list`: the command stands after its first argument. */
function commandBehind(program: AnyCommand, { head, command, rest }: WrittenLine): Suggestion | null {
  const [second = '', ...others] = rest;
  if (!shownCommands(program).some((each) => namesOf(each).includes(second))) return null;
  return { hint: 'the command comes first', words: [...head, second, command, ...others] };
}

/** A command of kvmsnap, of virsh, or a word of everyday language, in this order; `snapshot-` may stand before each. */
function nearestWord(program: AnyCommand, word: string): string | null {
  const own = shownCommands(program).flatMap(namesOf);
  const short = word.replace(/^snapshot-/, '');
  if (own.includes(short)) return short;
  return (
    nearest(word, own) ??
    nearest(word, [...VIRSH_COMMANDS.keys()]) ??
    nearest(short, own) ??
    nearest(word, [...EVERYDAY_WORDS.keys()])
  );
}

type Meaning = Pick<OtherWord, 'means' | 'operands' | 'more'>;

/** The words of a line with their new meaning; words that need no change keep their places. */
function translate(
  program: AnyCommand,
  line: WrittenLine,
  { means, operands: places = [], more }: Meaning,
): string[] {
  const command = commandCalled(program, means.at(-1)?.[0] ?? '');
  const virshOptions = virshOptionsOf(command?.name() ?? '');
  const parts = partsOf(
    [...virshOptions.map(({ option }) => option), ...optionsOf(program, command)],
    line.rest,
  );
  const { words, vms, snapshots, typed, isChanged } = readVirshOptions(parts, virshOptions);
  const operands = inOrder(vms, snapshots, [...typed, ...(more === undefined ? [] : [more])]);
  const front = [...line.head, ...(means[Math.min(operands.length, means.length - 1)] ?? [])];
  if (!isChanged && places.length === 0 && more === undefined) return [...front, ...line.rest];
  const moved = operands.flatMap((operand, i) => (places[i] ? [`${places[i]}=${operand}`] : []));
  const left = operands.filter((_, i) => !places[i]);
  return [...front, ...words, ...moved, ...afterDashes(left)];
}

function readVirshOptions(parts: readonly Part[], virshOptions: ReturnType<typeof virshOptionsOf>) {
  const read = {
    words: [] as string[],
    vms: [] as string[],
    snapshots: [] as string[],
    typed: [] as string[],
  };
  let isChanged = false;
  for (const part of parts) {
    if (part.kind === 'operand') read.typed.push(...part.words);
    if (part.kind !== 'options') continue;
    const [[option, value] = [null, null]] = part.uses;
    const virsh = virshOptions.find((each) => each.option === option);
    isChanged ||= virsh !== undefined;
    if (!virsh) read.words.push(...part.words);
    else if (virsh.becomes === 'vm') read.vms.push(value ?? '');
    else if (virsh.becomes === 'snapshot') read.snapshots.push(value ?? '');
    else read.words.push(...virsh.becomes.map((word) => (value === null ? word : `${word}=${value}`)));
  }
  return { ...read, isChanged };
}

/** As in virsh, each operand fills the first place that no option has filled; a snapshot without a VM is not accepted. */
function inOrder(
  vms: readonly string[],
  snapshots: readonly string[],
  typed: readonly string[],
): readonly string[] {
  const [first, others] = vms.length > 0 ? [vms, typed] : [typed.slice(0, 1), typed.slice(1)];
  return first.length === 0 ? [] : [...first, ...snapshots, ...others];
}
