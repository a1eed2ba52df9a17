import { expect, test } from 'vitest';
import { mostKept } from '../../../src/prune/retention.ts';
import { keptTooDeep, mayBeTooDeep } from '../../../src/vm/findings/chain-depth.ts';

test('how many snapshots rules keep at one time', () => {
  const kept = { last: 5, periods: { daily: 7, weekly: 4 }, allowEmpty: false };
  expect(mostKept(kept)).toBe(16);
  expect(mostKept({ periods: {}, allowEmpty: false })).toBe(0);
});

test.each([
  [18, 11_003_000, null],
  [19, 11_003_000, /keep up to 19 external snapshots, .* cannot start a VM with more than 24 overlays$/],
  [19, 12_000_000, null],
  [19, 10_007_000, null],
  [19, null, /does not tell its version/],
  [181, 9_000_000, /more than 199 overlays/],
] as const)('%i external ones on libvirt %s', (kept, version, says) => {
  expect(keptTooDeep(kept, version)).toEqual(says === null ? null : expect.stringMatching(says));
});

test('the version is asked for only where it decides', () => {
  expect([18, 19].map(mayBeTooDeep)).toEqual([false, true]);
});
