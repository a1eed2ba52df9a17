import * as z from 'zod/mini';
import { INTERPRETED, KvmsnapError } from '../../errors.ts';
import type { DiskSpec, SnapshotSpec } from '../../model/input/snapshot-spec.ts';
import type { Snapshot } from '../../model/snapshot.ts';
import { createSnapshotParser } from './snapshot.ts';
import { escapeText, parseXml } from './xml.ts';

/**
 * Reads the XML file that a user gives to `virsh snapshot-create`: a `<domainsnapshot>`, partial or complete. Format:
 * libvirt's formatsnapshot documentation.
 */

const Source = z.object({ '@file': z.optional(z.string()), '@dev': z.optional(z.string()) });
/** An empty element, such as `<source/>`, is a text. */
const orEmpty = <T extends z.ZodMiniType>(schema: T) => z.optional(z.union([z.string(), schema]));

const DiskElement = z.object({
  '@name': z.string(),
  '@snapshot': z.optional(z.string()),
  '@type': z.optional(z.string()),
  driver: orEmpty(z.object({ '@type': z.optional(z.string()) })),
  source: orEmpty(Source),
});

const RequestElement = z.object({
  domainsnapshot: z.union([
    z.string(),
    z.object({
      name: z.optional(z.string()),
      memory: orEmpty(z.object({ '@snapshot': z.optional(z.string()), '@file': z.optional(z.string()) })),
      disks: orEmpty(z.object({ disk: z.array(DiskElement) })),
    }),
  ]),
});

export interface SnapshotXmlRequest {
  /** null: none is given. */
  readonly name: string | null;
  readonly memory: SnapshotSpec['memory'];
  readonly disks: readonly DiskSpec[];
}

/** Reads the request. `file` is the name of the file in errors. Throws `usage`. */
export function parseSnapshotRequest(file: string, text: string): SnapshotXmlRequest {
  const { domainsnapshot } = readable(file, () => z.parse(RequestElement, parseXml(text), INTERPRETED));
  if (typeof domainsnapshot === 'string') return { name: null, memory: null, disks: [] };
  const { name, memory, disks } = domainsnapshot;
  const said = typeof memory === 'object' ? memory : {};
  const [location = null, place = null] = [said['@snapshot'], said['@file']];
  return {
    name: name || null,
    memory: location === null && place === null ? null : { location, file: place },
    disks: typeof disks === 'object' ? disks.disk.map(toDiskSpec) : [],
  };
}

function toDiskSpec({ driver, source, ...disk }: z.infer<typeof DiskElement>): DiskSpec {
  const place = typeof source === 'object' ? source : {};
  return {
    disk: disk['@name'],
    location: disk['@snapshot'] ?? null,
    file: place['@file'] ?? place['@dev'] ?? null,
    driver: typeof driver === 'object' ? (driver['@type'] ?? null) : null,
    storage: disk['@type'] === 'block' ? 'block' : null,
  };
}

/** Reads a complete document, as `virsh snapshot-dumpxml` prints it. Throws `usage`. */
export function parseWholeSnapshot(file: string, text: string): Snapshot {
  return readable(file, () => createSnapshotParser()(text));
}

function readable<T>(file: string, parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    throw new KvmsnapError('usage', `${file} does not contain the XML of a snapshot`, {
      hint: 'virsh snapshot-dumpxml prints the XML of a snapshot, and kvmsnap create --print-xml that of a new one',
      cause: error,
    });
  }
}

/** The same request with this name, if it has none. */
export function withName(text: string, name: string): string {
  const element = `<name>${escapeText(name)}</name>`;
  return text
    .replace(/<name\s*\/>|<name>\s*<\/name>/, '')
    .replace(/<domainsnapshot\s*\/>/, '<domainsnapshot></domainsnapshot>')
    .replace(/<domainsnapshot[^>]*>/, (start) => `${start}${element}`);
}
