// Small worlds by chance: a few VMs that are off or run, on a few images that are shared, cloned, linked, moved, renamed.
import { randomUUID } from 'node:crypto';
import { copyFileSync, existsSync, linkSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { scratch, tool, tryTool } from '../lab/lab.ts';
import type { Chance } from '../scene/random.ts';
import type { Session } from './session.ts';

export interface WorldVm {
  readonly name: string;
  readonly uuid: string;
  readonly disks: readonly { readonly target: string; readonly path: string }[];
}

export interface World {
  readonly directory: string;
  readonly vms: readonly WorldVm[];
  readonly virsh: Session;
  /** How it came to be and what was done in it, for whoever has to repeat it. */
  readonly log: string[];
  /** By device and inode, the cluster of an image that is left out when its guest writes almost all over it. */
  readonly leftOut: Map<string, number>;
}

/** Images, and VMs on them that have no past yet. */
export function makeWorld(chance: Chance, virsh: Session, number: number): World {
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
  const world: World = { directory, vms, virsh, log, leftOut: new Map() };
  for (const vm of vms) define(world, vm);
  return world;
}

/** Removes all of it. */
export function removeWorld({ vms, virsh, directory }: World): void {
  for (const { uuid } of vms) {
    virsh.does('destroy', uuid);
    virsh.does('undefine', uuid, '--snapshots-metadata', '--managed-save');
  }
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

/** Makes an image with something in it. */
function create(path: string, below: string | null, byte: number, log: string[]): void {
  if (below === null) createImage(path, byte);
  else makeOverlay(path, below);
  log.push(`${path} is a new image, filled with ${byte}${below === null ? '' : `, over ${below}`}`);
  if (below !== null) fill(path, byte, log);
}

export const makeOverlay = (path: string, below: string): string =>
  tool('qemu-img', ['create', '-q', '-f', 'qcow2', '-F', 'qcow2', '-b', below, path]);

/** One that stands alone is copied: two processes less, hundreds of times. */
export const createImage = (path: string, byte: number): void => copyFileSync(template(byte), path);

function template(byte: number): string {
  const path = join(scratch, `template-${byte}.qcow2`);
  if (!existsSync(path)) {
    tool('qemu-img', ['create', '-q', '-f', 'qcow2', path, '1M']);
    fill(path, byte, []);
  }
  return path;
}

/** Writes one byte over a part of the disk's first quarter. */
const fill = (path: string, byte: number, log: string[]): void => writeInto(path, [partly(byte)], log);

/** For qemu-io. */
export const partly = (byte: number): string => `write -P ${byte} ${(byte % 3) * 64}k 128k`;

/** How many clusters of 64 KiB a disk has. */
const CLUSTERS = 16;

/** All but one cluster of the second half, by its number: there an overlay goes on showing what lies below it. */
export function almostAll(byte: number, number: number): string[] {
  const cluster = CLUSTERS / 2 + (number % (CLUSTERS / 2 - 1));
  return [
    `write -P ${byte} 0 ${cluster * 64}k`,
    `write -P ${byte} ${cluster * 64 + 64}k ${(CLUSTERS - 1 - cluster) * 64}k`,
  ];
}

/** Writes into an image as a guest would, whose VM does not run. */
export function writeInto(path: string, commands: readonly string[], log: string[]): void {
  const args = ['-f', 'qcow2', ...commands.flatMap((command) => ['-c', command]), path];
  const { code, stdout, stderr } = tryTool('qemu-io', args);
  const failed = /error|failed/i.test(stdout + stderr) ? ' failed' : '';
  log.push(`qemu-io -c '${commands.join("' -c '")}' ${path} # ${code}${failed}`);
}

/** The path itself, or another way to the same file. */
function alias(chance: Chance, path: string, log: string[]): string {
  if (!chance.of(20)) return path;
  const other = join(dirname(path), `${chance.of(70) ? 'link' : 'hard'}-${basename(path)}`);
  if (existsSync(other)) return other;
  if (basename(other).startsWith('link-')) symlinkSync(path, other);
  else linkSync(path, other);
  log.push(`${other} -> ${path}`);
  return other;
}

export function define({ directory, virsh, log }: World, vm: WorldVm): void {
  const file = join(directory, `${vm.name}.xml`);
  writeFileSync(file, definitionOf(vm));
  log.push(`define ${vm.name} with ${vm.disks.map(({ target, path }) => `${target}=${path}`).join(' ')}`);
  if (!virsh.does('define', file)) throw new Error(`${vm.name} cannot be defined`);
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
