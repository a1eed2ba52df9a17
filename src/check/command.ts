import { vmsArgument } from '../command-line/arguments.ts';
import { Option, type OptionsOf } from '../command-line/commander.ts';
import { unfit } from '../command-line/values.ts';
import { type Program, Verb } from '../command-line/verb.ts';
import { parseSpan, saysMonthsByM } from '../prune/calendar.ts';
import { parseLabel } from '../prune/rule-options.ts';
import { withFilters } from '../run/select-options.ts';

const bare = () =>
  new Verb('check', {
    summary: 'tell whether VMs can be snapshotted, reverted and trusted',
    detail:
      'Judges each VM by the rules that create and revert go by, and compares what libvirt believes with what the disks ' +
      'hold. Exit 5 when there is an error or a warning; information is none. With --max-age a VM whose newest snapshot ' +
      'is older is an error too, so that a monitor can watch the cron job. Changes nothing, unless --fix: it shows one plan ' +
      'over all VMs, asks (in a script it needs --yes), goes on after a failure, looks again, and tells what is left. ' +
      'What is not proven to be safe is reported and left alone, as is a VM that a job holds.',
    failures: ['partial', 'check', 'busy', 'declined'],
    examples: [
      'kvmsnap check',
      'kvmsnap check centos7-1 --fix --dry-run',
      'kvmsnap check --max-age 26h --label nightly -q',
    ],
    needsWriting: ['fix'],
  });

const withOptions = (verb: Verb) =>
  withFilters(
    verb
      .addArgument(vmsArgument('names, UUIDs or patterns; without any, all VMs'))
      .option('--fix', 'fix what can be fixed safely, after you agree to the plan')
      .option('--max-age <span>', 'the newest snapshot must be younger: 90min, 26h, 8d, 2w, 6mo', parseMaxAge)
      .addOption(
        new Option('--label <label>', 'of --max-age: count only snapshots of this label').argParser(
          parseLabel,
        ),
      ),
  );

export type CheckOptions = OptionsOf<ReturnType<typeof withOptions>>;

/** An age as it was typed, and in seconds. */
interface MaxAge {
  readonly seconds: number;
  readonly says: string;
}

function parseMaxAge(text: string): MaxAge {
  const span = parseSpan(text);
  if (span === null) throw unfit('It is not a span of time.', 'such as 90min, 26h, 8d, 2w, 6mo');
  if (saysMonthsByM(text))
    throw unfit("'m' may mean minutes or months.", 'write min or mo, such as 90min or 6mo');
  // for an age, a month is 31 days: rather a day late than a false alarm
  return { seconds: Math.round((span.hours + 24 * (span.days + 31 * span.months)) * 3600), says: text };
}

export function check({ run }: Program): Verb {
  const verb = bare();
  withOptions(verb).action((vms, options) =>
    run(async (ctx) => (await import('./report.ts')).check(ctx, vms, options)),
  );
  return verb;
}
