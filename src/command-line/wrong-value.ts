import type { AnyCommand } from './commander.ts';

/** What is said about a wrong value on a command line or in a policy, in place of commander's own sentences. */

/** What is wrong with the value of an option; `flags` as in help, such as `-o, --output <format>`, `why` as of `unfit`. */
export const wrongValue = (flags: string, value: string, why: string): string =>
  `${longOf(flags)} cannot be '${value}': ${choicesIn(why)}`;

/** That an option was given without its value. */
export const missingValue = (flags: string): string => `${longOf(flags)} needs a value`;

/** That a required argument was not given; `description` as in help. */
export const missingArgument = (name: string, description: string): string =>
  `<${name}> is missing: ${description}`;

/** The sentence of commander in plain words; one that is not about a value or an argument is returned as it is. */
export function inPlainWords(message: string, known: AnyCommand['registeredArguments'] = []): string {
  const [, needed] = /^missing required argument '([^']*)'$/.exec(message) ?? [];
  const argument = known.find((each) => each.name() === needed);
  if (argument !== undefined) return missingArgument(argument.name(), argument.description);
  const [, missing] = /^option '([^']*)' argument missing$/.exec(message) ?? [];
  if (missing !== undefined) return missingValue(missing);
  const [, flags, value = '', why = ''] =
    /^option '([^']*)' argument '(.*)' is invalid\. (.*)$/s.exec(message) ?? [];
  if (flags !== undefined) return wrongValue(flags, value, why);
  const [, word = '', name, choices = ''] =
    /^command-argument value '(.*)' is invalid for argument '([^']*)'\. (.*)$/s.exec(message) ?? [];
  if (name !== undefined) return wrongValue(`<${name}>`, word, choices);
  return message;
}

/** `-o, --output <format>` -> `--output` */
const longOf = (flags: string): string => /--[\w-]+/.exec(flags)?.[0] ?? flags;

/** Commander's `Allowed choices are a, b, c.` as `expected a, b or c`. */
const choicesIn = (why: string): string => {
  const [, all] = /^Allowed choices are (.*)\.$/.exec(why) ?? [];
  return all === undefined ? why : `expected ${all.replace(/, ([^,]*)$/, ' or $1')}`;
};
