import * as z from 'zod/mini';
import { INTERPRETED, understand } from '../../errors.ts';
import { type Disk, takesPart } from '../../model/domain.ts';
import type { Snapshot } from '../../model/snapshot.ts';
import { parseDisks } from './domain.ts';
import { attributeText, escapeText, parseXml } from './xml.ts';

/** `virsh snapshot-dumpxml` -> Snapshot. Format: libvirt's formatsnapshot documentation; fixtures of four versions. */

const DiskElement = z.object({
  '@name': z.string(),
  '@snapshot': z.optional(z.string()),
  source: z.optional(z.object({ '@file': z.optional(z.string()), '@dev': z.optional(z.string()) })),
  snapshotDeleteInProgress: z.optional(z.unknown()),
});

const Disks = z.optional(z.union([z.string(), z.object({ disk: z.array(DiskElement) })]));

const SnapshotElement = z.object({
  domainsnapshot: z.object({
    name: z.string(),
    description: z.optional(z.string()),
    state: z.string(),
    parent: z.optional(z.object({ name: z.string() })),
    // libvirt does not print a time of 0
    creationTime: z.optional(z.string().check(z.regex(/^-?\d+$/))),
    memory: z.optional(z.object({ '@snapshot': z.optional(z.string()), '@file': z.optional(z.string()) })),
    disks: Disks,
    revertDisks: Disks,
  }),
});

/**
 * Creates a parser for the snapshots of one run, which throws `refused` for other texts. Most snapshots of a VM have
 * the same `<disk>` elements in their stored definitions, so each distinct text is parsed once.
 */
export function createSnapshotParser(): (xml: string) => Snapshot {
  const known = new Map<string, readonly Disk[]>();
  const disksOf = (definition: string): readonly Disk[] => {
    const text = diskElements(definition);
    let disks = known.get(text);
    if (!disks) {
      disks = parseDisks(text);
      known.set(text, disks);
    }
    return disks;
  };

  return (xml) => {
    const { element, definition } = understand('virsh about a snapshot', () => {
      const { own, definition } = cutDefinition(xml);
      return { element: z.parse(SnapshotElement, parseXml(own), INTERPRETED).domainsnapshot, definition };
    });
    const defined = disksOf(definition);
    const byTarget = new Map(defined.map((disk) => [disk.target, disk]));
    const revertOverlays = listOf(element.revertDisks).flatMap((disk) =>
      disk['@snapshot'] === 'external' ? (pathOf(disk) ?? []) : [],
    );
    const otherDisks = defined.flatMap((disk) =>
      takesPart(disk) || disk.source === null ? [] : [{ target: disk.target, source: disk.source }],
    );
    return {
      name: element.name,
      description: element.description ?? null,
      state: element.state,
      parent: element.parent?.name ?? null,
      createdAtSeconds: withinCalendar(Number(element.creationTime ?? 0)),
      memory: { location: element.memory?.['@snapshot'] ?? 'no', file: element.memory?.['@file'] ?? null },
      disks: listOf(element.disks)
        .filter((disk) => disk['@snapshot'] !== 'no')
        .map((disk) => ({
          target: disk['@name'],
          location: disk['@snapshot'] ?? 'internal',
          source: pathOf(disk) ?? byTarget.get(disk['@name'])?.source ?? null,
          ...addressOf(byTarget.get(disk['@name'])),
          ...(disk.snapshotDeleteInProgress === undefined ? {} : { isMergeTarget: true }),
        })),
      definedDisks: defined.filter(takesPart).map(({ target, source, driver, pool, backing }) => ({
        target,
        source,
        driver,
        ...(pool && { pool }),
        ...(backing.length > 0 && { backing }),
      })),
      ...(otherDisks.length === 0 ? {} : { otherDisks }),
      ...(revertOverlays.length === 0 ? {} : { revertOverlays }),
    };
  };
}

const addressOf = (disk: Disk | undefined): { readonly address?: string } =>
  disk?.address === undefined ? {} : { address: disk.address };

const listOf = (disks: z.infer<typeof Disks>): z.infer<typeof DiskElement>[] =>
  typeof disks === 'object' ? disks.disk : [];

const pathOf = ({ source }: z.infer<typeof DiskElement>): string | null =>
  source?.['@file'] ?? source?.['@dev'] ?? null;

/**
 * A redefinition may contain any 64-bit number as a time. A time outside the years 1 to 9999 becomes the nearest one
 * within them.
 */
const withinCalendar = (seconds: number): number =>
  Math.min(Math.max(seconds, -62_135_500_000), 253_402_200_000);

/**
 * Separates the snapshot's own elements from the VM's stored definition, which is by far the larger part. libvirt
 * prints the definition last (name, description, state, parent, creationTime, memory, disks, then domain,
 * inactiveDomain, cookie), and a raw `<` cannot occur in text.
 */
function cutDefinition(xml: string): { own: string; definition: string } {
  if (!xml.trimEnd().endsWith('</domainsnapshot>')) throw new Error('it has no end');
  const start = definitionStart(xml);
  if (start === xml.length) return { own: xml, definition: '' };
  const inactive = xml.search(/<inactiveDomain[ >]/);
  return {
    own: `${xml.slice(0, start)}</domainsnapshot>`,
    definition: xml.slice(start, inactive < 0 ? undefined : inactive),
  };
}

/** The `<disk>` elements of a definition, as text. `<devices>` comes after `<metadata>`, where anything may stand. */
function diskElements(definition: string): string {
  const devices = definition.slice(definition.lastIndexOf('<devices>'), definition.lastIndexOf('</devices>'));
  return (devices.match(/<disk .*?<\/disk>/gs) ?? []).join('');
}

/**
 * The same document with another description (null: none). Nothing else is changed, not even in the VM's stored
 * definition.
 */
export function withDescription(xml: string, description: string | null): string {
  const start = definitionStart(xml);
  const element = description === null ? '' : `\n  <description>${escapeText(description)}</description>`;
  const without = xml
    .slice(0, start)
    .replace(/\n? *<description>[^<]*<\/description>|\n? *<description\/>/, '');
  return without.replace(/<\/name>/, (end) => `${end}${element}`) + xml.slice(start);
}

/**
 * The same document in a form that libvirt registers: it refuses what it has printed itself about a floppy drive without a medium
 * ("must use snapshot mode 'internal'", 7.0 to 12.8), and adds the same again if that is missing.
 */
export function registrable(xml: string): string {
  const start = definitionStart(xml);
  const drives = (diskElements(xml.slice(start)).match(/<disk .*?<\/disk>/gs) ?? [])
    .filter((disk) => disk.includes("device='floppy'") && !disk.includes('<source'))
    .flatMap((disk) => /<target dev='([^']*)'/.exec(disk)?.[1] ?? []);
  return (
    drives.reduce(
      (own, target) => own.replace(new RegExp(` *<disk name='${target}' snapshot='no'/>\n`), ''),
      xml.slice(0, start),
    ) + xml.slice(start)
  );
}

/** The same document with another state, such as `running`. The first one is that of the snapshot: a description cannot contain a raw `<`. */
export const withState = (xml: string, state: string): string =>
  xml.replace(/<state>[^<]*<\/state>/, `<state>${state}</state>`);

/**
 * The same document in which the disks of the stored definitions, live and inactive, name other files. Nothing else is
 * changed. libvirt writes attributes in single quotes.
 */
export function withPaths(xml: string, paths: ReadonlyMap<string, string>): string {
  return xml.replace(/<(?:source|memory) [^>]*>/g, (element) =>
    element.replace(/( (?:file|dev)=')([^']*)'/, (whole, attribute: string, value: string) => {
      const path = paths.get(attributeText(value));
      return path === undefined ? whole : `${attribute}${escapeText(path)}'`;
    }),
  );
}

/**
 * The same document for a VM with this name and UUID, in the stored definitions, live and inactive. libvirt refuses one with another
 * UUID, and a revert to one with another name renames the VM.
 */
export function withIdentity(
  xml: string,
  { name, uuid }: { readonly name: string; readonly uuid: string },
): string {
  return xml.replace(
    /(<(?:domain|inactiveDomain)(?: [^>]*)?>\s*<name>)[^<]*(<\/name>\s*<uuid>)[^<]*(<\/uuid>)/g,
    (_, start: string, between: string, end: string) => `${start}${escapeText(name)}${between}${uuid}${end}`,
  );
}

/**
 * The definition that a snapshot stores, as a document for `virsh define`: that for the next start, if the VM was running. Null if
 * the snapshot stores none.
 */
export function storedDefinition(xml: string): string | null {
  const [inactive] = xml.match(/<inactiveDomain[ >].*<\/inactiveDomain>/s) ?? [];
  if (inactive) return inactive.replace(/^<inactiveDomain/, '<domain').replace(/inactiveDomain>$/, 'domain>');
  return liveDefinition(xml);
}

/** The definition of the VM at that moment, while it ran; null if the snapshot stores none. */
export function liveDefinition(xml: string): string | null {
  const [domain] = xml.match(/<domain[ >].*<\/domain>/s) ?? [];
  return domain ?? null;
}

function definitionStart(xml: string): number {
  const start = xml.search(/<domain[ >]/);
  return start < 0 ? xml.length : start;
}
