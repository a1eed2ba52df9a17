import { describe, expect, test } from 'vitest';
import { KvmsnapError } from '../../src/errors.ts';
import { readDomain } from '../../src/libvirt/domains.ts';
import { pruneForSpace } from '../../src/prune/free-space.ts';
import { type SpaceReader, shortage } from '../../src/prune/free-space-run.ts';
import type { Settings } from '../../src/run/context.ts';
import type { VmSpace } from '../../src/space/measure.ts';
import { completeVm } from '../../src/vm/load.ts';
import { MiB } from '../model.ts';
import { type FakeHost, fakeHost } from '../run/fake-host.ts';

/** A file system of 100 MiB with 10 free, on which each of two snapshots holds 8 in the first of its two disks. */
const SIZE = 100 * MiB;
const FREE = 10 * MiB;
const EACH = 8 * MiB;

interface World {
  readonly host: FakeHost;
  /** Whether what is deleted comes back, and after how many further looks. */
  readonly gives?: boolean;
  readonly delay?: number;
  /** What comes back, others take at once. */
  readonly eaten?: boolean;
  readonly reachable?: boolean;
}

const space = (hostBytes: number) => ({ hostBytes, clusterBytes: hostBytes });

/** What the images would say, had they any content. */
function readerOf({
  host,
  gives = true,
  delay = 0,
  eaten = false,
  reachable = true,
}: World): SpaceReader & { measurements: number } {
  const deleted = () => 2 - (host.images.get('/vm/b-fix-vda.qcow2') ?? []).length;
  let seen = 0;
  let late = delay;
  const reader = {
    measurements: 0,
    fileSystemOf: async (_: unknown, path: string) => {
      if (!reachable || path.endsWith('vdb.qcow2')) return null;
      reader.measurements++;
      if (deleted() > seen && late-- <= 0) {
        seen = deleted();
        late = delay;
      }
      const freeBytes = FREE + (gives && !eaten ? seen * EACH : 0);
      return { id: '1', mountPoint: '/vm', sizeBytes: SIZE, freeBytes };
    },
    measure: async (_: unknown, vm: { readonly snapshots: VmSpace['snapshots'][number]['snapshot'][] }) => ({
      approximate: false,
      disks: [],
      together: { names: [], frees: null },
      snapshots: vm.snapshots.map((snapshot, i) => {
        const cost = {
          frees: space(EACH),
          freesTogether: space((i + 1) * EACH),
          holds: space(EACH),
          vmState: space(0),
          changedBytes: null,
        };
        return { snapshot, cost, disks: [{ target: 'vda', source: null, cost, problem: null }] };
      }),
    }),
    occupiedBy: async () => 50 * MiB - (gives ? deleted() * EACH : 0),
  };
  return reader as unknown as SpaceReader & { measurements: number };
}

async function run(world: World, wantedMiB: number, settings: Partial<Settings> = {}) {
  const { host } = world;
  const ctx = host.context(settings);
  const vm = await completeVm(ctx, await readDomain(host.libvirt.virsh, 'b-fix'));
  const request = {
    scope: { label: null, matches: () => true },
    rules: { periods: {}, last: 0, allowEmpty: true },
    freeMin: { bytes: wantedMiB * MiB },
    removeUnused: false,
  };
  const reader = readerOf(world);
  const done = await pruneForSpace(ctx, [{ vm, fresh: null }], request, reader);
  const [of] = done.vms;
  return {
    left: [...host.vm.snapshots.keys()],
    plan: of?.plan.map(({ snapshot, keep, reasons }) => [snapshot.name, keep, ...reasons]),
    failures: [of?.failure, ...(of?.done ?? []).map(({ failure }) => failure)].flatMap(
      (each) => each?.code ?? [],
    ),
    freedMiB: (of?.freed.bytes ?? Number.NaN) / MiB,
    cutShort: of?.cutShort,
    shortage: shortage(done.fileSystems)?.message ?? null,
    measurements: reader.measurements,
  };
}

/** Does something in place of, or before, each deletion. */
function atDeletion(change: (host: FakeHost) => string | undefined): FakeHost {
  const host = fakeHost();
  const { intercept } = host.libvirt;
  host.libvirt.intercept = (command, process) =>
    (command[0] === 'snapshot-delete' ? change(host) : undefined) ?? intercept(command, process);
  return host;
}

describe('a prune for space', () => {
  test('ends as soon as enough is free', async () => {
    expect(await run({ host: fakeHost() }, 18)).toMatchObject({
      left: ['run1'],
      plan: [
        ['off1', false],
        ['run1', true, 'enough free'],
      ],
      freedMiB: 8,
      cutShort: false,
      shortage: null,
    });
    expect((await run({ host: fakeHost() }, 10)).left).toEqual(['off1', 'run1']);
  });

  test('says what is short when all are gone', async () => {
    expect(await run({ host: fakeHost() }, 27)).toMatchObject({
      left: [],
      freedMiB: 16,
      shortage: '/vm has only 26.0 MiB of 100 MiB free instead of 27.0 MiB: no other snapshot may be deleted',
    });
  });

  test('foresees the same, and changes nothing', async () => {
    expect(await run({ host: fakeHost() }, 18, { dryRun: true })).toMatchObject({
      left: ['off1', 'run1'],
      plan: [
        ['off1', false],
        ['run1', true, 'enough free'],
      ],
      freedMiB: 8,
      shortage: null,
    });
    const { freedMiB, shortage } = await run({ host: fakeHost() }, 27, { dryRun: true });
    expect([freedMiB, shortage]).toEqual([16, expect.stringContaining('/vm has only 26.0 MiB')]);
  });

  test('waits for a file system that counts late, and takes no second one for that', async () => {
    const late = await run({ host: fakeHost(), delay: 7 }, 18);
    expect([late.left, late.shortage]).toEqual([['run1'], null]);
  });

  test('stops where deleting gives nothing back', async () => {
    const { left, plan, shortage, measurements } = await run({ host: fakeHost(), gives: false }, 18);
    expect(left).toEqual(['run1']);
    expect(plan?.[1]).toEqual(['run1', true, 'deleting frees nothing']);
    expect(shortage).toContain('deleting snapshots frees no space there');
    expect(measurements).toBeLessThan(40);
  });

  test('goes on where others take what it gives back', async () => {
    const { left, freedMiB, shortage } = await run({ host: fakeHost(), eaten: true }, 18);
    expect([left, freedMiB, shortage]).toEqual([[], 16, expect.stringContaining('no other snapshot')]);
  });

  test('deletes nothing where it cannot be told what is free', async () => {
    expect(await run({ host: fakeHost(), reachable: false }, 18)).toMatchObject({
      left: ['off1', 'run1'],
      plan: [
        ['off1', true, 'free space unknown'],
        ['run1', true, 'free space unknown'],
      ],
      failures: ['check'],
      shortage: null,
    });
  });

  test('goes on after a failure, with the next', async () => {
    const host = atDeletion(({ libvirt }) => {
      if (libvirt.commands.at(-1)?.includes('off1')) throw new KvmsnapError('refused', 'no');
      return undefined;
    });
    expect(await run({ host }, 18)).toMatchObject({ left: ['off1'], failures: ['refused'], shortage: null });
  });

  test('leaves a busy VM alone: its others are not come to', async () => {
    const host = atDeletion(() => {
      throw new KvmsnapError('busy', 'another job');
    });
    expect(await run({ host }, 18)).toMatchObject({
      left: ['off1', 'run1'],
      plan: [
        ['off1', false],
        ['run1', false],
      ],
      failures: ['busy'],
    });
  });

  test('sees a hold that came since the start', async () => {
    const host = fakeHost();
    const { intercept } = host.libvirt;
    let reads = 0;
    host.libvirt.intercept = (command, process) => {
      if (command[0] === 'dumpxml' && ++reads === 2) {
        const xml = host.vm.snapshots.get('off1') ?? '';
        const held = xml.replace(
          /<description>.*?<\/description>|(?=<state>)/s,
          '<description>Kvmsnap-Hold: yes</description>',
        );
        host.vm.snapshots = new Map([...host.vm.snapshots, ['off1', held]]);
      }
      return intercept(command, process);
    };
    expect(await run({ host }, 18)).toMatchObject({
      left: ['off1'],
      plan: [
        ['off1', true, 'held'],
        ['run1', false],
      ],
    });
  });
});
