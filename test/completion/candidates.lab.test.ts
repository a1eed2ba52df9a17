// What TAB offers, and what is shown beside it.
import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type CliOptions, kvmsnap } from '../lab/cli.ts';
import { killLibvirtd, repairLibvirtd, signalLibvirtd } from '../lab/daemon.ts';
import { isSystemLab, scratch, virsh, waitFor } from '../lab/lab.ts';
import { share } from '../lab/share.ts';
import { startShell } from '../lab/shells.ts';
import { take } from '../scene/steps.ts';
import { cleanUp, defineVm, start, type Vm } from '../scene/vm.ts';

const candidates = async (words: readonly string[], options: CliOptions = {}): Promise<string[]> => {
  const { stdout, stderr, code } = await kvmsnap(['complete', 'zsh', '--', ...words], options);
  expect({ stderr, code }).toEqual({ stderr: '', code: 0 });
  return stdout
    .split('\n')
    .slice(0, -1)
    .map((line) => line.split('\t')[0] ?? '')
    .sort();
};

describe('what is looked up', () => {
  let web: Vm;
  beforeAll(() => {
    web = defineVm({ name: 'web', disks: [{ size: '1M' }], boot: 'idle' });
    for (const name of ['s1', 'two words', 'tab\there', 'line\nfeed', '升级前']) take(web, name);
    take(defineVm({ name: '-db', disks: [{ size: '1M' }] }), 'of db');
  });
  afterAll(cleanUp);

  const snapshots = ['s1', 'two words', '升级前'].sort();

  test('VMs, and behind one its snapshots, but no name with a control character', async () => {
    expect(await candidates(['list', ''])).toEqual(['--', 'web']);
    expect(await candidates(['list', '--', ''])).toEqual(['-db', 'web']);
    expect(await candidates(['delete', 'web', ''])).toEqual(snapshots);
    expect(await candidates(['delete', web.uuid, ''])).toEqual(snapshots);
    expect(await candidates(['delete', '--', '-db', ''])).toEqual(['of db']);
    expect(await candidates(['delete', 'nosuch', ''])).toEqual([]);
  });

  test('what is on the line already is not offered again', async () => {
    expect(await candidates(['rm', 'web', 's1', '升级前', ''])).toEqual(['two words']);
    expect(await candidates(['prune', 'web', ''])).toEqual(['--']);
  });

  test('nothing within a text, or for a new name', async () => {
    expect(await candidates(['create', 'web', '-d', 'w'])).toEqual([]);
    expect(await candidates(['create', 'web', '--description=w'])).toEqual([]);
    expect(await candidates(['create-as', 'web', ''])).toEqual([]);
    expect(await candidates(['describe', 'web', 's1', ''])).toEqual([]);
  });

  test.each(
    share(3, [
      [['list', ''], 1],
      [['delete', 'web', ''], 2],
      [['delete', '7', ''], 1],
      [['prune', '--label', ''], 2],
      [['list', '-'], 0],
      [['li'], 0],
    ]),
  )('%j: so many virsh: %d', async (words, count) => {
    const { stderr } = await kvmsnap(['-v', 'complete', 'fish', '--', ...words]);
    expect(stderr.split('\n').filter((line) => line.startsWith('+ '))).toHaveLength(count);
  });

  test('is that of the connection on the line', async () => {
    expect(await candidates(['-c', 'test:///default', 'list', ''])).toEqual(['test']);
    expect(await candidates(['list', '--connect=test:///default', ''])).toEqual(['test']);
    expect(await candidates(['list', ''], { env: { LIBVIRT_DEFAULT_URI: 'test:///default' } })).toEqual([
      'test',
    ]);
  });

  test('a running id is not the VM of that name (hazard 1)', async () => {
    start(web);
    const id = virsh('domid', '--domain', web.uuid).trim();
    expect(await candidates(['delete', id, ''])).toEqual([]);
    take(defineVm({ name: id, disks: [{ size: '1M' }] }), 'of the namesake');
    expect(await candidates(['delete', id, ''])).toEqual(['of the namesake']);
  });

  test.each<[string, readonly string[], CliOptions]>(
    share(2, [
      ['a connection that there is not', ['-c', 'nosuch:///system', 'list', ''], {}],
      ['an option for a connection', ['-c', '--readonly', 'list', ''], {}],
      ['no virsh', ['list', ''], { env: { PATH: '/nonexistent' } }],
      ['a virsh that is none', ['list', ''], { env: { PATH: '/dev' } }],
    ]),
  )('is nothing, without a word: %s', async (_, words, options) => {
    expect(await candidates(words, options)).toEqual([]);
  });

  test.runIf(isSystemLab)('is nothing, without a word: no rights (root becomes another user)', async () => {
    expect(await candidates(['list', ''], { uid: 65_534, gid: 65_534 })).toEqual([]);
  });

  test('is nothing, without a word: no libvirtd', async () => {
    await killLibvirtd();
    expect(await candidates(['list', ''])).toEqual([]);
    expect(await candidates(['delete', 'web', ''])).toEqual([]);
    await repairLibvirtd();
    expect(await candidates(['delete', 'web', ''])).toEqual(snapshots);
  });

  test('is nothing, without a word: a libvirtd that hangs, while commands and options are there', async () => {
    signalLibvirtd('SIGSTOP');
    expect(await candidates(['list', ''])).toEqual([]);
    expect(await candidates(['prune', '--st'])).toContain('--state');
    signalLibvirtd('SIGCONT');
  });
});

describe('what is shown beside a name', () => {
  beforeAll(() => {
    const web = defineVm({ name: 'web', disks: [{ size: '1M' }] });
    take(web, 'plain');
    take(web, 'two words', '--description', 'before\tthe upgrade: 100%\nand more');
    take(web, 'held one', '--description', 'kept\n\nKvmsnap-Hold: yes');
    for (const name of ['nightly-20261123T030000Z', 'nightly-20261124T030000Z', 'odd-20261124T030000Z-2'])
      take(web, name);
    take(defineVm({ name: 'db', disks: [{ size: '1M' }] }), 'weekly-20261124T030000Z');
  });
  afterAll(cleanUp);

  const lines = async (shell: string, ...words: string[]) => {
    const { stdout, stderr, code } = await kvmsnap(['complete', shell, '--', ...words]);
    expect({ stderr, code }).toEqual({ stderr: '', code: 0 });
    return stdout.split('\n').filter((line) => line !== '');
  };

  test('a snapshot has its time and the first line of its description', async () => {
    for (const shell of ['zsh', 'fish']) {
      const shown = new Map(
        (await lines(shell, 'revert', 'web', '')).map((line) => line.split('\t') as [string, string]),
      );
      const time = '20\\d\\d-\\d\\d-\\d\\d \\d\\d:\\d\\d';
      expect(shown.get('plain')).toMatch(new RegExp(`^${time}$`));
      expect(shown.get('two words')).toMatch(new RegExp(`^${time}, before\\\\tthe upgrade: 100%$`));
      expect(shown.get('held one')).toMatch(new RegExp(`^${time}, kept$`));
    }
    expect(await lines('bash', 'kvmsnap revert web t', ' ')).toEqual(['two\\ words']);
  });

  test('zsh and fish show it', async () => {
    const zsh = await startShell('zsh');
    const before = zsh.screen().length;
    await zsh.run('kvmsnap revert web \t');
    expect(zsh.screen().slice(before)).toMatch(/two words +-- 20\d\d-.*before\\tthe upgrade: 100%/);
    zsh.close();
    const fish = await startShell('fish');
    const start = fish.screen().length;
    fish.type('kvmsnap revert web \t');
    await waitFor(() => /20\d\d-\d\d-\d\d/.test(fish.screen().slice(start)), { what: 'the list of fish' });
    fish.close();
  });

  test('the labels in use, of the VMs on the line or of all', async () => {
    expect(await lines('zsh', 'prune', '--label', '')).toEqual([
      'weekly\t1 snapshot',
      'nightly\t2 snapshots',
      'odd\t1 snapshot',
    ]);
    expect(await lines('fish', 'create', 'web', '--label', '')).toEqual([
      'nightly\t2 snapshots',
      'odd\t1 snapshot',
    ]);
    expect(await lines('fish', 'check', 'd*', '--label=w')).toEqual(['--label=weekly\t1 snapshot']);
    expect(await lines('bash', 'kvmsnap prune --label n', ' ')).toEqual(['nightly']);
  });

  test('the policies, beside the VMs and alone', async () => {
    const env = { XDG_CONFIG_HOME: mkdtempSync(join(scratch, 'config-')) };
    mkdirSync(join(env.XDG_CONFIG_HOME, 'kvmsnap'));
    for (const file of ['hourly.conf', 'nightly.conf', 'none.conf', '.conf', 'notes'])
      writeFileSync(join(env.XDG_CONFIG_HOME, 'kvmsnap', file), '');
    const policies = async (...words: string[]) =>
      (await candidates(words, { env })).filter((word) => /@|ly$|^none$/.test(word));
    expect(await policies('create', 'web', '')).toEqual(['@hourly', '@nightly']);
    expect(await policies('create', '@nightly', '')).toEqual([]);
    expect(await policies('check', '--policy', '')).toEqual(['hourly', 'nightly']);
    expect(await policies('policy', 'web', '--set', '')).toEqual(['hourly', 'nightly', 'none']);
    const bash = await kvmsnap(['complete', 'bash', '--', 'kvmsnap create @n', ' @:='], { env });
    expect(bash.stdout).toBe('@nightly\n');
  });
});
