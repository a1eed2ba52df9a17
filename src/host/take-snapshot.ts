import type { Context } from '../context.ts';
import { CREATE_RULES, type CreateFacts, needsDaemonVersion } from '../core/create-rules.ts';
import { type Disk, isActive, takesPart } from '../core/domain.ts';
import { tagsNamed } from '../core/image.ts';
import { nameProblem } from '../core/names.ts';
import { type Finding, judge } from '../core/preflight.ts';
import { quote } from '../core/quote.ts';
import type { SnapshotReport } from '../core/report.ts';
import { KvmsnapError } from '../errors.ts';
import type { VirshCommand } from '../libvirt/batch.ts';
import { type MachineReading, readByUuid } from '../libvirt/machine.ts';
import { NO_RUNTIME, readDaemonVersion, readRuntime } from '../libvirt/runtime.ts';
import { virshFailure } from '../libvirt/virsh-error.ts';
import { freeBytes } from '../qemu/qemu-img.ts';
import { humanBytes } from '../render/format.ts';
import {
  aftermath,
  carryOut,
  lostCurrent,
  patiently,
  readAfter,
  refuseOn,
  type WriteEnd,
  withAftermath,
} from './act.ts';
import { type Images, lookAtDisks, noteUnseen } from './disks.ts';
import { completeMachine, type Machine } from './machine.ts';

export interface SnapshotRequest {
  /** A name, or what makes one of the time (seconds since the epoch) and of what is taken already. */
  readonly name: string | NameMaker;
  readonly description: string | null;
  readonly force: boolean;
}

export type NameMaker = (nowSeconds: number, taken: (name: string) => boolean) => string;

/** What came of it: the machine afterwards and its new snapshot, or with `--dry-run` the command that would run. */
export type Taken =
  | { readonly machine: Machine; readonly snapshot: SnapshotReport }
  | { readonly planned: VirshCommand; readonly name: string };

/** Further tries for an automatic name that another script took: in each, one of them gets its own. */
const RETRIES = 30;

/**
 * Takes an internal snapshot: checks, acts, looks. Returns only when the snapshot is complete in libvirt and its tag is
 * in every disk exactly once.
 */
export async function takeSnapshot(
  ctx: Context,
  reading: MachineReading,
  request: SnapshotRequest,
): Promise<Taken> {
  const { uuid, name } = reading.domain;
  return patiently(ctx, async (ctx, again) =>
    takeNow(ctx, again ? await readByUuid(ctx.virsh, uuid, name) : reading, request),
  );
}

async function takeNow(ctx: Context, reading: MachineReading, request: SnapshotRequest): Promise<Taken> {
  if (typeof request.name === 'string') return attempt(ctx, reading, request.name, request);
  for (let left = RETRIES; ; left--) {
    const images = await lookAtDisks(ctx, reading.uri, reading.domain.disks.filter(takesPart));
    const taken = new Set([...reading.snapshotNames, ...[...images.values()].flatMap(allTags)]);
    const name = request.name(Math.floor(ctx.clock.now() / 1000), (candidate) => taken.has(candidate));
    try {
      return await attempt(ctx, reading, name, request, images);
    } catch (error) {
      if (!(error instanceof KvmsnapError) || error.code !== 'exists' || left === 0) throw error;
      reading = await readByUuid(ctx.virsh, reading.domain.uuid);
    }
  }
}

const allTags = (image: Images extends ReadonlyMap<string, infer I> ? I : never): string[] =>
  image.kind === 'seen' ? image.chain[0].tags.map((tag) => tag.name) : [];

async function attempt(
  ctx: Context,
  reading: MachineReading,
  name: string,
  { description, force }: SnapshotRequest,
  known?: Images,
): Promise<Taken> {
  const { domain } = reading;
  checkName(name);
  if (reading.snapshotNames.includes(name)) throw existsAlready(domain.name, name);
  const facts = await readCreateFacts(ctx, reading, name, { images: known });
  const { images } = facts;
  if (holdsTag(images, name) && (await isListed(ctx, domain.uuid, name)))
    throw existsAlready(domain.name, name);
  noteUnseen(ctx, domain, images);
  refuseOn(ctx, `cannot take a snapshot of '${domain.name}'`, judge(CREATE_RULES, facts), force);

  const command: VirshCommand = [
    'snapshot-create-as',
    ...['--domain', domain.uuid, '--name', name],
    ...(description === null || description === '' ? [] : ['--description', description]),
  ];
  if (ctx.settings.dryRun) return { planned: command, name };
  return ctx.interrupts.protect(`the snapshot '${name}' of '${domain.name}'`, () =>
    createAndVerify(ctx, { reading, images }, name, command),
  );
}

/** All that the rules of a create ask for. Throws `busy` when another job holds the running machine. */
export async function readCreateFacts(
  ctx: Context,
  { domain, uri }: MachineReading,
  name: string,
  known: { readonly images?: Images | undefined; readonly daemonVersion?: number } = {},
): Promise<CreateFacts> {
  const disks = domain.disks.filter(takesPart);
  const targets = disks.map((disk) => disk.target);
  const running = isActive(domain.state);
  const [images, runtime, daemonVersion, free] = await Promise.all([
    known.images ?? lookAtDisks(ctx, uri, disks),
    running ? readRuntime(ctx.virsh, domain.uuid, targets) : NO_RUNTIME,
    known.daemonVersion ?? (needsDaemonVersion(domain) ? readDaemonVersion(ctx.virsh) : 0),
    spaceForMemory(disks[0]),
  ]);
  return {
    domain,
    images,
    name,
    daemonVersion,
    blockJobs: runtime.blockJobs,
    freeBytes: images.get(disks[0]?.target ?? '')?.kind === 'seen' ? free : null,
    residentBytes: runtime.residentBytes,
  };
}

/** Bytes free where libvirt writes the memory, the first disk that takes part; a block device has a size of its own. */
async function spaceForMemory(disk: Disk | undefined): Promise<number | null> {
  return disk?.storage === 'file' && disk.source !== null ? freeBytes(disk.source) : null;
}

/** Throws `usage` when libvirt or the images could not hold a new snapshot of this name. */
export function checkName(name: string): void {
  const problem = nameProblem(name);
  if (problem !== null)
    throw new KvmsnapError('usage', `'${name}' cannot be the name of a snapshot: ${problem}`);
}

const holdsTag = (images: Images, name: string): boolean =>
  [...images.values()].some((image) => tagsNamed(image, name).length > 0);

/** A tag of a snapshot that another script takes meanwhile is no orphan: libvirt lists it before the tag is there. */
async function isListed(ctx: Context, uuid: string, name: string): Promise<boolean> {
  return (await readByUuid(ctx.virsh, uuid)).snapshotNames.includes(name);
}

function existsAlready(machine: string, name: string): KvmsnapError {
  return new KvmsnapError('exists', `the machine '${machine}' already has a snapshot '${name}'`, {
    hint: 'choose another name, or delete that one first with kvmsnap delete',
  });
}

interface Before {
  readonly reading: MachineReading;
  readonly images: Images;
}

async function createAndVerify(
  ctx: Context,
  before: Before,
  name: string,
  command: VirshCommand,
): Promise<Taken> {
  const { domain } = before.reading;
  const running = isActive(domain.state);
  const first = domain.disks.find(takesPart);
  const end = await carryOut(ctx, {
    command,
    label: running ? `saving the memory of '${domain.name}'` : `taking a snapshot of '${domain.name}'`,
    growing: first?.source ?? null,
  });
  const { machine, snapshot, flaws } = await lookAfter(ctx, domain.uuid, name, end);

  if (end.kind !== 'refused' && snapshot && flaws.length === 0) return { machine, snapshot };
  const failure = virshFailure(`the snapshot '${name}' of '${domain.name}' was not taken`, end.stderr);
  if (end.kind === 'refused' && snapshot && failure.code === 'refused')
    throw existsAlready(domain.name, name);
  if (failure.code === 'busy') throw failure; // ours never began, and what has changed is the other job's
  const inImages = [...orphans(machine, name), ...wastedSpace(machine, before.images, name)];
  const inLibvirt = [
    ...lostCurrent(ctx, machine, before.reading.current),
    ...aftermath(ctx, machine.domain, domain.state),
  ];
  throw withAftermath(
    end.kind === 'done' ? incomplete(domain.name, name, flaws) : failure,
    // in the order to mend it: what needs the machine off comes before its start, and after its resume
    isActive(machine.domain.state) ? [...inLibvirt, ...inImages] : [...inImages, ...inLibvirt],
  );
}

/** Further looks at a snapshot that virsh reported as created, and the pause before each. */
const LOOKS = 3;
const LOOK_MILLISECONDS = 200;

/**
 * The machine afterwards, and what its new snapshot lacks. While another script takes one, qemu-img may see an image's
 * table of snapshots half written, so what looks incomplete is looked at again.
 */
async function lookAfter(ctx: Context, uuid: string, name: string, end: WriteEnd) {
  for (let left = end.kind === 'done' ? LOOKS : 0; ; left--) {
    const machine = await completeMachine(ctx, await readAfter(ctx, uuid, end), [name]);
    const snapshot = machine.snapshots.find((candidate) => candidate.name === name);
    const flaws = snapshot ? incompleteness(machine, snapshot) : ["libvirt's list does not have it"];
    if (flaws.length === 0 || left === 0) return { machine, snapshot, flaws };
    await ctx.clock.sleep(LOOK_MILLISECONDS);
  }
}

const incomplete = (machine: string, name: string, flaws: readonly string[]): KvmsnapError =>
  new KvmsnapError(
    'refused',
    `virsh reported the snapshot '${name}' of '${machine}' as created, but it is not complete: ${flaws.join('; ')}`,
  );

/** What a finished snapshot still lacks; empty when it is complete. Disks that cannot be looked at are taken on trust. */
function incompleteness({ images }: Machine, snapshot: SnapshotReport): string[] {
  const flaws = snapshot.disks.flatMap(({ target, location }) => {
    const image = images.get(target);
    if (location !== 'internal') return [`disk ${target} is ${location}`];
    if (image?.kind === 'unseen') return [];
    if (image?.kind === 'broken') return [`disk ${target} cannot be read (${image.detail})`];
    const count = tagsNamed(image, snapshot.name).length;
    return count === 1 ? [] : [`disk ${target} holds it ${count} times`];
  });
  const covered = new Set(snapshot.disks.map((disk) => disk.target));
  for (const target of images.keys())
    if (!covered.has(target)) flaws.push(`disk ${target} is not part of it`);
  if (snapshot.memory.location === 'internal' && snapshot.vmStateBytes === 0)
    flaws.push('its memory is in no disk');
  return flaws;
}

/** Tags that stayed without metadata (hazards 4, 9, 22). */
function orphans(after: Machine, name: string): Finding[] {
  if (after.snapshotNames.includes(name)) return [];
  return [...after.images].flatMap(([target, image]) => {
    if (image.kind !== 'seen' || tagsNamed(image, name).length === 0) return [];
    const command = `qemu-img snapshot -d ${quote(name)} ${quote(image.chain[0].path)}`;
    const what = `disk ${target} was left with a snapshot '${name}' that libvirt does not know`;
    return [{ what, command, hint: `with the machine off: ${command}` }];
  });
}

/** Less than this is ordinary growth of the guest's own data. */
const NOTABLE_BYTES = 16 * 1024 * 1024;

/** The memory is written behind the disk's own data, from the next L2 table on (QEMU, qcow2_vm_state_offset). */
function vmStateStart(virtualBytes: number, clusterBytes: number): number {
  const covered = (clusterBytes / 8) * clusterBytes;
  return Math.ceil(virtualBytes / covered) * covered;
}

/**
 * A save that ran out of space leaves its clusters in the image (hazard 7); those of an orphaned tag go with it. Grown
 * over them, the disk can be shrunk again without them.
 */
function wastedSpace(after: Machine, before: Images, name: string): Finding[] {
  return [...after.images].flatMap(([target, image]) => {
    const earlier = before.get(target);
    if (image.kind !== 'seen' || earlier?.kind !== 'seen' || tagsNamed(image, name).length > 0) return [];
    const bytes = image.chain[0].allocatedBytes - earlier.chain[0].allocatedBytes;
    if (bytes < NOTABLE_BYTES) return [];
    const { path, virtualBytes, allocatedBytes, clusterBytes } = image.chain[0];
    const end = vmStateStart(virtualBytes, clusterBytes ?? 65_536) + allocatedBytes;
    const more = `${Math.ceil((end - virtualBytes) / 1024 / 1024)}M`;
    const command = `qemu-img resize ${quote(path)} +${more} && qemu-img resize --shrink ${quote(path)} ${virtualBytes}`;
    const what = `disk ${target}: the image has grown by ${humanBytes(bytes)}, and the failed save does not give them back`;
    return [{ what, command, hint: `with the machine off, and a little space freed elsewhere: ${command}` }];
  });
}
