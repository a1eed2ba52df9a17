// What the judge of the random worlds finds in raw virsh: each rule is seen to fail once.
import { mkdtempSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import { scratch, tool } from '../lab/lab.ts';
import { type Action, deletion, fix, revert } from './action.ts';
import { writeAnew } from './history.ts';
import { damageOf } from './judge.ts';
import { openSession, type Session } from './session.ts';
import { look, newMemory } from './sight.ts';
import { createImage, define, removeWorld, type World, type WorldVm } from './world.ts';

let virsh: Session;
beforeAll(() => {
  virsh = openSession();
});
afterAll(() => virsh.end());

/** Two VMs that share an image, without a past. */
function sharedWorld(): World & { readonly a: WorldVm; readonly b: WorldVm; readonly path: string } {
  const directory = mkdtempSync(join(scratch, 'judge-'));
  const path = join(directory, 'shared.qcow2');
  createImage(path, 7);
  const vm = (name: 'a' | 'b'): WorldVm => ({
    name,
    uuid: `11111111-1111-4111-8111-11111111111${name}`,
    disks: [{ target: 'vda', path }],
  });
  const [a, b] = [vm('a'), vm('b')];
  const world: World = { directory, vms: [a, b], virsh, log: [], leftOut: new Map() };
  for (const vm of world.vms) define(world, vm);
  onTestFinished(() => removeWorld(world));
  return { ...world, a, b, path };
}

const take = ({ uuid }: WorldVm, name: string, ...options: readonly string[]) =>
  expect(virsh.does('snapshot-create-as', uuid, name, ...options)).toBe(true);

/** What is wrong after raw virsh has done it with exit 0. */
function damage(world: World, vm: WorldVm, name: string, part: typeof revert, raw?: () => void): string[] {
  const action: Action = { kind: 'by hand', vm, ...part({ vm, name, virsh, number: 1 }) };
  const memory = newMemory();
  const before = look(world, memory);
  if (raw) raw();
  else expect(action.raw()).toBe(true);
  return damageOf(action, before, look(world, memory), memory);
}

test('of two tags of one name, raw virsh deletes the older one, which is that of another VM', () => {
  const world = sharedWorld();
  take(world.a, 's2');
  writeAnew(world);
  take(world.b, 's2');
  expect(damage(world, world.b, 's2', deletion)).toContainEqual(expect.stringMatching(/^a sees a change/));
});

test('raw virsh says deleted, and both tags are left: another VM runs on an overlay over the image', () => {
  const world = sharedWorld();
  take(world.a, 's2');
  take(world.b, 's2');
  take(world.a, 'e1', '--disk-only');
  take(world.b, 'e2', '--disk-only');
  expect(virsh.does('start', '--paused', world.a.uuid)).toBe(true);
  expect(damage(world, world.b, 's2', deletion)).toEqual([`the tag 's2' is left in ${world.path}`]);
});

test('a revert changes what the other VM finds on the shared disk', () => {
  const world = sharedWorld();
  take(world.a, 's1');
  writeAnew(world);
  expect(damage(world, world.a, 's1', revert)).toEqual([expect.stringMatching(/^b sees a change: disks/)]);
});

test('a fix may delete orphans, but no tag that a snapshot of another VM accounts for', () => {
  const world = sharedWorld();
  take(world.b, 's1');
  tool('qemu-img', ['snapshot', '-c', 'orphan', world.path]);
  const remove = (name: string) => () => void tool('qemu-img', ['snapshot', '-d', name, world.path]);
  expect(damage(world, world.a, 'none', fix, remove('orphan'))).toEqual([]);
  const claim = () => {
    const file = join(world.directory, 'claim.xml');
    const [xml = ''] = virsh.answers([['snapshot-dumpxml', world.b.uuid, 's1']]);
    writeFileSync(file, xml.replaceAll(world.b.uuid, world.a.uuid).replace('<name>b<', '<name>a<'));
    expect(virsh.does('snapshot-create', world.a.uuid, file, '--redefine')).toBe(true);
  };
  expect(damage(world, world.a, 'none', fix, claim)).toContainEqual(
    expect.stringMatching(/^a,b account for fewer tags 's1' in /),
  );
  expect(virsh.does('snapshot-delete', world.a.uuid, 's1', '--metadata')).toBe(true);
  expect(damage(world, world.a, 'none', fix, remove('s1'))).toContainEqual(
    expect.stringMatching(/^tag 1 's1' has gone .* a snapshot of b accounts for it$/),
  );
});
