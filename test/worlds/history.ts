// What happened to a world before kvmsnap came: snapshots by raw virsh, guests that wrote, images that were moved or cloned.
import { randomUUID } from 'node:crypto';
import { copyFileSync, existsSync, mkdirSync, readFileSync, renameSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import type { Chance } from '../scene/random.ts';
import { backingPath, parseImage } from './qcow2.ts';
import { fileKey } from './sight.ts';
import { almostAll, define, makeOverlay, partly, type World, type WorldVm, writeInto } from './world.ts';

/** One event: the world as it is afterwards. */
type Event = (chance: Chance, world: World, vm: WorldVm) => World;

/** How often an event stands here is how often it comes. */
const EVENTS: readonly Event[] = [
  internal,
  internal,
  internal,
  external,
  write,
  write,
  move,
  clone,
  bothTake,
];

/** Some events, and in some worlds a VM that runs at the end. */
export function liveOn(chance: Chance, made: World): World {
  let world = made;
  for (let n = chance.between(1, 6); n > 0; n--)
    world = chance.pick(EVENTS)(chance, world, chance.pick(world.vms));
  if (chance.of(12)) raw(world, 'start', chance.pick(world.vms).uuid);
  return world;
}

/** The guest of each VM writes almost all over its disks, unless a file is locked. */
export function writeAnew(world: World): void {
  for (const [n, vm] of world.vms.entries())
    guestWrites(world, vm, (path) => almostAll(251 + n, leftOutOf(world, path)));
}

/**
 * Each image has a cluster of its own that is not written to: what lies below an overlay goes on to be seen in it, also what is
 * merged into that from another overlay beside it.
 */
function leftOutOf({ leftOut }: World, path: string): number {
  const key = fileKey(path) ?? path;
  const number = leftOut.get(key) ?? leftOut.size;
  leftOut.set(key, number);
  return number;
}

/** The guest of a VM writes a little. */
export function write(chance: Chance, world: World, vm: WorldVm): World {
  const byte = chance.between(1, 250);
  guestWrites(world, vm, () => [partly(byte)]);
  return world;
}

/** By commands of qemu-io: where the VM runs, QEMU does them on the device of its guest. */
function guestWrites(world: World, vm: WorldVm, commandsFor: (path: string) => readonly string[]): void {
  const { virsh, log } = world;
  const [state = ''] = virsh.answers([['domstate', vm.uuid]]);
  for (const [n, path] of activePaths(world, vm).entries())
    if (state === 'shut off') writeInto(path, commandsFor(path), log);
    else
      for (const command of [...commandsFor(path), 'flush']) {
        const line = `qemu-io -d /machine/peripheral/virtio-disk${n}/virtio-backend "${command}"`;
        raw(world, 'qemu-monitor-command', vm.uuid, '--hmp', line);
      }
}

const raw = ({ virsh, log }: World, ...command: readonly string[]): void =>
  void log.push(`virsh ${command.join(' ')} # ${virsh.does(...command) ? 0 : 1}`);

function internal(chance: Chance, world: World, { uuid }: WorldVm): World {
  raw(world, 'snapshot-create-as', uuid, chance.pick(['s1', 's2', 's3', '2']));
  return world;
}

/**
 * A VM of two disks takes a snapshot, and a second later another VM takes one in an image that they share: in the eyes of the
 * first, one of its disks lacks that one, as if it had failed half way.
 */
function bothTake(chance: Chance, world: World): World {
  const pairs = world.vms.flatMap((wide) =>
    world.vms
      .filter((other) => other !== wide && wide.disks.length > 1 && sharesImage(wide, other))
      .map((other) => ({ wide, other })),
  );
  if (pairs.length === 0) return world;
  const { wide, other } = chance.pick(pairs);
  raw(world, 'snapshot-create-as', wide.uuid, 's4');
  sleepToNextSecond();
  raw(world, 'snapshot-create-as', other.uuid, 's5');
  return world;
}

const sharesImage = (one: WorldVm, other: WorldVm): boolean =>
  one.disks.some(({ path }) => other.disks.some((disk) => fileKey(disk.path) === fileKey(path)));

/** The dates of tags are whole seconds. */
const sleepToNextSecond = (): void =>
  void Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1050 - (Date.now() % 1000));

function external(chance: Chance, world: World, { uuid }: WorldVm): World {
  raw(world, 'snapshot-create-as', uuid, chance.pick(['e1', 'e2']), '--disk-only');
  return world;
}

/** The first image of a VM is moved or renamed, and the VM defined with the new path; sometimes a copy stays behind. */
function move(chance: Chance, world: World, vm: WorldVm): World {
  const [first] = vm.disks;
  if (!first || activePaths(world, vm)[0] !== first.path) return world; // an overlay names its base by its path
  const to = chance.of(50)
    ? join(dirname(first.path), 'moved', basename(first.path))
    : join(dirname(first.path), `renamed-${basename(first.path)}`);
  if (existsSync(to) || !existsSync(first.path)) return world;
  mkdirSync(dirname(to), { recursive: true });
  if (chance.of(30)) copyFileSync(first.path, to);
  else renameSync(first.path, to);
  world.log.push(`${existsSync(first.path) ? 'cp' : 'mv'} ${first.path} ${to}`);
  const disks = vm.disks.map((disk) => (disk === first ? { ...disk, path: to } : disk));
  const moved = { ...vm, disks };
  define(world, moved);
  return { ...world, vms: world.vms.map((each) => (each === vm ? moved : each)) };
}

/** Whether all files of the chain are where the images say: a base may have been renamed. */
function opens(path: string): boolean {
  if (!existsSync(path)) return false;
  const { backing } = parseImage(readFileSync(path)) ?? {};
  return !backing || opens(backingPath(path, backing));
}

/** One more VM, on copies of the images of another or on overlays over them. */
function clone(chance: Chance, world: World, vm: WorldVm): World {
  const paths = activePaths(world, vm);
  if (world.vms.length >= 4 || !paths.every(opens)) return world;
  const letter = 'abcd'[world.vms.length];
  const copy = chance.of(60) ? copyFileSync : (from: string, to: string) => makeOverlay(to, from);
  const disks = paths.map((path, n) => {
    const to = join(world.directory, `clone-${letter}-${n}.qcow2`);
    copy(path, to);
    world.log.push(`${to} is a ${copy === copyFileSync ? 'copy of' : 'linked clone over'} ${path}`);
    return { target: `vd${'ab'[n]}`, path: to };
  });
  const cloned: WorldVm = { name: vm.name.replace(/.$/, `${letter}`), uuid: randomUUID(), disks };
  define(world, cloned);
  return { ...world, vms: [...world.vms, cloned] };
}

function activePaths({ virsh }: World, { uuid }: WorldVm): string[] {
  const [definition = ''] = virsh.answers([['dumpxml', '--inactive', uuid]]);
  return [...definition.matchAll(/<source file='([^']+)'/g)].map(([, path]) => path ?? '');
}
