import * as z from 'zod/mini';
import { INTERPRETED, understand } from '../../errors.ts';
import { parseXml } from './xml.ts';

/** `virsh vol-dumpxml` -> what a storage pool knows of a disk. Format: libvirt's formatstorage documentation. */

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
