import { matcher } from '../model/input/selection.ts';
import type { Period } from './calendar.ts';
import type { PruneRequest } from './prune-vm.ts';
import { hasRules, type RetentionRules } from './retention.ts';
import type { RuleOptions, ScopeOptions } from './rule-options.ts';

const PERIOD_OPTIONS: readonly (readonly [Period, (options: RuleOptions) => number | undefined])[] = [
  ['hourly', ({ keepHourly }) => keepHourly],
  ['daily', ({ keepDaily }) => keepDaily],
  ['weekly', ({ keepWeekly }) => keepWeekly],
  ['monthly', ({ keepMonthly }) => keepMonthly],
  ['yearly', ({ keepYearly }) => keepYearly],
];

/** The options of a prune as a request. */
export function toPruneRequest(options: ScopeOptions): PruneRequest {
  const { label, match, keepLast, keepWithin, keep, allowEmpty, freeMin = null } = options;
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
    ...(keepWithin === undefined ? {} : { within: keepWithin }),
    ...(matchers === undefined
      ? {}
      : { matching: (name: string) => matchers.some((matches) => matches(name)) }),
  };
  return {
    scope: { label: label ?? null, matches: match === undefined ? null : matcher(match) },
    // --free-min alone counts as a keep rule that keeps nothing, so that the newest snapshot stays, as with any rule
    rules: freeMin === null || hasRules(rules) ? rules : { ...rules, last: 0 },
    freeMin,
    removeUnused: options.leftovers ?? false,
  };
}
