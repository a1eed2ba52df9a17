import { describe, expect, test } from 'vitest';
import { reportSnapshots } from '../../src/model/report.ts';
import type { Snapshot } from '../../src/model/snapshot.ts';
import {
  choicesOf,
  type Entry,
  expectFrom,
  isUnmeasurable,
  systemIdsOf,
} from '../../src/prune/free-space-candidates.ts';
import type { SnapshotCost, VmSpace } from '../../src/space/measure.ts';
import { domain, MiB, seen, snapshot, tag } from '../model.ts';

const space = (mebibytes: number) => ({ hostBytes: mebibytes * MiB, clusterBytes: mebibytes * MiB });

/** What a snapshot frees, of what it holds. */
const cost = (frees: number, holds = frees) => ({
  frees: space(frees),
  freesTogether: space(frees),
  holds: space(holds),
  vmState: space(0),
  changedBytes: null,
});

/** In /vm/e1, over the image with the tag i0; its memory in /mem. */
const E1 = snapshot('e1', {
  createdAtSeconds: 1,
  memory: { location: 'external', file: '/mem/e1' },
  disks: [{ target: 'vda', location: 'external', source: '/vm/e1' }],
  definedDisks: [{ target: 'vda', source: '/vm/vda.qcow2', driver: 'qcow2' }],
});
const I0 = snapshot('i0', { createdAtSeconds: 0 });
const IMAGES = new Map([['vda', seen({ path: '/vm/e1' }, { path: '/vm/vda.qcow2', tags: [tag('i0')] })]]);

const systemsByPath = (systems: Readonly<Record<string, string>>, freeMiB = 100) =>
  new Map(
    Object.entries(systems).map(([path, id]) => [
      path,
      { id, mountPoint: `/${id}`, sizeBytes: 1000 * MiB, freeBytes: freeMiB * MiB },
    ]),
  );
const ONE_SYSTEM = { '/vm/e1': 'vm', '/vm/vda.qcow2': 'vm', '/mem/e1': 'mem' };

function entryOf(...snapshots: readonly Snapshot[]): Entry {
  const reports = reportSnapshots(snapshots, { current: 'e1', busy: false, images: IMAGES });
  const vm = {
    uri: 'qemu:///system',
    domain: domain(),
    listed: [],
    snapshotNames: snapshots.map(({ name }) => name),
    current: 'e1',
    snapshots: reports,
    unread: [],
    images: IMAGES,
  };
  const plan = reports.map((report) => {
    const { name, createdAtSeconds } = report;
    const candidate = { name, createdAtSeconds, held: false, unfinished: null, undeletable: null, report };
    return { snapshot: candidate, keep: false, reasons: [] };
  });
  return {
    fresh: null,
    vm,
    plan,
    isFreshlyRead: true,
    isMeasured: true,
    expected: new Map(),
    alone: new Map(),
    gone: [],
    done: [],
    freedBytes: 0,
    failure: null,
    isClosed: false,
    deletions: null,
  };
}

/** The whole of it and the disk vda. */
function costs(entry: Entry, whole: SnapshotCost['cost'], ofDisk = whole): VmSpace {
  const [report] = entry.vm.snapshots.filter(({ name }) => name === 'e1');
  if (!report) throw new Error('no e1');
  const disks = [{ target: 'vda', source: '/vm/e1', cost: ofDisk, problem: null }];
  return {
    approximate: false,
    snapshots: [{ snapshot: report, approximate: false, cost: whole, disks }],
    disks: [],
    together: { names: [], frees: null },
  };
}

const freesOf = (entry: Entry, where: ReturnType<typeof systemsByPath>) =>
  choicesOf(entry, where).map(({ name, frees }) => [name, Object.fromEntries(frees)]);

describe('an external snapshot in a prune for space', () => {
  test('is expected to give back its overlay but for what the file below grows by, and its memory', () => {
    const entry = entryOf(E1);
    expectFrom(entry, costs(entry, cost(35), cost(5, 8)), systemsByPath(ONE_SYSTEM));
    expect(freesOf(entry, systemsByPath(ONE_SYSTEM))).toEqual([['e1', { vm: 5 * MiB, mem: 30 * MiB }]]);
  });

  test('helps where its overlay, the file below or its memory is', () => {
    const entry = entryOf(E1);
    const [decision] = entry.plan;
    if (!decision) throw new Error('no plan');
    expect(systemIdsOf(entry, decision, systemsByPath({ '/vm/vda.qcow2': 'below' }))).toEqual(['below']);
    expect(systemIdsOf(entry, decision, systemsByPath(ONE_SYSTEM))).toEqual(['vm', 'vm', 'mem']);
  });

  test.each([
    ['it was not measured', null, systemsByPath(ONE_SYSTEM)],
    [
      'the file below is in another file system',
      cost(5),
      systemsByPath({ ...ONE_SYSTEM, '/vm/vda.qcow2': 'other' }),
    ],
    ['there is no room for the file below to grow', cost(5, 8), systemsByPath(ONE_SYSTEM, 2)],
  ])('stays out where %s', (_, ofIt, where) => {
    const entry = entryOf(E1);
    expectFrom(entry, costs(entry, ofIt), where);
    expect(choicesOf(entry, where)).toEqual([]);
    expect(entry.plan.map((decision) => isUnmeasurable(entry, decision))).toEqual([true]);
  });

  test('until it is measured it may go, and an internal one always', () => {
    const entry = entryOf(I0, E1);
    expect(choicesOf(entry, systemsByPath(ONE_SYSTEM)).map(({ name }) => name)).toEqual(['i0']);
    entry.isMeasured = false;
    expect(choicesOf(entry, systemsByPath(ONE_SYSTEM)).map(({ name }) => name)).toEqual(['i0', 'e1']);
  });
});
