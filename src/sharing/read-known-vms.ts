import { KvmsnapError } from '../errors.ts';
import { type AllVms, readAllVms, readVmAlone, type VmTexts } from '../libvirt/all-vms.ts';
import {
  createDefinitionReader,
  type DefinitionFiles,
  type NamedVolume,
  storedDefinitions,
} from '../libvirt/definition/files.ts';
import { type ListedVm, listDomains } from '../libvirt/domains.ts';
import { readSnapshotsOf } from '../libvirt/snapshots.ts';
import { readVolumePaths } from '../libvirt/volumes.ts';
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

/** Reads the VMs of the host into what a run knows about them. */

/**
 * What is compared with libvirt in addition to the names, states and lists of snapshots of all VMs: the definitions of all,
 * of these, or of none.
 */
type Scope = 'all' | 'none' | ReadonlySet<string>;

/**
 * Updates what is known, on the connection `uri`. Readings run one after another, because each caller needs the state after its
 * own call. `withSnapshots`: the definitions stored with snapshots are read too, if they were not read yet or may have changed.
 * `except`: the UUID of a VM that nobody asks about, whose data may stay old. `listed`: VMs that existed a moment ago; those not
 * read yet are read at once, which saves the process that lists the VMs.
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
  const concerned =
    scope === 'all' ? [...known.vms.values()] : found.flatMap(({ uuid }) => known.vms.get(uuid) ?? []);
  await readFileUses(ctx, uri, concerned);
}

/** Reads what has changed about these VMs. */
async function take(ctx: Context, changed: readonly VmTexts[], withSnapshots: boolean): Promise<void> {
  if (changed.length === 0) return;
  const { vms } = ctx.known;
  const read = createDefinitionReader();
  const unread = withSnapshots ? changed.filter((vm) => !hasKnownSnapshots(vms.get(vm.uuid), vm)) : [];
  const stored = await readStored(ctx, unread, read);
  const named = changed.map(({ definition, next, saved }) => ({
    now: read(definition),
    next: next === null ? null : read(next),
    saved: saved ? read(saved) : NO_FILES,
  }));
  const resolve = await volumeResolver(ctx, [
    ...named.flatMap(({ now, next, saved }) =>
      [now, next ?? NO_FILES, saved].flatMap(({ volumes }) => volumes),
    ),
    ...[...stored.values()].flatMap(({ snapshots }) => snapshots.flatMap(({ volumes }) => volumes)),
  ]);
  for (const [i, vm] of changed.entries()) {
    const { now, next, saved } = named[i] as (typeof named)[number];
    const fresh = stored.get(vm.uuid);
    const before = vms.get(vm.uuid);
    const parts = [now, next ?? NO_FILES, saved, ...(fresh?.snapshots ?? [])];
    vms.set(vm.uuid, {
      definition: vm.definition,
      next: vm.next,
      saved: vm.saved,
      snapshotNames: vm.snapshotNames,
      hasSnapshots: fresh !== undefined || hasKnownSnapshots(before, vm),
      isStale: false,
      isWhole:
        (fresh?.isWhole ?? true) &&
        vm.saved !== '' &&
        parts.every(({ volumes }) => volumes.every(resolve.isKnown)),
      definitions: {
        vm: { name: vm.name, uuid: vm.uuid, state: vm.state },
        live: next ? resolve.filesOf(now) : null,
        inactive: resolve.filesOf(next ?? now),
        saved: resolve.filesOf(saved),
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

const NO_FILES: DefinitionFiles = { files: [], volumes: [] };

/** Finds the files that these VMs use: those that they name, and their backing chains. */
async function readFileUses(
  ctx: Pick<Context, 'files' | 'known'>,
  uri: string,
  vms: readonly KnownVm[],
): Promise<void> {
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
  known.saved === vm.saved &&
  known.definitions.vm.state === vm.state &&
  known.definitions.vm.name === vm.name &&
  isListedAlike(known, vm) &&
  (!withSnapshots || hasKnownSnapshots(known, vm));

const isListedAlike = (known: KnownVm, { snapshotNames }: Pick<VmTexts, 'snapshotNames'>): boolean =>
  known.snapshotNames.join('\n') === snapshotNames.join('\n');

const hasKnownSnapshots = (known: KnownVm | undefined, vm: VmTexts): boolean =>
  known?.isWhole === true && !known.isStale && known.hasSnapshots && isListedAlike(known, vm);

/** How long a VM may take to answer, if one of them delays the reading of all. */
const SECONDS_APART = 10;

/** Reads all VMs in one process; if one VM keeps that from finishing, each in its own process. */
async function readAll(ctx: Context, scope: Scope, listed: readonly ListedVm[]): Promise<AllVms> {
  const known = [...ctx.known.vms].map(([uuid, vm]) => ({
    uuid,
    vm,
    mayRun: vm.next !== null,
    hasSave: vm.saved !== null,
  }));
  const isAsked = (uuid: string, { isStale }: KnownVm) =>
    scope === 'all' || isStale || (scope !== 'none' && scope.has(uuid));
  const fresh = listed
    .filter(({ uuid }) => !ctx.known.vms.has(uuid))
    .map(({ uuid, isActive }) => ({ uuid, mayRun: isActive, hasSave: false }));
  const asked = [...known.filter(({ uuid, vm }) => isAsked(uuid, vm)), ...fresh];
  const trusted = new Map(
    known
      .filter(({ uuid, vm }) => !isAsked(uuid, vm))
      .map(
        ({ uuid, vm, hasSave }) => [uuid, { ...vmOf(vm), snapshotNames: vm.snapshotNames, hasSave }] as const,
      ),
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

/** By UUID, the snapshots with the files that their stored definitions name. */
async function readStored(
  ctx: Pick<Context, 'virsh'>,
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

/** Finds the files of definitions, also those that are volumes. */
async function volumeResolver(ctx: Pick<Context, 'virsh'>, volumes: readonly NamedVolume[]) {
  const pathOf = await readVolumePaths(ctx.virsh, volumes);
  return {
    isKnown: (volume: NamedVolume): boolean => pathOf(volume) !== null,
    filesOf: ({ files, volumes }: DefinitionFiles): NamedFile[] => [
      ...files,
      ...volumes.flatMap(({ pool, volume, ...file }) => {
        const path = pathOf({ pool, volume });
        return path === null ? [] : [{ ...file, path }];
      }),
    ],
  };
}
