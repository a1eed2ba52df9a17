import { describe, expect, test } from 'vitest';
import { planSnapshot } from '../../src/create/plan.ts';
import { residueFiles } from '../../src/create/residue.ts';
import type { TargetFile } from '../../src/create/rules/facts.ts';
import { externalFlaws } from '../../src/create/verify-external.ts';
import type { DiskImage } from '../../src/model/image.ts';
import { INTERNAL_SPEC, type SnapshotSpec } from '../../src/model/input/snapshot-spec.ts';
import { reportSnapshots } from '../../src/model/report.ts';
import type { Snapshot } from '../../src/model/snapshot.ts';
import type { Vm } from '../../src/vm/load.ts';
import { disk, domain, seen, snapshot } from '../model.ts';

const [BASE, OVERLAY, MEMORY] = ['/vm/vda.qcow2', '/vm/vda.s1', '/vm/centos7-1.s1.mem'];
const running = domain({ state: 'running' });

function planned(spec: Partial<SnapshotSpec> = { external: true }) {
  const plan = planSnapshot(running, 's1', { ...INTERNAL_SPEC, ...spec });
  if ('problem' in plan) throw new Error(plan.problem);
  return plan;
}

const chain = (...paths: string[]): DiskImage => {
  const [top, ...below] = paths.map((path) => ({ path }));
  return seen(top, ...below);
};

const taken = (changes: Partial<Snapshot> = {}) =>
  snapshot('s1', {
    disks: [{ target: 'vda', location: 'external', source: OVERLAY }],
    memory: { location: 'external', file: MEMORY },
    ...changes,
  });

/** The VM afterwards, with the disk on the first of these images. */
function vmOn(image: DiskImage, known: readonly Snapshot[] = [taken()], state = running): Vm {
  const source = image.kind === 'seen' ? image.chain[0].path : OVERLAY;
  const facts = { current: 's1', busy: false, images: null };
  return {
    uri: 'qemu:///system',
    domain: { ...state, disks: [disk({ source })] },
    listed: [],
    snapshotNames: known.map(({ name }) => name),
    unread: [],
    current: 's1',
    images: new Map([['vda', image]]),
    snapshots: reportSnapshots(known, facts),
  };
}

const place = (holds: TargetFile['holds'], bytes = 0): TargetFile => ({
  holds,
  bytes,
  directory: 'fine',
  freeBytes: null,
  backing: null,
});
const NOTHING = new Map([OVERLAY, MEMORY].map((path) => [path, place(null)]));
const BOTH = new Map([OVERLAY, MEMORY].map((path) => [path, place('file', 9)]));

describe('what a finished one lacks', () => {
  const flaws = (vm: Vm, plan = planned(), targetFiles = BOTH) =>
    externalFlaws(plan, vm, vm.snapshots[0], targetFiles);

  test.each([
    ['nothing', chain(OVERLAY, BASE)],
    ['nothing, where another was taken since', chain('/vm/vda.s2', OVERLAY, BASE)],
    ['nothing, where another was taken just before', chain(OVERLAY, '/vm/vda.s0', BASE)],
    ['what cannot be seen', { kind: 'unseen', why: 'permission', format: null, source: 'storage pool' }],
  ] as const)('%s', (_, image) => {
    expect(flaws(vmOn(image))).toEqual([]);
  });

  test.each([
    ['the old image in use', vmOn(chain(BASE)), [`disk vda uses ${BASE} instead of ${OVERLAY}`]],
    ['another base', vmOn(chain(OVERLAY, '/vm/other')), [`disk vda: ${OVERLAY} is not on top of ${BASE}`]],
    [
      'an overlay that cannot be read',
      vmOn({ kind: 'broken', why: 'unreadable', path: OVERLAY, detail: 'bad magic' }),
      ['disk vda cannot be read (bad magic)'],
    ],
    [
      'a disk that libvirt has as internal',
      vmOn(chain(OVERLAY, BASE), [taken({ disks: [{ target: 'vda', location: 'internal', source: BASE }] })]),
      ['disk vda is not part of it'],
    ],
    [
      'a VM left paused',
      vmOn(chain(OVERLAY, BASE), undefined, domain({ state: 'paused', stateReason: 'saving' })),
      ['the VM is still paused'],
    ],
  ])('%s', (_, vm, lacks) => {
    expect(flaws(vm)).toEqual(lacks);
  });

  test('the memory, in an empty file', () => {
    const targetFiles = new Map([...BOTH, [MEMORY, place('file')]]);
    expect(flaws(vmOn(chain(OVERLAY, BASE)), planned(), targetFiles)).toEqual([
      `the memory is not in ${MEMORY}`,
    ]);
  });

  test('without metadata, the overlays alone tell', () => {
    const plan = planned({ external: true, noMetadata: true });
    expect(flaws(vmOn(chain(OVERLAY, BASE), []), plan)).toEqual([]);
    expect(flaws(vmOn(chain(BASE), []), plan)).toHaveLength(1);
  });

  test('what an overlay to be reused is laid over is the matter of who made it', () => {
    expect(flaws(vmOn(chain(OVERLAY, '/vm/link')), planned({ external: true, reuse: true }))).toEqual([]);
  });
});

describe('what a failed one leaves', () => {
  const left = (vm: Vm, before = NOTHING, now = BOTH) => residueFiles(planned(), before, now, vm, 's1');

  test('files that nothing uses', () => {
    expect(left(vmOn(chain(BASE), []))).toEqual([
      {
        what: `${OVERLAY} was created, and nothing uses it`,
        hint: 'remove the unused file',
        command: `rm ${OVERLAY}`,
      },
      {
        what: `${MEMORY} was created, and nothing uses it`,
        hint: 'remove the unused file',
        command: `rm ${MEMORY}`,
      },
    ]);
  });

  test('an overlay in use is never one to remove, but to write back, and no further than one image', () => {
    expect(left(vmOn(chain(OVERLAY, BASE), []))[0]).toEqual({
      what: `disk vda now uses the overlay ${OVERLAY}, which belongs to no snapshot`,
      hint: 'merge the overlay into the image below it, then remove the file',
      commands: ['virsh blockcommit centos7-1 vda --shallow --active --pivot --wait', `rm ${OVERLAY}`],
    });
    expect(left(vmOn(chain('/vm/vda.s2', OVERLAY, BASE), []))[0]).toEqual({
      what: `disk vda is on top of ${OVERLAY}, which belongs to no snapshot`,
      hint: `do not remove ${OVERLAY}`,
    });
    const off = vmOn(chain(OVERLAY, BASE), [], domain());
    expect(left(off)[0]).toMatchObject({
      commands: [`qemu-img commit -f qcow2 ${OVERLAY}`, 'virsh edit centos7-1'],
    });
  });

  test.each([
    ['files that were there before', vmOn(chain(BASE), []), BOTH, BOTH],
    ['files that are not there', vmOn(chain(BASE), []), NOTHING, NOTHING],
    ['files that cannot be seen', vmOn(chain(BASE), []), new Map(), BOTH],
    ['those of a snapshot that libvirt has', vmOn(chain(OVERLAY, BASE)), NOTHING, BOTH],
  ])('%s are not among it', (_, vm, before, now) => {
    expect(left(vm, before, now)).toEqual([]);
  });
});
