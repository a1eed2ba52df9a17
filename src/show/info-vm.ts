import type { DomainReading } from '../libvirt/domains.ts';
import { type Disk, takesPart } from '../model/domain.ts';
import { type DiskImage, type Image, type Images, type Tag, tagsIn } from '../model/image.ts';
import { policyInText } from '../model/policy.ts';
import { domainDocument } from '../output/documents.ts';
import { humanBytes, rfc3339, stateWord } from '../output/format.ts';
import { type Column, LEAVES, section, type Value } from '../output/view.ts';
import type { Context } from '../run/context.ts';
import { facts } from '../run/facts.ts';
import { show } from '../run/show.ts';
import { noteUnseen, readImages } from '../vm/disks.ts';

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
    data: ({ disk }) => disk.target,
  },
  { key: 'device', title: 'DEVICE', kind: 'text', leaves: LEAVES.kind, value: ({ disk }) => disk.device },
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
    wraps: true,
    value: (link) => linkFlags(link).join(', ') || null,
    tone: ({ image, problem }) => (image?.corrupt || problem ? 'bad' : 'plain'),
  },
  {
    key: 'path',
    title: 'FILE',
    kind: 'text',
    ownLine: true,
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
  {
    key: 'createdAt',
    title: 'CREATED',
    kind: 'time',
    leaves: LEAVES.created,
    value: ({ tag }) => tag.createdAtSeconds,
  },
  {
    key: 'vmStateBytes',
    title: 'MEMORY',
    kind: 'bytes',
    value: ({ tag }) => tag.vmStateBytes || null,
    data: ({ tag }) => tag.vmStateBytes,
  },
];

const MEMORY_REMARK =
  'MEMORY is the guest memory saved with a snapshot; qemu-img calls it VM SIZE. Only one disk contains it, and none if the ' +
  'VM was off. It is not the space that the snapshot needs, which kvmsnap space shows.';

/** `info` of a VM: its facts, its disks, and the snapshots inside their images. */
export async function infoVm(ctx: Context, reading: DomainReading): Promise<void> {
  const { domain, uri, current, snapshotNames } = reading;
  const images = await readImages(
    ctx,
    uri,
    domain.disks.filter((disk) => disk.hasSource),
  );
  noteUnseen(ctx, domain, images);
  const links = domain.disks.flatMap((disk) => linksOf(disk, images));
  const inside = domain.disks.flatMap((disk) =>
    tagsIn(images.get(disk.target)).map((tag) => ({ target: disk.target, tag })),
  );
  await show(ctx, {
    kind: 'info',
    document: {
      domain: {
        ...domainDocument(domain),
        stateReason: domain.stateReason || null,
        memoryBytes: domain.memoryBytes,
        managedSave: domain.managedSave,
        policy: domain.policy,
        current,
        snapshots: [...snapshotNames],
        disks: domain.disks.map((disk) => diskDocument(disk, images.get(disk.target))),
      },
    },
    sections: [
      facts([
        { label: 'VM', value: domain.name },
        { label: 'uuid', value: domain.uuid },
        { label: 'state', value: stateFact(domain) },
        { label: 'memory', value: humanBytes(domain.memoryBytes) },
        { label: 'managed save', value: domain.managedSave ? 'yes' : 'no' },
        { label: 'snapshots', value: snapshotNames.length },
        { label: 'current', value: current },
        ...(domain.policy === null ? [] : [{ label: 'policy', value: policyInText(domain.policy) }]),
      ]),
      section({ title: 'DISKS', columns: LINK_COLUMNS, rows: links }),
      section<Inside>({ title: 'SNAPSHOTS INSIDE THE IMAGES', columns: INSIDE_COLUMNS, rows: inside }),
    ],
    csv: csvOf(reading, links, inside),
    names: [domain.name],
    remarks: inside.length === 0 ? [] : [MEMORY_REMARK],
  });
}

function stateFact({ state, stateReason }: DomainReading['domain']): string {
  const word = stateWord(state);
  return stateReason ? `${word} (${stateReason})` : word;
}

/** A row for each image of a chain, then one for each snapshot inside the images; the facts of the VM in each. */
function csvOf({ domain, current, snapshotNames }: DomainReading, links: Link[], inside: Inside[]) {
  interface Row {
    readonly link: Link | null;
    readonly inside: Inside | null;
  }
  const ofLink = (columns: readonly Column<Link>[]) =>
    columns.map(
      ({ key, title, kind, value, data = value }): Column<Row> => ({
        key,
        title,
        kind,
        value: ({ link, inside }) => (link ? data(link) : key === 'target' ? (inside?.target ?? null) : null),
      }),
    );
  const ofInside = INSIDE_COLUMNS.filter(({ key }) => key !== 'target').map(
    ({ key, title, kind, value }): Column<Row> => ({
      key: { id: 'snapshotId', name: 'snapshot' }[key] ?? key,
      title,
      kind,
      value: ({ inside }) => inside && value(inside),
    }),
  );
  const fact = (key: string, value: Value): Column<Row> => ({
    key,
    title: '',
    kind: 'text',
    value: () => value,
  });
  return section<Row>({
    columns: [
      ...ofLink(LINK_COLUMNS),
      ...ofLink([
        { key: 'depth', title: '', kind: 'count', value: ({ depth }) => depth },
        { key: 'driver', title: '', kind: 'text', value: ({ disk }) => disk.driver },
      ]),
      ...ofInside,
      fact('machine', domain.name),
      fact('uuid', domain.uuid),
      fact('state', domain.state),
      fact('stateReason', domain.stateReason || null),
      fact('memoryBytes', domain.memoryBytes),
      fact('managedSave', domain.managedSave),
      fact('current', current),
      fact('snapshots', snapshotNames.length),
    ],
    rows: [
      ...links.map((link) => ({ link, inside: null })),
      ...inside.map((each) => ({ link: null, inside: each })),
    ],
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
    return `not inspected (${image.why}); ${image.format ?? 'unknown format'} according to the ${image.source}`;
  return null;
}

function linkFlags({ disk, depth, image, problem }: Link): string[] {
  return [
    ...(problem === null ? [] : [problem]),
    ...(image ? imageFlags(image) : []),
    ...(depth === 0 && !takesPart(disk) ? ['not part of snapshots'] : []),
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
