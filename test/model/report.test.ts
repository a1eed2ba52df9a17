import { describe, expect, test } from 'vitest';
import { type ReportFacts, reportSnapshots, tagsOf } from '../../src/model/report.ts';
import { MiB, seen, snapshot, TAKEN_AT, tag } from '../model.ts';

const MEMORY = { location: 'internal', file: null };
const TWO_DISKS = ['vda', 'vdb'].map((target) => ({
  target,
  location: 'internal',
  source: `/vm/${target}.qcow2`,
}));

const QUIET: ReportFacts = { current: null, busy: false, images: new Map() };

describe('a report', () => {
  test('oldest first, with children and the current one', () => {
    const reports = reportSnapshots(
      [
        snapshot('late', { createdAtSeconds: TAKEN_AT + 5, parent: 'early' }),
        snapshot('early'),
        snapshot('early-2', { parent: 'early' }),
      ],
      { ...QUIET, current: 'late' },
    );
    expect(reports.map(({ name, children, isCurrent }) => ({ name, children, isCurrent }))).toEqual([
      { name: 'early', children: ['early-2', 'late'], isCurrent: false },
      { name: 'early-2', children: [], isCurrent: false },
      { name: 'late', children: [], isCurrent: true },
    ]);
  });
});

describe('a hold', () => {
  test.each([
    ['why\n\nKvmsnap-Hold: yes', 'why', true],
    ['Kvmsnap-Hold: yes', null, true],
    ['Kvmsnap-Hold: yes\n\nno longer', 'Kvmsnap-Hold: yes\n\nno longer', false],
    [null, null, false],
  ])('%j', (text, description, held) => {
    const [report] = reportSnapshots([snapshot('s1', { description: text })], QUIET);
    expect(report).toMatchObject({ description, held });
  });
});

describe('the memory saved in the images', () => {
  const withMemory = snapshot('s1', { state: 'running', memory: MEMORY, disks: TWO_DISKS });
  const saved = seen({ tags: [tag('s1', { vmStateBytes: 5 * MiB }), tag('s2', { vmStateBytes: 7 * MiB })] });
  const empty = seen({ path: '/vm/vdb.qcow2', tags: [tag('s1')] });
  const unseen = { kind: 'unseen', why: 'permission', format: 'qcow2', source: 'storage pool' } as const;

  test.each([
    { says: 'in one of two disks', of: withMemory, in: { vda: saved, vdb: empty }, bytes: 5 * MiB },
    { says: 'in no disk', of: withMemory, in: { vda: seen({ tags: [] }), vdb: empty }, bytes: 0 },
    {
      says: 'not known, for one disk could not be looked at',
      of: withMemory,
      in: { vda: saved, vdb: unseen },
      bytes: null,
    },
    {
      says: 'not known, for one image is missing from the facts',
      of: withMemory,
      in: { vda: saved },
      bytes: null,
    },
    { says: 'not known, for no image was looked at', of: withMemory, in: null, bytes: null },
    { says: 'none, for the VM was off', of: snapshot('s1'), in: { vda: saved }, bytes: 0 },
    {
      says: 'not known of a VM that was off, for no image was looked at',
      of: snapshot('s1'),
      in: null,
      bytes: null,
    },
    {
      says: 'in a file, which is not counted',
      of: snapshot('s1', { memory: { location: 'external', file: '/vm/s1.mem' } }),
      in: { vda: saved },
      bytes: null,
    },
  ])('$says', ({ of, in: images, bytes }) => {
    const [report] = reportSnapshots([of], {
      ...QUIET,
      images: images === null ? null : new Map(Object.entries(images)),
    });
    expect(report?.vmStateBytes).toBe(bytes);
  });
});

describe('the tags of a snapshot', () => {
  const disk = { target: 'vda', source: '/vm/base.qcow2' };
  const chain = seen({ path: '/vm/overlay', tags: [] }, { path: '/vm/base.qcow2', tags: [tag('s1')] });

  test('are looked for in the image that it names, also under an overlay', () => {
    expect(tagsOf({ name: 's1' }, disk, new Map([['vda', chain]]))).toEqual([tag('s1')]);
  });

  test('in the active image where it names none', () => {
    expect(tagsOf({ name: 's1' }, { ...disk, source: null }, new Map([['vda', chain]]))).toEqual([]);
  });

  test('under whichever target the image is used now', () => {
    expect(tagsOf({ name: 's1' }, disk, new Map([['sda', chain]]))).toEqual([tag('s1')]);
  });

  test('are not known where it names an image that the VM does not use', () => {
    expect(
      tagsOf({ name: 's1' }, { ...disk, source: '/vm/elsewhere' }, new Map([['vda', chain]])),
    ).toBeNull();
  });

  test('are not known where nobody looked', () => {
    expect(tagsOf({ name: 's1' }, disk, new Map())).toBeNull();
  });
});

describe('a snapshot under way', () => {
  const all = [snapshot('old'), snapshot('new', { createdAtSeconds: TAKEN_AT + 1, memory: MEMORY })];
  const oldOnly = new Map([['vda', seen({ tags: [tag('old')] })]]);
  const two = [snapshot('old'), snapshot('new', { createdAtSeconds: TAKEN_AT + 1, disks: TWO_DISKS })];
  const inDisks = (...targets: string[]) =>
    new Map(
      ['vda', 'vdb'].map((target) => {
        const tags = targets.includes(target) ? [tag('old'), tag('new')] : [tag('old')];
        return [target, seen({ path: `/vm/${target}.qcow2`, tags })];
      }),
    );
  const both = new Map([['vda', seen({ tags: [tag('old'), tag('new')] })]]);

  test.each([
    {
      says: 'the newest, its tag missing, while libvirt is at work',
      busy: true,
      images: oldOnly,
      is: ['new'],
    },
    { says: 'no image was looked at', busy: true, images: null, is: ['new'] },
    { says: 'its tag is there', busy: true, images: both, is: [] },
    { says: 'it is the current one already', busy: true, current: 'new', images: oldOnly, is: [] },
    { says: 'the old one is current', busy: true, current: 'old', images: oldOnly, is: ['new'] },
    { says: 'libvirt does nothing', busy: false, images: oldOnly, is: [] },
  ])('$says: $is', ({ busy, current = null, images, is }) => {
    const reports = reportSnapshots(all, { ...QUIET, busy, current, images });
    expect(reports.filter(({ underWay }) => underWay).map(({ name }) => name)).toEqual(is);
  });

  test.each([
    { says: 'in the first of two disks', images: inDisks('vda'), is: ['new'] },
    { says: 'in the second only', images: inDisks('vdb'), is: ['new'] },
    { says: 'in both', images: inDisks('vda', 'vdb'), is: [] },
    {
      says: 'in the only one that can be looked at',
      images: new Map([...inDisks('vda')].slice(0, 1)),
      is: [],
    },
  ])('$says: $is', ({ images, is }) => {
    const reports = reportSnapshots(two, { ...QUIET, busy: true, images });
    expect(reports.filter(({ underWay }) => underWay).map(({ name }) => name)).toEqual(is);
  });
});
