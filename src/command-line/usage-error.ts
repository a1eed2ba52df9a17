import { KvmsnapError } from '../errors.ts';
import type { AnyCommand, CommanderError } from './commander.ts';
import { seeHelp } from './see-help.ts';
import type { Spoken } from './spoken.ts';
import { unknownCommand } from './understand.ts';
import { splitHint } from './values.ts';
import { VerbError } from './verb.ts';
import { inPlainWords } from './wrong-value.ts';

/** Turns commander's errors about a command line into failures of this program. */

type Thrown = InstanceType<typeof CommanderError>;

/** The failure for an error that `program` has thrown; `operand` is the word at the place of the command. */
export function usageError(thrown: Thrown, program: AnyCommand, { operand }: Spoken): KvmsnapError {
  if (thrown.code === 'commander.help')
    // the help, which is above, has the commands
    return new KvmsnapError('usage', 'no command given');
  if (thrown.code === 'commander.unknownCommand') return unknownCommand(program, [thrown.message]);
  // the command to which the arguments belong; an error in a global option is thrown before commander knows it
  const command =
    thrown instanceof VerbError
      ? thrown.verb
      : program.commands.find((each) => each.name() === operand || each.aliases().includes(operand ?? ''));
  const [, text = '', suggestion] =
    /^(?:error: )?(.*?)(?:\n\(Did you mean ([^\n]*)\?\))?$/s.exec(thrown.message) ?? [];
  const { says: original, hint } = splitHint(text);
  const says = inPlainWords(original, command?.registeredArguments);
  const [, option] = thrown.code === 'commander.unknownOption' ? (/'(.+)'$/s.exec(says) ?? []) : [];
  const meant =
    hint ??
    (option && shortened(option, [...(command?.options ?? []), ...program.options])) ??
    (suggestion && `did you mean ${suggestion}?`);
  if (meant) return new KvmsnapError('usage', says, { hint: meant });
  const dashes =
    option && command?.registeredArguments.length ? ' (put a name that starts with a dash after --)' : '';
  return new KvmsnapError('usage', says, seeHelp(command?.name() ?? null, dashes));
}

/** Proposes an option of which only the beginning was typed; commander itself only counts wrong letters. */
function shortened(option: string, known: AnyCommand['options']): string | null {
  const begun = option.startsWith('--') ? known.filter(({ long }) => long?.startsWith(option)) : [];
  return begun.length === 1 ? `did you mean ${begun[0]?.long}?` : null;
}
