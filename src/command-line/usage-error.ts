import { KvmsnapError } from '../errors.ts';
import { nearest } from '../model/names.ts';
import type { AnyCommand, CommanderError } from './commander.ts';
import type { Spoken } from './spoken.ts';
import { splitHint } from './values.ts';
import { VerbError } from './verb.ts';

/** What commander finds wrong with a command line, in this program's form. */

type Thrown = InstanceType<typeof CommanderError>;

/** An error that `program` has thrown; `operand` is the word in the command's place. */
export function usageError(thrown: Thrown, program: AnyCommand, { operand }: Spoken): KvmsnapError {
  if (thrown.code === 'commander.help')
    return new KvmsnapError('usage', 'no command given', { hint: 'kvmsnap --help lists the commands' });
  if (thrown.code === 'commander.unknownCommand') return unknownCommand(program, thrown.message);
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

/** What virsh does by a `snapshot-` command of another name. */
const VIRSH_NAMES: ReadonlyMap<string, string> = new Map([
  ['snapshot-dumpxml', 'info --xml'],
  ['snapshot-edit', 'describe'],
  ['snapshot-parent', 'info'],
]);

/** Someone who comes from virsh types its names: `snapshot-delete`, and `snapshot-delet`. */
function unknownCommand(program: AnyCommand, word: string): KvmsnapError {
  const shown = program.createHelp().visibleCommands(program);
  const names = shown.flatMap((command) => [command.name(), ...command.aliases()]);
  const meant = VIRSH_NAMES.get(word) ?? nearest(word.replace(/^snapshot-/, ''), names);
  return new KvmsnapError('usage', `there is no command '${word}'`, {
    hint: meant ? `did you mean 'kvmsnap ${meant}'?` : 'kvmsnap --help lists the commands',
  });
}
