// Images with LUKS: libvirt keeps the key from qemu-img, and QEMU cannot write memory into them.
import { afterAll, afterEach, expect, test } from 'vitest';
import { showHazard } from '../hazards/advice.ts';
import { encryptedDisk, removeSecrets } from '../lab/luks.ts';
import { cleanUp, stateAndReason } from '../lab/machine.ts';
import { pasteOk } from './evidence.ts';

afterEach(async () => {
  removeSecrets();
  await cleanUp();
});
afterAll(cleanUp);

test('as the first disk of a machine that is off', async () =>
  showHazard({
    what: '',
    spec: { disks: [await encryptedDisk()] },
    virsh: /'encrypt.key-secret' is required/,
    says: () => ['disk vda', 'libvirt does not hand the key to qemu-img for a machine that is off'],
    hint: 'copy the image instead, or encrypt within the guest',
    command: null,
    mend: null,
  }));

test('as the first disk of a running machine: virsh loses the guest', async () =>
  showHazard({
    what: '',
    spec: { disks: [await encryptedDisk()] },
    running: true,
    virsh: /Unable to read from monitor|End of file from qemu monitor/,
    virshLeft: (twin) => expect(stateAndReason(twin)).toBe('shut off (crashed)'),
    says: () => ['disk vda', 'QEMU crashes when it writes the memory into the first disk'],
    hint: 'with a small unencrypted qcow2 image as the first disk it works',
    command: null,
    mend: null,
  }));

test('as the second disk, for which the machine must run', async () =>
  showHazard({
    what: '',
    spec: { disks: [{ size: '4M' }, await encryptedDisk()] },
    virsh: /'encrypt.key-secret' is required/,
    says: () => ['disk vdb', 'libvirt does not hand the key to qemu-img for a machine that is off'],
    hint: 'start the machine first',
    command: () => `virsh start 'web 1'\\''s'`,
    mend: (_, { command }) => void pasteOk(command),
  }));
