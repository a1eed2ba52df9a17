import { KvmsnapError } from '../errors.ts';
import { labelProblem } from '../model/labels.ts';
import { matcher } from '../model/selection.ts';
import { type Period, parseSpan } from './calendar.ts';
import { type FreeMin, parseFreeMin } from './free-space-policy.ts';
import type { PruneRequest } from './prune.ts';
import { hasRules, type RetentionRules } from './retention.ts';

/** The options by which a command line says what a prune keeps. */

export interface RuleOptions {
  readonly label?: string;
  readonly keepLast?: number;
  readonly keepHourly?: number;
  readonly keepDaily?: number;
  readonly keepWeekly?: number;
  readonly keepMonthly?: number;
  readonly keepYearly?: number;
  readonly keepWithin?: string;
  readonly keep?: readonly string[];
  readonly allowEmpty?: boolean;
  readonly freeMin?: string;
  readonly leftovers?: boolean;
}

export interface ScopeOptions extends RuleOptions {
  readonly match?: string;
}

const PERIOD_OPTIONS: readonly (readonly [Period, (options: RuleOptions) => number | undefined])[] = [
  ['hourly', ({ keepHourly }) => keepHourly],
  ['daily', ({ keepDaily }) => keepDaily],
  ['weekly', ({ keepWeekly }) => keepWeekly],
  ['monthly', ({ keepMonthly }) => keepMonthly],
  ['yearly', ({ keepYearly }) => keepYearly],
];

/** The options of a prune as rules. Throws `usage` for a label or a span that is none. */
export function toPruneRequest(options: ScopeOptions): PruneRequest {
  const { label, match, keepLast, keepWithin, keep, allowEmpty } = options;
  const freeMin = toFreeMin(options);
  const problem = label === undefined ? null : labelProblem(label);
  if (problem !== null) throw new KvmsnapError('usage', `'${label}' cannot be a label: ${problem}`);
  const within = keepWithin === undefined ? undefined : parseSpan(keepWithin);
  if (within === null) {
    throw new KvmsnapError('usage', `'${keepWithin}' is no span of time`, {
      hint: 'such as 90min, 36h, 14d, 8w, 6mo (months; also 6m), 2y',
    });
  }
  const matchers = keep?.map(matcher);
  const rules: RetentionRules = {
    periods: Object.fromEntries(
      PERIOD_OPTIONS.flatMap(([period, count]) => {
        const given = count(options);
        return given === undefined ? [] : [[period, given]];
      }),
    ),
    allowEmpty: allowEmpty ?? false,
    ...(keepLast === undefined ? {} : { last: keepLast }),
    ...(within === undefined ? {} : { within }),
    ...(matchers === undefined
      ? {}
      : { matching: (name: string) => matchers.some((matches) => matches(name)) }),
  };
  return {
    scope: { label: label ?? null, matches: match === undefined ? null : matcher(match) },
    // by itself, room is a rule that keeps nothing: then the newest stays, as with any
    rules: freeMin === null || hasRules(rules) ? rules : { ...rules, last: 0 },
    freeMin,
    leftovers: options.leftovers ?? false,
  };
}

function toFreeMin({ freeMin }: RuleOptions): FreeMin | null {
  if (freeMin === undefined) return null;
  const parsed = parseFreeMin(freeMin);
  if (parsed) return parsed;
  throw new KvmsnapError('usage', `'${freeMin}' is no amount of space`, {
    hint: 'a part of the file system, such as 20%, or bytes with their unit: 500M, 50G, 1.5T',
  });
}
