import { describe, expect, test } from 'vitest';
import type { DeleteScope } from '../../../src/delete/deletion-set.ts';
import { HOLD_RULES } from '../../../src/delete/rules/hold.ts';
import { withHold } from '../../../src/model/marks/hold.ts';
import { reportSnapshots } from '../../../src/model/report.ts';
import { applyRules } from '../../../src/model/rule.ts';
import { domain, snapshot } from '../../model.ts';

/** a ─ b ─ c, of which some are held. */
function heldIn(names: readonly string[], named: string, scope: DeleteScope): (string | undefined)[] {
  const description = (name: string) => (names.includes(name) ? withHold(null) : null);
  const all = [
    snapshot('a', { description: description('a') }),
    snapshot('b', { description: description('b'), parent: 'a' }),
    snapshot('c', { description: description('c'), parent: 'b' }),
  ];
  const snapshots = reportSnapshots(all, { current: 'c', busy: false, images: null });
  const found = snapshots.find(({ name }) => name === named);
  if (!found) throw new Error(`no ${named}`);
  const findings = applyRules(HOLD_RULES, {
    domain: domain({ name: 'web 1' }),
    snapshot: found,
    scope,
    snapshots,
  });
  expect(findings.every(({ severity }) => severity === 'error')).toBe(true);
  return findings.map(({ command }) => command);
}

test('a snapshot that a run of kvmsnap reads is not deleted; with an external one, none of that chain', () => {
  const external = { location: 'external' as const, file: null };
  const all = [snapshot('i'), snapshot('e1', { memory: external }), snapshot('e2', { memory: external })];
  const reader = { command: 'export', processId: 7, sinceSeconds: 0 };
  const refusedFor = (read: string, isExternal: boolean) => {
    const readings = [{ ...reader, snapshot: read, isExternal }];
    const snapshots = reportSnapshots(all, { current: null, busy: false, images: null, readings });
    return snapshots.flatMap((each) =>
      applyRules(HOLD_RULES, { domain: domain({}), snapshot: each, scope: 'only', snapshots }).map(
        ({ rule, snapshot }) => `${rule} ${snapshot}`,
      ),
    );
  };
  expect(refusedFor('i', false)).toEqual(['being-read i']);
  expect(refusedFor('e1', true)).toEqual(['being-read e1', 'being-read e2']);
  expect(refusedFor('other', false)).toEqual([]);
});

describe('what a hold refuses', () => {
  test.each<[string[], string, DeleteScope, string[]]>([
    [[], 'a', 'children', []],
    [['b'], 'a', 'only', []],
    [['b'], 'b', 'only', ['b']],
    [['b'], 'a', 'children', ['b']],
    [['b', 'c'], 'a', 'children', ['b', 'c']],
    [['a'], 'a', 'children-only', []],
    [['c'], 'a', 'children-only', ['c']],
  ])('held %j, delete %s %s: %j', (held, named, scope, refused) => {
    expect(heldIn(held, named, scope)).toEqual(refused.map((name) => `kvmsnap unhold 'web 1' ${name}`));
  });
});
