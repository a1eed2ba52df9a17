import * as z from 'zod/mini';
import { INTERPRETED, understand } from '../../errors.ts';
import { type Disk, type DomainDefinition, formatOfDriver } from '../../model/domain.ts';
import { networkImage } from './network-image.ts';
import { pauseRecordIn } from './pause-record.ts';
import { policyOf } from './policy.ts';
import { parseXml } from './xml.ts';

/** `virsh dumpxml` -> DomainDefinition. Format: libvirt's formatdomain documentation; fixtures of four versions. */

/** An element of which only the presence matters. */
const Flag = z.optional(z.unknown());
/** libvirt prints `<devices>\n</devices>` if there are none, which is parsed as a string of blanks. */
const emptyIsNone = <T extends z.ZodMiniType>(schema: T) =>
  z.pipe(
    z.transform((value: unknown) => (typeof value === 'string' ? {} : value)),
    schema,
  );

const Source = emptyIsNone(
  z.looseObject({
    '@file': z.optional(z.string()),
    '@dev': z.optional(z.string()),
    '@dir': z.optional(z.string()),
    '@pool': z.optional(z.string()),
    '@volume': z.optional(z.string()),
    '@protocol': z.optional(z.string()),
    '@name': z.optional(z.string()),
    host: z.optional(emptyIsNone(z.record(z.string(), z.optional(z.unknown())))),
  }),
);

/** The backing files of a disk, each within the one above it; the last element is empty. */
interface Backing {
  readonly format?: { readonly '@type'?: string | undefined } | undefined;
  readonly source?: z.infer<typeof Source> | undefined;
  readonly backingStore?: Backing | undefined;
}
const Backing: z.ZodMiniType<Backing> = emptyIsNone(
  z.object({
    format: z.optional(z.object({ '@type': z.optional(z.string()) })),
    source: z.optional(Source),
    backingStore: z.optional(z.lazy(() => Backing)),
  }),
);

const DiskElement = z.object({
  '@type': z.string(),
  '@device': z.optional(z.string()),
  '@snapshot': z.optional(z.string()),
  driver: z.optional(emptyIsNone(z.object({ '@type': z.optional(z.string()) }))),
  source: z.optional(Source),
  backingStore: z.optional(Backing),
  target: z.object({ '@dev': z.string() }),
  encryption: Flag,
  readonly: Flag,
  transient: Flag,
  shareable: Flag,
  mirror: z.optional(
    emptyIsNone(
      z.object({
        '@job': z.optional(z.string()),
        '@ready': z.optional(z.string()),
        source: z.optional(Source),
      }),
    ),
  ),
});

const ChannelElement = z.object({
  target: z.optional(z.object({ '@name': z.optional(z.string()), '@state': z.optional(z.string()) })),
});

const DomainElement = z.object({
  domain: z.object({
    '@id': z.optional(z.string()),
    name: z.string(),
    uuid: z.string(),
    memory: z.object({ '#text': z.string().check(z.regex(/^\d+$/)), '@unit': z.optional(z.string()) }),
    os: z.optional(
      z.object({
        '@firmware': z.optional(z.string()),
        varstore: z.optional(emptyIsNone(z.object({ '@path': z.optional(z.string()) }))),
        loader: z.optional(z.union([z.string(), z.object({ '@type': z.optional(z.string()) })])),
        nvram: z.optional(
          z.union([
            z.string(),
            z.object({
              '#text': z.optional(z.string()),
              '@format': z.optional(z.string()),
              source: z.optional(Source),
            }),
          ]),
        ),
      }),
    ),
    metadata: z.optional(z.unknown()),
    'qemu:commandline': z.optional(
      emptyIsNone(
        z.object({ 'qemu:arg': z.optional(z.array(z.object({ '@value': z.optional(z.string()) }))) }),
      ),
    ),
    devices: emptyIsNone(
      z.object({
        disk: z.optional(z.array(DiskElement)),
        hostdev: z.optional(z.array(z.object({ '@type': z.optional(z.string()) }))),
        channel: z.optional(z.array(emptyIsNone(ChannelElement))),
        tpm: z.optional(
          z.array(z.object({ backend: z.optional(z.object({ '@type': z.optional(z.string()) })) })),
        ),
        filesystem: z.optional(
          z.array(
            z.object({ driver: z.optional(emptyIsNone(z.object({ '@type': z.optional(z.string()) }))) }),
          ),
        ),
      }),
    ),
  }),
});

/** Parses the output of `virsh dumpxml`. Throws `refused` if it is not a domain XML. */
export function parseDomain(xml: string): DomainDefinition {
  const { domain } = understand('virsh about a VM', () => z.parse(DomainElement, parseXml(xml), INTERPRETED));
  const pauseRecord = pauseRecordIn(domain.metadata, domain['@id']);
  return {
    name: domain.name,
    uuid: domain.uuid,
    ...(domain['@id'] !== undefined && { id: domain['@id'] }),
    memoryBytes: toBytes(domain.memory['#text'], domain.memory['@unit'] ?? 'KiB'),
    disks: (domain.devices.disk ?? []).map(toDisk),
    pflash: pflashOf(domain.os),
    hostDevices: (domain.devices.hostdev ?? []).map((device) => device['@type'] ?? 'unknown'),
    sharedFilesystems: (domain.devices.filesystem ?? []).map((share) => share.driver?.['@type'] ?? 'path'),
    agentChannel: agentChannelOf(domain.devices.channel ?? []),
    tpms: (domain.devices.tpm ?? []).map(({ backend }) => backend?.['@type'] ?? 'unknown'),
    policy: policyOf(domain.metadata),
    commandLineDrives: drivesOf(
      (domain['qemu:commandline']?.['qemu:arg'] ?? []).map((argument) => argument['@value'] ?? ''),
    ),
    ...(pauseRecord && { pauseRecord }),
  };
}

/** The options of QEMU that define a drive (qemu(1), block device options). */
const DRIVE_OPTION = /^--?(drive|blockdev|hd[abcd]|fd[ab]|cdrom|sd|mtdblock|pflash)$/;

/** The drives that these arguments of QEMU define. */
const drivesOf = (words: readonly string[]): string[] =>
  words.filter((_, i) => DRIVE_OPTION.test(words[i - 1] ?? ''));

const LooseDisks = emptyIsNone(
  z.object({ devices: emptyIsNone(z.object({ disk: z.optional(z.array(DiskElement)) })) }),
);

/** Parses separate `<disk>` elements, cut out of a larger document for speed. Throws `refused` for other texts. */
export function parseDisks(xml: string): Disk[] {
  const found = understand('virsh about the disks of a snapshot', () =>
    z.parse(LooseDisks, parseXml(`<devices>${xml}</devices>`), INTERPRETED),
  );
  return (found.devices.disk ?? []).map(toDisk);
}

function toDisk(element: z.infer<typeof DiskElement>): Disk {
  const source = element.source;
  const pool = source?.['@pool'];
  const volume = source?.['@volume'];
  const backing = backingFiles(element.backingStore);
  const address = networkImage({
    protocol: source?.['@protocol'],
    name: source?.['@name'],
    host: attributesOf(source?.host),
  });
  return {
    target: element.target['@dev'],
    device: (element['@device'] ?? 'disk') as Disk['device'],
    storage: element['@type'],
    source: source?.['@file'] ?? source?.['@dev'] ?? null,
    ...(address === null ? {} : { address }),
    backing: backing.map(({ path }) => path),
    backingFormats: new Map(
      backing.flatMap(({ path, format }) => (format === undefined ? [] : [[path, formatOfDriver(format)]])),
    ),
    hasSource: hasMedium(source),
    pool: pool !== undefined && volume !== undefined ? { name: pool, volume } : null,
    driver: element.driver?.['@type'] ?? null,
    encrypted: element.encryption !== undefined || source?.['encryption'] !== undefined,
    readonly: element.readonly !== undefined,
    transient: element.transient !== undefined,
    shareable: element.shareable !== undefined,
    snapshot: element['@snapshot'] ?? null,
    ...toMirror(element.mirror),
  };
}

function toMirror(mirror: z.infer<typeof DiskElement>['mirror']): Pick<Disk, 'mirrored' | 'mirror'> {
  if (mirror === undefined) return { mirrored: false };
  const path = mirror.source?.['@file'] ?? mirror.source?.['@dev'] ?? null;
  return {
    mirrored: true,
    mirror: { job: mirror['@job'] ?? 'copy', path, ready: mirror['@ready'] === 'yes' },
  };
}

const attributesOf = (element: Readonly<Record<string, unknown>> | undefined) =>
  Object.fromEntries(
    Object.entries(element ?? {}).flatMap(([key, value]) =>
      key.startsWith('@') && typeof value === 'string' ? [[key.slice(1), value]] : [],
    ),
  );

interface BackingFile {
  readonly path: string;
  readonly format: string | undefined;
}

function backingFiles(below: Backing | undefined): BackingFile[] {
  const path = below?.source?.['@file'] ?? below?.source?.['@dev'];
  if (path === undefined) return [];
  return [{ path, format: below?.format?.['@type'] }, ...backingFiles(below?.backingStore)];
}

/** An empty drive may have a `<source>` too, with only a number or a policy in it (12.8, while the VM runs). */
function hasMedium(source: object | undefined): boolean {
  return Object.keys(source ?? {}).some((key) => key !== '@index' && key !== '@startupPolicy');
}

function pflashOf(os: z.infer<typeof DomainElement>['domain']['os']): DomainDefinition['pflash'] {
  const loader = os?.loader;
  const nvram = os?.nvram;
  if (os?.varstore !== undefined && nvram === undefined)
    return { nvramFormat: 'json', nvramPath: os.varstore['@path'] ?? null };
  const byLoader = typeof loader === 'object' && loader['@type'] === 'pflash';
  if (!byLoader && os?.['@firmware'] !== 'efi' && nvram === undefined) return null;
  if (nvram === undefined || typeof nvram === 'string')
    return { nvramFormat: 'raw', nvramPath: nvram || null };
  return {
    nvramFormat: nvram['@format'] ?? 'raw',
    nvramPath: nvram.source?.['@file'] ?? nvram['#text']?.trim() ?? null,
  };
}

/** The name is fixed by the guest agent (formatdomain, channel). */
function agentChannelOf(
  channels: readonly z.infer<typeof ChannelElement>[],
): DomainDefinition['agentChannel'] {
  const agent = channels.find(({ target }) => target?.['@name'] === 'org.qemu.guest_agent.0');
  if (!agent) return 'none';
  return agent.target?.['@state'] === 'connected' ? 'connected' : 'disconnected';
}

/** libvirt's scaled integers: `KiB`, `MiB`, `b`, `bytes`, `KB`, ... (formatdomain, memory allocation). */
export function toBytes(value: string, unit: string): number {
  const power = 'bkmgtpe'.indexOf(unit[0]?.toLowerCase() ?? 'k');
  const base = /^[a-z]B$/i.test(unit) && unit !== 'b' ? 1000 : 1024;
  return Number(value) * base ** Math.max(power, 0);
}
