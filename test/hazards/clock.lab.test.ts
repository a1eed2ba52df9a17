// A clock that was set back: the date of a snapshot is no proof of its age.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, expect } from 'vitest';
import { succeed, take } from '../lab/scene.ts';
import { scratch, virsh } from '../lab/lab.ts';
import { cleanUp, defineMachine, type Machine } from '../lab/machine.ts';
import { currentSnapshot, snapshotNames, snapshotXml } from '../lab/snapshot.ts';
import { hazard } from './promise.ts';

afterEach(cleanUp);
afterAll(cleanUp);

const createdAt = (machine: Machine, name: string): number =>
  Number(/<creationTime>(\d+)/.exec(snapshotXml(machine, name))?.[1]);

/** Gives a snapshot the date that libvirt would have given it, had the clock been nine hours behind. */
function dateBack(machine: Machine, name: string): void {
  const file = join(scratch, 'earlier.xml');
  const earlier = String(createdAt(machine, name) - 9 * 3600);
  writeFileSync(file, snapshotXml(machine, name).replace(/(?<=<creationTime>)\d+/, earlier));
  virsh('snapshot-create', '--domain', machine.uuid, '--xmlfile', file, '--redefine', '--current');
}

hazard(52, 'clock set back between two snapshots', async () => {
  const machine = defineMachine({ name: 'web-1', disks: [{ size: '4M' }] });
  for (const name of ['first', 'second', 'third']) take(machine, name);
  dateBack(machine, 'third');
  const dates = ['first', 'third'].map((name) => createdAt(machine, name));
  expect(dates[1]).toBeLessThan(dates[0] ?? 0);
  expect(currentSnapshot(machine)).toBe('third');

  await succeed('prune', 'web-1', '--match', '*', '--keep-last', '1');
  expect(snapshotNames(machine)).toEqual(['third']);
  expect(currentSnapshot(machine)).toBe('third');
  return {
    virsh: 'dates the current snapshot before its parents',
    kvmsnap: 'a prune goes by the tree: the current one is the newest and stays',
  };
});
