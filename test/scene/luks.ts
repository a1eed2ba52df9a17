// Encrypted images, which libvirt opens with a secret of its own.
import { copyFileSync, existsSync, mkdtempSync, renameSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { scratch, tryTool, virsh, waitFor } from '../lab/lab.ts';
import type { DiskSpec } from './vm.ts';

const KEY = 'key';
/** For qemu-img and qemu-io. */
const SECRET = ['--object', `secret,id=k,data=${KEY}`];

/** Made once a lab, for it takes 2 s of CPU; outside of what `cleanUp` empties. */
const TEMPLATE = join(dirname(scratch), 'luks.qcow2');

async function makeTemplate(): Promise<void> {
  if (existsSync(TEMPLATE)) return;
  const options = 'encrypt.format=luks,encrypt.key-secret=k,encrypt.iter-time=10';
  const args = ['create', '-q', '-f', 'qcow2', ...SECRET, '-o', options, `${TEMPLATE}.new`, '4M'];
  // it measures the CPU, and fails now and then when that is busy
  await waitFor(() => tryTool('qemu-img', args).code === 0, { what: 'a LUKS image' });
  renameSync(`${TEMPLATE}.new`, TEMPLATE);
}

/** A disk with a LUKS image of 4 MiB, which libvirt opens with a secret. */
export async function encryptedDisk(): Promise<DiskSpec> {
  await makeTemplate();
  const directory = mkdtempSync(join(scratch, 'luks-'));
  const source = join(directory, 'luks.qcow2');
  const definition = join(directory, 'secret.xml');
  copyFileSync(TEMPLATE, source);
  writeFileSync(definition, `<secret><usage type='volume'><volume>${source}</volume></usage></secret>`);
  const [uuid = ''] = /[0-9a-f-]{36}/.exec(virsh('secret-define', definition)) ?? [];
  virsh('secret-set-value', uuid, '--base64', Buffer.from(KEY).toString('base64'));
  const secret = `<secret type='passphrase' uuid='${uuid}'/>`;
  return { source, extraXml: `<encryption format='luks'>${secret}</encryption>` };
}

/** Whether a range of the disk of a VM that is off holds one byte throughout. */
export function hasEncryptedPattern(path: string, byte: number, offset: number, length: number): boolean {
  const image = `driver=qcow2,file.filename=${path},encrypt.format=luks,encrypt.key-secret=k`;
  const command = `read -P ${byte} ${offset} ${length}`;
  const { stdout } = tryTool('qemu-io', ['-r', ...SECRET, '--image-opts', '-c', command, image]);
  return /^read \d+\/\d+ bytes/m.test(stdout) && !stdout.includes('Pattern verification failed');
}

/** Libvirt forgets all secrets. */
export function removeSecrets(): void {
  for (const [uuid] of virsh('secret-list').matchAll(/[0-9a-f]{8}-[0-9a-f-]{27}/g))
    virsh('secret-undefine', uuid);
}
