// Policies in files: which file, which options, who may have written it.
import { chmodSync, chownSync, mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeEach, expect, test } from 'vitest';
import { kvmsnap } from '../lab/cli.ts';
import { isSystemLab, scratch } from '../lab/lab.ts';
import { smallFilesystem } from '../scene/mount.ts';
import { snapshotNames } from '../scene/snapshot.ts';
import { cleanUp, defineVm, type Vm } from '../scene/vm.ts';

let env: { readonly XDG_CONFIG_HOME: string };
let vm: Vm;

beforeEach(() => {
  env = { XDG_CONFIG_HOME: mkdtempSync(join(scratch, 'config-')) };
  mkdirSync(join(env.XDG_CONFIG_HOME, 'kvmsnap'));
  vm = defineVm({ name: 'web', disks: [{ size: '8M' }] });
});
afterEach(cleanUp);
afterAll(cleanUp);

function policy(text: string, name = 'nightly'): string {
  const path = join(env.XDG_CONFIG_HOME, 'kvmsnap', `${name}.conf`);
  writeFileSync(path, text, { mode: 0o644 });
  chmodSync(path, 0o644);
  return path;
}

const run = (line: string) => kvmsnap(line.split(' '), { env });

test('create, check and prune take the options that are theirs, and -v prints the line', async () => {
  policy('# every night\n--label n\n--keep-last 2\n--max-age 1h\n--silent\n');
  expect(await run('create --all @nightly')).toEqual({ code: 0, signal: null, stdout: '', stderr: '' });
  expect(snapshotNames(vm)).toEqual([expect.stringMatching(/^n-\d/)]);
  const shown = await run('create web @nightly -v --label other');
  expect(shown.code).toBe(0);
  expect(shown.stderr).toMatch(
    /^\+ kvmsnap create --policy=nightly --keep-last=2 --silent -v --label other web$/m,
  );
  expect(snapshotNames(vm).filter((name) => name.startsWith('other-')).length).toBe(1);
  expect(await run('check @nightly')).toMatchObject({ code: 0, stdout: '' });
  expect(await run('prune --all @nightly --keep-last 0 --allow-empty')).toMatchObject({ code: 0 });
  expect(snapshotNames(vm)).toEqual([expect.stringMatching(/^other-/)]);
  expect(await run('check @nightly')).toMatchObject({ code: 5 });
  // a plugin has its own exit codes also by a policy
  const plugin = await run('check @nightly -o nagios');
  expect([plugin.code, plugin.stdout]).toEqual([
    2,
    expect.stringMatching(/^KVMSNAP CRITICAL - 1 error on web/),
  ]);
});

test('a VM of exactly that name wins', async () => {
  policy('--foo\n');
  const called = defineVm({ name: '@nightly', disks: [{ size: '8M' }] });
  expect((await run('create @nightly -q')).code).toBe(0);
  expect([snapshotNames(called).length, snapshotNames(vm).length]).toEqual([1, 0]);
});

test.each([
  ['an unknown option', '--label n\n--foo\n', /nightly\.conf:2: unknown option '--foo'/],
  ['no option', 'web\n', /nightly\.conf:1: 'web' is not an option/],
  ['options that contradict each other', '--keep-last 2\n', /keep rules need --label/],
])('%s: nothing is done', async (_, text, says) => {
  policy(text);
  const { code, stderr } = await run('create web @nightly');
  expect([code, stderr, snapshotNames(vm)]).toEqual([2, expect.stringMatching(says), []]);
});

test('no such policy, and two of them', async () => {
  expect(await run('create web @nightly')).toMatchObject({
    code: 4,
    stderr: expect.stringMatching(
      /there is no policy @nightly.*\n.*kvmsnap\/nightly\.conf or \/etc\/kvmsnap\/nightly\.conf/s,
    ),
  });
  expect(await run('create web @nightly @weekly')).toMatchObject({ code: 2 });
  expect(snapshotNames(vm)).toEqual([]);
});

test.each([
  ['the file', (path: string) => chmodSync(path, 0o664)],
  ['the file, by everybody', (path: string) => chmodSync(path, 0o646)],
  ['its directory', (path: string) => chmodSync(join(path, '..'), 0o777)],
])('%s that others may write is not used', async (_, open) => {
  open(policy('--label n\n'));
  const { code, stderr } = await run('create web @nightly');
  expect([code, stderr]).toEqual([
    2,
    expect.stringMatching(/others may write to .*\n.*\n {6} {2}chmod go-w /s),
  ]);
  expect(snapshotNames(vm)).toEqual([]);
});

test.runIf(isSystemLab)(
  'the file of another user is not used; that of /etc/kvmsnap is, after the own one',
  async () => {
    chownSync(policy('--label n\n'), 65534, 65534);
    expect(await run('create web @nightly')).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(/belongs to another user/),
    });
    mkdirSync('/etc/kvmsnap', { recursive: true });
    smallFilesystem(1, '/etc/kvmsnap');
    writeFileSync('/etc/kvmsnap/nightly.conf', '--label host\n');
    writeFileSync('/etc/kvmsnap/weekly.conf', '--label weekly\n');
    policy('--label mine\n', 'nightly');
    chownSync(join(env.XDG_CONFIG_HOME, 'kvmsnap/nightly.conf'), 0, 0);
    for (const name of ['nightly', 'weekly']) expect((await run(`create web @${name}`)).code).toBe(0);
    expect(snapshotNames(vm).map((name) => name.split('-')[0])).toEqual(['mine', 'weekly']);
  },
);
