import type { AnyCommand } from '../command-line/commander.ts';
import { isRepeatable, meaningOf } from '../command-line/meaning.ts';
import { Verb } from '../command-line/verb.ts';
import { TOPICS } from '../help/topics.ts';
import { isPattern } from '../model/input/selection.ts';

/**
 * Finds what the last word of a partial command line may become, from the definition of the program. Independent of the
 * shell.
 */

type Option = AnyCommand['options'][number];
type Argument = AnyCommand['registeredArguments'][number];

export type Shell = 'bash' | 'zsh' | 'fish';

/** A whole word for the position of the cursor. */
export interface CompletionWord {
  readonly text: string;
  readonly help: string;
}

export type Completion =
  | { readonly kind: 'words'; readonly candidates: readonly CompletionWord[] }
  | { readonly kind: 'names'; readonly wantedNames: WantedNames }
  | { readonly kind: 'files' };

/** A request for names that libvirt knows, and which of them are possible at the cursor. */
export interface WantedNames {
  readonly what: 'vm' | 'snapshot' | 'label' | 'policy' | 'host';
  /** The words of the line that name the VMs of these snapshots; for labels, no word means all VMs. */
  readonly vms: readonly string[];
  /** The URI on the line; null if there is none. */
  readonly uri: string | null;
  /** The words of `--host` on the line; null if the command does not work on other hosts. */
  readonly hosts: readonly string[] | null;
  /** Which policies are possible too or alone: all as `@NAME`, by their names, or these and `none`. */
  readonly policies: 'at' | 'plain' | 'or none' | null;
  /** Whether patterns are possible, so that a name with pattern characters would be misunderstood. */
  readonly asPattern: boolean;
  readonly place: Place;
}

interface Place {
  /** The text before the value in the same word, such as `--exclude=`. */
  readonly before: string;
  /** Words with the same role on the line. */
  readonly given: readonly string[];
  /** Whether a word with a leading dash is accepted; `later`: after a `--`. */
  readonly dash: 'fine' | 'later' | 'never';
}

/** What is possible at the place of `current`, after these words (without the name of the program). */
export function completionOf(program: AnyCommand, words: readonly string[], current: string): Completion {
  const line = readLine(program, words);
  const { pending, ended, command, operands } = line;
  if (pending)
    return atPlace(line, pending, { before: '', given: valuesOf(line, pending), dash: 'never' }, current);
  if (!ended && current.startsWith('-')) return atOption(line, current);
  if (!command) return ofWords(operands.length > 0 ? [] : shownCommands(program).flatMap(wordsOfCommand));
  const places = argumentsOf(line);
  const index = placeIndex(places, operands.length - 1);
  const given = operands.slice(1).filter((_, i) => placeIndex(places, i) === index);
  return atPlace(line, places[index], { before: '', given, dash: ended ? 'fine' : 'later' }, current);
}

/** Those of the found names, with their descriptions, that can be typed at this place and are not misunderstood. */
export function nameCandidates(
  { asPattern, place }: WantedNames,
  names: ReadonlyMap<string, string>,
): CompletionWord[] {
  const fitting = [...names.keys()]
    .filter((name) => name !== '' && !/\p{Cc}/u.test(name) && !place.given.includes(name))
    .filter((name) => !asPattern || !isPattern(name));
  const plain = fitting.filter((name) => place.dash === 'fine' || !name.startsWith('-'));
  const hidesSome = place.dash === 'later' && plain.length < fitting.length;
  return [
    ...plain.map((name) => ({ text: `${place.before}${name}`, help: names.get(name) ?? '' })),
    ...(hidesSome ? [{ text: '--', help: 'names that begin with a dash' }] : []),
  ];
}

/** The commands for users. */
const shownCommands = (program: AnyCommand): AnyCommand[] => program.createHelp().visibleCommands(program);

/** The topics of `help`: commands and pages of the manual. */
const topicsOf = (program: AnyCommand): CompletionWord[] => [
  ...shownCommands(program).map((command) => ({ text: command.name(), help: command.summary() })),
  ...TOPICS.map(({ name, summary }) => ({ text: name, help: summary })),
];

interface Line {
  readonly program: AnyCommand;
  command: AnyCommand | null;
  /** Words that are not options; the first one is the command. */
  readonly operands: string[];
  readonly options: OptionUse[];
  /** The option whose value is the next word. */
  pending: Option | null;
  /** After `--`. */
  ended: boolean;
}

function readLine(program: AnyCommand, words: readonly string[]): Line {
  const line: Line = { program, command: null, operands: [], options: [], pending: null, ended: false };
  for (const word of words) readWord(line, word);
  return line;
}

function readWord(line: Line, word: string): void {
  if (line.pending) {
    line.options.push({ option: line.pending, value: word });
    line.pending = null;
  } else if (line.ended || !/^-./.test(word)) {
    line.operands.push(word);
    if (line.operands.length === 1) line.command = commandOf(line.program, word);
  } else if (word === '--') line.ended = true;
  else {
    for (const { option, value } of optionsIn(line, word)) {
      if (takesValue(option) && value === null) line.pending = option;
      else line.options.push({ option, value });
    }
  }
}

const commandOf = (program: AnyCommand, word: string): AnyCommand | null =>
  shownCommands(program).find((each) => namesOf(each).includes(word)) ?? null;

interface OptionUse {
  readonly option: Option;
  /** The value in the same word; null if there is none. */
  readonly value: string | null;
}

/** `--output=json`, `--json`, `-ojson`, `-yo`: the known options of one word. */
function optionsIn(line: Line, word: string): OptionUse[] {
  const known = knownOptions(line);
  const find = (flag: string) => known.find((option) => flagsOf(option).includes(flag));
  if (word.startsWith('--')) {
    const [, flag = word, value = null] = /^(--[^=]+)=(.*)$/s.exec(word) ?? [];
    const option = find(flag);
    return option ? [{ option, value }] : [];
  }
  const [, letter = '', rest = ''] = /^-(.)(.*)$/su.exec(word) ?? [];
  const option = find(`-${letter}`);
  if (!option) return [];
  if (takesValue(option)) return [{ option, value: rest || null }];
  return [{ option, value: null }, ...(rest ? optionsIn(line, `-${rest}`) : [])];
}

/** The options of the command, the global ones, and commander's own. */
const knownOptions = ({ program, command }: Line): readonly Option[] => [
  ...(command?.options ?? []),
  ...program.createHelp().visibleOptions(program),
];

const flagsOf = ({ short, long }: Option): string[] => [short, long].filter((flag) => flag !== undefined);

const takesValue = ({ required, optional }: Option): boolean => required || optional;

/** The values of an option on the line. */
const valuesOf = ({ options }: Line, wanted: Option): string[] =>
  options.flatMap(({ option, value }) => (option === wanted && value !== null ? [value] : []));

function atOption(line: Line, current: string): Completion {
  const last = optionsIn(line, current).at(-1);
  if (last && last.value !== null) {
    const before = current.slice(0, current.length - last.value.length);
    const place = { before, given: valuesOf(line, last.option), dash: 'fine' } as const;
    return atPlace(line, last.option, place, last.value);
  }
  const used = new Set(line.options.map(({ option }) => option));
  const open = knownOptions(line).filter((option) => isRepeatable(option) || !used.has(option));
  return ofWords(
    open.flatMap((option) => flagsOf(option).map((text) => ({ text, help: option.description }))),
  );
}

const namesOf = (command: AnyCommand): string[] => [command.name(), ...command.aliases()];

const wordsOfCommand = (command: AnyCommand): CompletionWord[] =>
  namesOf(command).map((text) => ({ text, help: command.summary() || command.description() }));

const argumentsOf = ({ command }: Line): readonly Argument[] => command?.registeredArguments ?? [];

/** The argument for the nth operand; the last argument may take any number. */
function placeIndex(places: readonly Argument[], n: number): number {
  return places.at(-1)?.variadic ? Math.min(n, places.length - 1) : n;
}

/** `value`: the beginning of the value, up to the cursor. */
function atPlace(line: Line, part: Option | Argument | undefined, place: Place, value: string): Completion {
  const takes = part ? meaningOf(part) : 'text';
  if (takes === 'file') return { kind: 'files' };
  if (takes === 'topic') return ofWords(topicsOf(line.program));
  if (typeof takes !== 'string') {
    const open = takes.filter((word) => !place.given.includes(word));
    return ofWords(open.map((word) => ({ text: `${place.before}${word}`, help: '' })));
  }
  const [, what, more] = /^(vm|snapshot|label|policy|host)(-pattern|-choice)?$/.exec(takes) ?? [];
  if (!isWhat(what)) return ofWords([]);
  const uri = line.options.findLast(({ option }) => meaningOf(option) === 'uri')?.value ?? null;
  const hosts = hostsOn(line);
  if (what === 'host') {
    // the last one of several with commas
    const done = value.slice(0, value.lastIndexOf(',') + 1);
    const last: Place = { ...place, before: place.before + done, given: done.split(',') };
    const wantedNames = { what, vms: [], uri, hosts, policies: null, asPattern: false, place: last };
    return { kind: 'names', wantedNames };
  }
  const owner = part && ownerIn(line, part, value);
  if (owner !== undefined) {
    const before = `${owner}/`;
    const words = [...new Set([...line.operands.slice(1), ...place.given])];
    const given = words.filter((word) => word.startsWith(before)).map((word) => word.slice(before.length));
    const pair: Place = { before: place.before + before, given, dash: 'fine' };
    return {
      kind: 'names',
      wantedNames: {
        ...{ what: 'snapshot', vms: [owner], uri, hosts, policies: null, asPattern: false },
        place: pair,
      },
    };
  }
  return {
    kind: 'names',
    wantedNames: {
      ...{ what, vms: vmsOn(line), uri, hosts, asPattern: more === '-pattern', place },
      policies: what === 'policy' ? (more ? 'or none' : 'plain') : atPolicies(line, takes),
    },
  };
}

const isWhat = (word: string | undefined): word is WantedNames['what'] =>
  word === 'vm' || word === 'snapshot' || word === 'label' || word === 'policy' || word === 'host';

const hostsOn = ({ command, options }: Line): readonly string[] | null =>
  command instanceof Verb && command.takesHosts
    ? options.flatMap(({ option, value }) => (meaningOf(option) === 'host' && value ? [value] : []))
    : null;

/** Whether `@NAME` is possible besides the names of VMs. */
const atPolicies = (line: Line, takes: string): 'at' | null =>
  takes === 'vm' && takesPolicy(line) ? 'at' : null;

/** The VM of a `VM/NAME` that begins here; undefined if the line cannot have one at this place. */
function ownerIn(line: Line, part: Option | Argument, value: string): string | undefined {
  const [, vm] = /^([^/]+)\//.exec(value) ?? [];
  if (vm === undefined || isPattern(vm)) return undefined;
  const [first, second] = argumentsOf(line);
  const before = line.operands[1];
  const isFirst = part === first && isVm(part) && second !== undefined && meaningOf(second) === 'snapshot';
  const isFurther = meaningOf(part) === 'snapshot' && (before === undefined || before.includes('/'));
  return isFirst || isFurther ? vm : undefined;
}

function vmsOn(line: Line): string[] {
  const places = argumentsOf(line);
  return [
    ...line.operands.slice(1).filter((_, i) => isVm(places[placeIndex(places, i)])),
    ...line.options.flatMap(({ option, value }) => (isVm(option) && value ? [value] : [])),
  ];
}

/** Whether a word of this line may be `@POLICY`, and none is yet. */
const takesPolicy = ({ command, operands }: Line): boolean =>
  (command?.options ?? []).some((option) => option.long === '--policy') &&
  !operands.some((word) => word.startsWith('@'));

const isVm = (part: Option | Argument | undefined): boolean => part !== undefined && meaningOf(part) === 'vm';

const ofWords = (candidates: readonly CompletionWord[]): Completion => ({ kind: 'words', candidates });
