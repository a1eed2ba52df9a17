// `verify` and `clone` of a VM with devices of the host and a TPM, which need not be there for that.
import { afterEach, expect, test } from 'vitest';
import { fingerprint, refused } from '../lab/evidence.ts';
import { succeed, THEN, take, write } from '../scene/steps.ts';
import { cleanUp, defineVm } from '../scene/vm.ts';
import { nothingLeft, unproven } from './throw-away.ts';

afterEach(cleanUp);

test('devices of the host and a TPM: the throw-away VM starts without them, and nothing asks for them', async () => {
  const vm = defineVm({
    name: 'web',
    boot: 'idle',
    disks: [{ size: '8M' }],
    extraDevicesXml: `<hostdev mode='subsystem' type='pci' managed='yes'><source><address domain='0' bus='0xfe' slot='0x1f' function='7'/></source></hostdev>
      <tpm model='tpm-tis'><backend type='passthrough'><device path='/dev/tpm0'/></backend></tpm>`,
  });
  write(vm, THEN);
  take(vm, 's1');
  const before = fingerprint(vm);
  const booted = await unproven('web', 's1', '--within', '2s');
  expect([booted.outcome, booted.seen]).toEqual(['not proven', expect.stringMatching(/^no kernel started/)]);
  await nothingLeft(vm);
  const { exitCode, message } = await refused('verify', 'web', 's1', '--memory');
  expect([exitCode, message]).toEqual([5, expect.stringContaining('devices of the host (hostdev, tpm)')]);
  const { stderr } = await succeed('clone', 'web', 's1', 'test');
  for (const what of ['the same host devices', 'the TPM of the host'])
    expect(stderr).toContain(`the clone uses ${what} as web does, so only one of them can run`);
  expect(fingerprint(vm)).toEqual(before);
});
