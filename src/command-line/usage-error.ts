import { KvmsnapError } from '../errors.ts';
import type { AnyCommand, CommanderError } from './commander.ts';
import type { Spoken } from './spoken.ts';
import { unknownCommand } from './understand.ts';
import { splitHint } from './values.ts';
import { VerbError } from './verb.ts';

/** What commander finds wrong with a command line, in this program's form. */

type Thrown = InstanceType<typeof CommanderError>;

/** An error that `program` has thrown; `operand` is the word in the command's place. */
export function usageError(thrown: Thrown, program: AnyCommand, { operand }: Spoken): KvmsnapError {
  if (thrown.code === 'commander.help')
    return new KvmsnapError('usage', 'no command given', { hint: 'kvmsnap --help lists the commands' });
  if (thrown.code === 'commander.unknownCommand') return unknownCommand(program, [thrown.message]);
  // the command whose arguments they are; a global option is wrong before commander comes to that
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
        option && command?.registeredArguments.length
          ? '; a name that begins with a dash comes behind --'
          : ''
      }`,
  });
}

/** An option of which only the beginning was typed: commander goes by the number of wrong letters alone. */
function shortened(option: string, known: AnyCommand['options']): string | null {
  const begun = option.startsWith('--') ? known.filter(({ long }) => long?.startsWith(option)) : [];
  return begun.length === 1 ? `did you mean ${begun[0]?.long}?` : null;
}
