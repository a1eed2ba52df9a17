import { describe, expect, test } from 'vitest';
import { reportSnapshots } from '../../src/model/report.ts';
import { listedRows, reportsOf, sumLine } from '../../src/show/listed.ts';
import { snapshot, TAKEN_AT } from '../model.ts';

/** root ─┬─ side ─── end, and main, the current one, beside it; each younger than the one before. */
const SNAPSHOTS = reportSnapshots(
  [
    snapshot('root', { createdAtSeconds: TAKEN_AT }),
    snapshot('main', { parent: 'root', createdAtSeconds: TAKEN_AT + 1 }),
    snapshot('side', { parent: 'root', createdAtSeconds: TAKEN_AT + 2 }),
    snapshot('end', { parent: 'side', createdAtSeconds: TAKEN_AT + 3 }),
  ],
  { current: 'main', busy: false, images: null },
);

describe('the rows of a list', () => {
  const namesOf = (tree: boolean) =>
    reportsOf(listedRows('web', { snapshots: SNAPSHOTS, unread: [], tree })).map(({ name }) => name);

  test('stand by time', () => {
    expect(namesOf(false)).toEqual(['root', 'main', 'side', 'end']);
  });

  test('of a tree as it is drawn, which is the order of JSON, CSV and names too', () => {
    expect(namesOf(true)).toEqual(['root', 'side', 'end', 'main']);
  });
});

describe('the line beneath a list', () => {
  test.each([
    [SNAPSHOTS, 3 * 3600, '4 snapshots, newest 3 hours ago'],
    [SNAPSHOTS.slice(0, 1), 60, '1 snapshot, newest 1 minute ago'],
    [SNAPSHOTS.slice(0, 1), -7200, '1 snapshot, newest in 2 hours'],
    [[], 0, '0 snapshots'],
  ])('%#', (snapshots, age, line) => {
    const newest = Math.max(TAKEN_AT, ...snapshots.map(({ createdAtSeconds }) => createdAtSeconds));
    expect(sumLine(snapshots, newest + age)).toBe(line);
  });
});
