// A table of rules held against cases: each rule is triggered by one, and silent in another.
import { describe, expect, test } from 'vitest';
import { applyRules, type Finding, type Rule, type Severity } from '../src/model/rule.ts';

export interface Case<Facts> {
  readonly says: string;
  readonly facts: Facts;
  /** One entry per finding, in order; none where the rule is to be silent. */
  readonly finds: readonly { what: RegExp; hint?: RegExp; command?: string; commands?: string[] }[];
}

export interface RuleCases<Facts> {
  readonly severity: Severity;
  readonly cases: readonly Case<Facts>[];
}

const matching = ({ what, hint, command, commands }: Case<unknown>['finds'][number]): Finding =>
  expect.objectContaining({
    what: expect.stringMatching(what),
    ...(hint ? { hint: expect.stringMatching(hint) } : {}),
    ...(command ? { command } : {}),
    ...(commands ? { commands } : {}),
  });

/** As libvirt counts them, one of each kind that the rules tell apart. */
const VERSIONS = [7_000_000, 9_000_000, 9_010_000, 10_009_000, 11_003_000, 12_008_000];

/** A table, of which each rule must have its cases. */
export function describeCases<Facts extends object>(
  title: string,
  rules: readonly Rule<Facts>[],
  table: Readonly<Record<string, RuleCases<Facts>>>,
  healthy: readonly Facts[],
): void {
  describe(title, () => {
    describe.each(rules)('$id', (rule) => {
      test.each(table[rule.id]?.cases ?? [])('$says', ({ facts, finds }) => {
        expect(rule.find(facts)).toEqual(finds.map(matching));
      });
    });

    test('every rule has a case that triggers it and one that does not, and its severity is meant', () => {
      const covered = rules.map(({ id, severity }) => {
        const cases = table[id]?.cases ?? [];
        const [silent, loud] = [0, 1].map((n) => cases.some(({ finds }) => Math.min(1, finds.length) === n));
        return { id, severity, silent, loud };
      });
      expect(covered).toEqual(
        Object.entries(table).map(([id, { severity }]) => ({ id, severity, silent: true, loud: true })),
      );
    });

    test('all of them are silent where all is well', () => {
      expect(healthy.flatMap((facts) => applyRules(rules, facts))).toEqual([]);
    });
  });
}

/** The same of the rules before a change of a VM, which have more in common. */
export function describeRules<Facts extends object>(
  title: string,
  rules: readonly Rule<Facts>[],
  table: Readonly<Record<string, RuleCases<Facts>>>,
  healthy: readonly Facts[],
): void {
  describeCases(title, rules, table, healthy);
  describe(title, () => {
    test('of a libvirtd that does not tell its version all is refused that any would be, and nothing is stated', () => {
      const refused = (facts: Facts, daemonVersion: number | null) =>
        applyRules(rules, { ...facts, daemonVersion }).filter(
          ({ severity }) => severity === 'error' || severity === 'overridable',
        );
      for (const [id, { cases }] of Object.entries(table)) {
        for (const { says, facts } of cases.filter(({ facts }) => 'daemonVersion' in facts)) {
          const unknown = refused(facts, null);
          const isRefused = VERSIONS.some((version) => refused(facts, version).length > 0);
          expect({ id, says, isRefused: unknown.length > 0 }).toEqual({ id, says, isRefused });
          expect(unknown.filter(({ what }) => /this libvirtd|\bit is \d/.test(what))).toEqual([]);
        }
      }
    });

    test('no force passes what would lose data (hazards 1 to 4)', () => {
      const savers = rules.filter(({ hazards }) => hazards.some((hazard) => hazard <= 4));
      expect(savers.length).toBeGreaterThan(0);
      expect(savers.filter(({ severity }) => severity !== 'error')).toEqual([]);
    });
  });
}
