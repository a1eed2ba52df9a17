import type { AnyCommand } from '../command-line/commander.ts';
import { afterDashes, commandCalled, optionsOf, splitLine } from '../command-line/line.ts';
import { type KnownOption, type Part, partsOf } from '../command-line/parts.ts';
import { splitHint } from '../command-line/values.ts';
import { missingValue, wrongValue } from '../command-line/wrong-value.ts';
import { KvmsnapError } from '../errors.ts';
import { nearest } from '../model/names.ts';
import type { PolicyLine } from './policy-lines.ts';

/** A command line with the options of a policy. */

/** The commands that a policy may have options for. Each takes those that it knows. */
const COMMANDS = ['create', 'check', 'prune'] as const;

/** How results and errors are shown is decided before a policy is read; and a policy is called by its file. */
const NOT_IN_A_POLICY = ['output', 'json', 'quiet', 'color', 'help', 'version', 'policy'];

/**
 * The words of the line, with the options of the policy in place of its name, and `--policy` for the VMs that have chosen another one. Options beside it win. `program` has all
 * commands; `file` is the path of the policy. Throws `usage` with file and line for what no command knows.
 */
export function expanded(
  program: AnyCommand,
  words: readonly string[],
  name: string,
  { file, lines }: { readonly file: string; readonly lines: readonly PolicyLine[] },
): string[] {
  const line = splitLine(program, words);
  const command = line && commandCalled(program, line.command);
  if (!line || !command) throw new Error('a policy without a command');
  const own = optionsOf(program, command);
  const known = COMMANDS.flatMap((each) => optionsOf(program, commandCalled(program, each)));
  const all = [...new Map([...known, ...own].map((option) => [option.long, option])).values()];
  const parts = partsOf(own, line.rest);
  const beside = new Set([...partsOf(own, line.head), ...parts].flatMap(attributesIn));
  const options = lines.flatMap((each) => {
    const used = readOption(all, each, file);
    const isKnown = own.some(({ long }) => long === used.option.long);
    return isKnown && !beside.has(used.option.attributeName()) ? [used.word] : [];
  });
  const isPolicy = (part: Part) => part.kind === 'operand' && part.words[0] === name;
  const rest = parts.filter((part) => part.kind === 'options').flatMap(({ words }) => [...words]);
  const operands = parts.flatMap((part) =>
    part.kind === 'operand' && !isPolicy(part) ? [...part.words] : [],
  );
  const policy = beside.has('policy') ? [] : [`--policy=${name.slice(1)}`];
  return [...line.head, line.command, ...policy, ...options, ...rest, ...afterDashes(operands)];
}

const attributesIn = (part: Part): string[] =>
  part.kind === 'options' ? part.uses.map(([option]) => option.attributeName()) : [];

/** The option of a line, and the line as one word. */
function readOption(
  known: readonly KnownOption[],
  { number, words }: PolicyLine,
  file: string,
): { readonly option: KnownOption; readonly word: string } {
  const [part, more] = partsOf(known, words);
  const uses = part?.kind === 'options' ? part.uses : [];
  const [[option, value] = [null, null]] = uses;
  const wrong = option
    ? problemOf(option, value, { isOne: uses.length === 1, hasMore: more !== undefined, words })
    : unknownOption(known, words);
  if (wrong) throw new KvmsnapError('usage', `${file}:${number}: ${wrong.says}`, { hint: wrong.hint });
  const long = option?.long ?? '';
  return { option: option as KnownOption, word: value === null ? long : `${long}=${value}` };
}

interface Wrong {
  readonly says: string;
  readonly hint?: string | undefined;
}

/** `--long` of `--long=value` */
const spelled = ([first = '']: readonly string[]): string => first.replace(/=.*/s, '');

function unknownOption(known: readonly KnownOption[], words: readonly string[]): Wrong {
  const near = nearest(spelled(words), [...new Set(known.flatMap(({ long }) => long ?? []))]);
  return {
    says: `unknown option '${spelled(words)}'`,
    hint: near === null ? undefined : `did you mean ${near}?`,
  };
}

function problemOf(
  option: KnownOption,
  value: string | null,
  line: { readonly isOne: boolean; readonly hasMore: boolean; readonly words: readonly string[] },
): Wrong | null {
  const { flags, required } = option;
  const hasValue = line.hasMore || (line.words[0]?.includes('=') ?? false);
  const problems: readonly (readonly [boolean, Wrong])[] = [
    [!line.isOne, { says: 'write one option on each line' }],
    [
      NOT_IN_A_POLICY.includes(option.attributeName()),
      { says: `a policy cannot contain '${spelled(line.words)}'`, hint: 'write it on the command line' },
    ],
    [required && line.words.length === 1 && !hasValue && !value, { says: missingValue(flags) }],
    [
      required ? line.hasMore : hasValue,
      { says: `${option.long} takes no ${required ? 'second ' : ''}value` },
    ],
  ];
  return problems.find(([is]) => is)?.[1] ?? (value === null ? null : invalid(option, value));
}

function invalid(option: KnownOption, value: string): Wrong | null {
  try {
    option.parseArg?.(value, undefined as never);
    return null;
  } catch (error) {
    const { says, hint } = splitHint(error instanceof Error ? error.message : String(error));
    return { says: wrongValue(option.flags, value, says), hint: hint ?? undefined };
  }
}
