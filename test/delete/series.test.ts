// Many deletions of one VM: what each costs, and that none is taken for done that is not.
import { describe, expect, test } from 'vitest';
import { deleteInTurn } from '../../src/delete/delete-in-turn.ts';
import type { DeleteRequest } from '../../src/delete/deletion.ts';
import { withHold } from '../../src/model/marks/hold.ts';
import type { Context } from '../../src/run/context.ts';
import { loadVm } from '../../src/vm/load.ts';
import { Failure, optionValue } from '../libvirt/fake-libvirt.ts';
import { type FakeHost, fakeHost } from '../run/fake-host.ts';

const ONLY: DeleteRequest = { scope: 'only', metadataOnly: false, removeUnused: false };

const namesUpTo = (count: number): string[] => Array.from({ length: count }, (_, i) => `s${i}`);

/** A VM that is off with so many internal snapshots; `off1` and `run1` stay beside them. */
function hostWith(count: number): FakeHost {
  const host = fakeHost();
  const [model = ''] = host.vm.snapshots.values();
  const more = namesUpTo(count).map((name, i) => {
    const xml = model.replace('<name>off1</name>', `<name>${name}</name>`);
    return [name, xml.replace(/<creationTime>(\d+)/, (_, at) => `<creationTime>${Number(at) + i}`)] as const;
  });
  host.vm.snapshots = new Map([...host.vm.snapshots, ...more]);
  for (const tags of host.images.values()) tags.push(...namesUpTo(count));
  return host;
}

interface Trouble {
  /** When it comes: while this one is deleted. */
  readonly at: string;
  readonly happens: (host: FakeHost, ctx: Context) => void;
  /** virsh says this instead of deleting it. */
  readonly instead?: string | Failure;
}

/** Deletes the names, in the fake and for us. */
async function deleteAll(host: FakeHost, names: readonly string[], trouble?: Trouble) {
  const ctx = host.context();
  const vm = await loadVm(ctx, 'b-fix');
  const { intercept } = host.libvirt;
  host.libvirt.intercept = (command, process) => {
    const deleted = command[0] === 'snapshot-delete' ? optionValue(command, '--snapshotname') : null;
    if (!trouble || deleted !== trouble.at) return intercept(command, process);
    trouble.happens(host, ctx);
    return trouble.instead ?? intercept(command, process);
  };
  const before = { processes: host.libvirt.processes.length, commands: host.libvirt.commands.length };
  const { tried, left } = await deleteInTurn(ctx, vm, names, ONLY);
  const commands = host.libvirt.commands.slice(before.commands);
  return {
    deleted: tried.flatMap(({ gone }) => gone),
    failed: tried.flatMap(({ name, failure }) => (failure ? [[name, failure.code, failure.message]] : [])),
    held: tried.flatMap(({ name, isHeld }) => (isHeld ? [name] : [])),
    left,
    processes: host.libvirt.processes.length - before.processes,
    read: commands.filter(([verb]) => verb === 'snapshot-dumpxml').length,
    ctx,
  };
}

describe('what it costs', () => {
  test.each([
    [10, 20],
    [10, 80],
    [40, 80],
  ])('%i of %i: two processes each, and the record of one snapshot', async (count, of) => {
    const { deleted, processes, read } = await deleteAll(hostWith(of), namesUpTo(count));
    expect(deleted).toHaveLength(count);
    // who uses the files is asked of all snapshots once; each 16 a look
    expect(processes).toBeLessThanOrEqual(2 * count + 3 + Math.ceil(count / 16));
    expect(read).toBeLessThanOrEqual(of + 2 + count);
  });
});

describe('none is taken for done that is not', () => {
  const names = namesUpTo(20);
  const others = (name: string) => names.filter((each) => each !== name);

  test('a tag that stays in the image', async () => {
    const host = hostWith(20);
    const { deleted, failed } = await deleteAll(host, names, {
      at: 's3',
      happens: ({ vm }) => {
        vm.snapshots = new Map([...vm.snapshots].filter(([name]) => name !== 's3'));
      },
      instead: 'Domain snapshot s3 deleted\n\n',
    });
    expect(failed).toEqual([
      ['s3', 'refused', expect.stringMatching(/the images still contain it: s3 in disk vda/)],
    ]);
    expect(deleted).toEqual(others('s3'));
  });

  test('a snapshot of which virsh only says that it is deleted', async () => {
    const { deleted, failed } = await deleteAll(hostWith(20), names, {
      at: 's3',
      happens: () => undefined,
      instead: 'Domain snapshot s3 deleted\n\n',
    });
    expect(failed).toEqual([['s3', 'refused', expect.stringContaining('s3 of b-fix was not deleted')]]);
    expect(deleted).toEqual(others('s3'));
  });

  test('the last of all likewise', async () => {
    const { deleted, failed } = await deleteAll(hostWith(20), names, {
      at: 's19',
      happens: () => undefined,
      instead: 'Domain snapshot s19 deleted\n\n',
    });
    expect(failed.map(([name]) => name)).toEqual(['s19']);
    expect(deleted).toEqual(others('s19'));
  });

  test('what virsh refuses is looked at at once, and the others go', async () => {
    const { deleted, failed } = await deleteAll(hostWith(20), names, {
      at: 's3',
      happens: () => undefined,
      instead: new Failure('error: it will not\n'),
    });
    expect(failed).toEqual([['s3', 'refused', expect.stringContaining('it will not')]]);
    expect(deleted).toEqual(others('s3'));
  });

  test('where nothing can be looked at any more, nothing is reported as deleted', async () => {
    const host = hostWith(20);
    const { deleted, failed, left } = await deleteAll(host, ['s0', 's1'], {
      at: 's1',
      happens: ({ libvirt }) => {
        libvirt.die = () => 'error: failed to connect to the hypervisor\n';
      },
    });
    expect([deleted, left]).toEqual([[], []]);
    expect(failed.map(([name, code]) => [name, code])).toEqual([
      ['s0', 'unreachable'],
      ['s1', 'unreachable'],
    ]);
  });
});

describe('what others do meanwhile is seen', () => {
  const names = namesUpTo(6);

  test('a hold', async () => {
    const host = hostWith(6);
    const { deleted, held } = await deleteAll(host, names, {
      at: 's2',
      happens: ({ vm }) => {
        const xml = vm.snapshots.get('s4') ?? '';
        vm.snapshots = new Map([
          ...vm.snapshots,
          [
            's4',
            xml.replace(/<description>.*?<\/description>/s, `<description>${withHold(null)}</description>`),
          ],
        ]);
      },
    });
    expect(held).toEqual(['s4']);
    expect(deleted).toEqual(['s0', 's1', 's2', 's3', 's5']);
    expect([...host.vm.snapshots.keys()]).toContain('s4');
  });

  test('a snapshot that another run takes: the VM is read anew, and the rest goes', async () => {
    const host = hostWith(6);
    const { deleted, failed, read } = await deleteAll(host, names, {
      at: 's2',
      happens: ({ vm, images }) => {
        const xml = (vm.snapshots.get('s4') ?? '').replace('<name>s4<', '<name>late<');
        vm.snapshots = new Map([...vm.snapshots, ['late', xml]]);
        for (const tags of images.values()) tags.push('late');
      },
    });
    expect([deleted, failed]).toEqual([names, []]);
    expect(read).toBeGreaterThan(8 + 6 + 2);
    expect([...host.vm.snapshots.keys()]).toEqual(['off1', 'run1', 'late']);
  });

  test('that another run has deleted it: it is gone, as wanted', async () => {
    const host = hostWith(6);
    const { deleted, failed } = await deleteAll(host, names, {
      at: 's2',
      happens: ({ vm, images }) => {
        vm.snapshots = new Map([...vm.snapshots].filter(([name]) => name !== 's4'));
        for (const [path, tags] of images)
          images.set(
            path,
            tags.filter((tag) => tag !== 's4'),
          );
      },
    });
    expect([deleted, failed]).toEqual([names, []]);
    expect(host.libvirt.commands.filter((command) => command[0] === 'snapshot-delete')).toHaveLength(5);
  });

  test('a VM that is started', async () => {
    const host = hostWith(6);
    const { deleted, failed } = await deleteAll(host, names, {
      at: 's2',
      happens: ({ vm }) => {
        vm.state = 'running (booted)';
      },
    });
    expect(failed.length + deleted.length).toBe(6);
    expect(deleted).toEqual(expect.arrayContaining(['s0', 's1']));
  });
});

test.each([
  {
    state: 'shut off (crashed)',
    told: [
      expect.stringMatching(
        /^warning: the VM was running and is now shut off \(crashed\)\. To fix it:\n {2}virsh start /,
      ),
    ],
  },
  { state: 'shut off (shutdown)', told: [] },
])('all are gone, and the VM is $state', async ({ state, told }) => {
  const host = hostWith(3);
  host.vm.state = 'running (booted)';
  const { deleted, failed } = await deleteAll(host, namesUpTo(3), {
    at: 's2',
    happens: ({ vm }) => {
      vm.state = state;
    },
  });
  expect([deleted, failed]).toEqual([namesUpTo(3), []]);
  expect(host.notes.filter((line) => line.startsWith('warning: '))).toEqual(told);
});

test('a signal ends it before the next one, and what is gone is proven', async () => {
  const host = hostWith(6);
  const { deleted, failed, left, ctx } = await deleteAll(host, namesUpTo(6), {
    at: 's2',
    happens: (_, ctx) => ctx.interrupts.raise('SIGTERM'),
  });
  expect([deleted, failed, left]).toEqual([['s0', 's1', 's2'], [], ['s3', 's4', 's5']]);
  expect(ctx.interrupts.stop.aborted).toBe(false);
});

test('a signal between two of them, too', async () => {
  const host = hostWith(6);
  const ctx = host.context();
  const vm = await loadVm(ctx, 'b-fix');
  const { intercept } = host.libvirt;
  host.libvirt.intercept = (command, process) => {
    // the look before the third
    if (command[0] === 'snapshot-dumpxml' && optionValue(command, '--snapshotname') === 's2' && isBegun)
      ctx.interrupts.raise('SIGTERM');
    isBegun ||= command[0] === 'snapshot-delete';
    return intercept(command, process);
  };
  let isBegun = false;
  const { tried, left } = await deleteInTurn(ctx, vm, namesUpTo(6), ONLY);
  expect(tried.map(({ name, failure }) => [name, failure])).toEqual([
    ['s0', null],
    ['s1', null],
  ]);
  expect(left).toEqual(['s2', 's3', 's4', 's5']);
});
