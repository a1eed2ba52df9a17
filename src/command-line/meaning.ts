import { type AnyCommand, Argument, Option } from './commander.ts';

/** Arguments and options that declare what their words stand for, so that a shell can complete them. */

/**
 * What a word of the command line stands for. A `vm` is a name or UUID, and where several may be given a pattern too; a
 * `name` is a new one; a `label` is one in use, or a new one; `text` is anything, the empty one too.
 */
export type Meaning =
  | 'vm'
  | 'vm-pattern'
  | 'snapshot'
  | 'snapshot-pattern'
  | 'label'
  | 'name'
  | 'text'
  | 'topic'
  | 'uri'
  | 'file';

/** An argument; `takes` says what it stands for. */
export class MeantArgument<Usage extends string> extends Argument<Usage> {
  readonly takes: Meaning;
  /** It must be given, unless the first word is `VM/NAME` and so stands for two arguments; commander must not ask for it. */
  readonly needed: boolean;

  constructor(usage: Usage, takes: Meaning, help: string, { needed = false } = {}) {
    super(usage, help);
    this.takes = takes;
    this.needed = needed;
  }
}

/** Whether it must be given, as help shows it. */
export const isNeeded = (argument: AnyCommand['registeredArguments'][number]): boolean =>
  argument.required || (argument instanceof MeantArgument && argument.needed);

/** `<vm>`, `[names...]` */
export function syntaxOf(argument: AnyCommand['registeredArguments'][number]): string {
  const words = `${argument.name()}${argument.variadic ? '...' : ''}`;
  return isNeeded(argument) ? `<${words}>` : `[${words}]`;
}

/** An option with a value; `takes` says what the value stands for. */
export class MeantOption<Usage extends string> extends Option<Usage> {
  readonly takes: Meaning;
  /** Whether it may be given several times. */
  readonly repeatable: boolean;

  constructor(usage: Usage, takes: Meaning, help: string, { repeatable = false } = {}) {
    super(usage, help);
    this.takes = takes;
    this.repeatable = repeatable;
  }
}

type Part = AnyCommand['options'][number] | AnyCommand['registeredArguments'][number];

/** What the word of an argument or option stands for; a list means one of these words. */
export function meaningOf(part: Part): Meaning | readonly string[] {
  if (part.argChoices) return part.argChoices;
  return part instanceof MeantArgument || part instanceof MeantOption ? part.takes : 'text';
}

/** Whether an option may be given several times. */
export const isRepeatable = (option: AnyCommand['options'][number]): boolean =>
  option instanceof MeantOption && option.repeatable;
