import { KvmsnapError } from '../errors.ts';
import type { Settings } from '../run/context.ts';
import { Command, type CommandOf, Option, type OptionsOf, type OptionValues } from './commander.ts';
import { MeantOption } from './meaning.ts';
import { parseDuration } from './values.ts';

/** The options that stand with every command, and the settings of a run that they make. */

const withGlobals = <Args extends unknown[], Values extends OptionValues>(command: CommandOf<Args, Values>) =>
  command
    .addOption(
      new MeantOption(
        '-c, --connect <uri>',
        'uri',
        'the libvirt to talk to (default: whatever virsh itself would use)',
      ),
    )
    .addOption(
      new Option('-o, --output <format>', 'table, json, csv or name')
        .choices(['table', 'json', 'csv', 'name'])
        .default('table'),
    )
    .addOption(new Option('--json', 'as -o json').implies({ output: 'json' }))
    .addOption(new Option('-q, --quiet', 'as -o name: names only').implies({ output: 'name' }))
    .addOption(
      new Option('--color <when>', 'always, never or auto; NO_COLOR and FORCE_COLOR are heeded')
        .choices(['always', 'never', 'auto'])
        .default('auto'),
    )
    .option('-y, --yes', 'do not ask')
    .option('--dry-run', 'check, and print the virsh commands that would follow; change nothing')
    .option('--readonly', 'connect as virsh -r does; only what changes nothing is done, all else is exit 2')
    .option('-v, --verbose', 'print each command line to stderr as it runs, ready to paste')
    .option(
      '--timeout <duration>',
      'stop waiting after this long (30, 30s, 10min, 2h; 0: no limit); libvirt itself carries on',
      parseDuration,
    )
    .option(
      '--wait <duration>',
      'while another job holds a VM, try again for so long (0: do not wait)',
      parseDuration,
    )
    .option('--silent', 'print nothing at all when all went well, and everything when not; for cron');

/** The program, still without commands. Throws CommanderError, never exits. */
export const bareProgram = (name: string, version: string) =>
  withGlobals(
    new Command(name)
      .version(version, '-V, --version', 'print the version')
      .helpOption('-h, --help', 'show the help'),
  );

export type BareProgram = ReturnType<typeof bareProgram>;

/** What the global options say. Throws `usage` for two formats at once. */
export function settingsOf(program: BareProgram): Settings {
  const values = program.opts();
  checkOneFormat(program, values);
  return {
    connect: values.connect ?? null,
    output: values.output,
    color: values.color,
    yes: values.yes ?? false,
    dryRun: values.dryRun ?? false,
    verbose: values.verbose ?? false,
    readonly: values.readonly ?? false,
    timeout: values.timeout || null,
    wait: values.wait ?? 0,
    silent: values.silent ?? false,
  };
}

/** `--json` and `-q` are other words for `-o`, and of two different ones neither may win unseen. */
function checkOneFormat(program: BareProgram, { output, json, quiet }: OptionsOf<BareProgram>): void {
  const named = program.getOptionValueSource('output') === 'cli' ? output : null;
  const formats = new Set([named, json ? 'json' : null, quiet ? 'name' : null].filter((format) => format));
  if (formats.size > 1) {
    throw new KvmsnapError('usage', `one output format at a time, and not ${[...formats].join(' and ')}`);
  }
}
