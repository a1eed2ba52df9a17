import { type AnyCommand, Argument, Option } from './commander.ts';

/** Arguments and options that declare what their words stand for, so that a shell can complete them. */

/**
 * What a word of the command line stands for. A `vm` is a name or UUID, or a pattern if several are possible; a `name`
 * is a new name; a `label` is one in use or a new one; a `policy-choice` is a policy or `none`; a `host` is one or several, as `--host` takes them; `text` is any text, even an empty one.
 */
export type Meaning =
  | 'vm'
  | 'vm-pattern'
  | 'snapshot'
  | 'snapshot-pattern'
  | 'label'
  | 'policy'
  | 'policy-choice'
  | 'host'
  | 'name'
  | 'text'
  | 'topic'
  | 'uri'
  | 'file';

/** An argument; `takes` says what it stands for. */
export class MeantArgument<Usage extends string> extends Argument<Usage> {
  readonly takes: Meaning;
  /**
   * Whether it is required, unless the first word is `VM/NAME` and stands for two arguments; commander itself must not
   * require it.
   */
  readonly needed: boolean;

  constructor(usage: Usage, takes: Meaning, help: string, { needed = false } = {}) {
    super(usage, help);
    this.takes = takes;
    this.needed = needed;
  }
}

/** Whether it is required, as help shows it. */
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
