// Images with LUKS: libvirt keeps the key from qemu-img, and QEMU cannot write memory into them.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, expect, test } from 'vitest';
import { scratch, tryTool, virsh, waitFor } from '../lab/lab.ts';
import { cleanUp, type DiskSpec, stateAndReason } from '../lab/machine.ts';
import { pasteOk } from './evidence.ts';
import { showHazard } from './hazard.ts';

afterEach(async () => {
  for (const [uuid] of virsh('secret-list').matchAll(/[0-9a-f]{8}-[0-9a-f-]{27}/g))
    virsh('secret-undefine', uuid);
  await cleanUp();
});
afterAll(cleanUp);

/** A disk with a LUKS image, which libvirt opens with a secret. */
async function encryptedDisk(): Promise<DiskSpec> {
  const source = join(scratch, 'luks.qcow2');
  const definition = join(scratch, 'secret.xml');
  const options = 'encrypt.format=luks,encrypt.key-secret=k,encrypt.iter-time=10';
  const args = [
    'create',
    '-q',
    '-f',
    'qcow2',
    '--object',
    'secret,id=k,data=key',
    '-o',
    options,
    source,
    '4M',
  ];
  // it measures the CPU, and fails now and then when that is busy
  await waitFor(() => tryTool('qemu-img', args).code === 0, { what: 'a LUKS image' });
  writeFileSync(definition, `<secret><usage type='volume'><volume>${source}</volume></usage></secret>`);
  const [uuid = ''] = /[0-9a-f-]{36}/.exec(virsh('secret-define', definition)) ?? [];
  virsh('secret-set-value', uuid, '--base64', Buffer.from('key').toString('base64'));
  const secret = `<secret type='passphrase' uuid='${uuid}'/>`;
  return { source, extraXml: `<encryption format='luks'>${secret}</encryption>` };
}

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
