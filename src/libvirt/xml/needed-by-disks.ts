import { attributeAt, type Element, elementsAt } from './element.ts';
import { file, type Need, named, pciAddresses } from './need.ts';

/** What the disks of a definition need on the host (formatdomain, devices/disk). */

/** Floppies and CD-ROMs may be optional (`startupPolicy`), at every start or only when memory is loaded. */
export function ofDisk(disk: Element): (Need | null)[] {
  const target = attributeAt(disk, 'target', 'dev') ?? 'a disk';
  const [source] = elementsAt(disk, 'source');
  if (!source) return [];
  const { attributes } = source;
  const policy = attributes['startupPolicy'];
  if (policy === 'optional') return [];
  const role = `${disk.attributes['device'] === 'cdrom' || disk.attributes['device'] === 'floppy' ? 'medium' : 'image'} of ${target}`;
  const isNetwork = disk.attributes['type'] === 'network';
  const pool = attributes['pool'] ?? null;
  const volume = attributes['volume'];
  const needs = [
    isNetwork
      ? null
      : file(
          attributes['file'] ?? attributes['dev'] ?? attributes['dir'] ?? attributes['path'] ?? null,
          role,
        ),
    named('pool', pool, `pool of ${target}`),
    pool === null || volume === undefined
      ? null
      : ({ kind: 'volume', name: volume, within: pool, role } as const),
    ...pciAddresses(source, `device of ${target}`),
    ...backingFiles(disk, target),
    ...elementsAt(source, 'dataStore/source').map(({ attributes: { file: path = null } }) =>
      file(path, `data file of ${target}`),
    ),
  ];
  return policy === 'requisite' ? needs.map((need) => need && { ...need, onlyCold: true as const }) : needs;
}

function backingFiles(disk: Element, target: string): (Need | null)[] {
  return elementsAt(disk, 'backingStore').flatMap((below) => [
    ...elementsAt(below, 'source').map(({ attributes }) =>
      file(attributes['file'] ?? attributes['dev'] ?? null, `backing file of ${target}`),
    ),
    ...backingFiles(below, target),
  ]);
}

const secretsOf = (element: Element): string[] =>
  ['auth/secret', 'encryption/secret', 'source/auth/secret', 'source/encryption/secret'].flatMap((path) =>
    elementsAt(element, path).flatMap(({ attributes }) => attributes['uuid'] ?? []),
  );

/** What QEMU needs to open the disk: secrets, keys, the helper for reservations. */
export function ofDiskAccess(disk: Element): (Need | null)[] {
  const target = attributeAt(disk, 'target', 'dev') ?? 'a disk';
  const reservations = elementsAt(disk, 'source/reservations')[0];
  return [
    ...secretsOf(disk).map((uuid) => named('secret', uuid, `secret of ${target}`)),
    file(attributeAt(disk, 'source/identity', 'keyfile'), `SSH key of ${target}`),
    file(attributeAt(disk, 'source/knownHosts', 'path'), `known SSH hosts of ${target}`),
    reservations?.attributes['managed'] === 'no'
      ? file(attributeAt(reservations, 'source', 'path'), `reservations of ${target}`)
      : null,
  ];
}
