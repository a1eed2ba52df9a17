import { attributeAt, type Element, elementsAt } from './element.ts';
import { file, type Need, named, pciAddresses, server, socket } from './need.ts';
import { DEFAULT_PORTS } from './network-image.ts';

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
  const pool = attributes['pool'] ?? null;
  const volume = attributes['volume'];
  const needs = [
    ...(disk.attributes['type'] === 'network' ? [] : ofSource(source, role)),
    named('pool', pool, `pool of ${target}`),
    pool === null || volume === undefined
      ? null
      : ({ kind: 'volume', name: volume, within: pool, role } as const),
    ...pciAddresses(source, `device of ${target}`),
    ...backingFiles(disk, target),
    ...elementsAt(source, 'dataStore/source').map(({ attributes: { file: path = null } }) =>
      file(path, `data file of ${target}`, 'content'),
    ),
  ];
  return policy === 'requisite' ? needs.map((need) => need && { ...need, onlyCold: true as const }) : needs;
}

function backingFiles(disk: Element, target: string): (Need | null)[] {
  return elementsAt(disk, 'backingStore').flatMap((below) => [
    ...elementsAt(below, 'source').flatMap((source) => ofSource(source, `backing file of ${target}`)),
    ...backingFiles(below, target),
  ]);
}

const ofSource = ({ attributes }: Element, role: string): (Need | null)[] => [
  file(attributes['file'] ?? null, role, 'content'),
  file(attributes['dev'] ?? null, role, 'device'),
  file(attributes['dir'] ?? null, role, 'directory'),
  socket(attributes['path'] ?? null, role),
];

/** The servers that a disk, or an image below it, is read from. */
function serversOf(element: Element, target: string): (Need | null)[] {
  const role = `server of ${target}`;
  return [
    ...elementsAt(element, 'source').flatMap((source) => {
      const { protocol = '' } = source.attributes;
      const hosts = elementsAt(source, 'host').map(({ attributes }) => attributes);
      const tcp = hosts.filter(({ transport = 'tcp' }) => transport === 'tcp');
      return [
        ...hosts.map((host) => socket(host['transport'] === 'unix' ? (host['socket'] ?? null) : null, role)),
        server(
          // without a protocol, a host is no server of a disk
          protocol === ''
            ? []
            : tcp.map(({ name, port = DEFAULT_PORTS[protocol] }) => ({ host: name, port })),
          role,
        ),
      ];
    }),
    ...elementsAt(element, 'backingStore').flatMap((below) => serversOf(below, target)),
  ];
}

const secretsOf = (element: Element): string[] =>
  ['auth/secret', 'encryption/secret', 'source/auth/secret', 'source/encryption/secret'].flatMap((path) =>
    elementsAt(element, path).flatMap(({ attributes }) => attributes['uuid'] ?? []),
  );

/** What QEMU needs to open the disk: servers, secrets, keys, the helper for reservations. */
export function ofDiskAccess(disk: Element): (Need | null)[] {
  const target = attributeAt(disk, 'target', 'dev') ?? 'a disk';
  const reservations = elementsAt(disk, 'source/reservations')[0];
  return [
    ...serversOf(disk, target),
    ...secretsOf(disk).map((uuid) => named('secret', uuid, `secret of ${target}`)),
    file(attributeAt(disk, 'source/identity', 'keyfile'), `SSH key of ${target}`, 'content'),
    file(attributeAt(disk, 'source/knownHosts', 'path'), `known SSH hosts of ${target}`, 'content'),
    reservations?.attributes['managed'] === 'no'
      ? socket(attributeAt(reservations, 'source', 'path'), `reservations of ${target}`)
      : null,
  ];
}
