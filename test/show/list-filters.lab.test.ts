import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { kvmsnap } from '../lab/cli.ts';
import { virsh } from '../lab/lab.ts';
import { share } from '../lab/share.ts';
import { currentSnapshot, snapshotNames } from '../scene/snapshot.ts';
import { document, fail, succeed, take } from '../scene/steps.ts';
import { cleanUp, defineVm, destroy, domainXml, start, type Vm } from '../scene/vm.ts';

/** off ─┬─ run ─── disks, and paused below off, the current one. */
let vm: Vm;

beforeAll(() => {
  vm = defineVm({ name: 'tree', boot: 'counter', disks: [{ size: '16M' }] });
  defineVm({ name: 'bare', disks: [{ size: '16M' }] });
  take(vm, 'off');
  start(vm);
  take(vm, 'run');
  take(vm, 'disks', '--disk-only');
  destroy(vm);
  const at = ['--domain', vm.uuid, '--snapshotname'];
  virsh('snapshot-revert', ...at, 'off', '--paused');
  take(vm, 'paused');
});
afterAll(cleanUp);

const lines = (text: string): string[] => text.split('\n').filter((line) => line !== '');

const byVirsh = (...options: string[]): string[] =>
  lines(virsh('snapshot-list', '--domain', vm.uuid, '--name', ...options)).sort();

describe('list shows what virsh would list', () => {
  test.each(
    share(5, [
      [['--roots']],
      [['--leaves']],
      [['--no-leaves']],
      [['--internal']],
      [['--external']],
      [['--inactive']],
      [['--active']],
      [['--disk-only']],
      [['--inactive', '--disk-only']],
      [['--leaves', '--internal']],
      [['--from', 'off']],
      [['--from', 'off', '--descendants']],
      [['--from', 'off', '--descendants', '--leaves', '--external']],
      [['--from', 'disks']],
      [['--current']],
    ]),
  )('%j', async (options) => {
    const names = lines((await succeed('list', 'tree', '-q', ...options)).stdout);
    expect(names.sort()).toEqual(byVirsh(...options));
  });

  test('of several VMs too, where one that has no such snapshot has none to show', async () => {
    const several = await succeed('list', '--all', '-q', '--from', 'off', '--active');
    expect(lines(several.stdout).sort()).toEqual(['tree/paused', 'tree/run']);
    expect(lines((await succeed('list', '--all', '-q', '--current')).stdout)).toEqual([]);
    expect(await fail(4, 'list', '--all', '--from', 'nosuch')).toContain('a snapshot nosuch');
  });

  test('in the other formats, and as a tree', async () => {
    const { domains } = await document('list', 'list', 'tree', '--leaves');
    expect(domains[0]?.snapshots.map(({ name }) => name).sort()).toEqual(['disks', 'paused']);
    expect((await succeed('list', 'tree', '--tree', '--no-leaves')).stdout).toMatch(/^ +off .*\n +run /m);
  });

  test('a tree below a snapshot begins with it and has all descendants', async () => {
    const raw = virsh('snapshot-list', '--domain', vm.uuid, '--tree', '--from', 'off', '--descendants');
    const names = lines((await succeed('list', 'tree', '--tree', '--from', 'off', '-q')).stdout);
    expect(names[0]).toBe('off');
    expect(names.sort()).toEqual(raw.match(/\w+/g)?.sort());
  });

  test.each(
    share(2, [
      [2, ['tree', '--descendants']],
      [2, ['tree', '--from', 'off', '--roots']],
      [2, ['tree', '--from', 'off', '--current']],
      [4, ['tree', '--from', 'of']],
      [4, ['bare', '--current']],
    ]),
  )('exit %i for %j', async (code, args) => {
    await fail(code, 'list', ...args);
  });
});

describe("the snapshot's XML, as libvirt has it", () => {
  test.each(
    share(2, [
      [
        ['info', 'tree', 'run', '--xml'],
        ['snapshot-dumpxml', '--snapshotname', 'run'],
      ],
      [
        ['info', 'tree', 'run', '--xml', '--security-info'],
        ['snapshot-dumpxml', '--snapshotname', 'run', '--security-info'],
      ],
      [
        ['info', 'tree', '--current', '--xml'],
        ['snapshot-dumpxml', '--snapshotname', 'paused'],
      ],
      [['current', 'tree', '--xml'], ['snapshot-current']],
    ]),
  )('%j', async (args, [command = '', ...options]) => {
    const raw = virsh(command, '--domain', vm.uuid, ...options);
    expect((await succeed(...args)).stdout.trim()).toBe(raw.trim());
  });

  test.each(
    share(3, [
      [2, ['info', 'tree', '--xml']],
      [2, ['info', 'tree', 'run', '--security-info']],
      [2, ['info', 'tree', 'run', '--current']],
      [2, ['info', 'tree', 'run', '--xml', '--json']],
      [4, ['info', 'tree', 'nosuch', '--xml']],
      [4, ['current', 'bare', '--xml']],
      [4, ['info', 'bare', '--current']],
    ]),
  )('exit %i for %j', async (code, args) => {
    expect((await kvmsnap(args)).code).toBe(code);
  });
});

test('current --set moves the mark, and nothing else', async () => {
  const before = { xml: domainXml(vm), names: snapshotNames(vm) };
  const { stdout } = await succeed('current', 'tree', '--set', 'run', '--dry-run');
  expect(stdout).toBe(`virsh snapshot-current --domain ${vm.uuid} --snapshotname run  # tree\n`);
  expect(currentSnapshot(vm)).toBe('paused');
  expect((await succeed('current', 'tree', '--set', 'run')).stdout).toBe('run\n');
  expect(currentSnapshot(vm)).toBe('run');
  expect({ xml: domainXml(vm), names: snapshotNames(vm) }).toEqual(before);
  expect((await document('current', 'current', 'tree', '--set', 'run')).snapshot).toMatchObject({
    name: 'run',
    current: true,
  });
  expect(await fail(4, 'current', 'tree', '--set', 'rum')).toContain('did you mean run?');
  await succeed('current', 'tree', '--set', 'paused');
  expect(currentSnapshot(vm)).toBe('paused');
});
