import { KvmsnapError } from '../errors.ts';
import { type DomainReading, readDomain } from '../libvirt/domains.ts';
import { type Disk, isActive, takesPart } from '../model/domain.ts';
import { type DiskImage, type Image, type Images, type Tag, tagsIn } from '../model/image.ts';
import { type SnapshotReport, tagsOf } from '../model/report.ts';
import { locationOf } from '../model/snapshot.ts';
import { domainDocument, snapshotDocument } from '../output/documents.ts';
import { humanBytes, localTime, rfc3339 } from '../output/format.ts';
import { type Column, section } from '../output/view.ts';
import type { Context } from '../run/context.ts';
import { type Fact, facts } from '../run/facts.ts';
import { show } from '../run/show.ts';
import { costDocument, whyNot } from '../space/cost-document.ts';
import type { Cost } from '../space/measure.ts';
import { measureIfPossible } from '../space/reclaimed.ts';
import { noteUnseen, readImages } from '../vm/disks.ts';
import { completeVm, findSnapshot, noCurrent, unreadFailure, type Vm } from '../vm/load.ts';
import type { InfoOptions } from './command.ts';
import { showXml } from './xml.ts';

/** `info`: a VM with its disks, or one of its snapshots. */
export async function info(
  ctx: Context,
  vmName: string,
  given: string | undefined,
  options: InfoOptions = {},
): Promise<void> {
  if (given !== undefined && options.current)
    throw new KvmsnapError('usage', 'give either the name of a snapshot or --current');
  const reading = await readDomain(ctx.virsh, vmName);
  if (options.current && reading.current === null) throw noCurrent(reading);
  const name = options.current ? (reading.current ?? undefined) : given;
  const asXml = options.xml || options.securityInfo;
  if (name === undefined) {
    if (asXml) throw new KvmsnapError('usage', '--xml needs a snapshot: give its name or --current');
    return infoVm(ctx, reading);
  }
  if (asXml) return showXml(ctx, reading, name, options);
  const vm = await completeVm(ctx, reading);
  noteUnseen(ctx, vm.domain, vm.images);
  await infoSnapshot(ctx, vm, findSnapshot(vm, name));
  const unread = unreadFailure(vm);
  if (unread) throw unread;
}

interface Link {
  readonly disk: Disk;
  /** The depth in the backing chain; 0 is the image in use. */
  readonly depth: number;
  readonly image: Image | null;
  readonly problem: string | null;
}

const LINK_COLUMNS: readonly Column<Link>[] = [
  {
    key: 'target',
    title: 'DISK',
    kind: 'text',
    value: ({ disk, depth }) => (depth === 0 ? disk.target : `${disk.target} ^${depth}`),
  },
  { key: 'device', title: 'DEVICE', kind: 'text', value: ({ disk }) => disk.device },
  { key: 'format', title: 'FORMAT', kind: 'text', value: ({ image }) => image?.format ?? null },
  { key: 'virtualBytes', title: 'SIZE', kind: 'bytes', value: ({ image }) => image?.virtualBytes ?? null },
  {
    key: 'allocatedBytes',
    title: 'ALLOCATED',
    kind: 'bytes',
    value: ({ image }) => image?.allocatedBytes ?? null,
  },
  {
    key: 'flags',
    title: 'FLAGS',
    kind: 'text',
    value: (link) => linkFlags(link).join(', ') || null,
    tone: ({ image, problem }) => (image?.corrupt || problem ? 'bad' : 'plain'),
  },
  {
    key: 'path',
    title: 'FILE',
    kind: 'text',
    whole: true,
    value: ({ disk, image }) => image?.path ?? disk.source,
  },
];

interface Inside {
  readonly target: string;
  readonly tag: Tag;
}

const INSIDE_COLUMNS: readonly Column<Inside>[] = [
  { key: 'target', title: 'DISK', kind: 'text', value: ({ target }) => target },
  { key: 'id', title: 'ID', kind: 'text', value: ({ tag }) => tag.id },
  { key: 'name', title: 'NAME', kind: 'text', value: ({ tag }) => tag.name },
  { key: 'createdAt', title: 'CREATED', kind: 'time', value: ({ tag }) => tag.createdAtSeconds },
  { key: 'vmStateBytes', title: 'VM SIZE', kind: 'bytes', value: ({ tag }) => tag.vmStateBytes },
];

const VM_SIZE_REMARK =
  'VM SIZE is the guest memory saved with a snapshot, in one disk only; 0 B is right for a VM that was off. ' +
  'It is not what the snapshot costs: that grows as the disk is overwritten.';

async function infoVm(ctx: Context, reading: DomainReading): Promise<void> {
  const { domain, uri, current, snapshotNames } = reading;
  const images = await readImages(
    ctx,
    uri,
    domain.disks.filter((disk) => disk.hasSource),
  );
  noteUnseen(ctx, domain, images);
  const inside = domain.disks.flatMap((disk) =>
    tagsIn(images.get(disk.target)).map((tag) => ({ target: disk.target, tag })),
  );
  await show(ctx, {
    kind: 'info',
    document: {
      domain: {
        ...domainDocument(domain),
        stateReason: domain.stateReason || null,
        current,
        disks: domain.disks.map((disk) => diskDocument(disk, images.get(disk.target))),
      },
    },
    sections: [
      section({
        title: 'DISKS',
        columns: LINK_COLUMNS,
        rows: domain.disks.flatMap((disk) => linksOf(disk, images)),
      }),
      facts([
        { label: 'VM', value: domain.name },
        { label: 'uuid', value: domain.uuid },
        {
          label: 'state',
          value: domain.stateReason ? `${domain.state} (${domain.stateReason})` : domain.state,
        },
        { label: 'memory', value: humanBytes(domain.memoryBytes) },
        { label: 'managed save', value: domain.managedSave ? 'yes' : 'no' },
        { label: 'snapshots', value: snapshotNames.length },
        { label: 'current', value: current },
      ]),
      ...(inside.length === 0
        ? []
        : [section<Inside>({ title: 'SNAPSHOTS INSIDE THE IMAGES', columns: INSIDE_COLUMNS, rows: inside })]),
    ],
    names: [domain.name],
    remarks: inside.length === 0 ? [] : [VM_SIZE_REMARK],
  });
}

function linksOf(disk: Disk, images: Images): Link[] {
  const image = images.get(disk.target);
  if (image?.kind === 'seen')
    return image.chain.map((link, depth) => ({ disk, depth, image: link, problem: null }));
  return [{ disk, depth: 0, image: null, problem: problemOf(image) }];
}

function problemOf(image: DiskImage | undefined): string | null {
  if (image === undefined) return 'no medium';
  if (image.kind === 'broken')
    return image.why === 'unreadable' ? `unreadable: ${image.detail}` : `missing: ${image.path}`;
  if (image.kind === 'unseen')
    return `not looked at (${image.why}); ${image.format ?? 'unknown format'} by the ${image.source}`;
  return null;
}

function linkFlags({ disk, depth, image, problem }: Link): string[] {
  return [
    ...(problem === null ? [] : [problem]),
    ...(image ? imageFlags(image) : []),
    ...(depth === 0 && !takesPart(disk) ? ['takes no part in snapshots'] : []),
    ...(depth === 0 && image && takesPart(disk) && image.format !== (disk.driver ?? 'raw')
      ? [`XML says ${disk.driver ?? 'nothing (raw)'}`]
      : []),
  ];
}

function imageFlags(image: Image): string[] {
  const flags = {
    corrupt: image.corrupt,
    dirty: image.dirty,
    encrypted: image.encrypted,
    'data file': image.dataFile !== null,
    [`looks like ${image.looksLike?.format}`]: image.looksLike !== null,
  };
  return Object.entries(flags).flatMap(([flag, set]) => (set ? [flag] : []));
}

function diskDocument(disk: Disk, image: DiskImage | undefined) {
  return {
    target: disk.target,
    device: disk.device,
    source: disk.source,
    driver: disk.driver,
    takesPart: takesPart(disk),
    chain:
      image?.kind === 'seen'
        ? image.chain.map((link) => ({
            path: link.path,
            format: link.format,
            virtualBytes: link.virtualBytes,
            allocatedBytes: link.allocatedBytes,
            flags: imageFlags(link),
          }))
        : null,
    problem: problemOf(image),
    snapshots: tagsIn(image).map((tag) => ({
      id: tag.id,
      name: tag.name,
      createdAt: rfc3339(tag.createdAtSeconds),
      vmStateBytes: tag.vmStateBytes,
    })),
  };
}

interface Part {
  readonly target: string;
  readonly source: string | null;
  readonly location: string;
  /** How often the image holds the snapshot; null if it could not be inspected or is external. */
  readonly copies: number | null;
}

/** Whether the snapshot may still be under way. */
interface ShownPart extends Part {
  readonly underWay: boolean;
  /** Whether libvirt looks for it at an old path. */
  readonly moved: boolean;
}

const PART_COLUMNS: readonly Column<ShownPart>[] = [
  { key: 'target', title: 'DISK', kind: 'text', value: ({ target }) => target },
  { key: 'location', title: 'LOCATION', kind: 'text', value: ({ location }) => location },
  {
    key: 'copies',
    title: 'IN THE IMAGE',
    kind: 'text',
    value: (part) => presence(part),
    tone: ({ copies, location, underWay }) =>
      location === 'internal' && copies !== 1 && !underWay ? 'bad' : 'good',
  },
  { key: 'source', title: 'FILE', kind: 'text', whole: true, value: ({ source }) => source },
];

function presence({ copies, location, underWay, moved }: ShownPart): string {
  if (moved && copies === null) return 'moved';
  if (location !== 'internal') return '-';
  if (copies === null) return 'not looked at';
  if (copies === 0 && underWay) return 'not yet';
  return copies === 1 ? 'yes' : copies === 0 ? 'MISSING' : `${copies} OF THAT NAME`;
}

async function infoSnapshot(ctx: Context, vm: Vm, snapshot: SnapshotReport): Promise<void> {
  const parts = snapshot.disks.map(({ target, source, location }): Part => {
    const tags = location === 'internal' ? tagsOf(snapshot, { target, source }, vm.images) : null;
    return { target, source, location, copies: tags?.length ?? null };
  });
  const gone = snapshot.movedFiles?.moved.map(([from]) => from) ?? [];
  const isMoved = ({ location, source }: Part) =>
    location === 'internal' ? snapshot.moved : gone.includes(source ?? '');
  const document = snapshotDocument(snapshot);
  const { cost, approximate, problem } = await costOf(ctx, vm, snapshot);
  await show(ctx, {
    kind: 'info-snapshot',
    document: {
      domain: domainDocument(vm.domain),
      snapshot: {
        ...document,
        memory: snapshot.memory,
        ...spaceDocument(cost),
        approximate,
        problem,
        disks: parts,
      },
    },
    sections: [
      facts([
        { label: 'snapshot', value: snapshot.name },
        { label: 'VM', value: vm.domain.name },
        {
          label: 'created',
          value: ctx.terminal.out.isTerminal ? localTime(snapshot.createdAtSeconds) : document.createdAt,
        },
        { label: 'current', value: snapshot.isCurrent ? 'yes' : 'no' },
        ...(snapshot.held ? [{ label: 'held', value: 'yes: no prune or delete removes it' }] : []),
        { label: 'state', value: snapshot.underWay ? 'under way' : snapshot.state },
        { label: 'location', value: locationOf(snapshot) },
        { label: 'parent', value: snapshot.parent },
        { label: 'children', value: snapshot.children.join(', ') },
        { label: 'memory', value: memoryFact(snapshot) },
        ...costFacts(cost, approximate, problem),
        { label: 'description', value: snapshot.description },
      ]),
      section({
        title: 'DISKS',
        columns: PART_COLUMNS,
        rows: parts.map((part) => ({ ...part, underWay: snapshot.underWay, moved: isMoved(part) })),
      }),
    ],
    names: [snapshot.name],
  });
}

interface Costs {
  /** null if it cannot be measured; `problem` says why. */
  readonly cost: Cost | null;
  readonly approximate: boolean;
  readonly problem: string | null;
}

async function costOf(ctx: Context, vm: Vm, { name, underWay }: SnapshotReport): Promise<Costs> {
  if (underWay) return { cost: null, approximate: true, problem: 'it is still being taken' };
  const measured = await measureIfPossible(ctx, vm, [name]);
  const found = measured?.snapshots.find(({ snapshot }) => snapshot.name === name);
  const approximate = found?.approximate ?? isActive(vm.domain.state);
  if (found?.cost) return { cost: found.cost, approximate, problem: null };
  return { cost: null, approximate, problem: whyNot(found?.disks ?? []) ?? 'it could not be measured' };
}

/** A sentence about the saved memory, from the metadata and the images. */
function spaceDocument(cost: Cost | null) {
  const { vmStateBytes: _, ...rest } = costDocument(cost);
  return rest;
}

function costFacts(cost: Cost | null, approximate: boolean, problem: string | null): Fact[] {
  if (!cost) return [{ label: 'space', value: `not known: ${problem}` }];
  const bytes = (value: number) => `${approximate ? '~' : ''}${humanBytes(value)}`;
  return [
    { label: 'frees', value: `${bytes(cost.frees.hostBytes)}, when it alone is deleted` },
    { label: 'holds', value: `${bytes(cost.holds.hostBytes)}, with what it shares` },
    {
      label: 'changed',
      value: cost.changedBytes === null ? null : `${bytes(cost.changedBytes)}, since its parent`,
    },
  ];
}

function memoryFact({ memory, vmStateBytes, underWay }: SnapshotReport): string {
  if (underWay && memory.location !== 'no') return 'being saved';
  if (memory.location === 'external') return `saved in ${memory.file}`;
  if (memory.location !== 'internal') return 'not saved (the VM was off, or only its disks were taken)';
  return vmStateBytes === null ? 'saved in the image' : `saved, ${humanBytes(vmStateBytes)}`;
}
