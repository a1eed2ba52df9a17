// `verify` and `clone` of a VM with devices of the host and a TPM, which need not be there for that.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import { fingerprint, refused } from '../lab/evidence.ts';
import { scratch, virsh } from '../lab/lab.ts';
import { snapshotXml } from '../scene/snapshot.ts';
import { succeed, THEN, take, write } from '../scene/steps.ts';
import { cleanUp, defineVm, start } from '../scene/vm.ts';
import { nothingLeft, unproven } from './throw-away.ts';

afterEach(cleanUp);

const DEVICES = `<hostdev mode='subsystem' type='pci' managed='yes'><source><address domain='0' bus='0xfe' slot='0x1f' function='7'/></source></hostdev>
  <tpm model='tpm-tis'><backend type='passthrough'><device path='/dev/tpm0'/></backend></tpm>`;

test('devices of the host and a TPM: the throw-away VM starts without them, and nothing asks for them', async () => {
  const vm = defineVm({ name: 'web', boot: 'idle', disks: [{ size: '8M' }], extraDevicesXml: DEVICES });
  write(vm, THEN);
  take(vm, 's1');
  const before = fingerprint(vm);
  const booted = await unproven('web', 's1', '--within', '2s');
  expect([booted.outcome, booted.seen]).toEqual(['not proven', expect.stringMatching(/^no kernel started/)]);
  await nothingLeft(vm);
  const { stderr } = await succeed('clone', 'web', 's1', 'test');
  for (const what of ['the same host devices', 'the TPM of the host'])
    expect(stderr).toContain(`the clone uses ${what} as web does, so only one of them can run`);
  expect(fingerprint(vm)).toEqual(before);
});

test('the memory of a guest that had them is not resumed without them', async () => {
  const vm = defineVm({ name: 'web', boot: 'idle', disks: [{ size: '8M' }] });
  start(vm);
  take(vm, 's1');
  // no such device is here: the record says that there was one
  const file = join(scratch, 'with-devices.xml');
  writeFileSync(file, snapshotXml(vm, 's1').replaceAll('</devices>', `${DEVICES}</devices>`));
  virsh('snapshot-delete', '--domain', vm.uuid, '--snapshotname', 's1', '--metadata');
  virsh('snapshot-create', '--domain', vm.uuid, '--xmlfile', file, '--redefine', '--current');
  const before = fingerprint(vm);
  const { exitCode, message } = await refused('verify', 'web', 's1', '--memory');
  expect([exitCode, message]).toEqual([5, expect.stringContaining('devices of the host (hostdev, tpm)')]);
  await nothingLeft(vm);
  expect(fingerprint(vm)).toEqual(before);
});
