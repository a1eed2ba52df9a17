// Where kvmsnap runs: cron's environment, odd languages, closed streams, lost directories, terminals of every width.
import { mkdtempSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { stripVTControlCharacters } from 'node:util';
import stringWidth from 'string-width';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { type CliOptions, kvmsnap, kvmsnapInShell, spawnKvmsnap } from './lab/cli.ts';
import { scratch, type ToolResult, tool, tryTool, virsh } from './lab/lab.ts';
import { share } from './lab/share.ts';
import { onTerminal } from './lab/terminal.ts';
import { tags } from './scene/disk.ts';
import { fullVm, holdSave, isComplete } from './scene/saving.ts';
import { cleanUp, continueQemu, defineVm, type Vm } from './scene/vm.ts';

const VM_NAME = '测试-虚拟机';
const SNAPSHOTS = ['升级前', 'two words', 's3'];
const DESCRIPTION = 'a long story of what was done and why, told in one breath, '.repeat(4).trim();

const newVm = (): Vm => {
  const vm = defineVm({ name: VM_NAME });
  for (const name of SNAPSHOTS)
    virsh('snapshot-create-as', '--domain', vm.uuid, '--name', name, '--description', DESCRIPTION);
  return vm;
};

afterAll(cleanUp);

describe('the environment', () => {
  const minimal = { PATH: '/usr/bin:/bin' };
  const VARIANTS: readonly (readonly [what: string, options: CliOptions])[] = [
    ['env -i PATH=/usr/bin:/bin', { replaceEnv: true, env: minimal }],
    ['no HOME', { env: { HOME: undefined } }],
    ['a HOME that is not there', { env: { HOME: '/nonexistent' } }],
    ['no TERM', { env: { TERM: undefined } }],
    ['TERM=dumb', { env: { TERM: 'dumb' } }],
    ['LC_ALL=C', { env: { LC_ALL: 'C', LANG: 'C' } }],
    ['LC_ALL=zh_CN.UTF-8', { env: { LC_ALL: 'zh_CN.UTF-8' } }],
    ['LANG and LANGUAGE zh_CN', { env: { LANG: 'zh_CN.UTF-8', LANGUAGE: 'zh_CN:zh' } }],
    ['VIRSH_DEBUG=0', { env: { VIRSH_DEBUG: '0' } }],
    ['VIRSH_LOG_FILE', { env: { VIRSH_LOG_FILE: '/dev/stderr', VIRSH_DEBUG: '0' } }],
    ['LIBVIRT_DEBUG=1', { env: { LIBVIRT_DEBUG: '1' } }],
    ['LIBVIRT_LOG_OUTPUTS', { env: { LIBVIRT_LOG_OUTPUTS: '1:stderr', LIBVIRT_LOG_FILTERS: '1:*' } }],
    ['LIBVIRT_DEFAULT_URI', { env: { LIBVIRT_DEFAULT_URI: 'qemu:///system' } }],
    ['stdin with data', { stdin: 'y\ny\n' }],
  ];
  const COMMANDS = [['list'], ['list', VM_NAME], ['list', VM_NAME, '--json'], ['info', VM_NAME, 'two words']];
  let expected: string[] = [];

  beforeAll(async () => {
    newVm();
    expected = await Promise.all(COMMANDS.map(async (args) => (await kvmsnap(args)).stdout));
    for (const text of expected) expect(text).toMatch(/测试|升级前/);
  });
  afterAll(cleanUp);

  test.each(share(4, VARIANTS))('%s changes nothing that is read', async (_, options) => {
    for (const [i, args] of COMMANDS.entries()) {
      expect(await kvmsnap(args, options)).toMatchObject({ code: 0, stdout: expected[i], stderr: '' });
    }
  });

  test.each(share(4, VARIANTS))('%s changes nothing that is done', async (_, options) => {
    const create = await kvmsnap(['create-as', VM_NAME, '再来', '-d', '说明', '--json'], options);
    expect(create).toMatchObject({ code: 0, stderr: '' });
    expect(JSON.parse(create.stdout).domains[0].snapshot).toMatchObject({
      name: '再来',
      description: '说明',
    });
    const revert = await kvmsnap(['revert', VM_NAME, 's3'], options);
    expect(revert).toMatchObject({
      code: 0,
      stderr: expect.stringMatching(
        /^note: the VM will be shut off afterwards\nnote: everything written since snapshot 再来 .* will be lost\n$/,
      ),
    });
    const remove = await kvmsnap(['delete', VM_NAME, '再来', '-q'], options);
    expect(remove).toEqual({
      code: 0,
      signal: null,
      stdout: '再来\n',
      stderr: expect.stringMatching(/^note: snapshot 再来 will be deleted permanently \(taken .*\): 说明\n$/),
    });
  });

  test.each([
    ['UTC', '+00:00', 0],
    ['Asia/Shanghai', '+08:00', 8],
    ['America/St_Johns', '-03:30', -3.5],
  ])('TZ=%s: local times with their offset', async (zone, offset, hours) => {
    const inZone = (env: CliOptions['env']) => kvmsnap(['list', VM_NAME, '--json'], { env: { ...env } });
    const created = async (env: CliOptions['env']) =>
      JSON.parse((await inZone(env)).stdout).domains[0].snapshots[0].createdAt as string;
    const there = await created({ TZ: zone });
    expect(there.endsWith(offset)).toBe(true);
    expect(Date.parse(there)).toBe(Date.parse(await created({ TZ: 'UTC' })));
    const wall = new Date(Date.parse(there) + hours * 3_600_000).toISOString().slice(0, 19);
    expect((await kvmsnap(['list', VM_NAME], { env: { TZ: zone } })).stdout).toContain(`${wall}${offset}`);
  });
});

describe('streams', () => {
  const vm = () => defineVm({ name: 'web' });
  afterEach(cleanUp);

  /** Runs a script in which `$k` is kvmsnap. */
  function shell(script: string, k = kvmsnapInShell): ToolResult {
    const setUp = `set -o pipefail; cd '${scratch}'; k() { ${k} "$@"; };`;
    return tryTool('env', [
      '-i',
      `PATH=${process.env['PATH']}`,
      'bash',
      '--norc',
      '-c',
      `${setUp} ${script}`,
    ]);
  }

  test.each(
    share(3, [
      ['stdin closed', 'k create-as web s1 -q <&-', 's1\n'],
      ['stdout closed', 'k create-as web s1 -q >&-', ''],
      ['stderr closed', 'k create-as web s1 -q -v 2>&-', 's1\n'],
      ['all closed', 'k create-as web s1 -q -v <&- >&- 2>&-', ''],
      ['stdout a file', 'k create-as web s1 -q >out; cat out', 's1\n'],
      ['a reader that takes nothing', 'k create-as web s1 | head -0', ''],
      ['a reader that is gone', 'k create-as web s1 | true', ''],
      ['no reader at all', 'k create-as web s1 -v > >(exec true) 2>&1', ''],
    ]),
  )('%s: a create is complete, exit 0, and no stack trace', async (_, script, stdout) => {
    const { disks } = vm();
    const result = shell(script);
    expect(result.stderr).not.toMatch(/EPIPE|\bat /);
    expect({ ...result, stderr: '' }).toEqual({ code: 0, stdout, stderr: '' });
    expect(tags(disks[0]?.path ?? '')).toMatchObject([{ name: 's1' }]);
  });

  test('stdout full: a create is complete, and that nobody is told of it is no success', () => {
    const { disks } = vm();
    const { code, stderr } = shell('k create-as web s1 --json >/dev/full');
    expect([code, stderr]).toEqual([
      1,
      expect.stringMatching(/^\{"error":.*cannot write the output: ENOSPC/m),
    ]);
    expect(tags(disks[0]?.path ?? '')).toMatchObject([{ name: 's1' }]);
    // what went wrong before is more than that
    expect(shell('k list nosuch >/dev/full')).toMatchObject({ code: 4 });
    expect(shell('k list nosuch >/dev/full 2>&1')).toMatchObject({ code: 4 });
    expect(shell('k list >/dev/full 2>&1')).toMatchObject({ code: 1 });
  });

  test('a reader that goes in the middle of a save: it is seen through', async () => {
    const full = await fullVm('full');
    const run = await holdSave(full, () => spawnKvmsnap(['create-as', 'full', 's1', '-v']));
    run.closeStdout();
    await sleep(100);
    continueQemu(full);
    expect(await run.done).toMatchObject({ code: 0, signal: null });
    expect(isComplete(full, 's1')).toBe(true);
  });

  test('a large answer reaches a slow pipe and a file whole', () => {
    const { uuid } = vm();
    const names = Array.from({ length: 60 }, (_, i) => `n${i}`);
    const create = (name: string) => `snapshot-create-as --domain ${uuid} --name ${name} --no-metadata;`;
    virsh(names.map(create).join(' '));
    const whole = shell('k info web --json >out; wc -c <out').stdout.trim();
    expect(Number(whole)).toBeGreaterThan(5_000);
    expect(shell('k info web --json | { sleep 0.5; wc -c; }').stdout.trim()).toBe(whole);
  });

  test.each([
    ['that is gone', 'mkdir d; cd d; rmdir ../d; k list -q', 'web\n'],
    ['that is gone, for a create', 'mkdir d; cd d; rmdir ../d; k create-as web s1 -q', 's1\n'],
  ])('a working directory %s is no matter', (_, script, stdout) => {
    vm();
    expect(shell(script)).toMatchObject({ code: 0, stdout });
  });

  test('a working directory that the user may not enter is no matter', async () => {
    vm();
    const cwd = mkdtempSync(join(scratch, 'closed-'));
    expect(statSync(cwd).mode & 0o777).toBe(0o700);
    const gid = Number(tool('getent', ['group', 'libvirt']).split(':')[2]);
    const args = ['-c', 'qemu:///system', 'list', '-q'];
    expect(await kvmsnap(args, { cwd, uid: 65534, gid })).toMatchObject({
      code: 0,
      stdout: 'web\n',
      stderr: '',
    });
  });

  test('a user without a passwd entry gets an answer, and no stack trace', async () => {
    const { code, stderr } = await kvmsnap(['list', '-c', 'qemu:///system'], { uid: 54_321, gid: 54_321 });
    expect({ code, stderr }).toMatchObject({
      code: 8,
      stderr: expect.stringMatching(/^error: cannot reach libvirt/),
    });
    expect(await kvmsnap(['--version'], { uid: 54_321, gid: 54_321 })).toMatchObject({ code: 0, stderr: '' });
  });
});

describe('color', () => {
  beforeAll(newVm);
  afterAll(cleanUp);

  test.each(
    share(5, [
      { where: 'terminal', colored: true },
      { where: 'terminal', env: { NO_COLOR: '1' }, colored: false },
      { where: 'terminal', env: { TERM: 'dumb' }, colored: false },
      { where: 'terminal', env: { FORCE_COLOR: '0' }, colored: false },
      { where: 'terminal', env: { NO_COLOR: '1' }, args: ['--color', 'always'], colored: true },
      { where: 'terminal', env: { FORCE_COLOR: '1' }, args: ['--color', 'never'], colored: false },
      { where: 'terminal', env: { FORCE_COLOR: '1', NO_COLOR: '1' }, colored: false },
      { where: 'terminal', args: ['--json'], colored: false },
      { where: 'pipe', colored: false },
      { where: 'pipe', env: { FORCE_COLOR: '1' }, colored: true },
      { where: 'pipe', env: { FORCE_COLOR: '1', NO_COLOR: '1' }, colored: false },
      { where: 'pipe', args: ['--color=always'], colored: true },
      { where: 'pipe', args: ['--color', 'never'], env: { FORCE_COLOR: '3' }, colored: false },
      { where: 'pipe', args: ['--json', '--color', 'always'], colored: false },
    ]),
  )('$where $env $args: $colored', async ({ where, env = {}, args = [], colored }) => {
    const ask = async (words: readonly string[]) =>
      where === 'terminal'
        ? (await onTerminal([...words, ...args], { env }).done).screen
        : await kvmsnap([...words, ...args], { env }).then(({ stdout, stderr }) => stdout + stderr);
    expect((await ask(['list', VM_NAME])).includes('\x1b[')).toBe(colored);
    if (!args.includes('--json')) expect((await ask(['list', 'nosuch'])).includes('\x1b[')).toBe(colored);
  });
});

describe('width', () => {
  beforeAll(newVm);
  afterAll(cleanUp);

  test.each([40, 80, 200])('of %i columns: nothing wraps', async (columns) => {
    // info shows paths, which wrap rather than be cut
    for (const args of [['list', VM_NAME], ['list', VM_NAME, '--tree'], ['list'], ['current', VM_NAME]]) {
      const { screen } = await onTerminal(args, { columns }).done;
      for (const line of stripVTControlCharacters(screen).split('\r\n'))
        expect({ args, line, fits: stringWidth(line) <= columns }).toEqual({ args, line, fits: true });
    }
  });

  test('is no matter in a pipe: nothing is cut', async () => {
    for (const COLUMNS of ['20', undefined]) {
      const { stdout } = await kvmsnap(['list', VM_NAME], { env: { COLUMNS } });
      expect(stdout.split(DESCRIPTION)).toHaveLength(SNAPSHOTS.length + 1);
      expect(stdout).not.toMatch(/…|─/);
    }
  });
});
