// `verify` and `clone` of a VM with UEFI: what the firmware writes goes to a copy of its NVRAM.
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import { fingerprint } from '../lab/evidence.ts';
import { scratch, virsh } from '../lab/lab.ts';
import { since } from '../lab/version.ts';
import { document, succeed, take } from '../scene/steps.ts';
import { nvramOf, uefi } from '../scene/uefi.ts';
import { cleanUp, defineVm, start } from '../scene/vm.ts';
import { nothingLeft, unproven } from './throw-away.ts';

afterEach(cleanUp);

test('UEFI: the firmware runs with a copy of the NVRAM, as it does in a clone', async () => {
  const vm = defineVm({ name: 'web', ...uefi(since({ '7.0': 'raw', '11.3': 'qcow2' })) });
  start(vm);
  const file = join(scratch, 'e1.mem');
  take(vm, 'e1', '--memspec', `file=${file}`, '--diskspec', 'vda,snapshot=external');
  const nvram = () =>
    createHash('sha256')
      .update(readFileSync(nvramOf(vm)))
      .digest('hex');
  const seen = () => ({ ...fingerprint(vm), nvram: nvram() });
  // the firmware writes to it while it starts, and nobody does while the VM is paused
  virsh('suspend', 'web');
  const before = seen();
  const booted = await unproven('web', 'e1', '--within', '3s');
  expect([booted.outcome, booted.seen]).toEqual(['not proven', expect.stringMatching(/^no kernel started/)]);
  const resumed = await document('verify', 'verify', 'web', 'e1', '--memory', '--within', '2s');
  expect(resumed.seen).toBe('the guest keeps running from its saved memory');
  await nothingLeft(vm);
  await succeed('clone', 'web', 'e1', 'test');
  virsh('start', 'test');
  expect(virsh('domstate', 'test').trim()).toBe('running');
  expect(seen()).toEqual(before);
});
