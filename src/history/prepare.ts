import { KvmsnapError } from '../errors.ts';
import { unlessOurs } from '../host/files.ts';
import { registrable, withIdentity, withPaths } from '../libvirt/xml/snapshot.ts';
import { parseWholeSnapshot } from '../libvirt/xml/snapshot-request.ts';
import { chainPaths, type DiskImage, type Images, tagsNamed } from '../model/image.ts';
import {
  externalDisks,
  internalDisks,
  type Snapshot,
  type SnapshotDisk,
  stateFile,
} from '../model/snapshot.ts';
import { inText } from '../model/text.ts';
import type { Context } from '../run/context.ts';
import { readUsersOf } from '../sharing/find-image-users.ts';
import { describeUses, usesOf } from '../sharing/image-users.ts';
import { identifyFiles } from '../vm/file-identity.ts';
import type { Vm } from '../vm/load.ts';
import { readStoredImages } from '../vm/stored-disks.ts';
import type { History } from './history-file.ts';
import { type Move, movedPaths } from './move-option.ts';

/** What is registered for each snapshot of a history, after the data of all were found. */

/** A snapshot of the history, as it is registered with the VM. */
export interface Entry {
  readonly name: string;
  readonly xml: string;
  readonly isCurrent: boolean;
  /** Whether libvirt has it already. */
  readonly isRegistered: boolean;
}

/**
 * The XML of each snapshot with the VM's name and UUID and with the new paths. Throws `exists` if the VM has another snapshot of that
 * name, and `check` with all that is missing; `repeat` makes the line with more moves, for images that are in use at other paths.
 */
export async function prepareEntries(
  ctx: Context,
  vm: Vm,
  { snapshots, current }: History,
  moves: readonly Move[],
  repeat: (moves: readonly Move[]) => string,
): Promise<Entry[]> {
  const missing: Missing[] = [];
  const entries: Entry[] = [];
  for (const { name, xml: saved } of snapshots) {
    const before = parseWholeSnapshot(name, saved);
    const xml = registrable(withIdentity(withPaths(saved, movedPaths(pathsOf(before), moves)), vm.domain));
    const wanted = parseWholeSnapshot(name, xml);
    const isRegistered = isKnown(vm, wanted);
    if (!isRegistered) missing.push(...(await missingOf(ctx, vm, wanted, entries)));
    entries.push({ name: wanted.name, xml, isCurrent: wanted.name === current, isRegistered });
  }
  if (missing.length === 0) return entries;
  const found = uniqueMoves(missing.flatMap(({ foundAt }) => foundAt ?? []));
  const line = found.length === 0 ? [] : [repeat([...moves, ...found])];
  throw KvmsnapError.of(
    'check',
    `cannot load the history of ${inText(vm.domain.name)}`,
    missing.map(({ what, foundAt }) => ({
      message: what,
      hint: foundAt ? 'the disk of the VM has a snapshot of that name at its present path' : HINT,
      commands: foundAt ? line : [],
    })),
  );
}

const HINT =
  'if the file was moved, add --map OLD=NEW; otherwise the images are those of another VM, or the data are gone';

/** A part of a snapshot that is not where its definition says; `foundAt`: where it is probably. */
interface Missing {
  readonly what: string;
  readonly foundAt?: Move | undefined;
}

const uniqueMoves = (moves: readonly Move[]): Move[] => [
  ...new Map(moves.map((move) => [move.from, move])).values(),
];

const pathsOf = ({ disks, definedDisks, otherDisks = [], memory }: Snapshot): string[] => [
  ...[...disks, ...definedDisks, ...otherDisks].flatMap(({ source }) => source ?? []),
  ...definedDisks.flatMap(({ backing = [] }) => backing),
  ...(memory.file === null ? [] : [memory.file]),
];

/** Whether libvirt has this snapshot. Throws `exists` if it has another one of that name. */
function isKnown({ domain, snapshots }: Vm, { name, createdAtSeconds, parent }: Snapshot): boolean {
  const known = snapshots.find((each) => each.name === name);
  if (!known) return false;
  if (known.createdAtSeconds === createdAtSeconds && known.parent === parent) return true;
  throw new KvmsnapError(
    'exists',
    `${inText(domain.name)} already has a different snapshot ${inText(name)}`,
    {
      hint: 'nothing was registered; the two differ in their time or their parent',
    },
  );
}

/** What a revert to the snapshot would miss. */
async function missingOf(
  ctx: Context,
  vm: Vm,
  wanted: Snapshot,
  earlier: readonly Entry[],
): Promise<Missing[]> {
  const { name, parent, memory } = wanted;
  const isThere = parent === null || [...earlier, ...vm.snapshots].some((each) => each.name === parent);
  const images = await readStoredImages(ctx, vm, wanted);
  const foreign = await foreignImages(ctx, vm, internalDisks(wanted), images);
  const files = externalDisks(wanted).flatMap((disk) => stateFile(wanted, disk) ?? []);
  const needed = [...files, ...(memory.location === 'external' && memory.file ? [memory.file] : [])];
  const found = await Promise.all(needed.map((path) => ctx.files.stat(path).catch(unlessOurs)));
  const all: Missing[] = [
    ...(isThere ? [] : [{ what: `its parent ${inText(parent)} is neither in the file nor registered` }]),
    ...internalDisks(wanted).flatMap((disk) => tagMissing(vm, wanted, disk.target, images) ?? []),
    ...foreign,
    ...needed.filter((_, i) => !found[i]).map((path) => ({ what: `the file ${path} does not exist` })),
  ];
  return all.map((each) => ({ ...each, what: `snapshot ${inText(name)}: ${each.what}` }));
}

/** The images that are no part of this VM, and are a disk of another one: its snapshots are in them. */
async function foreignImages(
  ctx: Context,
  { uri, domain, images: active }: Vm,
  disks: readonly SnapshotDisk[],
  images: Images,
): Promise<Missing[]> {
  const held = disks.flatMap(({ target }) => {
    const [path] = chainPaths(images.get(target));
    return path === undefined ? [] : [{ target, path }];
  });
  const own = [...active.values()].flatMap(chainPaths);
  const key = await identifyFiles(ctx.files, [...own, ...held.map(({ path }) => path)]);
  const ownKeys = new Set(own.map(key));
  const strange = held.filter(({ path }) => !ownKeys.has(key(path)));
  if (strange.length === 0) return [];
  const paths = strange.map(({ path }) => path);
  const users = await readUsersOf(ctx, { uri, files: { paths }, except: domain.uuid });
  return strange.flatMap(({ target, path }) => {
    const owners = usesOf(users, path).filter(({ kind, writes }) => kind === 'disk' && writes);
    if (owners.length === 0) return [];
    return [{ what: `disk ${target}: ${path} is not in use by this VM, and ${describeUses(owners)}` }];
  });
}

/** Both times are of the clock of one host; saving much memory takes its time. */
const EARLIER_SECONDS = 60;
const LATER_SECONDS = 3600;

function tagMissing(vm: Vm, wanted: Snapshot, target: string, images: Images): Missing | null {
  const image = images.get(target);
  const old = wanted.definedDisks.find((disk) => disk.target === target)?.source ?? null;
  const disk = vm.domain.disks.find((each) => each.target === target);
  if (!disk) return { what: `the VM has no disk ${target}` };
  const problem = problemOf(wanted, image);
  if (problem === null) return null;
  const isHere = problemOf(wanted, vm.images.get(target)) === null;
  const what = `disk ${target}${old === null ? '' : ` (${old})`} ${problem}`;
  return isHere && old !== null && disk.source !== null
    ? { what, foundAt: { from: old, to: disk.source } }
    : { what };
}

/** Why an image is not the one of that snapshot; null if it is. */
function problemOf({ name, createdAtSeconds }: Snapshot, image: DiskImage | undefined): string | null {
  if (image?.kind === 'broken' && image.why === 'missing') return 'does not exist';
  if (image?.kind !== 'seen') return 'cannot be inspected';
  const tags = tagsNamed(image, name);
  const [tag] = tags;
  if (!tag) return 'contains no snapshot of that name';
  if (tags.length > 1) return `contains ${tags.length} snapshots of that name`;
  const later = tag.createdAtSeconds - createdAtSeconds;
  return later >= -EARLIER_SECONDS && later <= LATER_SECONDS
    ? null
    : 'contains a snapshot of that name from another time';
}
