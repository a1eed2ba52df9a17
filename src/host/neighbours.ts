import type { Context } from '../context.ts';
import type { Disk } from '../core/domain.ts';
import { chainPaths } from '../core/image.ts';
import { namedFiles, stateFiles } from '../core/machine-files.ts';
import { KvmsnapError } from '../errors.ts';
import type { Interrupts } from '../interrupts.ts';
import { listMachines, type MachineName, readMachines } from '../libvirt/machine.ts';
import { readSnapshotsOf } from '../libvirt/snapshots.ts';
import { inspectImage } from '../qemu/qemu-img.ts';
import { isRemote, lookAtDisks } from './disks.ts';
import { byText, identifyFiles } from './file-identity.ts';
import type { Machine } from './machine.ts';

/**
 * Which files a machine needs, by the whole chain under each of its disks and snapshots, and which of them another one
 * needs.
 */

/** Files that are needed. */
export interface FilesInUse {
  readonly paths: ReadonlySet<string>;
  /** Something could not be looked at, so there may be more. */
  readonly mayBeMore: boolean;
}

/** A machine of this libvirt. */
export interface Neighbour extends FilesInUse {
  readonly machine: MachineName;
}

/** All that the machine or one of its snapshots names, and all that lies below. */
export async function filesInUse(
  ctx: Context,
  { uri, domain, snapshots, images }: Pick<Machine, 'uri' | 'domain' | 'images'> & Snapshots,
): Promise<FilesInUse> {
  const named = namedFiles(domain, snapshots, images);
  const looked = new Set([...images.values()].flatMap(chainPaths));
  const states = [...new Set(snapshots.flatMap(stateFiles))].filter((path) => !looked.has(path));
  const below = isRemote(uri) ? [] : await Promise.all(states.map((path) => inspectImage(ctx.qemuImg, path)));
  const all = [...images.values(), ...below];
  return {
    paths: new Set([...named, ...below.flatMap(chainPaths)]),
    // what is on the network lies on no file of this host
    mayBeMore: all.some(
      (image) => image.kind !== 'seen' && !(image.kind === 'unseen' && image.why === 'network'),
    ),
  };
}

interface Snapshots {
  readonly snapshots: Parameters<typeof namedFiles>[1];
}

/** All machines of this libvirt with what they need: three virsh processes, and one qemu-img for each of their disks. */
export async function readNeighbours(ctx: Context): Promise<Neighbour[]> {
  const machines = await listMachines(ctx.virsh);
  const readings = await readMachines(ctx.virsh, machines);
  const snapshots = await readSnapshotsOf(
    ctx.virsh,
    readings.map((reading) =>
      reading instanceof KvmsnapError
        ? { uuid: '', name: '', names: [] }
        : { ...reading.domain, names: reading.snapshotNames },
    ),
  );
  return Promise.all(
    machines.map(async (machine, i): Promise<Neighbour> => {
      const reading = readings[i];
      if (!reading || reading instanceof KvmsnapError) return { machine, paths: new Set(), mayBeMore: true };
      const images = await lookAtDisks(ctx, reading.uri, reading.domain.disks.filter(mayLieOnOthers));
      const { snapshots: found = [], unread = [] } = snapshots[i] ?? {};
      const used = await filesInUse(ctx, { ...reading, images, snapshots: found });
      return { machine, ...used, mayBeMore: used.mayBeMore || unread.length > 0 };
    }),
  );
}

/** A read-only disk too is ruined by what is written beneath it. */
const mayLieOnOthers = ({ hasSource, device }: Disk): boolean => hasSource && device !== 'cdrom';

interface Looked {
  readonly neighbours: readonly Neighbour[];
  /** The machines whose name was told, since not all of them could be looked at. */
  readonly told: Set<string>;
}

/** What each run has found: a delete of many looks once. */
const looked = new WeakMap<Interrupts, Promise<Looked>>();

/**
 * By path, of the files of this machine and its snapshots, the names of the other machines that need it. Reads them once a
 * run, and says once which could not be looked at.
 */
export async function filesShared(
  ctx: Context,
  { uri, domain, snapshots, images }: Pick<Machine, 'uri' | 'domain' | 'images'> & Snapshots,
): Promise<ReadonlyMap<string, readonly string[]>> {
  const reading =
    looked.get(ctx.interrupts) ??
    readNeighbours(ctx).then((neighbours) => ({ neighbours, told: new Set<string>() }));
  looked.set(ctx.interrupts, reading);
  const { neighbours, told } = await reading;
  const others = neighbours.filter(({ machine }) => machine.uuid !== domain.uuid);
  noteHidden(ctx, others, told);
  return usersOf(uri, others, [...namedFiles(domain, snapshots, images)]);
}

/** By path, of these files of the connection `uri`, the names of the machines that need it. */
export async function usersOf(
  uri: string,
  machines: readonly Neighbour[],
  files: readonly string[],
): Promise<ReadonlyMap<string, readonly string[]>> {
  const needed = machines.flatMap(({ paths }) => [...paths]);
  const key = isRemote(uri) ? byText : await identifyFiles([...files, ...needed]);
  const users = new Map<string, string[]>();
  for (const { machine, paths } of machines)
    for (const file of new Set([...paths].map(key)))
      users.set(file, [...(users.get(file) ?? []), machine.name]);
  const found = files.map((file) => [file, users.get(key(file)) ?? []] as const);
  return new Map(found.filter(([, users]) => users.length > 0));
}

function noteHidden(ctx: Context, others: readonly Neighbour[], told: Set<string>): void {
  const hidden = others.filter(({ machine, mayBeMore }) => mayBeMore && !told.has(machine.uuid));
  if (hidden.length === 0) return;
  const names = hidden.map(({ machine }) => `'${machine.name}'`).join(', ');
  ctx.terminal.note(
    `note: could not look at all files of ${names}: whether ${hidden.length === 1 ? 'it lies' : 'they lie'} on what is merged or removed is unchecked (hazard 37)`,
  );
  for (const { machine } of hidden) told.add(machine.uuid);
}
