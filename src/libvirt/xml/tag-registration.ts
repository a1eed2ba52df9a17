import { type Disk, takesPart } from '../../model/domain.ts';
import { escapeText } from './xml.ts';

/** The facts and assumptions about a snapshot that only the images hold. */
export interface TagRegistration {
  readonly name: string;
  readonly description: string;
  /** Seconds since the epoch, UTC. */
  readonly createdAtSeconds: number;
  readonly hasMemory: boolean;
  /** It must be registered already. */
  readonly parent: string | null;
}

/**
 * The XML for `snapshot-create --redefine` that registers an internal snapshot in libvirt. `definition` is the VM's
 * own, `virsh dumpxml --inactive --security-info`, with these disks. Format: libvirt's formatsnapshot documentation.
 */
export function tagRegistrationXml(
  registration: TagRegistration,
  disks: readonly Disk[],
  definition: string,
): string {
  const { head, tail } = tagRegistrationParts(registration, disks);
  return `${head}\n${definition}${tail}\n`;
}

/** The parts of that XML before and after the VM's definition. */
export function tagRegistrationParts(
  registration: TagRegistration,
  disks: readonly Disk[],
): { readonly head: string; readonly tail: string } {
  const { name, description, createdAtSeconds, hasMemory, parent } = registration;
  const lines = [
    `<name>${escapeText(name)}</name>`,
    `<description>${escapeText(description)}</description>`,
    `<state>${hasMemory ? 'running' : 'shutoff'}</state>`,
    ...(parent === null ? [] : [`<parent><name>${escapeText(parent)}</name></parent>`]),
    `<creationTime>${createdAtSeconds}</creationTime>`,
    `<memory snapshot='${hasMemory ? 'internal' : 'no'}'/>`,
    '<disks>',
    ...disks.map(
      (disk) =>
        `  <disk name='${escapeText(disk.target)}' snapshot='${takesPart(disk) ? 'internal' : 'no'}'/>`,
    ),
    '</disks>',
  ];
  return { head: `<domainsnapshot>\n  ${lines.join('\n  ')}`, tail: '</domainsnapshot>' };
}
