import { KvmsnapError } from '../errors.ts';
import type { HostOptions, Settings } from '../run/context.ts';
import { Command, type CommandOf, Option, type OptionsOf, type OptionValues } from './commander.ts';
import { MeantOption } from './meaning.ts';
import { parseDuration, parseJobs, repeated } from './values.ts';

/** The options of every command, and the settings of a run that they define. */

const withGlobals = <Args extends unknown[], Values extends OptionValues>(command: CommandOf<Args, Values>) =>
  command
    .addOption(
      new MeantOption('-c, --connect <uri>', 'uri', "connect to this libvirt URI (default: virsh's default)"),
    )
    .addOption(
      new Option('-o, --output <format>', 'print as table, json, csv or name; check also: nagios, prometheus')
        .choices(['table', 'json', 'csv', 'name', 'nagios', 'prometheus'])
        .default('table'),
    )
    .addOption(new Option('--json', 'print JSON (same as -o json)').implies({ output: 'json' }))
    .addOption(
      new Option('-q, --quiet', 'print only names, one per line (-o name; for no output: --silent)').implies({
        output: 'name',
      }),
    )
    .addOption(
      new Option('--color <when>', 'use colors: always, never or auto (honors NO_COLOR)')
        .choices(['always', 'never', 'auto'])
        .default('auto'),
    )
    .option('-y, --yes', 'do not ask: answer each question with yes')
    .option('--dry-run', 'check, print the virsh commands, and change nothing')
    .option('--readonly', 'use a read-only connection (as virsh -r)')
    .option('-v, --verbose', 'print each command line to stderr as it runs')
    .option(
      '--timeout <duration>',
      'stop waiting if the whole run takes longer than this: 30s, 10min, 2h',
      parseDuration,
    )
    .option(
      '--wait <duration>',
      'retry for this time if another job holds a VM: 10min (default: 0)',
      parseDuration,
    )
    .option('--silent', 'print output only if something fails (for cron)')
    .addOption(
      new MeantOption(
        '--metrics <file>',
        'file',
        'write metrics for Prometheus to this file (check, create, prune)',
      ),
    )
    .addOption(
      repeated(
        '--host <host>',
        'host',
        "work over ssh on kvm1,kvm2, 'kvm[1-9]' or @GROUP of /etc/kvmsnap/hosts",
      ),
    )
    .addOption(
      new MeantOption(
        '--hosts-from <file>',
        'file',
        "read hosts from a list (one a line) or Ansible's inventory (-: stdin)",
      ),
    )
    .addOption(repeated('--exclude-host <host>', 'text', 'exclude these hosts (repeatable)'))
    .option('--hosts-at-once <n>', 'work on up to <n> hosts in parallel (default: 16)', parseJobs);

/** The program, still without commands. Throws CommanderError, never exits. */
export const bareProgram = (name: string, version: string) =>
  withGlobals(
    new Command(name)
      .version(version, '-V, --version', 'print the version')
      .helpOption('-h, --help', 'show help'),
  );

export type BareProgram = ReturnType<typeof bareProgram>;

/** The settings from the global options. Throws `usage` for two output formats. */
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
    metrics: values.metrics ?? null,
    hosts: hostsOf(values),
  };
}

const HOSTS_AT_ONCE = 16;

/** Throws `usage` for an exclusion from nothing. */
function hostsOf({ host, hostsFrom, excludeHost, hostsAtOnce }: OptionsOf<BareProgram>): HostOptions | null {
  if (host || hostsFrom !== undefined)
    return {
      names: host ?? [],
      from: hostsFrom ?? null,
      exclude: excludeHost ?? [],
      atOnce: hostsAtOnce ?? HOSTS_AT_ONCE,
    };
  if (excludeHost) throw new KvmsnapError('usage', '--exclude-host needs --host or --hosts-from');
  return null;
}

/** `--json` and `-q` mean the same as `-o`; if two formats contradict each other, neither may win silently. */
function checkOneFormat(program: BareProgram, { output, json, quiet }: OptionsOf<BareProgram>): void {
  const named = program.getOptionValueSource('output') === 'cli' ? output : null;
  const formats = new Set([named, json ? 'json' : null, quiet ? 'name' : null].filter((format) => format));
  if (formats.size > 1) {
    throw new KvmsnapError('usage', `conflicting output formats: ${[...formats].join(' and ')}`);
  }
}
