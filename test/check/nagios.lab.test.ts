// check as a plugin of a monitoring system: one line on stdout, exit 0 to 3, nothing on stderr.
import { mkdtempSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, describe, expect, test } from 'vitest';
import { type CliOptions, kvmsnap, spawnKvmsnap } from '../lab/cli.ts';
import { signalLibvirtd } from '../lab/daemon.ts';
import { scratch, tool, virsh } from '../lab/lab.ts';
import { share } from '../lab/share.ts';
import { succeed, take } from '../scene/steps.ts';
import { cleanUp, defineVm, pathOf } from '../scene/vm.ts';

afterEach(() => {
  signalLibvirtd('SIGCONT');
  cleanUp();
});
afterAll(cleanUp);

/** The state, the text and the performance data; what no plugin may do fails here. */
async function plugin(words: readonly string[], options: CliOptions = {}) {
  const result = await kvmsnap(['check', '-o', 'nagios', ...words], options);
  return { ...read(result), stderr: result.stderr };
}

function read({ code, stdout }: { readonly code: number | null; readonly stdout: string }) {
  const [, state = '', text = '', data = ''] =
    /^KVMSNAP (OK|WARNING|CRITICAL|UNKNOWN) - ([^|\n]*?)(?: \| ([^|\n]*))?\n$/.exec(stdout) ?? [];
  expect({ stdout, code }).toEqual({ stdout, code: ['OK', 'WARNING', 'CRITICAL', 'UNKNOWN'].indexOf(state) });
  return { state, text, data };
}

test('no problem is OK, a warning WARNING, an error CRITICAL, over all VMs the worst', async () => {
  const vm = defineVm({ name: 'web', disks: [{ size: '8M' }] });
  defineVm({ name: 'old', disks: [{ size: '8M' }] });
  await succeed('create', 'web', '--label', 'n');
  const fine = await plugin(['web', '--max-age', '1h:2h', '--label', 'n', '--most', '2', '--silent']);
  expect(fine).toMatchObject({
    state: 'OK',
    text: '1 VM checked: no errors, no warnings',
    data: expect.stringMatching(
      /^vms=1;;;0 newest_age=\d+s;3600;7200;0 oldest_age=\d+s;;;0 snapshots=1;;2;0 depth=0;;;0$/,
    ),
    stderr: '',
  });
  expect(await plugin(['web', '--most', '0:1'])).toMatchObject({
    state: 'WARNING',
    text: '1 warning on web: the VM has 1 snapshot, more than 0',
    stderr: '',
  });
  tool('qemu-img', ['snapshot', '-c', 'a|b', pathOf(vm)]);
  const all = await plugin(['--max-age', '1h', '--holds', '50G']);
  expect(all.state).toBe('CRITICAL');
  expect(all.text).toMatch(
    /^1 error and 1 warning on 2 of 2 VMs: old: the VM has no snapshots.*; web: .*a\/b/,
  );
  expect(all.data).toMatch(/^vms=2;;;0 newest_age=.* space=\d+B;;53687091200;0/);
  expect(all.stderr).toBe('');
});

test('a VM that cannot be read is UNKNOWN, beside an error CRITICAL', async () => {
  defineVm({ name: 'web', disks: [{ size: '8M' }] });
  expect(await plugin(['web', 'wbe'])).toMatchObject({ state: 'UNKNOWN', stderr: '' });
  expect(await plugin(['web', 'wbe', '--max-age', '1h'])).toMatchObject({ state: 'CRITICAL', stderr: '' });
});

/** A PATH with virsh alone, or with nothing. */
function pathWith(...tools: readonly string[]): CliOptions {
  const directory = mkdtempSync(join(scratch, 'bin-'));
  for (const name of tools) symlinkSync(tool('which', [name]).trim(), join(directory, name));
  return { env: { PATH: directory } };
}

/** Node.js runs this before kvmsnap. */
function preloaded(script: string): CliOptions {
  const file = join(mkdtempSync(join(scratch, 'preload-')), 'first.cjs');
  writeFileSync(file, script);
  return { env: { NODE_OPTIONS: `--require ${file}` } };
}

describe('every failure of our own is UNKNOWN', () => {
  test.each(
    share(4, [
      ['an unknown option', ['check', '-o', 'nagios', '--foo'], /unknown option '--foo'/],
      ['an unknown command', ['chekc', '-onagios'], /no command 'chekc'/],
      ['no command', ['-o', 'nagios'], /no command given/],
      ['another command', ['list', '--output=nagios'], /'list' has no output format nagios/],
      ['two formats', ['check', '-o', 'nagios', '--json'], /conflicting output formats/],
      ['a bad limit', ['check', '-o', 'nagios', '--most', '5:3'], /must not be larger/],
      ['a limit that is missing', ['check', '-o', 'nagios', '--label', 'x'], /--label needs/],
      ['a fix', ['check', '--fix', '-o', 'nagios'], /--fix cannot be combined/],
      [
        '--fix, read-only',
        ['check', '--fix', '-o', 'nagios', '--readonly'],
        /cannot be used with --readonly/,
      ],
      ['no such VM', ['check', 'nobody', '-o', 'nagios'], /no (VM|domain|such)/i],
      [
        'a connection that fails',
        ['check', '-o', 'nagios', '-c', 'qemu+unix:///system?socket=/nowhere'],
        /./,
      ],
    ]),
  )('%s', async (_, args, says) => {
    const result = await kvmsnap(args);
    expect(read(result)).toMatchObject({ state: 'UNKNOWN', text: expect.stringMatching(says) });
    expect(result.stderr).toBe('');
  });

  test('no virsh, no qemu-img', async () => {
    defineVm({ name: 'web', disks: [{ size: '8M' }] });
    expect(await plugin([], pathWith('qemu-img'))).toMatchObject({
      state: 'UNKNOWN',
      text: expect.stringMatching(/virsh is not installed/),
      stderr: '',
    });
    expect(await plugin([], pathWith('virsh'))).toMatchObject({
      state: 'UNKNOWN',
      text: expect.stringMatching(/qemu-img is not installed/),
      stderr: '',
    });
  });

  test('a time limit', async () => {
    signalLibvirtd('SIGSTOP');
    expect(await plugin(['--timeout', '0.5s'])).toMatchObject({
      state: 'UNKNOWN',
      text: 'timed out after 0.5 s',
      stderr: '',
    });
  });

  test.each(['SIGTERM', 'SIGINT', 'SIGHUP'] as const)('%s', async (signal) => {
    signalLibvirtd('SIGSTOP');
    const run = spawnKvmsnap(['check', '-v', '-o', 'nagios']);
    while (!run.stderr.includes('+ virsh')) await new Promise((resolve) => setTimeout(resolve, 20));
    run.kill(signal);
    expect(read(await run.done)).toMatchObject({ state: 'UNKNOWN', text: `ended by ${signal}` });
  });

  test('a signal before anything has begun', async () => {
    const early = "process.nextTick(() => setImmediate(() => process.kill(process.pid, 'SIGTERM')))";
    expect(read(await kvmsnap(['check', '-o', 'nagios'], preloaded(early))).state).toBe('UNKNOWN');
  });

  test('a bug: an exception, thrown anywhere; its place is on stderr', async () => {
    signalLibvirtd('SIGSTOP');
    const throwing = "setTimeout(() => { throw new Error('broken | here') }, 500)";
    const { state, text, stderr } = await plugin([], preloaded(throwing));
    expect([state, text]).toEqual(['UNKNOWN', 'broken / here']);
    expect(stderr).toMatch(/unexpected \(exit 70\): Error: broken/);
  });

  test('an end without a result', async () => {
    const ending = 'setTimeout(() => process.reallyExit === 0 || process.exit(), 30)';
    expect((await plugin([], preloaded(ending))).state).toBe('UNKNOWN');
  });
});

test('performance data of a chain and of space', async () => {
  const vm = defineVm({ name: 'web', disks: [{ size: '8M' }] });
  take(vm, 'internal');
  virsh('snapshot-create-as', vm.uuid, 'over', '--disk-only');
  const { data } = await plugin(['web', '--depth', '5', '--holds', '1G']);
  expect(data.replace(/age=\d+/g, 'age=N').replace(/space=\d+/, 'space=N')).toEqual(
    'vms=1;;;0 newest_age=Ns;;;0 oldest_age=Ns;;;0 snapshots=2;;;0 space=NB;;1073741824;0 depth=1;;5;0',
  );
});
