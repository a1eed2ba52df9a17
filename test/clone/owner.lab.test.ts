// `clone` where QEMU does not run as root: it can read the new files, also if libvirt gives no file away (dynamic_ownership = 0).
import { chmodSync, chownSync, existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import { killLibvirtd, startLibvirtd } from '../lab/daemon.ts';
import { isSystemLab, scratch, virsh } from '../lab/lab.ts';
import { byteIn, document, succeed, THEN, take, write } from '../scene/steps.ts';
import { cleanUp, defineVm, pathOf, start, type Vm } from '../scene/vm.ts';

const CONF = '/etc/libvirt/qemu.conf';
/** nobody and nogroup, or nobody. */
const QEMU = 65534;
const before = isSystemLab ? readFileSync(CONF, 'utf8') : '';

/** Starts libvirtd with other settings. */
async function configure(text: string): Promise<void> {
  await killLibvirtd('SIGTERM');
  writeFileSync(CONF, text);
  await startLibvirtd();
}

afterEach(async () => {
  await cleanUp();
  if (isSystemLab) await configure(before);
});

/** A running VM with the snapshot s1; all that QEMU needs is where it can reach it. */
function runningVm(isStatic: boolean): Vm {
  const vm = defineVm({ name: 'web', boot: 'idle', disks: [{ size: '8M' }] });
  write(vm, THEN);
  for (const path of [dirname(scratch), scratch, dirname(pathOf(vm))]) chmodSync(path, 0o755);
  if (isStatic) {
    chownSync(pathOf(vm), 0, QEMU);
    chmodSync(pathOf(vm), 0o660);
  }
  take(vm, 's1');
  start(vm);
  return vm;
}

test.runIf(isSystemLab).each([
  ['0', 'the group of the image may read it'],
  ['1', 'libvirt gives the files to QEMU'],
])('dynamic_ownership = %s: %s', async (dynamic) => {
  await configure(
    before
      .replace(/^dynamic_ownership = .*$/m, `dynamic_ownership = ${dynamic}`)
      .replace(/^(user|group) = .*$/gm, `$1 = "+${QEMU}"`),
  );
  const vm = runningVm(dynamic === '0');
  const to = join(scratch, `deep-${dynamic}`, 'new');
  const { disks } = await document('clone', 'clone', 'web', 's1', 'test', '--to', to);
  const [path = ''] = disks.map((disk) => disk.path);
  const { uid, gid, mode } = statSync(path);
  const was = statSync(pathOf(vm));
  expect([uid, gid, mode & 0o777]).toEqual([was.uid, was.gid, 0o600 | (was.mode & 0o060)]);
  expect([dirname(to), to].map((each) => statSync(each).mode & 0o777)).toEqual([0o711, 0o711]);
  virsh('start', 'test');
  expect([virsh('domstate', 'test').trim(), byteIn(path)]).toEqual(['running', THEN]);
  // what is taken out is for the user alone
  const out = join(scratch, `out-${dynamic}`);
  await succeed('export', 'web', 's1', out);
  const own = [out, join(out, 'web-vda.qcow2')].map((each) => statSync(each));
  expect(own.map(({ uid, mode }) => [uid, mode & 0o077])).toEqual([
    [0, 0],
    [0, 0],
  ]);
  expect(existsSync(join(out, 'web.xml'))).toBe(true);
});
