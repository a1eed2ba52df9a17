import { type CommandOf, Option, type OptionValues } from '../command-line/commander.ts';
import { WHICH_VMS } from '../command-line/help.ts';
import { MeantOption } from '../command-line/meaning.ts';
import { parseJobs, repeated, repeatedChoice, unfit } from '../command-line/values.ts';
import { KvmsnapError } from '../errors.ts';
import type { Selection } from '../model/input/selection.ts';
import { isPolicyName } from '../model/policy.ts';

/** The options that select VMs. */

/** Filters for VMs that were selected by patterns or `--all`. */
export const withFilters = <Args extends unknown[], Values extends OptionValues>(
  command: CommandOf<Args, Values>,
) =>
  command
    .optionsGroup(WHICH_VMS)
    .addOption(repeated('--exclude <pattern>', 'vm-pattern', "exclude VMs named like 'test-*' (repeatable)"))
    .addOption(
      repeatedChoice(
        '--state <state>',
        ['running', 'shutoff', 'paused'],
        'select only VMs in this state: running, shutoff or paused',
        new Map([['shut off', 'shutoff']]),
      ),
    );

/** `--all`. */
export const allOption = () => new Option('--all', 'select all VMs').helpGroup(WHICH_VMS);

/** More VMs, for the commands whose other arguments are snapshots. */
export const vmOption = () =>
  repeated('--vm <pattern>', 'vm', 'add VMs by name or pattern (repeatable)').helpGroup(WHICH_VMS);

/** `--jobs`: how many VMs at once. */
export const jobsOption = () =>
  new Option('--jobs <n>', 'work on up to <n> VMs in parallel (default: 1)')
    .helpGroup(WHICH_VMS)
    .argParser(parseJobs);

/** `--strict`: a skipped VM is a failure. `help` says why one may be skipped. */
export const strictOption = (help: string) => new Option('--strict', help).helpGroup(WHICH_VMS);

/** `nightly`, `@nightly` -> the name of a policy. */
export function parsePolicyName(text: string): string {
  const name = text.replace(/^@/, '');
  if (!isPolicyName(name)) throw unfit('expected the name of a policy, such as nightly');
  return name;
}

/** `--policy`, which a `@POLICY` on the command line stands for too. */
export const policyOption = () =>
  new MeantOption('--policy <name>', 'policy', 'leave out VMs with another policy (kvmsnap policy)')
    .helpGroup(WHICH_VMS)
    .argParser(parsePolicyName);

/** The values of these options, as far as a command has them. */
export interface SelectionOptions {
  readonly all?: boolean | undefined;
  readonly exclude?: readonly string[] | undefined;
  readonly state?: readonly string[] | undefined;
  readonly vm?: readonly string[] | undefined;
  readonly policy?: string | undefined;
}

/** Throws `usage` if no VM is named, or if VMs are named together with `--all`. */
export function toSelection(words: readonly string[], options: SelectionOptions): Selection {
  const { all = false, exclude = [], state = [], vm = [], policy = null } = options;
  const wanted = [...words, ...vm];
  if (wanted.length === 0 && !all)
    throw new KvmsnapError('usage', 'name the VMs, give a pattern, or add --all');
  if (wanted.length > 0 && all) throw new KvmsnapError('usage', '--all cannot be combined with names');
  return { words: wanted, all, exclude, states: state, policy };
}
