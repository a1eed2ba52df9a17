// The policy of a VM in its XML: where libvirt keeps it, which runs it is for, and that a revert does not lose it.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeEach, expect, test } from 'vitest';
import { kvmsnap } from '../lab/cli.ts';
import { scratch, virsh } from '../lab/lab.ts';
import { snapshotNames } from '../scene/snapshot.ts';
import { cleanUp, defineVm, type Vm } from '../scene/vm.ts';

let env: { readonly XDG_CONFIG_HOME: string };

beforeEach(() => {
  env = { XDG_CONFIG_HOME: mkdtempSync(join(scratch, 'config-')) };
  mkdirSync(join(env.XDG_CONFIG_HOME, 'kvmsnap'));
  for (const name of ['nightly', 'weekly'])
    writeFileSync(join(env.XDG_CONFIG_HOME, 'kvmsnap', `${name}.conf`), `--label ${name}\n--max-age 1h\n`);
});
afterEach(cleanUp);
afterAll(cleanUp);

const run = (line: string) => kvmsnap(line.split(' '), { env });
const vmCalled = (name: string) => defineVm({ name, memoryMiB: 16, disks: [{ size: '8M' }] });

/** The element in the definition of the VM, as virsh prints it. */
const inXml = ({ uuid }: Vm, ...options: string[]): string | undefined =>
  /<kvmsnap:policy xmlns:kvmsnap="urn:kvmsnap:policy" name="(.*?)"\/>/.exec(
    virsh('dumpxml', ...options, uuid),
  )?.[1];
const inBoth = (vm: Vm) => [inXml(vm), inXml(vm, '--inactive')];

test('it is kept in the running VM and in its stored definition, beside what others keep there', async () => {
  const vm = vmCalled('web');
  virsh(...['metadata', vm.uuid, '--config', '--uri', 'urn:other', '--key', 'o', '--set', "<x v='1'/>"]);
  virsh('start', vm.uuid);
  expect(await run('policy web')).toMatchObject({ code: 0, stdout: 'VM   POLICY\nweb  -\n' });
  expect((await run('policy web --set nightly --dry-run')).stdout).toMatch(
    /^virsh metadata .*--live --config/,
  );
  expect(inBoth(vm)).toEqual([undefined, undefined]);
  expect(await run('policy web --set @nightly')).toMatchObject({
    code: 0,
    stdout: 'VM   POLICY\nweb  @nightly\n',
  });
  expect(inBoth(vm)).toEqual(['nightly', 'nightly']);
  expect(virsh('metadata', vm.uuid, '--uri', 'urn:other')).toMatch(/<x v="1"\/>/);
  expect((await run('policy web --set nightly --dry-run')).stdout).toBe('');
  // another program has changed only the stored definition
  virsh(
    ...[
      'metadata',
      vm.uuid,
      '--config',
      '--uri',
      'urn:kvmsnap:policy',
      '--key',
      'k',
      '--set',
      "<policy name='none'/>",
    ],
  );
  expect(await run('policy web')).toMatchObject({
    stderr: 'note: from its next start on, web has the policy none\n',
  });
  expect(JSON.parse((await run('policy --all --unset -o json')).stdout).domains).toEqual([
    expect.objectContaining({ name: 'web', outcome: 'done', policy: null }),
  ]);
  expect(inBoth(vm)).toEqual([undefined, undefined]);
});

test('a name without a file is refused, unless it is forced', async () => {
  const vm = vmCalled('web');
  const { code, stderr } = await run('policy web --set nigthly');
  expect([code, stderr]).toEqual([
    4,
    expect.stringMatching(
      /no policy @nigthly.*\n.*did you mean nightly\?\n +kvmsnap policy web --set nightly\n/,
    ),
  ]);
  expect((await run('create --all @nigthly')).stderr).toMatch(
    /did you mean @nightly\?\n +kvmsnap create --all @nightly\n/,
  );
  expect(await run('policy web --set a/b')).toMatchObject({ code: 2 });
  expect(inBoth(vm)).toEqual([undefined, undefined]);
  expect(await run('policy web --set later --force')).toMatchObject({ code: 0 });
  expect(inBoth(vm)).toEqual(['later', 'later']);
});

test('create, check and prune by a policy leave out VMs that have chosen another one', async () => {
  const vms = ['any', 'nightly', 'none', 'weekly'].map(vmCalled);
  for (const policy of ['nightly', 'none', 'weekly']) await run(`policy ${policy} --set ${policy}`);
  const taken = () => vms.map((vm) => snapshotNames(vm).length);

  const created = await run('create --all @nightly --strict -v');
  expect(created).toMatchObject({
    code: 0,
    stderr: expect.stringMatching(/^skipped none: its policy is none$/m),
  });
  expect(created.stderr).toMatch(/^\+ kvmsnap create --policy=nightly --label=nightly --all --strict -v$/m);
  expect(created.stdout).toMatch(/^weekly +- .* skipped: its policy is @weekly$/m);
  expect(taken()).toEqual([1, 1, 0, 0]);
  // what is named is meant, and without a policy all are
  await run('create weekly @nightly');
  await run('create --all --label other');
  expect(taken()).toEqual([2, 2, 1, 2]);

  for (const vm of vms.slice(2))
    for (const name of snapshotNames(vm)) virsh('snapshot-delete', vm.uuid, name);
  expect(await run('check @nightly')).toMatchObject({
    code: 0,
    stdout: expect.stringMatching(/note +other-policy +its policy is none, so the limits do not apply/),
  });
  expect((await run('check none --label nightly --max-age 1h')).code).toBe(5);
  await run('create weekly --label nightly');
  expect(await run('prune --all @nightly --keep-last 0 --allow-empty')).toMatchObject({ code: 0 });
  expect(taken()).toEqual([1, 1, 0, 1]);

  // a policy without a file: no run takes the VM, but one that says so itself
  rmSync(join(env.XDG_CONFIG_HOME, 'kvmsnap/weekly.conf'));
  expect(await run('check weekly')).toMatchObject({
    code: 5,
    stdout: expect.stringMatching(/warning +no-policy +its policy is @weekly, for which there is no file/),
  });
  expect(await run('check weekly --policy weekly')).toMatchObject({ code: 0 });

  // a run that is meant for no VM at all is no success
  await run('policy --all --set none');
  expect(await run('create --all @nightly')).toMatchObject({ code: 5 });
  expect(taken()).toEqual([1, 1, 0, 1]);
});

test('a revert keeps the policy of now, and not that of the snapshot', async () => {
  const vm = vmCalled('web');
  virsh('start', vm.uuid);
  virsh('snapshot-create-as', vm.uuid, 'before');
  await run('policy web --set nightly');
  virsh('snapshot-create-as', vm.uuid, 'with');
  // raw virsh loses it, at least for the next start
  virsh('snapshot-revert', vm.uuid, 'before');
  expect(inXml(vm, '--inactive')).toBeUndefined();
  await run('policy web --set weekly');
  const reverted = await run('revert web before');
  expect([reverted.code, inBoth(vm)]).toEqual([0, ['weekly', 'weekly']]);
  expect(reverted.stderr).not.toMatch(/policy/);
  await run('policy web --unset');
  expect([(await run('revert web with')).code, inBoth(vm)]).toEqual([0, [undefined, undefined]]);
  // and of a VM that is off
  virsh('destroy', vm.uuid);
  virsh('snapshot-create-as', vm.uuid, 'off');
  await run('policy web --set none');
  expect([(await run('revert web off')).code, inBoth(vm)]).toEqual([0, ['none', 'none']]);
});
