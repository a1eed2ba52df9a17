import type { Program } from '../command-line/verb.ts';
import { KvmsnapError } from '../errors.ts';
import { UNPRINTABLE } from '../model/quote.ts';
import type { Context } from '../run/context.ts';
import type { TimerOptions } from './command.ts';
import { serviceUnit, type TimerRequest, timerUnit } from './units.ts';

/** What may be run without a person: these never ask in a script. */
const COMMANDS = ['create', 'prune', 'check'];

const EVERY_NIGHT = '*-*-* 03:00:00';

/** `timer`: prints the units. Throws `usage` also for what is wrong with the line after `--`. */
export async function timer(
  ctx: Context,
  program: Program,
  { name, words }: { readonly name: string; readonly words: readonly string[] },
  { onCalendar = EVERY_NIGHT, jitter = 0, only }: TimerOptions,
): Promise<void> {
  if (ctx.settings.output !== 'table')
    throw new KvmsnapError('usage', 'timer cannot be combined with -o, --json or -q');
  const request = { name, words, onCalendar, jitterSeconds: Math.round(jitter) };
  checkRequest(request);
  await program.check(words);
  const units = { service: serviceUnit(request), timer: timerUnit(request) };
  ctx.terminal.print(only ? units[only] : `${units.service}\n${units.timer}`);
}

/** Throws `usage`. */
function checkRequest({ name, words, onCalendar }: TimerRequest): void {
  const [command] = words;
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]{0,199}$/.test(name))
    throw new KvmsnapError('usage', `'${name}' cannot be used as the name of units`, {
      hint: "use letters A-Z a-z, digits, '.', '_' and '-'",
    });
  if (COMMANDS.includes(name) && !COMMANDS.includes(command ?? ''))
    throw new KvmsnapError('usage', `the name of the units is missing before '${name}'`, {
      hint: `such as kvmsnap timer nightly -- ${name} --all --label nightly`,
    });
  if (command === undefined || !COMMANDS.includes(command))
    throw new KvmsnapError(
      'usage',
      command === undefined ? 'no command after --' : `a timer cannot run '${command}'`,
      { hint: 'write create, prune or check after --, such as: -- create --all --label nightly' },
    );
  if (words.some((word) => word === '--help' || word === '-h'))
    throw new KvmsnapError('usage', 'a timer cannot run --help');
  if (onCalendar === '' || UNPRINTABLE.test(onCalendar))
    throw new KvmsnapError('usage', '--on-calendar needs a time, such as daily or Mon *-*-* 03:00');
}
