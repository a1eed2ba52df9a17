import { expect, test } from 'vitest';
import { withVerified } from '../../src/model/marks/verified.ts';
import { reportSnapshots } from '../../src/model/report.ts';
import type { Series } from '../../src/output/prometheus.ts';
import { type EndedRun, NOTHING_READ, type Reading } from '../../src/run/recording.ts';
import { afterRun, groupsOf, recordedHosts, seriesOf } from '../../src/watch/metrics.ts';
import { snapshot, TAKEN_AT } from '../model.ts';

const HELD = 'Kvmsnap-Hold: yes';
const vmWith = (...snapshots: ReturnType<typeof snapshot>[]) => ({
  snapshots: reportSnapshots(snapshots, { current: null, busy: false, images: null }),
});
const short = (series: readonly Series[]) =>
  series.map(({ family, labels, value }) => [
    family.replace(/^kvmsnap_/, ''),
    Object.values(labels).join('/'),
    value,
  ]);

test('a VM has a group for each label; on hold counts only as the newest', () => {
  const vm = vmWith(
    snapshot('n-20261123T030000Z', { createdAtSeconds: 10 }),
    snapshot('n-20261124T030000Z', {
      createdAtSeconds: 20,
      description: withVerified(null, { atSeconds: 25, outcome: 'proven', seen: 'it ran' }),
    }),
    snapshot('n-20261125T030000Z', { createdAtSeconds: 30, description: HELD }),
    snapshot('mine', { createdAtSeconds: 40, description: HELD }),
  );
  const series = groupsOf(vm, 'w').flatMap((group) =>
    seriesOf('web', group, { bytes: 7, approximate: true }),
  );
  expect(short(series)).toEqual([
    ['newest_timestamp_seconds', 'web/n', 30],
    ['oldest_timestamp_seconds', 'web/n', 10],
    ['proven_timestamp_seconds', 'web/n', 25],
    ['snapshots', 'web/n', 2],
    ['held_snapshots', 'web/n', 1],
    ['frees_bytes', 'web/n', 7],
    ['newest_timestamp_seconds', 'web/', 40],
    ['snapshots', 'web/', 0],
    ['held_snapshots', 'web/', 1],
    ['frees_bytes', 'web/', 7],
    // asked for, and not there
    ['snapshots', 'web/w', 0],
    ['held_snapshots', 'web/w', 0],
    ['frees_bytes', 'web/w', 7],
  ]);
  expect(groupsOf(vmWith(), null).map(({ label }) => label)).toEqual(['']);
  expect(groupsOf(vmWith(), 'n').map(({ label }) => label)).toEqual(['n']);
});

const count = (vm: string, value: number): Series => ({
  family: 'kvmsnap_snapshots',
  labels: { vm, label: '' },
  value,
});
const reading = (vms: readonly Series[], more: Partial<Reading> = {}): Reading => ({
  vms: new Map(vms.map((series) => [series.labels['vm'] ?? '', [series]])),
  unread: [],
  isAll: false,
  ...more,
});
const run = (succeeded: boolean, endedAt = TAKEN_AT) => ({
  command: 'create',
  label: 'n',
  succeeded,
  endedAt,
});

const after = (before: readonly Series[], ended: EndedRun, read: Reading, host: string | null = null) =>
  afterRun(before, { host, run: ended, reading: read });

test('a run that succeeds replaces the VMs that it read, and keeps the others', () => {
  const before = after([], run(true, 5), reading([count('a', 1), count('b', 2)]));
  const later = after(before, run(true), reading([count('b', 3), count('c', 4)]));
  expect(short(later)).toEqual([
    ['snapshots', 'a/', 1],
    ['snapshots', 'b/', 3],
    ['snapshots', 'c/', 4],
    ['last_run_timestamp_seconds', 'create/n', TAKEN_AT],
    ['last_run_success', 'create/n', 1],
    ['last_success_timestamp_seconds', 'create/n', TAKEN_AT],
  ]);
});

test('a run over all VMs forgets those that do not exist any more, but not those that it could not read', () => {
  const before = after([], run(true, 5), reading([count('a', 1), count('b', 2), count('c', 3)]));
  const later = after(before, run(true), reading([count('b', 3)], { isAll: true, unread: ['c'] }));
  expect(short(later).slice(0, 2)).toEqual([
    ['snapshots', 'c/', 3],
    ['snapshots', 'b/', 3],
  ]);
});

test('a run that fails says so, and keeps the values and the last success', () => {
  const before = after([], run(true, 5), reading([count('a', 1)]));
  expect(short(after(before, run(false), NOTHING_READ))).toEqual([
    ['snapshots', 'a/', 1],
    ['last_run_timestamp_seconds', 'create/n', TAKEN_AT],
    ['last_run_success', 'create/n', 0],
    ['last_success_timestamp_seconds', 'create/n', 5],
  ]);
  expect(short(after([], run(false), NOTHING_READ)).map(([family]) => family)).toEqual([
    'last_run_timestamp_seconds',
    'last_run_success',
  ]);
});

test('other commands and other labels keep their results', () => {
  const first = after([], { ...run(true, 5), label: null }, NOTHING_READ);
  const second = after(first, { ...run(false, 6), command: 'check' }, NOTHING_READ);
  const third = after(second, run(true, 7), NOTHING_READ);
  expect(
    third
      .filter(({ family }) => family === 'kvmsnap_last_run_success')
      .map(({ labels, value }) => [labels, value]),
  ).toEqual([
    [{ command: 'create', label: '' }, 1],
    [{ command: 'check', label: 'n' }, 0],
    [{ command: 'create', label: 'n' }, 1],
  ]);
});

test('each named host has series and results of its own; those without a host stay', () => {
  const here = after([], run(true, 5), reading([count('a', 1)]));
  const both = after(
    after(here, run(true, 6), reading([count('a', 2)]), 'kvm1'),
    run(true, 7),
    reading([]),
    'kvm2',
  );
  const later = after(both, run(false, 8), reading([count('b', 3)], { isAll: true }), 'kvm1');
  expect(short(later)).toEqual([
    ['snapshots', 'a/', 1],
    ['last_run_timestamp_seconds', 'create/n', 5],
    ['last_run_success', 'create/n', 1],
    ['last_success_timestamp_seconds', 'create/n', 5],
    ['last_run_timestamp_seconds', 'kvm2/create/n', 7],
    ['last_run_success', 'kvm2/create/n', 1],
    ['last_success_timestamp_seconds', 'kvm2/create/n', 7],
    ['snapshots', 'kvm1/b/', 3],
    ['last_run_timestamp_seconds', 'kvm1/create/n', 8],
    ['last_run_success', 'kvm1/create/n', 0],
    ['last_success_timestamp_seconds', 'kvm1/create/n', 6],
  ]);
  expect(recordedHosts(later, run(true))).toEqual(['kvm2', 'kvm1']);
  expect(recordedHosts(later, { command: 'create', label: null })).toEqual([]);
});
