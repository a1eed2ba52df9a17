// A kvmsnap that refuses: in the words of the README's table.
import { expect } from 'vitest';
import { fingerprint, type Refusal, refused } from '../lab/evidence.ts';
import type { Machine } from '../lab/machine.ts';

/** Runs kvmsnap, which must refuse and leave the machine as it was, to the last byte of its images. */
export async function refusesAll(
  machine: Machine,
  ...args: string[]
): Promise<{ readonly words: string; readonly refusal: Refusal }> {
  const before = fingerprint(machine);
  const refusal = await refused(...args);
  expect(fingerprint(machine)).toEqual(before);
  return { words: `refuses, exit ${refusal.exitCode}, nothing touched`, refusal };
}
