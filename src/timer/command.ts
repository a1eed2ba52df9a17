import { Option, type OptionsOf } from '../command-line/commander.ts';
import { MeantArgument, MeantOption } from '../command-line/meaning.ts';
import { parseDuration } from '../command-line/values.ts';
import { type Program, Verb } from '../command-line/verb.ts';

const bare = () =>
  new Verb('timer', {
    group: 'More',
    summary: 'print systemd units that run create, prune or check regularly',
    detail:
      'It prints a service and a timer, and changes nothing. Write each into its own file in /etc/systemd/system: --only service > kvmsnap-<name>.service, and --only timer > kvmsnap-<name>.timer. The command line to run stands after --.',
    examples: [
      'kvmsnap timer nightly -- create --all --label nightly --keep-daily 7',
      'kvmsnap timer db --on-calendar hourly -- create db-1 --label db',
    ],
    topics: ['nightly', 'monitoring'],
    needsWriting: false,
  });

const withOptions = (verb: Verb) =>
  verb
    .addArgument(new MeantArgument('<name>', 'text', 'name of the units: kvmsnap-<name>.service and .timer'))
    .addArgument(new MeantArgument('[command...]', 'text', 'the command line to run, after --'))
    .addOption(
      new MeantOption(
        '--on-calendar <when>',
        'text',
        "start at these times (systemd.time(7); default: '*-*-* 03:00:00')",
      ),
    )
    .option(
      '--jitter <duration>',
      'start at a random time within this duration, such as 30min',
      parseDuration,
    )
    .addOption(
      new Option('--only <unit>', 'print only this one: service or timer').choices(['service', 'timer']),
    );

export type TimerOptions = OptionsOf<ReturnType<typeof withOptions>>;

/** The command line of `timer`. */
export function timer(program: Program): Verb {
  const verb = bare();
  withOptions(verb).action((name, words, options) =>
    program.run(async (ctx) => (await import('./timer.ts')).timer(ctx, program, { name, words }, options)),
  );
  return verb;
}
