// A kvmsnap that refuses: in the words of the manual's table.
import { expect } from 'vitest';
import { fingerprint, type Refusal, refused } from '../../lab/evidence.ts';
import type { Vm } from '../../scene/vm.ts';

/** Runs kvmsnap, which must refuse and leave the VM as it was, to the last byte of its images. */
export async function refusesAll(
  vm: Vm,
  ...args: string[]
): Promise<{ readonly words: string; readonly refusal: Refusal }> {
  const before = fingerprint(vm);
  const refusal = await refused(...args);
  expect(fingerprint(vm)).toEqual(before);
  return { words: `refuses, exit ${refusal.exitCode}, nothing changed`, refusal };
}
