import type { Context } from '../context.ts';
import type { ImageUsers, OtherVm } from '../core/image-users.ts';
import type { KnownVm } from '../core/known-vms.ts';
import { namedFiles } from '../core/machine-files.ts';
import type { Snapshot } from '../core/snapshot.ts';
import { filesUsed, imagesOf, imagesToFollow, mergeUses, type NamedFile } from '../core/vm-files.ts';
import { KvmsnapError } from '../errors.ts';
import { type AllVms, readAllVms, readVmAlone, type VmTexts } from '../libvirt/all-vms.ts';
import {
  createDefinitionReader,
  type DefinitionFiles,
  type NamedVolume,
  storedDefinitions,
} from '../libvirt/definition-files.ts';
import { listMachines, type MachineName } from '../libvirt/machine.ts';
import { createSnapshotParser } from '../libvirt/snapshot-xml.ts';
import { readSnapshotsOf } from '../libvirt/snapshots.ts';
import { isRemote } from './disks.ts';
import { byText, identifyFiles } from './file-identity.ts';
import { type Chains, readChains } from './image-chains.ts';
import type { Machine } from './machine.ts';

/**
 * Which other VMs use the files of a VM, as it is now. Before each write, one virsh process tells which VMs there are and which
 * run; those that are new or others are read, and in full those that use a file in question. The rest is compared every few
 * seconds: a disk may have been attached to a VM that had nothing to do with it.
 */

/** How well known it has to be: as it was read, as it is now, or as it is now with every VM compared in full. */
export type Currency = 'old' | 'now' | 'all';

/**
 * How other VMs use the files that this VM and its snapshots name, and these `more` files. Says once a run which VM could
 * not be read.
 */
export function readImageUsers(
  ctx: Context,
  { uri, domain, snapshots, images }: OwnFiles,
  { more = [], currency = 'now' }: { readonly more?: readonly string[]; readonly currency?: Currency } = {},
): Promise<ImageUsers> {
  const nvram = domain.pflash?.nvramPath ?? null;
  const paths = async () => [
    ...namedFiles(domain, snapshots, await images),
    ...(nvram === null ? [] : [nvram]),
    ...more,
  ];
  return readUsersOf(ctx, { uri, paths, except: domain.uuid }, currency);
}

/** A VM as far as its files go; its images may still be looked at meanwhile. */
interface OwnFiles extends Pick<Machine, 'uri' | 'domain' | 'snapshots'> {
  readonly images: Machine['images'] | Promise<Machine['images']>;
}

interface Question {
  /** What virsh is connected to. */
  readonly uri: string;
  /** Asked for when they are needed: a promise that fails before would be nobody's. */
  readonly paths: readonly string[] | (() => Promise<readonly string[]>);
  /** The UUID of the VM whose own use is no matter; null: all are asked for. */
  readonly except: string | null;
}

/** How the VMs of the host use these files. */
export async function readUsersOf(
  ctx: Context,
  question: Question,
  currency: Currency = 'now',
): Promise<ImageUsers> {
  const { known, clock } = ctx;
  const age = known.comparedAt === null ? null : clock.now() - known.comparedAt;
  const isOld = age === null || (currency === 'now' && age > MOST_MILLISECONDS);
  if (isOld || currency === 'all') await bringUpToDate(ctx, 'all');
  else if (currency === 'now') await bringUpToDate(ctx, 'lists');
  let found = await lookUp(ctx, question);
  if (!isOld && currency === 'now') {
    const users = new Set([...found.uses.values()].flat().map(({ vm }) => vm.uuid));
    if (users.size > 0) {
      await bringUpToDate(ctx, users);
      found = await lookUp(ctx, question);
    }
  }
  noteHidden(ctx, found.hidden);
  return { uses: found.uses, unknown: found.hidden.map(({ name }) => name) };
}

/** How long a VM that has nothing to do with a file is taken to be as it was read. */
const MOST_MILLISECONDS = 5000;

/** The same by what is known. */
async function lookUp({ known }: Context, { uri, paths: asked, except }: Question) {
  const paths = typeof asked === 'function' ? await asked() : asked;
  const remote = isRemote(uri);
  const vms = [...known.vms.values()].filter((vm) => vmOf(vm).uuid !== except);
  const roots = imagesToFollow(vms.map(({ definitions }) => definitions));
  const { beneath, unreadable } = remote ? NO_CHAINS : await readChains(known.links, roots);
  const all = vms.flatMap(({ definitions }) =>
    filesUsed(definitions, beneath).map((use) => ({ ...use, vm: definitions.vm })),
  );
  const key = remote ? byText : await identifyFiles([...paths, ...all.map(({ path }) => path)]);
  const byFile = groupBy(all, ({ path }) => key(path));
  const uses = new Map(
    paths.flatMap((path) => {
      const theirs = groupBy(byFile.get(key(path)) ?? [], ({ vm }) => vm.uuid);
      const found = [...theirs.values()].flatMap((each) => mergeUses(each));
      return found.length === 0 ? [] : [[path, found] as const];
    }),
  );
  const hidden = [...known.failed, ...vms.filter((vm) => isHidden(vm, unreadable)).map(vmOf)];
  return { uses, hidden: hidden.filter(({ uuid }) => uuid !== except) };
}

const NO_CHAINS: Chains = { beneath: () => [], unreadable: new Set() };

const vmOf = ({ definitions }: KnownVm): OtherVm => definitions.vm;

const isHidden = ({ isWhole, definitions }: KnownVm, unreadable: ReadonlySet<string>): boolean =>
  !isWhole || imagesOf(definitions).some(({ path }) => unreadable.has(path));

function groupBy<T>(all: readonly T[], keyOf: (each: T) => string): Map<string, T[]> {
  const groups = new Map<string, T[]>();
  for (const each of all) {
    const group = groups.get(keyOf(each));
    if (group) group.push(each);
    else groups.set(keyOf(each), [each]);
  }
  return groups;
}

function noteHidden(ctx: Context, hidden: readonly MachineName[]): void {
  const untold = hidden.filter(({ uuid }) => !ctx.known.told.has(uuid));
  if (untold.length === 0) return;
  const names = untold.map(({ name }) => `'${name}'`).join(', ');
  ctx.terminal.note(
    `note: could not read all of VM ${names}, so it is not known whether ${untold.length === 1 ? 'it uses' : 'they use'} a file that is changed here`,
  );
  for (const { uuid } of untold) ctx.known.told.add(uuid);
}

/** All VMs in full, these ones, or only what the lists of libvirt tell of. */
type Scope = 'all' | 'lists' | ReadonlySet<string>;

/** Brings what is known up to date: one after the other, for each caller must know what is so after it has asked. */
async function bringUpToDate(ctx: Context, scope: Scope): Promise<void> {
  const { known } = ctx;
  const before = known.reading;
  const reading = before.catch(() => undefined).then(() => update(ctx, scope));
  known.reading = reading.catch(() => undefined);
  return reading;
}

async function update(ctx: Context, scope: Scope): Promise<void> {
  const { vms } = ctx.known;
  const now = ctx.clock.now();
  const { vms: found, left, failed } = await readAll(ctx, scope);
  ctx.known.failed = failed;
  const present = new Set([...found.map(({ uuid }) => uuid), ...left]);
  for (const uuid of vms.keys()) if (!present.has(uuid)) vms.delete(uuid);
  if (scope === 'all') ctx.known.comparedAt = now;
  const changed = found.filter((vm) => !isAsKnown(vms.get(vm.uuid), vm));
  if (changed.length === 0) return;
  const read = createDefinitionReader();
  const unread = changed.filter((vm) => !hasKnownSnapshots(vms.get(vm.uuid), vm));
  const stored = await readStored(ctx, unread, read);
  const named = changed.map(({ definition, next }) => ({
    now: read(definition),
    next: next === null ? null : read(next),
  }));
  const resolve = await volumeResolver(ctx, [
    ...named.flatMap(({ now, next }) => [...now.volumes, ...(next?.volumes ?? [])]),
    ...[...stored.values()].flatMap(({ snapshots }) => snapshots.flatMap(({ volumes }) => volumes)),
  ]);
  for (const [i, vm] of changed.entries()) {
    const { now, next } = named[i] as (typeof named)[number];
    const fresh = stored.get(vm.uuid);
    const parts = [now, ...(next ? [next] : []), ...(fresh?.snapshots ?? [])];
    vms.set(vm.uuid, {
      definition: vm.definition,
      next: vm.next,
      snapshotNames: vm.snapshotNames,
      isStale: false,
      isWhole: (fresh?.isWhole ?? true) && parts.every(({ volumes }) => volumes.every(resolve.isKnown)),
      definitions: {
        vm: { name: vm.name, uuid: vm.uuid, state: vm.state },
        live: next ? resolve.filesOf(now) : null,
        inactive: resolve.filesOf(next ?? now),
        snapshots:
          fresh?.snapshots.map((each) => ({ ...each, files: resolve.filesOf(each) })) ??
          vms.get(vm.uuid)?.definitions.snapshots ??
          [],
      },
    });
  }
}

const isAsKnown = (known: KnownVm | undefined, vm: VmTexts): boolean =>
  known !== undefined &&
  known.definition === vm.definition &&
  known.next === vm.next &&
  known.definitions.vm.state === vm.state &&
  known.definitions.vm.name === vm.name &&
  hasKnownSnapshots(known, vm);

const hasKnownSnapshots = (known: KnownVm | undefined, { snapshotNames }: VmTexts): boolean =>
  known?.isWhole === true && !known.isStale && known.snapshotNames.join('\n') === snapshotNames.join('\n');

/** How long one VM may keep us waiting, where one of them keeps all waiting. */
const SECONDS_APART = 10;

/** All in one process; where one VM does not let that come to its end, each in one of its own. */
async function readAll(ctx: Context, scope: Scope): Promise<AllVms> {
  const known = [...ctx.known.vms].map(([uuid, vm]) => ({ uuid, vm, mayRun: vm.next !== null }));
  const isAsked = (uuid: string) => scope === 'all' || (scope !== 'lists' && scope.has(uuid));
  const asked = known.filter(({ uuid }) => isAsked(uuid));
  const trusted = new Map(
    known.filter(({ uuid }) => !isAsked(uuid)).map(({ uuid, vm }) => [uuid, vmOf(vm)] as const),
  );
  try {
    return await readAllVms(ctx.virsh, { asked, trusted });
  } catch (error) {
    if (!(error instanceof KvmsnapError) || error.code !== 'timed-out' || ctx.interrupts.pending) throw error;
  }
  const virsh = ctx.connect(ctx.settings.connect, SECONDS_APART);
  const names = await listMachines(virsh);
  const each = await Promise.all(names.map((vm) => readVmAlone(virsh, vm).catch(() => null)));
  return { vms: each.filter((vm) => vm !== null), left: [], failed: names.filter((_, i) => !each[i]) };
}

type Stored = Snapshot & DefinitionFiles;

/** By UUID, the snapshots with the files that all definitions stored with them name. */
async function readStored(
  ctx: Context,
  vms: readonly VmTexts[],
  read: (definition: string) => DefinitionFiles,
): Promise<ReadonlyMap<string, { readonly snapshots: readonly Stored[]; readonly isWhole: boolean }>> {
  const parse = createSnapshotParser();
  const stored = new Map<Snapshot, Stored>();
  const found = await readSnapshotsOf(
    ctx.virsh,
    vms.map(({ snapshotNames, ...vm }) => ({ ...vm, names: snapshotNames })),
    (xml) => {
      const snapshot = parse(xml);
      const definitions = storedDefinitions(xml).map(read);
      const files = definitions.flatMap(({ files }) => files);
      stored.set(snapshot, {
        ...snapshot,
        files,
        volumes: definitions.flatMap(({ volumes }) => volumes),
      });
      return snapshot;
    },
  );
  return new Map(
    vms.map(({ uuid }, i) => {
      const { snapshots = [], unread = [] } = found[i] ?? {};
      return [
        uuid,
        { snapshots: snapshots.flatMap((each) => stored.get(each) ?? []), isWhole: unread.length === 0 },
      ];
    }),
  );
}

/** Knows the paths of volumes; one process for all of them, none for none. */
async function volumeResolver(ctx: Context, volumes: readonly NamedVolume[]) {
  const keyOf = ({ pool, volume }: NamedVolume) => `${pool}\n${volume}`;
  const unique = [...new Map(volumes.map((volume) => [keyOf(volume), volume])).values()];
  const commands = unique.map(({ pool, volume }) => ['vol-path', '--pool', pool, '--vol', volume]);
  const { texts } = commands.length === 0 ? { texts: [] } : await ctx.virsh.read(commands);
  const paths = new Map(
    unique.flatMap((volume, i) => {
      const path = texts[i]?.trim();
      return path ? [[keyOf(volume), path] as const] : [];
    }),
  );
  return {
    isKnown: (volume: NamedVolume): boolean => paths.has(keyOf(volume)),
    filesOf: ({ files, volumes }: DefinitionFiles): NamedFile[] => [
      ...files,
      ...volumes.flatMap(({ pool, volume, ...file }) => {
        const path = paths.get(keyOf({ pool, volume, ...file }));
        return path === undefined ? [] : [{ ...file, path }];
      }),
    ],
  };
}
