// --readonly: what only reads works over a read-only connection of a real libvirt, and all else is a usage error.
import { afterAll, expect, test } from 'vitest';
import { kvmsnap } from '../lab/cli.ts';
import { fingerprint } from '../lab/evidence.ts';
import { isSystemLab, virsh } from '../lab/lab.ts';
import { cleanUp, defineVm, start } from '../scene/vm.ts';

afterAll(cleanUp);

test.skipIf(!isSystemLab)('reads are done by virsh -r, and nothing is changed', async () => {
  const vm = defineVm({ name: 'web', disks: [{ size: '4M' }] });
  start(vm);
  virsh('snapshot-create-as', vm.uuid, 's1');
  const before = fingerprint(vm);
  for (const line of [
    'list',
    'list web',
    'info web',
    'info web s1',
    'info web s1 --xml',
    'current web',
    'space web',
    'check web',
  ]) {
    const { code, stderr } = await kvmsnap([...line.split(' '), '--readonly', '--verbose']);
    const calls = stderr.split('\n').filter((each) => each.startsWith('+ virsh '));
    expect({ line, code, stderr }).toMatchObject({ code: 0 });
    expect(calls.length).toBeGreaterThan(0);
    expect(calls.filter((call) => !call.startsWith('+ virsh -r '))).toEqual([]);
  }
  for (const line of [
    'create web',
    'delete web s1',
    'revert web s1',
    'check web --fix',
    'info web s1 --xml --security-info',
    'history save web --security-info',
  ])
    expect(await kvmsnap([...line.split(' '), '--readonly'])).toMatchObject({ code: 2, stdout: '' });
  expect(fingerprint(vm)).toEqual(before);
});
