import { describe, expect, test } from 'vitest';
import { reportSnapshots } from '../../src/model/report.ts';
import { filterSnapshots, type SnapshotFilter } from '../../src/show/snapshot-filter.ts';
import { snapshot } from '../model.ts';

const external = { disks: [{ target: 'vda', location: 'external', source: '/vm/vda.e' }] };

/** off ─┬─ run ─── disks, and ext below off; alone stands beside them. */
const ALL = reportSnapshots(
  [
    snapshot('off', { createdAtSeconds: 1 }),
    snapshot('run', { createdAtSeconds: 2, parent: 'off', state: 'running' }),
    snapshot('disks', { createdAtSeconds: 3, parent: 'run', state: 'disk-snapshot', ...external }),
    snapshot('ext', { createdAtSeconds: 4, parent: 'off', ...external }),
    snapshot('alone', { createdAtSeconds: 5, state: 'paused' }),
  ],
  { current: null, busy: false, images: null },
);

describe('the snapshots that are listed', () => {
  test.each<[SnapshotFilter, readonly string[]]>([
    [{}, ['off', 'run', 'disks', 'ext', 'alone']],
    [{ roots: true }, ['off', 'alone']],
    [{ leaves: true }, ['disks', 'ext', 'alone']],
    [{ leaves: false }, ['off', 'run']],
    [{ internal: true }, ['off', 'run', 'alone']],
    [{ external: true }, ['disks', 'ext']],
    [{ inactive: true }, ['off', 'ext']],
    [{ active: true }, ['run', 'alone']],
    [{ diskOnly: true }, ['disks']],
    [{ inactive: true, diskOnly: true }, ['off', 'disks', 'ext']],
    [{ inactive: true, external: true }, ['ext']],
    [{ leaves: true, roots: true }, ['alone']],
    [{ from: 'off' }, ['run', 'ext']],
    [{ from: 'off', descendants: true }, ['run', 'disks', 'ext']],
    [{ from: 'off', descendants: true, leaves: true }, ['disks', 'ext']],
    [{ from: 'disks' }, []],
    [{ from: 'nosuch', descendants: true }, []],
    [{ newest: 2 }, ['ext', 'alone']],
    [{ newest: 9 }, ['off', 'run', 'disks', 'ext', 'alone']],
    [{ newest: 1, internal: true, inactive: true }, ['off']],
    [{ since: { seconds: 97 } }, ['disks', 'ext', 'alone']],
    [{ since: { seconds: 97 }, newest: 1, external: true }, ['ext']],
    [{ since: { seconds: 1 } }, []],
  ])('%j', (filter, names) => {
    expect(filterSnapshots(ALL, filter, 100).map(({ name }) => name)).toEqual(names);
  });
});
