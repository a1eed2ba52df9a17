// Images with LUKS: libvirt keeps the key from qemu-img, and QEMU cannot write memory into them.
import { afterAll, afterEach, describe, expect, test } from 'vitest';
import { showHazard } from '../hazards/promise/advice.ts';
import { kvmsnap } from '../lab/cli.ts';
import { fingerprint, pasteOk, refused } from '../lab/evidence.ts';
import { tryVirsh, waitFor } from '../lab/lab.ts';
import { since } from '../lab/version.ts';
import { tags } from '../scene/disk.ts';
import { encryptedDisk, removeSecrets } from '../scene/luks.ts';
import { cleanUp, defineVm, destroy, start, state, stateAndReason, type Vm } from '../scene/vm.ts';

afterEach(async () => {
  removeSecrets();
  await cleanUp();
});
afterAll(cleanUp);

test('as the first disk of a VM that is off', async () =>
  showHazard({
    what: '',
    spec: { disks: [await encryptedDisk()] },
    virsh: /'encrypt.key-secret' is required/,
    says: () => ['disk vda', 'libvirt does not pass the key to qemu-img while the VM is off'],
    hint: 'copy the image instead, or encrypt inside the guest',
    command: null,
    fix: null,
  }));

test('as the first disk of a running VM: virsh stops the guest', async () =>
  showHazard({
    what: '',
    spec: { disks: [await encryptedDisk()] },
    running: true,
    virsh: /Unable to read from monitor|End of file from qemu monitor/,
    // virsh tells of it before libvirtd has noted it
    virshLeft: (twin) =>
      waitFor(() => stateAndReason(twin) === 'shut off (crashed)', { what: 'the loss of the guest' }),
    says: () => ['disk vda', 'QEMU crashes when it saves the memory into an encrypted first disk'],
    hint: 'add a small unencrypted qcow2 image as the first disk',
    command: null,
    fix: null,
  }));

test('as the second disk, for which the VM must run', async () =>
  showHazard({
    what: '',
    spec: { disks: [{ size: '4M' }, await encryptedDisk()] },
    virsh: /'encrypt.key-secret' is required/,
    says: () => ['disk vdb', 'libvirt does not pass the key to qemu-img while the VM is off'],
    hint: 'start the VM first',
    command: () => `virsh start 'web 1'\\''s'`,
    fix: (_, { command }) => void pasteOk(command),
    // the twin that raw virsh is tried on has the same image
    warns: /disk vdb: .*other VMs use \S+ too: VM twin \(shut off\)/,
  }));

test('a snapshot is deleted in it only while the VM runs: virsh leaves half of it otherwise', async () => {
  const of = async (name: string) => {
    const vm = defineVm({ name, disks: [{ size: '4M' }, await encryptedDisk()] });
    start(vm);
    tryVirsh('snapshot-create-as', vm.uuid, 's1');
    destroy(vm);
    return vm;
  };
  const holders = (vm: Vm) =>
    vm.disks.map(({ path }) =>
      tags(path)
        .map(({ name }) => name)
        .join(),
    );
  const [twin, vm] = [await of('twin'), await of('web-1')];
  expect(tryVirsh('snapshot-delete', twin.uuid, 's1').code).toBe(0);
  expect(holders(twin)).toEqual(['', 's1']);

  const before = fingerprint(vm);
  const refusal = await refused('delete', 'web-1', 's1');
  expect([refusal.exitCode, refusal.message]).toEqual([
    5,
    expect.stringContaining('only from the other disks'),
  ]);
  expect(fingerprint(vm)).toEqual(before);
  pasteOk(refusal.command);
  expect((await kvmsnap(['delete', 'web-1', 's1'])).code).toBe(0);
  destroy(vm);
  expect(holders(vm)).toEqual(['', '']);
});

describe('with an overlay over it', () => {
  const failsToStart = /Unexpected enum value 0 for virStorageEncryptionEngine/;
  const force = since({ '7.0': ['--force'], '11.3': [] });

  test('of a VM that is off: virsh leaves one that does not start any more', async () => {
    const disk = await encryptedDisk();
    const twin = defineVm({ name: 'twin', disks: [disk] });
    const raw = tryVirsh('snapshot-create-as', twin.uuid, 's1', '--disk-only');
    const started = tryVirsh('start', twin.uuid);
    expect([raw.code, started.code]).toEqual(since({ '7.0': [1, 0], '9.0': [0, 1] }));
    expect(started.stderr).toMatch(since({ '7.0': /^$/, '9.0': failsToStart }));
  });

  test('kvmsnap takes it while the VM runs, where that works, and it starts again', async () => {
    const vm = defineVm({ name: 'web-1', disks: [await encryptedDisk()] });
    const before = fingerprint(vm);
    const refusal = await refused('create-as', 'web-1', 's1', '--disk-only', '--force');
    expect(refusal.message).toMatch(
      since({
        '7.0': /creates an overlay for it that cannot be opened/,
        '9.0': /cannot be started any more/,
      }),
    );
    expect(fingerprint(vm)).toEqual(before);
    if (since({ '7.0': true, '9.0': false })) return;
    pasteOk(refusal.command);
    const result = await kvmsnap(['create-as', 'web-1', 's1', '--external', ...force]);
    expect(result.code).toBe(0);
    destroy(vm);
    start(vm);
    expect(state(vm)).toBe('running');
  });
});
