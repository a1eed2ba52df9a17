import { KvmsnapError } from '../errors.ts';
import type { AnyCommand, CommanderError } from './commander.ts';
import type { Spoken } from './spoken.ts';
import { unknownCommand } from './understand.ts';
import { splitHint } from './values.ts';
import { VerbError } from './verb.ts';

/** Turns commander's errors about a command line into failures of this program. */

type Thrown = InstanceType<typeof CommanderError>;

/** The failure for an error that `program` has thrown; `operand` is the word at the place of the command. */
export function usageError(thrown: Thrown, program: AnyCommand, { operand }: Spoken): KvmsnapError {
  if (thrown.code === 'commander.help')
    return new KvmsnapError('usage', 'no command given', { hint: 'kvmsnap --help lists the commands' });
  if (thrown.code === 'commander.unknownCommand') return unknownCommand(program, [thrown.message]);
  // the command to which the arguments belong; an error in a global option is thrown before commander knows it
  const command =
    thrown instanceof VerbError
      ? thrown.verb
      : program.commands.find((each) => each.name() === operand || each.aliases().includes(operand ?? ''));
  const [, text = '', suggestion] =
    /^(?:error: )?(.*?)(?:\n\(Did you mean ([^\n]*)\?\))?$/s.exec(thrown.message) ?? [];
  const { says, hint } = splitHint(text);
  const [, option] = thrown.code === 'commander.unknownOption' ? (/'(.+)'$/s.exec(says) ?? []) : [];
  return new KvmsnapError('usage', says, {
    hint:
      hint ??
      (option && shortened(option, [...(command?.options ?? []), ...program.options])) ??
      (suggestion && `did you mean ${suggestion}?`) ??
      `kvmsnap ${command?.name() ?? 'COMMAND'} --help shows its arguments and options${
        option && command?.registeredArguments.length ? '; put names that start with a dash after --' : ''
      }`,
  });
}

/** Proposes an option of which only the beginning was typed; commander itself only counts wrong letters. */
function shortened(option: string, known: AnyCommand['options']): string | null {
  const begun = option.startsWith('--') ? known.filter(({ long }) => long?.startsWith(option)) : [];
  return begun.length === 1 ? `did you mean ${begun[0]?.long}?` : null;
}
