import { describe, expect, test } from 'vitest';
import { planSnapshot } from '../../src/create/plan.ts';
import { createCommand } from '../../src/libvirt/create-command.ts';
import { parseDiskspec, parseMemspec } from '../../src/libvirt/disk-spec.ts';
import { INTERNAL_SPEC, type SnapshotPlan, type SnapshotSpec } from '../../src/model/input/snapshot-spec.ts';
import { disk, domain } from '../model.ts';

function planned(spec: Partial<SnapshotSpec>, state = 'running', source = '/vm/a,b.qcow2'): SnapshotPlan {
  const disks = [disk({ source }), disk({ target: 'vdb', snapshot: 'no' })];
  const plan = planSnapshot(domain({ state, disks }), 's1', { ...INTERNAL_SPEC, ...spec });
  if ('problem' in plan) throw new Error(plan.problem);
  return plan;
}

const HEAD = ['snapshot-create-as', '--domain', 'UUID', '--name', 's1'];
const line = (plan: SnapshotPlan, description: string | null = null) =>
  createCommand('UUID', 's1', description, plan).slice(HEAD.length);

describe('the virsh command', () => {
  test('of an internal one names nothing', () => {
    expect(createCommand('UUID', 's1', null, planned({}))).toEqual(HEAD);
    expect(line(planned({}), '--text')).toEqual(['--description', '--text']);
    expect(line(planned({}), '')).toEqual([]);
  });

  test('of an external one names every file and every disk', () => {
    expect(line(planned({ external: true }))).toEqual([
      '--memspec',
      'file=/vm/centos7-1.s1.mem,snapshot=external',
      '--diskspec',
      'vda,snapshot=external,file=/vm/a,,b.s1',
      '--diskspec',
      'vdb,snapshot=no',
    ]);
    expect(line(planned({ external: true }, 'shutoff'))[0]).toBe('--disk-only');
  });

  test('has the options of virsh as they were given', () => {
    const flags = line(planned({ halt: true, atomic: true, noMetadata: true, validate: true }));
    expect(flags).toEqual(['--halt', '--atomic', '--no-metadata', '--validate']);
    const more = line(planned({ diskOnly: true, quiesce: true, reuse: true })).slice(0, 3);
    expect(more).toEqual(['--disk-only', '--quiesce', '--reuse-external']);
    expect(line(planned({ external: true, live: true }))[0]).toBe('--live');
  });

  test('keeps what a spec says of the storage', () => {
    const disks = [parseDiskspec('vda,stype=block,driver=qcow2,file=/dev/vg/o')].filter(
      (spec) => spec !== null,
    );
    expect(line(planned({ diskOnly: true, disks }))).toContain(
      'vda,snapshot=external,driver=qcow2,stype=block,file=/dev/vg/o',
    );
  });
});

const NONE = { location: null, file: null };

test.each([
  ['/vm/m', { ...NONE, file: '/vm/m' }],
  ['file=/vm/m', { ...NONE, file: '/vm/m' }],
  ['/vm/a,,b=c,snapshot=external', { location: 'external', file: '/vm/a,b=c' }],
  ['snapshot=external', { ...NONE, location: 'external' }],
])('--memspec %s', (text, diskSpec) => {
  expect(parseMemspec(text)).toEqual(diskSpec);
});

test.each([
  ['vda', {}],
  ['vda,snapshot=no', { location: 'no' }],
  ['vda,file=/vm/a,,,,b,driver=qcow2', { file: '/vm/a,,b', driver: 'qcow2' }],
  ['/vm/,,x,stype=block,snapshot=external', { disk: '/vm/,x', storage: 'block', location: 'external' }],
])('--diskspec %s', (text, diskSpec) => {
  expect(parseDiskspec(text)).toEqual({ disk: 'vda', ...NONE, driver: null, storage: null, ...diskSpec });
});

test.each(['', 'snapshot=', '/a,/b', 'file=/a,file=/b', '/a,'])('--memspec %s is no such thing', (text) => {
  expect(parseMemspec(text)).toBeNull();
});

test.each(['', ',file=/a', 'vda,bogus=1', 'vda,file=', 'vda,file=/a,file=/b', 'vda,'])(
  '--diskspec %s is no such thing',
  (text) => {
    expect(parseDiskspec(text)).toBeNull();
  },
);
