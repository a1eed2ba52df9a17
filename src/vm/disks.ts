import { type HostFiles, occupiedBytes } from '../host/files.ts';
import type { VirshCommand } from '../libvirt/batch.ts';
import { parseVolume } from '../libvirt/xml/volume.ts';
import { type Disk, type Domain, formatOf } from '../model/domain.ts';
import { beyondHost, copyNames, type DiskImage, type Image, type Images } from '../model/image.ts';
import { inspectImage } from '../qemu/qemu-img.ts';
import type { Context } from '../run/context.ts';

/** Where to look for a disk. */
export type DiskLocation = Pick<Disk, 'target' | 'source' | 'storage' | 'pool' | 'driver'> &
  Partial<Pick<Disk, 'backingFormats' | 'encrypted'>>;

/**
 * Looks at the disks, all at once, as far as this user and this host can: images on another host or not readable are
 * judged by what libvirt knows of them. `uri` is what virsh is connected to.
 */
export async function readImages(
  ctx: Context,
  uri: string,
  locations: readonly DiskLocation[],
): Promise<Images> {
  const images = await Promise.all(locations.map((location) => readImage(ctx, uri, location)));
  const known = await readVolumes(
    ctx,
    locations.filter((_, i) => images[i]?.kind === 'unseen'),
  );
  return new Map(
    locations.map(({ target }, i) => {
      const image = images[i] as DiskImage;
      const format = known.get(target)?.format;
      return [
        target,
        image.kind === 'unseen' && format ? { ...image, format, source: 'storage pool' } : image,
      ];
    }),
  );
}

async function readImage(ctx: Context, uri: string, location: DiskLocation): Promise<DiskImage> {
  const { source, pool, driver, backingFormats } = location;
  const format = formatOf(location);
  const believed = driver === null ? null : format;
  const unseen = (why: 'remote' | 'network' | 'pool'): DiskImage => ({
    kind: 'unseen',
    why,
    format: believed,
    source: "VM's XML",
  });
  if (pool?.problem) return unseen('pool');
  if (isRemote(uri)) return unseen('remote');
  if (source === null) return unseen('network');
  const image = await inspectImage(ctx, {
    path: source,
    format,
    ...(backingFormats && { formatsBelow: backingFormats }),
  });
  if (image.kind === 'unseen') return { ...image, format: believed };
  if (image.kind === 'broken' || isQcow2Alone(image.chain[0])) return image;
  return { ...image, copyTo: await firstFree(ctx.files, copyNames(source)) };
}

const isQcow2Alone = ({ format, dataFile }: Image): boolean => format === 'qcow2' && dataFile === null;

/** The first of the paths where nothing is. */
async function firstFree(files: HostFiles, paths: readonly string[]): Promise<string | undefined> {
  const found = await Promise.all(paths.map((path) => occupiedBytes(files, path)));
  return paths.find((_, i) => found[i] === null);
}

/** What the storage pools know of these disks; one process for all of them, none for none. */
async function readVolumes(
  ctx: Context,
  locations: readonly DiskLocation[],
): Promise<ReadonlyMap<string, ReturnType<typeof parseVolume>>> {
  const asked = locations.flatMap((location) => {
    const command = volumeCommand(location);
    return command ? [{ target: location.target, command }] : [];
  });
  if (asked.length === 0) return new Map();
  const { texts } = await ctx.virsh.read(asked.map(({ command }) => command));
  return new Map(
    asked.flatMap(({ target }, i) => (texts[i] ? [[target, parseVolume(texts[i])] as const] : [])),
  );
}

function volumeCommand({ source, pool }: DiskLocation): VirshCommand | null {
  if (pool) return ['vol-dumpxml', '--pool', pool.name, '--vol', pool.volume];
  return source === null ? null : ['vol-dumpxml', '--vol', source];
}

/** True when the connection's disks are on another host: a transport or a host name in the URI (libvirt.org/uri.html). */
export function isRemote(uri: string): boolean {
  const [, transport, host] = /^[a-z]+(?:\+([a-z0-9]+))?:\/\/([^/]*)/i.exec(uri) ?? [];
  return Boolean(host) || (transport !== undefined && transport !== 'unix');
}

/** Says, once, which disks or what below them could not be looked at, and what is unchecked for it. */
export function noteUnseen(ctx: Context, { uuid }: Pick<Domain, 'uuid'>, images: Images): void {
  const unseen = [...images].flatMap(([target, image]) =>
    image.kind === 'unseen' ? [{ target, why: image.why }] : [],
  );
  const [first] = unseen;
  const reasons = {
    permission: 'permission denied',
    remote: 'it is on another host',
    network: 'it has no path on this host',
    pool: 'its storage pool does not show it now',
  };
  const beyond = [...images].flatMap(([target, image]) => {
    const below = beyondHost(image);
    return below === null
      ? []
      : [
          `note: disk ${target} lies on ${below}, which is no file of this host: it was not opened, and what it holds is unchecked`,
        ];
  });
  const lines = [
    ...(first
      ? [
          `note: could not look at disk ${unseen.map(({ target }) => target).join(', ')} (${reasons[first.why]}): format by libvirt's word, and whether each disk really holds its snapshot is unchecked (hazards 2-4)`,
        ]
      : []),
    ...beyond,
  ];
  // a revert with a backup looks at the same disks twice
  for (const line of lines) {
    if (!ctx.noted.has(uuid + line)) ctx.terminal.note(line);
    ctx.noted.add(uuid + line);
  }
}
