// Snapshots of a label as a schedule would have taken them, at any time.
import { mkdtempSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'vitest';
import { scratch, virsh } from '../lab/lab.ts';
import { currentSnapshot, snapshotNames, snapshotXml } from '../scene/snapshot.ts';
import { tagNames, take } from '../scene/steps.ts';
import { defineVm, type Vm } from '../scene/vm.ts';

export const small = (name: string): Vm => defineVm({ name, disks: [{ size: '8M' }] });

/** Both what libvirt knows and what the first image holds, which must be the same. */
export function present(vm: Vm): string[] {
  const names = snapshotNames(vm);
  expect([...(tagNames(vm)[0] ?? [])].sort()).toEqual([...names].sort());
  return names.sort();
}

/** The name that `create --label` would have given at that moment. */
export const labeled = (label: string, seconds: number): string =>
  `${label}-${new Date(seconds * 1000).toISOString().replace(/[-:]|\.\d+/g, '')}`;

/** Changes when a snapshot was taken, as far as libvirt knows. */
export function backdate(vm: Vm, name: string, seconds: number): void {
  const xml = snapshotXml(vm, name).replace(/<creationTime>\d+/, `<creationTime>${seconds}`);
  const file = join(mkdtempSync(join(scratch, 'redefine-')), 'snapshot.xml');
  writeFileSync(file, xml);
  const current = currentSnapshot(vm) === name ? ['--current'] : [];
  virsh('snapshot-create', '--domain', vm.uuid, '--xmlfile', file, '--redefine', ...current);
  expect(snapshotXml(vm, name)).toContain(`<creationTime>${seconds}<`);
}

/** A snapshot as a schedule took it at that moment; returns its name. */
export function takeAt(vm: Vm, label: string, seconds: number): string {
  const name = labeled(label, seconds);
  take(vm, name);
  backdate(vm, name, seconds);
  return name;
}

export const now = () => Math.floor(Date.now() / 1000);

/** `count` snapshots of a label, an hour apart, the oldest first. */
export function hourly(vm: Vm, label: string, count: number): string[] {
  const first = now() - count * 3600;
  return Array.from({ length: count }, (_, n) => takeAt(vm, label, first + n * 3600));
}
