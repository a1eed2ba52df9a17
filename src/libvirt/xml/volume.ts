import * as z from 'zod/mini';
import { INTERPRETED, understand } from '../../errors.ts';
import { parseXml } from './xml.ts';

/** `virsh vol-dumpxml` and `pool-dumpxml` -> where a storage pool has a disk. Format: libvirt's formatstorage documentation. */

const Volume = z.object({
  volume: z.object({
    target: z.object({
      path: z.optional(z.string()),
      format: z.optional(z.object({ '@type': z.string() })),
    }),
  }),
});

/** Throws `refused` when it is no volume XML. */
export function parseVolume(xml: string): { path: string | null; format: string | null } {
  const { target } = understand('virsh about a volume', () =>
    z.parse(Volume, parseXml(xml), INTERPRETED),
  ).volume;
  return { path: target.path ?? null, format: target.format?.['@type'] ?? null };
}

const Pool = z.object({
  pool: z.object({
    '@type': z.string(),
    target: z.optional(z.object({ path: z.optional(z.string()) })),
  }),
});

/** The pools whose volumes are files, or devices, with their own names in the directory of the pool. */
const DIRECTORIES: ReadonlySet<string> = new Set(['dir', 'fs', 'netfs', 'logical']);

/** The directory with the volumes of a pool; null if its volumes are elsewhere. Throws `refused` if it is no pool XML. */
export function parsePoolDirectory(xml: string): string | null {
  const { '@type': type, target } = understand('virsh about a storage pool', () =>
    z.parse(Pool, parseXml(xml), INTERPRETED),
  ).pool;
  return DIRECTORIES.has(type) ? (target?.path ?? null) : null;
}
