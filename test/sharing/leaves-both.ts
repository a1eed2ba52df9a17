import { expect } from 'vitest';
import { fingerprint, refused } from '../lab/evidence.ts';
import type { Vm } from '../scene/vm.ts';

/** Runs kvmsnap, which must refuse and leave both VMs as they are, to the last byte of their images. */
export async function leavesBoth(vms: readonly Vm[], ...args: string[]): Promise<string> {
  const before = vms.map(fingerprint);
  const { exitCode, message, hint } = await refused(...args);
  expect({ args, exitCode, vms: vms.map(fingerprint) }).toEqual({
    args,
    exitCode: 5,
    vms: before,
  });
  return `${message}\n${hint}`;
}
