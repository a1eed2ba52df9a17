// Small worlds by chance: a few VMs that are off or run, on a few images that are shared, cloned, linked, moved, renamed.
import { randomUUID } from 'node:crypto';
import {
  copyFileSync,
  existsSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { scratch, tool, tryTool, tryVirsh, virsh } from '../lab/lab.ts';

export interface WorldVm {
  readonly name: string;
  readonly uuid: string;
  readonly disks: readonly { readonly target: string; readonly path: string }[];
}

export interface World {
  readonly directory: string;
  readonly vms: readonly WorldVm[];
  /** How it came to be and what was done in it, for whoever has to repeat it. */
  readonly log: string[];
}

/** Choices from a source of numbers in [0, 1). */
export interface Chance {
  /** True in so many of 100 cases. */
  readonly of: (percent: number) => boolean;
  readonly pick: <T>(choices: readonly T[]) => T;
  readonly between: (least: number, most: number) => number;
}

export function chanceFrom(random: () => number): Chance {
  const between = (least: number, most: number) => least + Math.floor(random() * (most - least + 1));
  return {
    of: (percent) => random() * 100 < percent,
    pick: <T>(choices: readonly T[]) => choices[between(0, choices.length - 1)] as T,
    between,
  };
}

/** Images, VMs on them, and a short history of each. */
export function makeWorld(chance: Chance, number: number): World {
  const directory = mkdtempSync(join(scratch, `world-${number}-`));
  const log: string[] = [];
  const images = makeImages(chance, directory, log);
  const free = [...images];
  const vms = Array.from({ length: chance.between(2, 4) }, (_, i): WorldVm => {
    const wanted = chance.of(30) ? 2 : 1;
    const paths: string[] = [];
    for (let n = 0; n < wanted; n++) {
      const own = chance.of(45) ? free.shift() : undefined;
      const path = own ?? (chance.of(60) ? chance.pick(images) : ownImage(directory, i, n, log));
      if (!paths.includes(path)) paths.push(path);
    }
    const disks = paths.map((path, n) => ({ target: `vd${'ab'[n]}`, path: alias(chance, path, log) }));
    return { name: `w${number}-${'abcd'[i]}`, uuid: randomUUID(), disks };
  });
  define(vms, directory, log);
  let world: World = { directory, vms, log };
  for (let n = chance.between(1, 6); n > 0; n--) world = history(chance, world);
  if (chance.of(12)) startOne(chance, world);
  return world;
}

/** Removes all of it. */
export function removeWorld({ vms, directory }: World): void {
  // a batch goes on after what fails: most of them are off
  const commands = vms.map(
    ({ uuid }) => `destroy ${uuid}; undefine ${uuid} --snapshots-metadata --managed-save`,
  );
  tryVirsh(commands.join('; '));
  rmSync(directory, { recursive: true });
}

function makeImages(chance: Chance, directory: string, log: string[]): string[] {
  const images: string[] = [];
  for (let n = chance.between(1, 3); n > 0; n--) {
    const path = join(directory, `i${n}.qcow2`);
    const below = images.length > 0 && chance.of(35) ? chance.pick(images) : null;
    create(path, below, 25 * chance.between(1, 10), log);
    images.push(path);
  }
  return images;
}

function ownImage(directory: string, vm: number, n: number, log: string[]): string {
  const path = join(directory, `own-${vm}-${n}.qcow2`);
  create(path, null, 17 * (vm + 1) + n, log);
  return path;
}

/** Makes an image with something in it. One that stands alone is copied: a process less, hundreds of times. */
function create(path: string, below: string | null, byte: number, log: string[]): void {
  if (below === null) copyFileSync(template(byte), path);
  else {
    tool('qemu-img', ['create', '-q', '-f', 'qcow2', '-F', 'qcow2', '-b', below, path]);
    fill(path, byte, log);
  }
  log.push(`${path} is a new image, filled with ${byte}${below === null ? '' : `, over ${below}`}`);
}

function template(byte: number): string {
  const path = join(scratch, `template-${byte}.qcow2`);
  if (!existsSync(path)) {
    tool('qemu-img', ['create', '-q', '-f', 'qcow2', path, '512K']);
    fill(path, byte, []);
  }
  return path;
}

/** Writes one byte over a part of the disk, as its guest would. */
function fill(path: string, byte: number, log: string[]): void {
  const command = byte > 250 ? `write -P ${byte} 0 512k` : `write -P ${byte} ${(byte % 4) * 64}k 128k`;
  const { code, stdout, stderr } = tryTool('qemu-io', ['-f', 'qcow2', '-c', command, path]);
  log.push(
    `qemu-io -c '${command}' ${path} # ${code}${/error|failed/i.test(stdout + stderr) ? ' failed' : ''}`,
  );
}

/** The path itself, or another way to the same file. */
function alias(chance: Chance, path: string, log: string[]): string {
  if (!chance.of(20)) return path;
  const other = join(dirname(path), `${chance.of(70) ? 'link' : 'hard'}-${basename(path)}`);
  if (existsSync(other)) return other;
  if (other.includes('link-')) symlinkSync(path, other);
  else linkSync(path, other);
  log.push(`${other} -> ${path}`);
  return other;
}

function define(vms: readonly WorldVm[], directory: string, log: string[]): void {
  const files = vms.map((vm) => {
    const file = join(directory, `${vm.name}.xml`);
    writeFileSync(file, definitionOf(vm));
    log.push(`define ${vm.name} with ${vm.disks.map(({ target, path }) => `${target}=${path}`).join(' ')}`);
    return file;
  });
  virsh(files.map((file) => `define ${file}`).join('; '));
}

function definitionOf({ name, uuid, disks }: WorldVm): string {
  const elements = disks.map(
    ({ target, path }) =>
      `<disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='${path}'/><target dev='${target}' bus='virtio'/></disk>`,
  );
  return `<domain type='qemu'><name>${name}</name><uuid>${uuid}</uuid><memory unit='MiB'>16</memory><vcpu>1</vcpu>
     <os><type arch='x86_64' machine='pc'>hvm</type></os><seclabel type='none'/>
     <devices>${elements.join('')}<controller type='usb' model='none'/><memballoon model='none'/></devices></domain>`;
}

/** One thing that happened to a world before kvmsnap came. */
function history(chance: Chance, world: World): World {
  const vm = chance.pick(world.vms);
  const raw = (...args: string[]) => world.log.push(`virsh ${args.join(' ')} # ${tryVirsh(...args).code}`);
  const kind = chance.pick([
    'internal',
    'internal',
    'internal',
    'external',
    'write',
    'write',
    'move',
  ] as const);
  if (kind === 'internal') raw('snapshot-create-as', vm.uuid, chance.pick(['s1', 's2', 's3']));
  if (kind === 'external') raw('snapshot-create-as', vm.uuid, chance.pick(['e1', 'e2']), '--disk-only');
  if (kind === 'write') for (const path of activePaths(vm)) fill(path, chance.between(1, 250), world.log);
  return kind === 'move' ? move(chance, world, vm) : world;
}

/** The guest of a VM writes all over its disks, unless it runs (there is none that would) or a file is locked. */
export function writeAnew({ log }: World, vm: WorldVm): void {
  for (const path of activePaths(vm)) fill(path, 251, log);
}

const activePaths = ({ uuid }: WorldVm): string[] =>
  [...virsh('dumpxml', '--inactive', uuid).matchAll(/<source file='([^']+)'/g)].map(([, path]) => path ?? '');

/** The first image of a VM is moved or renamed, and the VM defined with the new path; sometimes a copy stays behind. */
function move(chance: Chance, world: World, vm: WorldVm): World {
  const [first] = vm.disks;
  if (!first || activePaths(vm)[0] !== first.path) return world; // an overlay names its base by its path
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
  define([moved], world.directory, world.log);
  return { ...world, vms: world.vms.map((each) => (each === vm ? moved : each)) };
}

function startOne(chance: Chance, { vms, log }: World): void {
  const { uuid, name } = chance.pick(vms);
  log.push(`virsh start ${name} # ${tryVirsh('start', '--domain', uuid).code}`);
}
