import { parseAge } from '../command-line/age.ts';
import type { CommandOf, OptionsOf, OptionValues } from '../command-line/commander.ts';
import { MeantOption } from '../command-line/meaning.ts';
import { parseCount, unfit } from '../command-line/values.ts';
import { KvmsnapError } from '../errors.ts';
import { parseBytes } from '../model/input/bytes.ts';
import type { Bound, Limit } from '../model/input/limit.ts';
import { parseLabel } from '../prune/rule-options.ts';
import type { Limits } from './rules/limits.ts';

/** The options of `check` that set limits, each as `ERROR` or `WARNING:ERROR`. */

/** The heading of these options in help. */
const LIMITS = 'Limits (one for an error, or two as WARNING:ERROR, such as 26h:50h):';

export const withLimits = <Args extends unknown[], Values extends OptionValues>(
  command: CommandOf<Args, Values>,
) =>
  command
    .optionsGroup(LIMITS)
    .option(
      '--max-age <span>',
      'fail if the newest snapshot is older than this: 90min, 26h, 8d, 6mo',
      limitOf(toAge),
    )
    .option('--oldest <span>', 'fail if the oldest snapshot is older than this: 14d', limitOf(toAge))
    .option('--most <n>', 'fail if a VM has more snapshots than this: 20', limitOf(toCount))
    .option(
      '--holds <space>',
      'fail if deleting all but held snapshots would free more: 50G',
      limitOf(toSpace),
    )
    .option(
      '--verified <span>',
      'fail if the last proof by verify is older than this, or missing: 8d',
      limitOf(toAge),
    )
    .option('--depth <n>', 'fail if a disk has more overlays than this: 15', limitOf(toCount))
    .addOption(
      new MeantOption(
        '--label <label>',
        'label',
        'consider only snapshots with this label (not for --depth)',
      ).argParser(parseLabel),
    )
    .optionsGroup('');

export type LimitOptions = OptionsOf<ReturnType<typeof withLimits<[], Record<never, never>>>>;

/** The limits that the options set. Throws `usage` for a label to which no limit applies. */
export function toLimits({ label, maxAge, oldest, most, holds, depth, verified }: LimitOptions): Limits {
  const ofSnapshots = [maxAge, oldest, most, holds, verified];
  if (label !== undefined && ofSnapshots.every((limit) => limit === undefined))
    throw new KvmsnapError('usage', '--label needs --max-age, --oldest, --most, --holds or --verified');
  return {
    label: label ?? null,
    maxAge: maxAge ?? null,
    oldest: oldest ?? null,
    most: most ?? null,
    holds: holds ?? null,
    depth: depth ?? null,
    verified: verified ?? null,
  };
}

/** A parser for `ERROR` and `WARNING:ERROR`; `toBound` parses each of the two. */
const limitOf =
  (toBound: (text: string) => Bound) =>
  (text: string): Limit => {
    const parts = text.split(':');
    if (parts.length > 2 || parts.includes('')) throw unfit('expected one limit, or two as WARNING:ERROR');
    const [warn = null, crit] = parts.length === 1 ? [null, text] : parts;
    const limit = { warn: warn === null ? null : toBound(warn), crit: toBound(crit ?? '') };
    if (limit.warn && limit.warn.amount > limit.crit.amount)
      throw unfit(
        'the limit of the warning comes first, and must not be larger than that of the error',
        `did you mean ${crit}:${warn}?`,
      );
    return limit;
  };

function toAge(text: string): Bound {
  const { seconds, says } = parseAge(text);
  return { amount: seconds, says };
}

const toCount = (text: string): Bound => ({ amount: parseCount(text), says: text });

function toSpace(text: string): Bound {
  const bytes = parseBytes(text);
  if (bytes === null) throw unfit('expected an amount of space', 'write for example 500M, 50G or 1.5T');
  return { amount: bytes, says: text };
}
