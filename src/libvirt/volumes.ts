import { join } from 'node:path';
import type { Domain, Volume } from '../model/domain.ts';
import type { Snapshot } from '../model/snapshot.ts';
import { allAnswered, splitLines } from './answers.ts';
import type { VirshCommand } from './batch.ts';
import type { Virsh } from './virsh.ts';
import { parsePoolDirectory, parseVolume } from './xml/volume.ts';

/**
 * Finds the paths of disks that are volumes of a storage pool. libvirt looks them up each time, and finds them only
 * while the pool is active.
 */

/** What was found out about a volume; the path is null if it has none on the host (in a pool of rbd or iscsi-direct). */
type Found = Pick<Volume, 'problem'> & { readonly path: string | null };

/** The same VMs with the paths of their volumes as sources; one process for all, or none if there are no volumes. */
export async function withVolumePaths(virsh: Virsh, domains: readonly Domain[]): Promise<Domain[]> {
  const volumes = domains.flatMap(({ disks }) => disks.flatMap(({ pool }) => pool ?? []));
  if (volumes.length === 0) return [...domains];
  const find = await findVolumes(virsh, volumes);
  return domains.map((domain) => ({ ...domain, disks: domain.disks.map((disk) => placed(disk, find)) }));
}

/** The same for the definitions stored with snapshots. */
export async function withStoredVolumePaths(
  virsh: Virsh,
  vms: readonly (readonly Snapshot[])[],
): Promise<Snapshot[][]> {
  const volumes = vms.flat().flatMap(({ definedDisks }) => definedDisks.flatMap(({ pool }) => pool ?? []));
  if (volumes.length === 0) return vms.map((snapshots) => [...snapshots]);
  const find = await findVolumes(virsh, volumes);
  return vms.map((snapshots) =>
    snapshots.map((snapshot) => {
      const definedDisks = snapshot.definedDisks.map((disk) => placed(disk, find));
      const sources = new Map(definedDisks.map(({ target, source }) => [target, source]));
      const disks = snapshot.disks.map((disk) => ({
        ...disk,
        source: disk.source ?? (disk.location === 'internal' ? (sources.get(disk.target) ?? null) : null),
      }));
      return { ...snapshot, definedDisks, disks };
    }),
  );
}

interface MayBeVolume {
  readonly source: string | null;
  readonly pool?: Volume | null;
}

function placed<T extends MayBeVolume>(disk: T, find: (volume: Volume) => Found): T {
  const { pool } = disk;
  if (!pool || disk.source !== null) return disk;
  const { path, problem } = find(pool);
  return { ...disk, source: path, pool: problem === undefined ? pool : { ...pool, problem } };
}

/** `pool-list --name` pads each name with spaces. */
const poolsOf = (list: string): Set<string> => new Set(splitLines(list).map((name) => name.trim()));

async function findVolumes(virsh: Virsh, volumes: readonly Volume[]): Promise<(volume: Volume) => Found> {
  const keyOf = ({ name, volume }: Volume) => JSON.stringify([name, volume]);
  const wanted = new Map(volumes.map((volume) => [keyOf(volume), volume]));
  const asked = [...wanted.values()];
  const [active = '', all = '', ...xmls] = allAnswered(
    await virsh.read([
      ['pool-list', '--name'],
      ['pool-list', '--all', '--name'],
      ...asked.map(({ name, volume }) => ['vol-dumpxml', '--pool', name, '--vol', volume]),
    ]),
  );
  const [isActive, isThere] = [poolsOf(active), poolsOf(all)];
  const found = new Map(
    asked.map((volume, i): [string, Found] => {
      const xml = xmls[i];
      if (xml) {
        const { path } = parseVolume(xml);
        return [keyOf(volume), { path: path?.startsWith('/') ? path : null }];
      }
      const problem = isActive.has(volume.name.trim())
        ? 'no-volume'
        : isThere.has(volume.name.trim())
          ? 'inactive'
          : 'no-pool';
      return [keyOf(volume), { path: null, problem }];
    }),
  );
  return (volume) => found.get(keyOf(volume)) ?? { path: null };
}

/** A volume as a definition names it. */
interface VolumeName {
  readonly pool: string;
  readonly volume: string;
}

/**
 * The paths of volumes, also of inactive pools: libvirt does not know their volumes, but the definition of the pool names
 * their directory. Null for a volume without a path that can be found. One process, or two if some are not found at once.
 */
export async function readVolumePaths(
  virsh: Virsh,
  volumes: readonly VolumeName[],
): Promise<(volume: VolumeName) => string | null> {
  const keyOf = ({ pool, volume }: VolumeName) => JSON.stringify([pool, volume]);
  const unique = [...new Map(volumes.map((volume) => [keyOf(volume), volume])).values()];
  const told = await readEach(
    virsh,
    unique.map(({ pool, volume }) => ['vol-path', '--pool', pool, '--vol', volume]),
  );
  const paths = new Map(unique.map((volume, i) => [keyOf(volume), told[i]?.trim() || null]));
  const lost = unique.filter((volume) => paths.get(keyOf(volume)) === null);
  const pools = [...new Set(lost.map(({ pool }) => pool))];
  const xmls = await readEach(
    virsh,
    pools.map((pool) => ['pool-dumpxml', '--pool', pool]),
  );
  for (const volume of lost) {
    const xml = xmls[pools.indexOf(volume.pool)];
    const directory = xml ? parsePoolDirectory(xml) : null;
    if (directory !== null) paths.set(keyOf(volume), join(directory, volume.volume));
  }
  return (volume) => paths.get(keyOf(volume)) ?? null;
}

/** The answer to each command; no process for none. */
const readEach = async (virsh: Virsh, commands: readonly VirshCommand[]) =>
  commands.length === 0 ? [] : (await virsh.read(commands)).texts;
