import { KvmsnapError } from '../errors.ts';
import { counted } from '../output/format.ts';
import { NAGIOS_EXIT_CODES, type NagiosState, nagiosLine, type Performance } from '../output/nagios.ts';
import type { Context } from '../run/context.ts';
import type { DomainOutcome } from '../run/for-each-domain.ts';
import { depthsOf, lastProven, watched } from '../watch/watched.ts';
import type { Findings } from './check-vm.ts';
import { isBad, levelOf, type Row, rowsOf, summaryOf } from './findings.ts';
import type { VmCheck } from './fix-vms.ts';
import { type Limits, NO_LIMITS } from './rules/limits.ts';

/** `check -o nagios`: one line about all VMs, and its exit code. */

type Result = DomainOutcome<VmCheck>;

/** Throws `usage` for `--fix`: a plugin changes nothing. */
export function requireNoFix(fix: boolean): void {
  if (fix) throw new KvmsnapError('usage', '--fix cannot be combined with -o nagios');
}

/** Prints the line, and returns the exit code. */
export function reportAsPlugin(
  { terminal, clock }: Context,
  results: readonly Result[],
  limits: Limits,
): number {
  const state = stateOf(results);
  const checks = results.flatMap(({ value }) => (value ? [value.checked] : []));
  const data = numbersOf(checks, limits, Math.floor(clock.now() / 1000));
  terminal.print(nagiosLine(state, textOf(results), [vmsOf(results), ...data]));
  return NAGIOS_EXIT_CODES[state];
}

/** What is known to be critical is reported before what is unknown, and that before a warning. */
function stateOf(results: readonly Result[]): NagiosState {
  const levels = results.flatMap(({ value, ...result }) =>
    value ? rowsOf({ ...result, value }).map(levelOf) : ['unknown' as const],
  );
  if (levels.includes('error')) return 'CRITICAL';
  if (levels.includes('unknown')) return 'UNKNOWN';
  return levels.includes('warning') ? 'WARNING' : 'OK';
}

/** The numbers of findings, and the findings themselves, errors first. */
function textOf(results: readonly Result[]): string {
  const bad = results.flatMap(rowsOf).filter(isBad);
  if (bad.length === 0) return `${counted(results.length, 'VM')} checked: no errors, no warnings`;
  const ordered = [...bad].sort((a, b) => rank(a) - rank(b));
  const isAlone = results.length === 1;
  const findings = ordered.map(({ vm, says }) => (isAlone ? says : `${vm}: ${says}`));
  return `${summaryOf(bad, results.length)}: ${findings.join('; ')}`;
}

const rank = (row: Row): number => (levelOf(row) === 'error' ? 0 : 1);

const vmsOf = (results: readonly Result[]): Performance => ({
  label: 'vms',
  value: results.length,
  unit: '',
});

/** Of each number that has a limit per VM, the largest of all VMs: the names stay the same whatever VMs there are. */
function numbersOf(checks: readonly Findings[], limits: Limits, now: number): Performance[] {
  const { label, maxAge, oldest, most, holds, depth, verified } = limits;
  const limited = checks.filter((checked) => checked.limits !== NO_LIMITS);
  const all = limited.map((checked) => ({ ...checked, ...watched(checked.vm.snapshots, label) }));
  const age = (at: number | undefined) => (at === undefined ? [] : [Math.max(0, now - at)]);
  const numbers = [
    ['newest_age', 's', maxAge, all.flatMap(({ newest }) => age(newest?.createdAtSeconds))],
    ['oldest_age', 's', oldest, all.flatMap(({ kept }) => age(kept[0]?.createdAtSeconds))],
    [
      'proof_age',
      's',
      verified,
      all.flatMap(({ vm }) => age(lastProven(vm.snapshots, label)?.provenAtSeconds)),
    ],
    ['snapshots', '', most, all.map(({ kept }) => kept.length)],
    ['space', 'B', holds, all.flatMap(({ freed }) => (freed && 'bytes' in freed ? [freed.bytes] : []))],
    [
      'depth',
      '',
      depth,
      all.flatMap(({ vm }) => depthsOf(vm.images, vm.snapshots).map(({ overlays }) => overlays)),
    ],
  ] as const;
  return numbers.flatMap(([label, unit, limit, values]) =>
    values.length === 0 ? [] : [{ label, unit, limit, value: Math.max(...values) }],
  );
}
