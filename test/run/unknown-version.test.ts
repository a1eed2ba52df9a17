// A libvirtd that does not tell its version, as it happens where QEMU is missing: nothing that depends on it is a fact.
import { expect, test } from 'vitest';
import { create } from '../../src/create/create.ts';
import { deleteSnapshots } from '../../src/delete/delete.ts';
import { revert } from '../../src/revert/revert.ts';
import type { Context } from '../../src/run/context.ts';
import { capture } from '../captures.ts';
import { Failure } from '../libvirt/fake-libvirt.ts';
import { fakeHost } from './fake-host.ts';

function withoutVersion() {
  const host = fakeHost();
  const { intercept } = host.libvirt;
  host.libvirt.intercept = (command, process) =>
    command[0] === 'version'
      ? new Failure(
          'error: failed to get the hypervisor version\nerror: internal error: Cannot find suitable emulator\n',
        )
      : intercept(command, process);
  return host;
}

const UNKNOWN = /libvirtd does not tell its version, and libvirt before 9\.\d cannot/;

test.each<[string, (ctx: Context) => Promise<void>]>([
  ['create --external', (ctx) => create(ctx, ['b-fix'], 'new', { diskOnly: true })],
  [
    'delete of an external one',
    (ctx) => deleteSnapshots(ctx, { named: [{ vm: 'b-fix', names: ['ext1'] }], paired: false }, {}),
  ],
  ['revert to an external one', (ctx) => revert(ctx, 'b-fix', 'ext1', {})],
])('%s is refused, and why', async (_, run) => {
  const host = withoutVersion();
  const external = capture('12.8.0', 'dumpxml-ext1.out');
  host.vm.snapshots = new Map([...host.vm.snapshots, ['ext1', external]]);
  await expect(run(host.context())).rejects.toMatchObject({
    code: 'check',
    message: expect.stringMatching(UNKNOWN),
  });
  const written = host.libvirt.commands.map(([verb]) => verb);
  for (const verb of ['snapshot-create-as', 'snapshot-delete', 'snapshot-revert'])
    expect(written).not.toContain(verb);
});

test('what does not depend on it is done', async () => {
  const host = withoutVersion();
  await create(host.context(), ['b-fix'], 'new', {});
  expect([...host.vm.snapshots.keys()]).toContain('new');
});
