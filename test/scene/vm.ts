// VMs of the lab, by raw virsh and always by UUID: what they are called must not matter here.
import { randomUUID } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { processes, repairLibvirtd } from '../lab/daemon.ts';
import { scratch, sendSignal, tool, tryVirsh, virsh } from '../lab/lab.ts';
import { type Boot, bootSector } from './boot.ts';
import { formatOf, imageInfo } from './disk.ts';
import { blockDevice, removeMounts } from './mount.ts';

/** One disk of a VM to be defined; all is optional, `{}` is a qcow2 of 64 MiB. */
export interface DiskSpec {
  readonly size?: string;
  readonly format?: string;
  /** What the VM's XML says the format is; null: nothing. Default: the truth. */
  readonly driver?: string | null;
  readonly device?: 'disk' | 'cdrom' | 'floppy';
  readonly readonly?: boolean;
  readonly snapshot?: 'no' | 'internal' | 'external' | 'manual';
  /** A file (or, with backend 'block', a device) that is there or is meant not to be; null: no medium. */
  readonly source?: string | null;
  /** The image below this one. */
  readonly backing?: string;
  readonly bus?: string;
  readonly target?: string;
  /** More elements within <disk>. */
  readonly extraXml?: string;
  readonly backend?: 'file' | 'block';
}

export interface VmSpec {
  readonly name: string;
  readonly memoryMiB?: number;
  readonly disks?: readonly DiskSpec[];
  /** Written to the first disk. */
  readonly boot?: Boot;
  readonly extraDevicesXml?: string;
  /** Instead of the <os> element. */
  readonly osXml?: string;
}

/** A disk as it was defined; the path is '' when there is no medium. */
export interface Disk {
  readonly target: string;
  readonly path: string;
}

export interface Vm {
  readonly name: string;
  readonly uuid: string;
  readonly disks: readonly Disk[];
}

/** The path of a VM's nth disk. */
export function pathOf(vm: Vm, n = 0): string {
  const path = vm.disks[n]?.path;
  if (!path) throw new Error(`${vm.name} has no medium in disk ${n}`);
  return path;
}

function escapeXml(text: string): string {
  return text.replace(/[<>&'"]/g, (character) => `&#${character.charCodeAt(0)};`);
}

function createImage(directory: string, target: string, spec: DiskSpec): string {
  const { format = 'qcow2', size = '64M', backing } = spec;
  let path = join(directory, `${target}.${format}`);
  if (spec.backend === 'block') {
    // a device does not grow: leave room for snapshots, and for all that QEMU could save of its memory
    tool('qemu-img', ['create', '-q', '-f', 'raw', '--', path, size]);
    truncateSync(path, imageInfo(path)['virtual-size'] * 2 + 128 * 1024 * 1024);
    path = blockDevice(path);
  }
  if (format === 'qcow2' && backing === undefined && spec.backend !== 'block') {
    writeFileSync(path, emptyQcow2(size));
    return path;
  }
  const below = backing === undefined ? [] : ['-b', backing, '-F', formatOf(backing)];
  const sizes = backing !== undefined && spec.size === undefined ? [] : [size];
  tool('qemu-img', ['create', '-q', '-f', format, ...below, '--', path, ...sizes]);
  return path;
}

/** New images by their size, as qemu-img has made them. */
const emptyImages = new Map<string, Buffer>();

/** A new qcow2 image: the first of each size is made by qemu-img, and the others are copies of it. */
function emptyQcow2(size: string): Buffer {
  const made = emptyImages.get(size);
  if (made) return made;
  const path = join(scratch, 'empty.qcow2');
  tool('qemu-img', ['create', '-q', '-f', 'qcow2', '--', path, size]);
  const image = readFileSync(path);
  rmSync(path);
  emptyImages.set(size, image);
  return image;
}

const DEFAULT_BUS = { disk: 'virtio', cdrom: 'ide', floppy: 'fdc' };
const TARGET_PREFIX: Readonly<Record<string, string>> = { virtio: 'vd', ide: 'hd', fdc: 'fd' };

/** Creates the images of a VM and gives each disk its element; prefers the first free target. */
function makeDisk(directory: string, spec: DiskSpec, taken: Set<string>): Disk & { readonly xml: string } {
  const { device = 'disk', format = 'qcow2', driver = format, source, backend = 'file' } = spec;
  const bus = spec.bus ?? DEFAULT_BUS[device];
  const free = [...'abcdefghijklmnop'].map((letter) => `${TARGET_PREFIX[bus] ?? 'sd'}${letter}`);
  const target = spec.target ?? free.find((name) => !taken.has(name)) ?? 'vdz';
  taken.add(target);
  const path = source === undefined ? createImage(directory, target, spec) : (source ?? '');
  const attribute = backend === 'block' ? 'dev' : 'file';
  const xml = [
    `<disk type='${backend}' device='${device}'${spec.snapshot ? ` snapshot='${spec.snapshot}'` : ''}>`,
    driver === null ? '' : `<driver name='qemu' type='${escapeXml(driver)}'/>`,
    path === '' ? '' : `<source ${attribute}='${escapeXml(path)}'/>`,
    `<target dev='${target}' bus='${bus}'/>`,
    spec.readonly ? '<readonly/>' : '',
    spec.extraXml ?? '',
    '</disk>',
  ].join('');
  return { target, path, xml };
}

/** Defines a VM with its images; `cleanUp` removes it. It is off. */
export function defineVm(spec: VmSpec): Vm {
  const directory = mkdtempSync(join(scratch, 'm-'));
  const taken = new Set<string>();
  const disks = (spec.disks ?? [{}]).map((disk) => makeDisk(directory, disk, taken));
  if (spec.boot !== undefined) writeBootSector(directory, disks[0]?.path, spec.boot);
  const uuid = randomUUID();
  const definition = join(directory, 'VM.xml');
  const xml = `<domain type='qemu'>
  <name>${escapeXml(spec.name)}</name>
  <uuid>${uuid}</uuid>
  <memory unit='MiB'>${spec.memoryMiB ?? 32}</memory>
  <vcpu>1</vcpu>
  ${spec.osXml ?? "<os><type arch='x86_64' machine='pc'>hvm</type></os>"}
  <features><acpi/></features>
  <seclabel type='none'/>
  <devices>
    ${disks.map((disk) => disk.xml).join('\n    ')}
    <controller type='usb' model='none'/>
    <memballoon model='none'/>
    ${spec.extraDevicesXml ?? ''}
  </devices>
</domain>
`;
  writeFileSync(definition, xml);
  virsh('define', definition);
  return { name: spec.name, uuid, disks: disks.map(({ target, path }) => ({ target, path })) };
}

function writeBootSector(directory: string, path: string | undefined, boot: Boot): void {
  if (!path) throw new Error('a boot sector needs a first disk with a medium');
  const file = join(directory, 'boot');
  writeFileSync(file, bootSector(boot));
  tool('qemu-io', ['-f', formatOf(path), '-c', `write -s ${file} 0 512`, path]);
}

export function start(vm: Vm): void {
  virsh('start', '--domain', vm.uuid);
}

/** Turns the VM off at once, also when its QEMU is stopped; content when it is off already. */
export function destroy(vm: Vm): void {
  const pid = findQemu(vm.uuid);
  if (pid !== undefined) sendSignal(pid, 'SIGCONT');
  const { code, stderr } = tryVirsh('destroy', '--domain', vm.uuid);
  if (code !== 0 && !stderr.includes('domain is not running')) throw new Error(stderr);
}

/** Removes the definition and what libvirt keeps with it; the images stay. */
export function undefine(vm: Vm): void {
  virsh('undefine', '--domain', vm.uuid, ...UNDEFINE_ALL);
}

const UNDEFINE_ALL = ['--snapshots-metadata', '--checkpoints-metadata', '--managed-save', '--nvram'];

/** As `virsh domstate` says: `running`, `paused`, `shut off`. */
export function state(vm: Vm): string {
  return virsh('domstate', '--domain', vm.uuid).trim();
}

/** With the reason: `paused (saving)`. */
export function stateAndReason(vm: Vm): string {
  return virsh('domstate', '--reason', '--domain', vm.uuid).trim();
}

/** The XML of the VM as it is now. */
export function domainXml(vm: Vm): string {
  return virsh('dumpxml', '--domain', vm.uuid);
}

function findQemu(uuid: string): number | undefined {
  return processes().find(({ args }) => args[args.indexOf('-uuid') + 1] === uuid)?.pid;
}

/** The process of the VM's QEMU. */
export function qemuPid(vm: Vm): number {
  const pid = findQemu(vm.uuid);
  if (pid === undefined) throw new Error(`no QEMU runs for ${vm.name}`);
  return pid;
}

/** Stops the QEMU process itself: every job of libvirt on the VM then hangs, for as long as wanted. */
export function stopQemu(vm: Vm): void {
  sendSignal(qemuPid(vm), 'SIGSTOP');
}

export function continueQemu(vm: Vm): void {
  sendSignal(qemuPid(vm), 'SIGCONT');
}

/** A 32-bit word of the guest's physical memory, see MARK_ADDRESS. */
export function guestWord(vm: Vm, address: number): number {
  const answer = virsh('qemu-monitor-command', '--domain', vm.uuid, '--hmp', `xp /1xw ${address}`);
  const word = /: 0x([0-9a-f]{8})/.exec(answer)?.[1];
  if (word === undefined) throw new Error(`no memory word in: ${answer}`);
  return Number.parseInt(word, 16);
}

/**
 * Removes every VM, image, mount and device, whoever made them, and fixes libvirtd.
 * Every test file of the lab ends with `afterAll(cleanUp)`.
 */
export async function cleanUp(): Promise<void> {
  await repairLibvirtd();
  const uuids = virsh('list', '--all', '--uuid').split('\n').filter(Boolean);
  for (const { pid, args } of processes()) {
    // quick, and works on a stopped one
    if (uuids.includes(args[args.indexOf('-uuid') + 1] ?? '')) sendSignal(pid, 'SIGKILL');
  }
  for (const uuid of uuids) {
    tryVirsh('destroy', '--domain', uuid);
    tryVirsh('undefine', '--domain', uuid, ...UNDEFINE_ALL);
  }
  removeMounts();
  for (const entry of readdirSync(scratch)) {
    // a shell that ends may still write its history
    rmSync(join(scratch, entry), { recursive: true, force: true, maxRetries: 5 });
  }
}
