import { KvmsnapError } from '../errors.ts';
import { kvmsnapLine } from '../model/quote.ts';
import { meaningOf } from './meaning.ts';
import type { Verb } from './verb.ts';

/** What is against a command line that commander takes. */

/** Throws `usage`. `readonly`: the run may change nothing. */
export function checkLine(verb: Verb, readonly: boolean): void {
  checkExcess(verb);
  const names = verb.args.filter((_, i) => {
    const argument = verb.registeredArguments[i] ?? verb.registeredArguments.at(-1);
    return argument && meaningOf(argument) !== 'text';
  });
  if (names.includes('')) throw new KvmsnapError('usage', 'a VM or snapshot cannot have an empty name');
  if (readonly) checkReadOnly(verb);
}

/** Throws `usage` for what needs more than a read-only connection. */
function checkReadOnly(verb: Verb): void {
  const { needsWriting } = verb;
  if (needsWriting === false) return;
  const given: Readonly<Record<string, unknown>> = verb.opts();
  const [option] = needsWriting === true ? [] : needsWriting.filter((key) => given[key]);
  if (needsWriting !== true && option === undefined) return;
  const spelled =
    option === undefined ? '' : ` --${option.replace(/[A-Z]/g, (big) => `-${big.toLowerCase()}`)}`;
  throw new KvmsnapError(
    'usage',
    `'${verb.name()}${spelled}' needs more than the read-only connection of --readonly`,
    { hint: 'list, info, current, space, and check without --fix change nothing' },
  );
}

/** Throws `usage` for more arguments than the command takes; virsh takes a description there. */
function checkExcess(verb: Verb): void {
  const { args: given, registeredArguments: known, options } = verb;
  if (known.some(({ variadic }) => variadic) || given.length <= known.length) return;
  const [expected, excess] = [given.slice(0, known.length), given.slice(known.length)];
  const isDescribed = options.some(({ long }) => long === '--description');
  const command = kvmsnapLine(verb.name(), expected, '-d', excess.join(' '));
  throw new KvmsnapError(
    'usage',
    `too many arguments for '${verb.name()}': ${excess.map((word) => `'${word}'`).join(', ')}`,
    isDescribed
      ? { hint: 'a description comes with -d', command }
      : { hint: `kvmsnap ${verb.name()} --help shows its arguments and options` },
  );
}
