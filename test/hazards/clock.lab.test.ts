// A clock that was set back: the date of a snapshot is no proof of its age.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, expect } from 'vitest';
import { scratch, virsh } from '../lab/lab.ts';
import { currentSnapshot, snapshotNames, snapshotXml } from '../scene/snapshot.ts';
import { succeed, take } from '../scene/steps.ts';
import { cleanUp, defineVm, type Vm } from '../scene/vm.ts';
import { hazard } from './promise/promise.ts';

afterEach(cleanUp);
afterAll(cleanUp);

const createdAt = (vm: Vm, name: string): number =>
  Number(/<creationTime>(\d+)/.exec(snapshotXml(vm, name))?.[1]);

/** Gives a snapshot the date that libvirt would have given it, had the clock been nine hours behind. */
function dateBack(vm: Vm, name: string): void {
  const file = join(scratch, 'earlier.xml');
  const earlier = String(createdAt(vm, name) - 9 * 3600);
  writeFileSync(file, snapshotXml(vm, name).replace(/(?<=<creationTime>)\d+/, earlier));
  virsh('snapshot-create', '--domain', vm.uuid, '--xmlfile', file, '--redefine', '--current');
}

hazard(52, 'clock set back between two snapshots', async () => {
  const vm = defineVm({ name: 'web-1', disks: [{ size: '4M' }] });
  for (const name of ['first', 'second', 'third']) take(vm, name);
  dateBack(vm, 'third');
  const dates = ['first', 'third'].map((name) => createdAt(vm, name));
  expect(dates[1]).toBeLessThan(dates[0] ?? 0);
  expect(currentSnapshot(vm)).toBe('third');

  await succeed('prune', 'web-1', '--match', '*', '--keep-last', '1');
  expect(snapshotNames(vm)).toEqual(['third']);
  expect(currentSnapshot(vm)).toBe('third');
  return {
    virsh: 'dates the current snapshot before its parents',
    kvmsnap: 'prune goes by the tree: the current one counts as the newest and stays',
  };
});
