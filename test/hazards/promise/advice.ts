// A hazard of create, told in three steps: what raw virsh does, that kvmsnap refuses instead, and that its advice helps.
// Where libvirt versions differ, the table says so with `since`.
import { existsSync } from 'node:fs';
import { expect } from 'vitest';
import { inText } from '../../../src/model/text.ts';
import { kvmsnap } from '../../lab/cli.ts';
import { fingerprint, type Refusal, refused, writableImages } from '../../lab/evidence.ts';
import { tryVirsh } from '../../lab/lab.ts';
import { tags } from '../../scene/disk.ts';
import { snapshotNames } from '../../scene/snapshot.ts';
import { defineVm, destroy, start, type Vm, type VmSpec } from '../../scene/vm.ts';
import type { Outcome } from './promise.ts';

export interface Hazard {
  readonly what: string;
  readonly spec: Omit<VmSpec, 'name'>;
  /** Before the VM is started, if it is. */
  readonly prepare?: (vm: Vm) => void;
  readonly running?: true;
  /** Once it runs. */
  readonly provoke?: (vm: Vm) => void;
  /** The words with which this libvirt refuses to let it come so far: there is no such hazard here. */
  readonly cannotBe?: RegExp | null;
  /** How raw virsh ends, on a VM made alike: refused with these words; null where it says that all is well. */
  readonly virsh: RegExp | null;
  /** What it has done to that VM; without this, nothing is to be left. */
  readonly virshLeft?: ((vm: Vm) => unknown) | null;
  /** That in words, for the manual's table. */
  readonly harm?: string;
  /** Here all is well, and kvmsnap takes it, too. */
  readonly taken?: boolean;
  /** Parts of kvmsnap's message. */
  readonly says: (vm: Vm) => readonly string[];
  readonly hint?: string | RegExp;
  /** The whole command that it advises; null for none. */
  readonly command: ((vm: Vm) => string) | null;
  /** Does what the advice says; null where no create can work. */
  readonly fix: ((vm: Vm, refusal: Refusal) => void) | null;
  /** What kvmsnap says of the snapshot that it takes in the end. */
  readonly warns?: RegExp;
}

/** A name that a hint must quote. */
const NAME = "web 1's";

/** Shows it, and tells what became of it. */
export async function shown(hazard: Hazard): Promise<Outcome> {
  await showHazard(hazard);
  return outcome(hazard);
}

export async function showHazard(hazard: Hazard): Promise<void> {
  if (hazard.cannotBe) {
    expect(() => make(hazard, 'twin')).toThrow(hazard.cannotBe);
    return;
  }
  await showVirsh(hazard);
  const vm = make(hazard, NAME);
  if (!hazard.taken) {
    const refusal = await showRefusal(hazard, vm);
    if (!hazard.fix) return;
    hazard.fix(vm, refusal);
  }
  expect(await kvmsnap(['create-as', NAME, 's1'])).toMatchObject({
    code: 0,
    stderr: hazard.warns ? expect.stringMatching(hazard.warns) : '',
  });
  expect(writableImages(vm).map(tagged)).toEqual(writableImages(vm).map(() => ['s1']));
}

function outcome({ cannotBe, virsh, harm = 'works', taken, fix, warns }: Hazard): Outcome {
  if (cannotBe) return { virsh: 'does not exist in this version', kvmsnap: 'does not exist in this version' };
  if (taken) return { virsh: harm, kvmsnap: warns ? 'works, and warns' : 'works' };
  const refused = 'refuses, exit 5, nothing changed';
  return {
    virsh: virsh ? 'fails, exit 1, without saying how to fix it' : `${harm}, exit 0`,
    kvmsnap: fix ? `${refused}; its advice works` : refused,
  };
}

async function showVirsh(hazard: Hazard): Promise<void> {
  const twin = make(hazard, 'twin');
  const raw = tryVirsh('snapshot-create-as', '--domain', twin.uuid, '--name', 's1');
  expect(raw).toMatchObject(
    hazard.virsh ? { code: 1, stderr: expect.stringMatching(hazard.virsh) } : { code: 0 },
  );
  if (hazard.virshLeft) await hazard.virshLeft(twin);
  else if (!hazard.taken)
    expect([snapshotNames(twin), ...writableImages(twin).map(tagged)].flat()).toEqual([]);
  destroy(twin);
}

async function showRefusal(hazard: Hazard, vm: Vm): Promise<Refusal> {
  const before = fingerprint(vm);
  const refusal = await refused('create-as', NAME, 's1');
  expect(refusal.exitCode).toBe(5);
  expect(refusal.message).toContain(`cannot take a snapshot of ${inText(NAME)}: `);
  for (const part of hazard.says(vm)) expect(refusal.message).toContain(part);
  if (hazard.hint !== undefined) expect(refusal.hint).toMatch(hazard.hint);
  expect(refusal.command).toBe(hazard.command?.(vm) ?? null);
  expect(fingerprint(vm)).toEqual(before);
  return refusal;
}

function make({ spec, prepare, running, provoke }: Hazard, name: string): Vm {
  const vm = defineVm({ name, ...spec });
  prepare?.(vm);
  if (running) start(vm);
  provoke?.(vm);
  return vm;
}

const tagged = (path: string) =>
  path !== '' && existsSync(path)
    ? tags(path)
        .map(({ name }) => name)
        .filter((name) => name === 's1')
    : [];
