import { KvmsnapError, notOnHosts } from '../errors.ts';
import type { MonitoringFormat, OutputFormat } from '../run/context.ts';
import { isNeeded, meaningOf } from './meaning.ts';
import { seeHelp } from './see-help.ts';
import type { Verb } from './verb.ts';
import { missingArgument } from './wrong-value.ts';

/** Checks of a command line that commander accepts. */

interface GlobalValues {
  /** The run must not change anything. */
  readonly readonly?: boolean | undefined;
  readonly output: OutputFormat;
  /** The file for metrics. */
  readonly metrics?: string | undefined;
  readonly host?: unknown;
  readonly hostsFrom?: unknown;
}

/** Throws `usage`. */
export function checkLine(verb: Verb, { readonly, output, metrics, host, hostsFrom }: GlobalValues): void {
  checkExcess(verb);
  checkMissing(verb);
  const names = verb.args.filter((_, i) => {
    const argument = verb.registeredArguments[i] ?? verb.registeredArguments.at(-1);
    return argument && meaningOf(argument) !== 'text';
  });
  if (names.includes('')) throw new KvmsnapError('usage', 'a VM or snapshot cannot have an empty name');
  if (readonly) checkReadOnly(verb);
  checkOutput(verb, output, metrics);
  if (host !== undefined || hostsFrom !== undefined) checkHosts(verb, output, givenOptions(verb));
}

/** The long names of the options that a parsed line has. */
function givenOptions(verb: Verb): string[] {
  const values: Readonly<Record<string, unknown>> = verb.opts();
  return verb.options.flatMap((option) =>
    option.long && values[option.attributeName()] ? [option.long] : [],
  );
}

/** Throws `usage` if the command, this output of it, or one of the options that are given does not take hosts. */
export function checkHosts(verb: Verb, output: OutputFormat, given: readonly string[]): void {
  const refused = verb.notOnHosts.find((option) => given.includes(option));
  if (refused !== undefined) throw notOnHosts(refused);
  if (!verb.takesHosts)
    throw new KvmsnapError('usage', `'${verb.name()}' does not work on other hosts`, {
      hint: 'run it on the host itself; the commands that work on other hosts are listed by',
      command: 'kvmsnap help several-hosts',
    });
  if (output === 'nagios')
    throw new KvmsnapError('usage', '-o nagios works only for the host on which kvmsnap runs', {
      hint: 'run kvmsnap on that host, for example with ssh; -o prometheus and --metrics work with --host',
    });
}

/** Throws `usage` if so many hosts are too many for the command, or for one of the options that are given. */
export function checkHostCount(verb: Verb, given: readonly string[], hosts: number): void {
  if (hosts <= 1) return;
  const option = verb.onOneHost.find((each) => given.includes(each));
  if (verb.takesHosts === 'one' || option !== undefined)
    throw new KvmsnapError(
      'usage',
      `${option ?? `'${verb.name()}'`} works on one host at a time, but ${hosts} are named; nothing was done`,
    );
}

/** Throws `usage` if the command does not have this format, or no metrics. */
function checkOutput(verb: Verb, output: OutputFormat, metrics: string | undefined): void {
  const lacks = (format: MonitoringFormat) => !verb.outputs.includes(format);
  if (output === 'nagios' && lacks(output))
    throw new KvmsnapError('usage', `'${verb.name()}' has no output format nagios`, {
      hint: 'only check has it',
    });
  if (lacks('prometheus') && (output === 'prometheus' || metrics !== undefined))
    throw new KvmsnapError('usage', `'${verb.name()}' has no metrics for Prometheus`, {
      hint: 'only check, create and prune have them',
    });
}

/** Throws `usage` if the command needs more than a read-only connection. */
function checkReadOnly(verb: Verb): void {
  const { needsWriting } = verb;
  if (needsWriting === false) return;
  const given: Readonly<Record<string, unknown>> = verb.opts();
  const [option] = needsWriting === true ? [] : needsWriting.filter((key) => given[key]);
  if (needsWriting !== true && option === undefined) return;
  const spelled =
    option === undefined ? '' : ` --${option.replace(/[A-Z]/g, (big) => `-${big.toLowerCase()}`)}`;
  throw new KvmsnapError('usage', `'${verb.name()}${spelled}' cannot be used with --readonly`, {
    hint: 'list, info, current, space, and check without --fix change nothing',
  });
}

/**
 * Throws `usage` for a missing argument. `VM/NAME`, as the first word or the value of an option, stands for two
 * arguments.
 */
function checkMissing(verb: Verb): void {
  const { args: given, registeredArguments: known, options, insteadOfArguments: other } = verb;
  const values: Readonly<Record<string, unknown>> = verb.opts();
  const isInstead = options.some(
    (each) => each.flags === other && values[each.attributeName()] !== undefined,
  );
  if (isInstead) return;
  const snapshots = options
    .filter((option) => meaningOf(option) === 'snapshot')
    .map((option) => values[option.attributeName()]);
  const isPaired = [given[0], ...snapshots].some((word) => typeof word === 'string' && word.includes('/'));
  const missing = known.filter(isNeeded)[given.length + (isPaired ? 1 : 0)];
  if (missing)
    throw new KvmsnapError(
      'usage',
      missingArgument(missing.name(), missing.description),
      seeHelp(verb.name()),
    );
}

/** Values that virsh takes as a further argument: the option that kvmsnap has for them, and the hint. */
const MORE: readonly (readonly [option: string, hint: string])[] = [
  ['--description', 'give the description with -d'],
  ['--set', 'to make it the current snapshot'],
];

/** Throws `usage` for more arguments than the command takes. */
function checkExcess(verb: Verb): void {
  const { args: given, registeredArguments: known, options } = verb;
  if (known.some(({ variadic }) => variadic) || given.length <= known.length) return;
  const [expected, excess] = [given.slice(0, known.length), given.slice(known.length)];
  const [option, hint] = MORE.find(([name]) => options.some(({ long }) => long === name)) ?? [];
  throw new KvmsnapError(
    'usage',
    `too many arguments for '${verb.name()}': ${excess.map((word) => `'${word}'`).join(', ')}`,
    option
      ? {
          hint,
          meant: {
            operands: expected,
            options: [`${option}=${excess.join(' ')}`],
            without: ['--readonly'],
          },
        }
      : seeHelp(verb.name()),
  );
}
