// Which VMs a run over several takes, judged by virsh and by the tags in the images.
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { kvmsnap } from '../../lab/cli.ts';
import { scratch, virsh } from '../../lab/lab.ts';
import { share } from '../../lab/share.ts';
import { snapshotNames } from '../../scene/snapshot.ts';
import { document, fail, succeed, take } from '../../scene/steps.ts';
import { cleanUp, start, type Vm } from '../../scene/vm.ts';
import { fleet, present, small } from './small-vms.ts';

process.env['XDG_STATE_HOME'] = join(scratch, 'state');

afterEach(cleanUp);

/** Names that mean something to a shell, to virsh, to kvmsnap's patterns, or to a terminal. */
const NAMES = ['with space', '机器', 'web-*', 'web-[1]', '-dash', '--all', "it's", '7', 'a;b'];

describe('which VMs', () => {
  test('names, patterns and UUIDs together, each VM once, in the order of the names', async () => {
    const vms = fleet('web-2', 'web-1', 'db', 'mail');
    const { stdout } = await succeed('create', 'web-*', vms[3]?.uuid ?? '', 'web-1', '--label', 'l', '-q');
    expect(stdout).toMatch(/^mail\/l-\w+\nweb-1\/l-\w+\nweb-2\/l-\w+\n$/);
    const [first] = stdout.split('\n');
    expect(snapshotNames(vms[3] as Vm)).toEqual([first?.split('/')[1]]);
    expect(vms.map((vm) => present(vm)[vm.name]?.length)).toEqual([1, 1, 0, 1]);
  });

  test('--vm for more, --exclude for fewer', async () => {
    const vms = fleet('web-1', 'web-2', 'db', 'mail');
    await succeed('create-as', 'web-*', 's1', '--vm', 'd?', '--vm', 'mail', '--exclude', '*-2');
    expect(present(...vms)).toEqual({ 'web-1': ['s1'], 'web-2': [], db: ['s1'], mail: ['s1'] });
    await succeed('--yes', 'delete', 'web-1', 's1', '--vm', 'db');
    expect(present(...vms)).toEqual({ 'web-1': [], 'web-2': [], db: [], mail: ['s1'] });
  });

  test('--all, by state', async () => {
    const vms = fleet('off', 'on', 'paused');
    for (const vm of vms.slice(1)) start(vm);
    virsh('suspend', '--domain', vms[2]?.uuid ?? '');
    await succeed('create', '--all', '--state', 'running', '--label', 'r');
    await succeed('create', '--all', '--state', 'paused', '--state', 'shutoff', '--label', 'p');
    expect(vms.map((vm) => present(vm)[vm.name]?.map((name) => name[0]))).toEqual([['p'], ['r'], ['p']]);
    const { domains } = await document('list', 'list', '--all', '--state', 'paused');
    expect(domains.map(({ name }) => name)).toEqual(['paused']);
  });

  test('an exact name wins over the pattern that it is, and an exclusion means both', async () => {
    const vms = fleet('web-*', 'web-1', 'web-[1]', 'web-2');
    await succeed('create-as', 'web-*', 'exact');
    expect(present(...vms)).toEqual({ 'web-*': ['exact'], 'web-1': [], 'web-[1]': [], 'web-2': [] });
    await succeed('create-as', 'web-?', 'pattern', '--vm', 'web-[1]', '--exclude', 'web-2');
    expect(present(...vms)).toEqual({
      'web-*': ['exact', 'pattern'],
      'web-1': ['pattern'],
      'web-[1]': ['pattern'],
      'web-2': [],
    });
    await succeed('create-as', '*', 'rest', '--exclude', 'web-[1]', '--exclude', 'web-\\*');
    expect(present(...vms)).toMatchObject({
      'web-1': ['pattern'],
      'web-[1]': ['pattern'],
      'web-2': ['rest'],
    });
  });

  test('of any name: each alone, then all at once', async () => {
    const vms = fleet(...NAMES);
    for (const { name } of vms) await succeed('create-as', '-q', '--', name, 'alone');
    await succeed('create', '-q', '--label', 'l', '--', ...NAMES);
    const { stdout } = await succeed('list', '--all', '-q');
    const listed = stdout.trimEnd().split('\n');
    for (const vm of vms) {
      const [label = '', alone] = present(vm)[vm.name]?.sort().reverse() ?? [];
      expect([label.slice(0, 2), alone]).toEqual(['l-', 'alone']);
      expect(listed).toContain(`${vm.name}/${label}`);
    }
    await succeed('--yes', 'delete', '*', 'alone');
    expect(vms.map((vm) => present(vm)[vm.name]?.length)).toEqual(NAMES.map(() => 1));
    await succeed('prune', '--label', 'l', '--keep', 'none', '--allow-empty', '--', ...NAMES);
    expect(vms.map((vm) => present(vm)[vm.name])).toEqual(NAMES.map(() => []));
  });

  test.each(
    share(7, [
      [['create', 'db-*', '--label', 'n'], "no VM matches 'db-*'"],
      [['create', 'wbe-2'], 'no such VM: wbe-2\nhint: did you mean web-2?'],
      [['create-as', 'db-?', 's1'], "no VM matches 'db-?'"],
      [['--yes', 'delete', 'db', 'old'], 'no such VM: db'],
      [['--yes', 'delete', 'web-*', 'old', '--exclude', 'wbe-1'], '--exclude wbe-1 matches no VM'],
      [['prune', 'db', '--match', '*', '--keep-last', '0', '--allow-empty'], 'no such VM: db'],
      [['list', 'db-*'], "no VM matches 'db-*'"],
      [['create', 'web-1', 'old'], 'kvmsnap create-as web-1 old'],
      [['create', 'web-1', 'wbe-2'], 'did you mean web-2? Or, '],
      [['list', 'web-1', '--state', 'running'], 'the selected VM is not running'],
      [['list', 'web-1', '--exclude', 'web-1'], 'all selected VMs are excluded'],
      [['check', 'web-1', '--state', 'running'], 'the selected VM is not running'],
      [
        ['prune', 'web-1', '--match', '*', '--keep-last', '0', '--state', 'running'],
        'the selected VM is not running',
      ],
      [['delete', 'web-1', 'old', '--state', 'running'], 'the selected VM is not running'],
      [['create-as', 'web-1', 's1', '--state', 'running'], 'the selected VM is not running'],
      [['create', '--all', '--exclude', '*'], 'all selected VMs are excluded'],
      [['create', '--all', '--state', 'running'], 'none of the 2 selected VMs is running'],
      [
        ['create', 'web-1', '--state', 'running', '--state', 'paused'],
        'the selected VM is not running or paused',
      ],
      [['list', '--all', '--state', 'running'], 'none of the 2 selected VMs is running'],
    ]),
  )('%j means nothing: exit 4, and nothing is done to any VM', async (args, said) => {
    const vms = fleet('web-1', 'web-2');
    for (const vm of vms) take(vm, 'old');
    expect(await fail(4, ...args)).toContain(said);
    expect(present(...vms)).toEqual({ 'web-1': ['old'], 'web-2': ['old'] });
  });

  test('an exclusion that leaves out nothing is said, and a delete refuses it: it may be a slip', async () => {
    const vms = fleet('web-1', 'web-2');
    for (const vm of vms) take(vm, 'old');
    const slips = ['--exclude', 'wbe-2', '--exclude', 'x*'];
    expect(await fail(4, '--yes', 'delete', 'web-*', 'old', ...slips)).toBe(
      'error: --exclude wbe-2 matches no VM\nhint: did you mean web-2?\n' +
        "        kvmsnap delete 'web-*' old --exclude web-2 --exclude 'x*'\n",
    );
    expect(present(...vms)).toEqual({ 'web-1': ['old'], 'web-2': ['old'] });
    const { stderr } = await succeed('create-as', 'web-*', 'new', ...slips);
    expect(stderr).toBe(
      'note: --exclude wbe-2 matches no VM; did you mean web-2?\n' + "note: --exclude 'x*' matches no VM\n",
    );
    expect(await succeed('create', '--all', '--silent', ...slips)).toMatchObject({ stdout: '', stderr: '' });
    await succeed('--yes', 'delete', 'web-*', 'old', '--exclude', 'web-2');
    expect(present(...vms)['web-1']).not.toContain('old');
    expect(present(...vms)['web-2']).toContain('old');
  });

  test('on a host without VMs', async () => {
    expect(await fail(4, 'create', '--all')).toContain('this connection has no VMs');
    expect((await succeed('list')).stdout).not.toContain('\n\n');
  });

  test('a running id is no word for a VM, also among others', async () => {
    const vms = fleet('web-1', 'web-2');
    start(vms[0] as Vm);
    const id = virsh('domid', '--domain', vms[0]?.uuid ?? '').trim();
    expect(await fail(4, 'create', 'web-2', id)).toContain(`kvmsnap create-as web-2 ${id}`);
    const said = `${id} is the id of the running VM web-1`;
    expect((await kvmsnap(['create', 'web-2', id, '--label', 'n'])).stderr).toContain(said);
    expect(await fail(4, 'create', id)).toContain(said);
    expect(present(...vms)).toMatchObject({ 'web-1': [], 'web-2': [expect.stringMatching(/^n-/)] });
  });

  test.each(
    share(3, [
      [['create']],
      [['create', '--all', 'web-1']],
      [['create', 'web-1', '--jobs', '0']],
      [['create', 'web-1', '--jobs', 'many']],
      [['create', 'web-1', '--state', 'on']],
      [['prune', '--match', '*', '--keep-last', '0', '--allow-empty']],
    ]),
  )('%j is wrong usage: exit 2, and nothing is done', async (args) => {
    const vm = small('web-1');
    take(vm, 'old');
    await fail(2, ...args);
    expect(present(vm)).toEqual({ 'web-1': ['old'] });
  });
});

describe('processes', () => {
  test('reading 35 VMs takes three of virsh', async () => {
    const vms = Array.from({ length: 35 }, (_, n) => small(`many-${n}`));
    for (const vm of vms) take(vm, 'l-20201122T030000Z');
    const count = async (...args: string[]) => {
      const { stderr } = await succeed('-v', ...args);
      return stderr.split('\n').filter((line) => line.startsWith('+ virsh ')).length;
    };
    expect(await count('list', '--all')).toBe(3);
    expect(await count('list')).toBe(3);
    expect(
      await count('--dry-run', 'prune', '--all', '--label', 'l', '--keep-last', '0', '--allow-empty'),
      // what would go is judged by the rules: who else uses their images, and libvirt's version, once for all
    ).toBe(5);
    // and one for who else uses their images, once for all
    expect(await count('--dry-run', 'create', '--all')).toBe(3);
    expect(await count('prune', 'many-*', '--label', 'l', '--keep-last', '1')).toBe(3);
  });
});
