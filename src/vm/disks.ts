import { type HostFiles, occupiedBytes } from '../host/files.ts';
import type { VirshCommand } from '../libvirt/batch.ts';
import { parseVolume } from '../libvirt/xml/volume.ts';
import { type Disk, type Domain, formatOf } from '../model/domain.ts';
import { beyondHost, copyNames, type DiskImage, type Image, type Images } from '../model/image.ts';
import { disksInText } from '../model/text.ts';
import { inspectImage } from '../qemu/qemu-img.ts';
import type { Context, VmReader } from '../run/context.ts';

/** The parts of a definition that tell where a disk is. */
export type DiskLocation = Pick<Disk, 'target' | 'source' | 'storage' | 'pool' | 'driver'> &
  Partial<Pick<Disk, 'backingFormats' | 'encrypted'>>;

/**
 * Inspects the disks in parallel, as far as this user and this host can. For images that are on another host or not
 * readable, libvirt's own information is used. `uri` is the URI of virsh's connection.
 */
export async function readImages(
  ctx: VmReader,
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

async function readImage(
  ctx: Pick<Context, 'files' | 'qemuImg'>,
  uri: string,
  location: DiskLocation,
): Promise<DiskImage> {
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

/** The first of the paths at which there is no file. */
async function firstFree(files: HostFiles, paths: readonly string[]): Promise<string | undefined> {
  const found = await Promise.all(paths.map((path) => occupiedBytes(files, path)));
  return paths.find((_, i) => found[i] === null);
}

/** What the storage pools know about these disks; one process for all disks, none for no disks. */
async function readVolumes(
  ctx: Pick<Context, 'virsh'>,
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

/** The destination of ssh that leads to the same libvirt as the URI; null for any other, or if the URI says more about the way. */
export function sshDestination(uri: string | null): string | null {
  const [, destination = null] = /^qemu\+ssh:\/\/((?:[\w.-]+@)?\w[\w.-]*)\/system$/.exec(uri ?? '') ?? [];
  return destination;
}

/** Prints, once for each VM, which disks or backing files could not be inspected, and what is unchecked therefore. */
export function noteUnseen(
  ctx: Pick<Context, 'noted' | 'terminal' | 'settings'>,
  { uuid }: Pick<Domain, 'uuid'>,
  images: Images,
): void {
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
          `note: disk ${target} has the backing file ${below}, which is not a file of this host; it was not inspected`,
        ];
  });
  const { connect } = ctx.settings;
  const destination = first?.why === 'remote' ? sshDestination(connect) : null;
  const way =
    destination === null
      ? ''
      : `. With --host ${destination} instead of -c ${connect}, kvmsnap inspects them there`;
  const lines = [
    ...(first
      ? [
          `note: ${disksInText(unseen.map(({ target }) => target))} could not be inspected (${reasons[first.why]}); kvmsnap relies on libvirt's information and cannot check that the snapshots are in the images${way}`,
        ]
      : []),
    ...beyond,
  ];
  // a revert with a backup inspects the same disks twice
  for (const line of lines) {
    if (!ctx.noted.has(uuid + line)) ctx.terminal.note(line);
    ctx.noted.add(uuid + line);
  }
}
