import { KvmsnapError } from '../errors.ts';
import { type AllVms, readAllVms, readVmAlone, type VmTexts } from '../libvirt/all-vms.ts';
import {
  createDefinitionReader,
  type DefinitionFiles,
  type NamedVolume,
  storedDefinitions,
} from '../libvirt/definition-files.ts';
import { type ListedVm, listDomains } from '../libvirt/domains.ts';
import { readSnapshotsOf } from '../libvirt/snapshots.ts';
import { createSnapshotParser } from '../libvirt/xml/snapshot.ts';
import type { NamedFile } from '../model/domain-files.ts';
import type { Snapshot } from '../model/snapshot.ts';
import type { Context } from '../run/context.ts';
import { isRemote } from '../vm/disks.ts';
import { byText, identifyFiles } from '../vm/file-identity.ts';
import { type Chains, readChains } from './image-chains.ts';
import type { OtherVm } from './image-users.ts';
import type { KnownVm } from './known-vms.ts';
import { filesUsed, imagesOf, imagesToFollow } from './vm-files.ts';

/** Reading the VMs of the host into what a run knows of them. */

/**
 * What is compared with libvirt beside the names, states and lists of snapshots of all VMs: the definitions of all, of
 * these, or of none.
 */
type Scope = 'all' | 'none' | ReadonlySet<string>;

/**
 * Brings what is known up to date, on the connection `uri`: one reading after the other, for each caller must know what is so
 * after it has asked. `withSnapshots`: what is stored with
 * snapshots is read too, where it was not read yet or may be other now. `except`: the UUID of a VM of which nobody asks, so
 * that what is known of it may stay old. `listed`: VMs that were there a moment ago; those not yet read are read at once, which
 * saves a process that finds out who is there.
 */
export function bringUpToDate(
  ctx: Context,
  uri: string,
  scope: Scope,
  wanted: Partial<Wanted> = {},
): Promise<void> {
  const whole: Wanted = { withSnapshots: true, except: null, listed: [], ...wanted };
  const reading = ctx.known.reading.then(() => update(ctx, uri, scope, whole));
  ctx.known.reading = reading.catch(() => undefined);
  return reading;
}

interface Wanted {
  readonly withSnapshots: boolean;
  readonly except: string | null;
  readonly listed: readonly ListedVm[];
}

async function update(
  ctx: Context,
  uri: string,
  scope: Scope,
  { withSnapshots, except, listed }: Wanted,
): Promise<void> {
  const { known } = ctx;
  const now = ctx.clock.now();
  const { vms: found, left, failed } = await readAll(ctx, scope, listed);
  known.failed = failed;
  const present = new Set([...found.map(({ uuid }) => uuid), ...left]);
  for (const uuid of known.vms.keys()) if (!present.has(uuid)) known.vms.delete(uuid);
  if (scope === 'all') known.comparedAt = now;
  const isOfNoMatter = (uuid: string) => uuid === except && known.vms.has(uuid);
  const changed = found.filter(
    (vm) => !isOfNoMatter(vm.uuid) && !isAsKnown(known.vms.get(vm.uuid), vm, withSnapshots),
  );
  await take(ctx, changed, withSnapshots);
  const looked =
    scope === 'all' ? [...known.vms.values()] : found.flatMap(({ uuid }) => known.vms.get(uuid) ?? []);
  await lookAtFiles(ctx, uri, looked);
}

/** Reads what changed of these VMs. */
async function take(ctx: Context, changed: readonly VmTexts[], withSnapshots: boolean): Promise<void> {
  if (changed.length === 0) return;
  const { vms } = ctx.known;
  const read = createDefinitionReader();
  const unread = withSnapshots ? changed.filter((vm) => !hasKnownSnapshots(vms.get(vm.uuid), vm)) : [];
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
    const before = vms.get(vm.uuid);
    const parts = [now, ...(next ? [next] : []), ...(fresh?.snapshots ?? [])];
    vms.set(vm.uuid, {
      definition: vm.definition,
      next: vm.next,
      snapshotNames: vm.snapshotNames,
      hasSnapshots: fresh !== undefined || hasKnownSnapshots(before, vm),
      isStale: false,
      isWhole: (fresh?.isWhole ?? true) && parts.every(({ volumes }) => volumes.every(resolve.isKnown)),
      definitions: {
        vm: { name: vm.name, uuid: vm.uuid, state: vm.state },
        live: next ? resolve.filesOf(now) : null,
        inactive: resolve.filesOf(next ?? now),
        snapshots:
          fresh?.snapshots.map((each) => ({ ...each, files: resolve.filesOf(each) })) ??
          before?.definitions.snapshots ??
          [],
      },
      uses: [],
      isUnreadable: false,
    });
  }
}

/** Looks which files these VMs use, by their paths of now and what lies beneath. */
async function lookAtFiles(ctx: Context, uri: string, vms: readonly KnownVm[]): Promise<void> {
  if (vms.length === 0) return;
  const { known } = ctx;
  const remote = isRemote(uri);
  const roots = imagesToFollow(vms.map(({ definitions }) => definitions));
  const { beneath, unreadable } = remote ? NO_CHAINS : await readChains(ctx.files, known.links, roots);
  const uses = vms.map(({ definitions }) => filesUsed(definitions, beneath));
  const key = remote
    ? byText
    : await identifyFiles(
        ctx.files,
        uses.flat().map(({ path }) => path),
      );
  for (const [i, vm] of vms.entries())
    known.vms.set(vmOf(vm).uuid, {
      ...vm,
      uses: (uses[i] ?? []).map((use) => ({ ...use, file: key(use.path) })),
      isUnreadable: imagesOf(vm.definitions).some(({ path }) => unreadable.has(path)),
    });
}

const NO_CHAINS: Chains = { beneath: () => [], unreadable: new Set() };

const vmOf = ({ definitions }: KnownVm): OtherVm => definitions.vm;

const isAsKnown = (known: KnownVm | undefined, vm: VmTexts, withSnapshots: boolean): boolean =>
  known !== undefined &&
  !known.isStale &&
  known.definition === vm.definition &&
  known.next === vm.next &&
  known.definitions.vm.state === vm.state &&
  known.definitions.vm.name === vm.name &&
  isListedAlike(known, vm) &&
  (!withSnapshots || hasKnownSnapshots(known, vm));

const isListedAlike = (known: KnownVm, { snapshotNames }: Pick<VmTexts, 'snapshotNames'>): boolean =>
  known.snapshotNames.join('\n') === snapshotNames.join('\n');

const hasKnownSnapshots = (known: KnownVm | undefined, vm: VmTexts): boolean =>
  known?.isWhole === true && !known.isStale && known.hasSnapshots && isListedAlike(known, vm);

/** How long one VM may keep us waiting, where one of them keeps all waiting. */
const SECONDS_APART = 10;

/** All in one process; where one VM does not let that come to its end, each in one of its own. */
async function readAll(ctx: Context, scope: Scope, listed: readonly ListedVm[]): Promise<AllVms> {
  const known = [...ctx.known.vms].map(([uuid, vm]) => ({ uuid, vm, mayRun: vm.next !== null }));
  const isAsked = (uuid: string, { isStale }: KnownVm) =>
    scope === 'all' || isStale || (scope !== 'none' && scope.has(uuid));
  const fresh = listed
    .filter(({ uuid }) => !ctx.known.vms.has(uuid))
    .map(({ uuid, isActive }) => ({ uuid, mayRun: isActive }));
  const asked = [...known.filter(({ uuid, vm }) => isAsked(uuid, vm)), ...fresh];
  const trusted = new Map(
    known
      .filter(({ uuid, vm }) => !isAsked(uuid, vm))
      .map(({ uuid, vm }) => [uuid, { ...vmOf(vm), snapshotNames: vm.snapshotNames }] as const),
  );
  try {
    return await readAllVms(ctx.virsh, { asked, trusted });
  } catch (error) {
    if (!(error instanceof KvmsnapError) || error.code !== 'timed-out' || ctx.interrupts.pending) throw error;
  }
  const virsh = ctx.connect(ctx.settings.connect, SECONDS_APART);
  const names = await listDomains(virsh);
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
