import { type Disk, type Domain, isActive, takesPart } from './domain.ts';
import { type DiskImage, type Tag, tagsNamed } from './image.ts';
import { isJobName, isMonitorName, jobNameFor } from './names.ts';
import { kvmsnapLine, quote, virshWord } from './quote.ts';
import { hasMemory, internalDisks, type Snapshot } from './snapshot.ts';

/**
 * The rules that decide, before anything is touched, whether a create or a revert can work. Each is one row: what it
 * looks for, which hazard of virsh it answers, and how hard it says no.
 */

export interface Finding {
  /** What is wrong, with the facts. */
  readonly what: string;
  /** What to do about it, in words. */
  readonly hint?: string;
  /** The command that mends it. */
  readonly command?: string;
}

export type Severity =
  /** Refused, whatever the user says: going on would lose data or cannot work. */
  | 'error'
  /** Refused unless forced: we may be wrong, or the user may want it so. */
  | 'judgement'
  /** Said, and done. */
  | 'warning';

export interface Rule<Facts> {
  readonly id: string;
  /** The numbered hazards of virsh that it answers. */
  readonly hazards: readonly number[];
  readonly severity: Severity;
  readonly find: (facts: Facts) => readonly Finding[];
}

export interface RuledFinding extends Finding {
  readonly rule: string;
  readonly severity: Severity;
}

/** Runs all rules of a table, in its order. */
export function judge<Facts>(rules: readonly Rule<Facts>[], facts: Facts): RuledFinding[] {
  return rules.flatMap(({ id, severity, find }) =>
    find(facts).map((finding) => ({ ...finding, rule: id, severity })),
  );
}

/** What is known before a snapshot is taken. */
export interface CreateFacts {
  readonly domain: Domain;
  readonly images: ReadonlyMap<string, DiskImage>;
  readonly name: string;
  /** libvirtd's version, major * 1e6 + minor * 1e3 + release; 0 when unknown, or when no rule needs it. */
  readonly daemonVersion: number;
  /** Disk targets with a block job under way. */
  readonly blockJobs: readonly string[];
  /** Bytes free where the memory will be written, and bytes that QEMU's process holds; null when unknown. */
  readonly freeBytes: number | null;
  readonly residentBytes: number | null;
}

/** What is known before a revert. */
export interface RevertFacts {
  readonly domain: Domain;
  readonly snapshot: Snapshot;
  /** The images that libvirt would revert, by disk target: those of the definition stored with the snapshot. */
  readonly images: ReadonlyMap<string, DiskImage>;
  readonly daemonVersion: number;
}

/** libvirt 9.9 reverts external snapshots. */
const REVERTS_EXTERNAL = 9_009_000;
/** libvirt 10.9 saves internal snapshots by QEMU's snapshot-save job, and takes UEFI machines with qcow2 NVRAM. */
const SAVES_BY_JOB = 10_009_000;

/** Device state, video memory and qcow2 tables beside the guest's memory, with some air for what the guest writes. */
const MEMORY_MARGIN_BYTES = 64 * 1024 * 1024;

const MIB = 1024 * 1024;
const mib = (bytes: number): string => `${Math.ceil(bytes / MIB)} MiB`;

export const CREATE_RULES: readonly Rule<CreateFacts>[] = [
  {
    id: 'no-disks',
    hazards: [],
    severity: 'error',
    find: ({ domain }) =>
      domain.disks.some(takesPart)
        ? []
        : [
            {
              what: 'the machine has no disk that a snapshot could hold (cdroms and read-only disks take no part)',
            },
          ],
  },
  {
    id: 'broken-image',
    hazards: [24],
    severity: 'error',
    find: (facts) =>
      eachDisk(facts, ({ target, source }, image) => {
        if (image?.kind !== 'broken') return null;
        const role = image.path === source ? '' : `, in the backing chain of ${source},`;
        const state =
          image.why === 'unreadable' ? `is not readable as an image (${image.detail})` : 'is missing';
        return {
          what: `disk ${target}: ${image.path}${role} ${state}`,
          hint:
            role === ''
              ? "restore the file, or correct the path in the machine's XML"
              : 'restore the file, or name the right one with qemu-img rebase -u -b, the machine being off',
        };
      }),
  },
  {
    id: 'not-qcow2',
    hazards: [13],
    severity: 'error',
    find: (facts) => eachDisk(facts, (disk, image) => formatFinding(facts.domain, disk, image)),
  },
  {
    id: 'external-by-default',
    hazards: [12],
    severity: 'error',
    find: ({ domain }) =>
      participants(domain)
        .filter((disk) => disk.snapshot === 'external')
        .map((disk) => ({
          what: `disk ${disk.target}: the machine's XML says snapshot='external', so libvirt would make an external snapshot`,
          hint: `take snapshot='external' out of disk ${disk.target}`,
          command: editCommand(domain),
        })),
  },
  {
    id: 'excluded-disk',
    hazards: [26],
    severity: 'error',
    find: ({ domain }) =>
      participants(domain)
        .filter((disk) => disk.snapshot === 'no' || disk.snapshot === 'manual')
        .map((disk) => ({
          what: `disk ${disk.target}: the machine's XML says snapshot='${disk.snapshot}', and an internal snapshot needs every writable disk`,
          hint: `take snapshot='${disk.snapshot}' out of disk ${disk.target}, or make the disk <readonly/>`,
          command: editCommand(domain),
        })),
  },
  {
    id: 'image-cannot-snapshot',
    hazards: [],
    severity: 'error',
    find: (facts) => eachDisk(facts, (disk, image) => unsuitableImage(facts.domain, disk, image)),
  },
  {
    id: 'encrypted-image',
    hazards: [3],
    severity: 'error',
    find: (facts) => eachDisk(facts, (disk, image) => encryptedFinding(facts, disk, image)),
  },
  {
    id: 'network-disk',
    hazards: [30],
    severity: 'error',
    find: ({ domain }) =>
      isActive(domain.state)
        ? []
        : participants(domain)
            .filter((disk) => disk.storage === 'network')
            .map((disk) => ({
              what: `disk ${disk.target} is on the network, and libvirt takes internal snapshots of such disks only while the machine runs`,
              command: `virsh start ${virshWord(domain)}`,
            })),
  },
  {
    id: 'orphan-tag',
    hazards: [4],
    severity: 'error',
    find: (facts) =>
      eachDisk(facts, ({ target, source }, image) => {
        const [tag] = tagsNamed(image, facts.name);
        if (!tag) return null;
        return {
          what: `disk ${target}: ${source} already holds a snapshot '${facts.name}' (id ${tag.id}) that libvirt does not know; a second of that name could not be told from it`,
          hint: 'choose another name, or delete the one in the image while the machine is off',
          command: `qemu-img snapshot -d ${quote(facts.name)} ${quote(source ?? '')}`,
        };
      }),
  },
  {
    id: 'name-is-an-id',
    hazards: [31],
    severity: 'error',
    find: (facts) =>
      eachDisk(facts, ({ target, source }, image) => {
        const other = tagWithId(image, facts.name);
        if (!other) return null;
        return {
          what: `disk ${target}: in ${source} the snapshot '${other.name}' has the id ${other.id}, and QEMU, which looks for an id before a name, would bring that one back instead of '${facts.name}'`,
          hint: `choose a name with a letter in it, such as 'snapshot-${facts.name}'`,
        };
      }),
  },
  {
    id: 'job-name',
    hazards: [6],
    severity: 'error',
    find: ({ domain, name, daemonVersion }) => {
      if (!isActive(domain.state) || daemonVersion < SAVES_BY_JOB || isJobName(name)) return [];
      return [
        {
          what: `for a running machine this libvirtd takes only names of letters A-Z a-z, digits, '.', '_' and '-', and not '${name}'`,
          hint: `call it '${jobNameFor(name, 0)}'`,
        },
      ];
    },
  },
  {
    id: 'monitor-name',
    hazards: [6],
    severity: 'error',
    find: ({ domain, name, daemonVersion }) =>
      isActive(domain.state) && daemonVersion < SAVES_BY_JOB && !isMonitorName(name)
        ? [
            {
              what: `for a running machine this libvirtd (before 10.9) garbles names with '"' or '\\', and would report a snapshot '${name}' that no disk holds`,
              hint: `call it '${jobNameFor(name, 0)}'`,
            },
          ]
        : [],
  },
  {
    id: 'uefi',
    hazards: [15],
    severity: 'error',
    find: ({ domain, daemonVersion }) => {
      if (!domain.pflash) return [];
      if (daemonVersion < SAVES_BY_JOB) {
        return [
          {
            what: 'the machine has UEFI firmware, and this libvirtd (before 10.9) takes no internal snapshot of such a machine',
          },
        ];
      }
      if (!isActive(domain.state) || domain.pflash.nvramFormat === 'qcow2') return [];
      return [
        {
          what: `the machine has UEFI firmware with NVRAM in ${domain.pflash.nvramFormat} format, and a snapshot of it while it runs needs NVRAM in qcow2`,
          hint: 'shut the machine down first; its NVRAM will then not be part of the snapshot',
          command: `virsh shutdown ${virshWord(domain)}`,
        },
      ];
    },
  },
  {
    id: 'nvram-left-out',
    hazards: [15],
    severity: 'warning',
    find: ({ domain, daemonVersion }) =>
      domain.pflash &&
      domain.pflash.nvramFormat !== 'qcow2' &&
      daemonVersion >= SAVES_BY_JOB &&
      !isActive(domain.state)
        ? [
            {
              what: 'the UEFI NVRAM (boot entries, secure boot keys) is raw and will NOT be part of the snapshot',
            },
          ]
        : [],
  },
  {
    id: 'checkpoints',
    hazards: [30],
    severity: 'error',
    find: ({ domain }) =>
      checkpointFinding(domain, 'a snapshot beside them is refused, or cannot be reverted to'),
  },
  {
    id: 'block-job',
    hazards: [30],
    severity: 'error',
    find: ({ domain, blockJobs }) => {
      const busy = new Set([
        ...blockJobs,
        ...domain.disks.filter((disk) => disk.mirrored).map((disk) => disk.target),
      ]);
      return [...busy].map((target) => ({
        what: `disk ${target}: a block job (copy, commit or pull) is under way`,
        hint: 'wait for it (--info instead of --abort shows how far it is), or end it',
        command: `virsh blockjob ${virshWord(domain)} ${target} --abort`,
      }));
    },
  },
  {
    id: 'transient-disk',
    hazards: [30],
    severity: 'error',
    find: ({ domain }) =>
      isActive(domain.state)
        ? participants(domain)
            .filter((disk) => disk.transient)
            .map((disk) => ({
              what: `disk ${disk.target} is <transient/>, and libvirt takes no snapshot of it while the machine runs`,
              command: `virsh shutdown ${virshWord(domain)}`,
            }))
        : [],
  },
  {
    id: 'host-device',
    hazards: [30],
    severity: 'error',
    find: ({ domain }) => {
      const kinds = domain.hostDevices.filter((kind) => kind !== 'usb');
      if (!isActive(domain.state) || kinds.length === 0) return [];
      return [
        {
          what: `the machine has host devices (${[...new Set(kinds)].join(', ')}), whose state cannot be saved while it runs`,
          hint: 'shut it down first, or detach them',
          command: `virsh shutdown ${virshWord(domain)}`,
        },
      ];
    },
  },
  {
    id: 'shared-filesystem',
    hazards: [30],
    severity: 'error',
    find: ({ domain }) =>
      isActive(domain.state) && domain.sharedFilesystems.includes('virtiofs')
        ? [
            {
              what: 'the machine shares a file system by virtiofs, whose state cannot be saved while it runs',
              hint: 'shut it down first, or detach the share',
              command: `virsh shutdown ${virshWord(domain)}`,
            },
          ]
        : [],
  },
  {
    id: 'managed-save',
    hazards: [11],
    severity: 'warning',
    find: ({ domain }) =>
      domain.managedSave
        ? [
            {
              what: "the machine's memory is in a managed save, which this snapshot does not hold: it has the disks only, as they were when the machine was saved",
              hint: 'start the machine first to have its memory in the snapshot',
            },
          ]
        : [],
  },
  {
    id: 'free-space',
    hazards: [7],
    severity: 'judgement',
    find: ({ domain, freeBytes, residentBytes }) => {
      if (!isActive(domain.state) || freeBytes === null) return [];
      const memory = residentBytes ?? domain.memoryBytes;
      const needed = memory + MEMORY_MARGIN_BYTES;
      if (freeBytes >= needed) return [];
      const where = participants(domain)[0]?.source ?? 'the disk';
      return [
        {
          what: `the guest's memory takes up to ${mib(needed)}, and the file system of ${where} has ${mib(freeBytes)} free; when it runs full in the middle, the image keeps all the space`,
          hint: 'free some space, shut the machine down first, or use --force',
        },
      ];
    },
  },
];

export const REVERT_RULES: readonly Rule<RevertFacts>[] = [
  {
    id: 'missing-tag',
    hazards: [2, 3, 24],
    severity: 'error',
    find: ({ domain, snapshot, images }) =>
      internalDisks(snapshot).flatMap(
        ({ target, source }) => tagFinding(domain, snapshot, target, source, images.get(target)) ?? [],
      ),
  },
  {
    id: 'name-is-an-id',
    hazards: [31],
    severity: 'error',
    find: ({ snapshot, images }) =>
      internalDisks(snapshot).flatMap(({ target, source }) => {
        const other = tagWithId(images.get(target), snapshot.name);
        if (!other) return [];
        const path = source ?? '';
        return [
          {
            what: `disk ${target}: in ${source} the snapshot '${other.name}' has the id ${other.id}, and QEMU, which looks for an id before a name, would bring that one back`,
            hint: `delete '${other.name}' if you can do without it; or copy what '${snapshot.name}' holds into a new image`,
            command: `qemu-img convert -U -l ${quote(`snapshot.name=${snapshot.name}`)} -O qcow2 ${quote(path)} ${quote(`${path}.${snapshot.name}`)}`,
          },
        ];
      }),
  },
  {
    id: 'missing-memory',
    hazards: [3],
    severity: 'error',
    find: ({ snapshot, images }) => {
      if (snapshot.memory.location !== 'internal') return [];
      const tags = internalDisks(snapshot).map(({ target }) => tagsNamed(images.get(target), snapshot.name));
      const allSeen = internalDisks(snapshot).every(({ target }) => images.get(target)?.kind === 'seen');
      if (
        !allSeen ||
        tags.some((found) => found.length !== 1) ||
        tags.flat().some((tag) => tag.vmStateBytes > 0)
      )
        return [];
      return [
        { what: `'${snapshot.name}' is a snapshot of a running machine, but no disk holds its memory` },
      ];
    },
  },
  {
    id: 'checkpoints',
    hazards: [3, 30],
    severity: 'error',
    find: ({ domain }) =>
      checkpointFinding(domain, 'QEMU reverts no image that has them: a running guest would be lost'),
  },
  {
    id: 'external-on-old-daemon',
    hazards: [17],
    severity: 'error',
    find: ({ snapshot, daemonVersion }) =>
      daemonVersion < REVERTS_EXTERNAL && isExternal(snapshot)
        ? [
            {
              what: `'${snapshot.name}' is external, and this libvirtd (before 9.9) cannot revert to external snapshots`,
            },
          ]
        : [],
  },
  {
    id: 'managed-save',
    hazards: [11],
    severity: 'judgement',
    find: ({ domain, snapshot }) =>
      domain.managedSave && !hasMemory(snapshot)
        ? [
            {
              what: 'the machine has a managed save, and its memory would not fit the disks after the revert',
              hint: 'drop the saved memory, or use --force',
              command: `virsh managedsave-remove ${virshWord(domain)}`,
            },
          ]
        : [],
  },
  {
    id: 'abandoned-overlay',
    hazards: [17],
    severity: 'judgement',
    find: ({ domain, snapshot }) => {
      const now = new Map(domain.disks.map((disk) => [disk.target, disk.source]));
      return internalDisks(snapshot).flatMap(({ target, source }) => {
        const active = now.get(target);
        if (source === null || active === undefined || active === null || active === source) return [];
        return [
          {
            what: `disk ${target}: the machine now uses ${active}, but the snapshot is in ${source}; a revert leaves ${active} behind, with all that was written to it`,
            hint: '--force if that is what you want; the file itself stays',
          },
        ];
      });
    },
  },
];

/** What a revert changes beside the disks' content, to be said before it (hazards 16, 18, 29). */
export function revertConsequences({ domain, snapshot, daemonVersion }: RevertFacts, end: string): string[] {
  const kept = new Set(snapshot.definedDisks.map((disk) => disk.target));
  const lost =
    snapshot.definedDisks.length === 0 ? [] : participants(domain).filter((disk) => !kept.has(disk.target));
  const said: string[] = [];
  if (lost.length > 0) {
    const names = lost.map((disk) => `${disk.target} (${disk.source ?? disk.storage})`).join(', ');
    said.push(
      `added since and taken away from the machine by the revert: disk ${names}; the file itself stays`,
    );
  }
  if (isActive(domain.state) && end === 'shutoff')
    said.push(`the machine is ${domain.state}, and will be stopped as if its power were cut`);
  if (isActive(domain.state) && end !== 'shutoff' && daemonVersion >= 7_010_000) {
    said.push('QEMU is started anew: consoles and displays drop, and the id changes');
  }
  return said;
}

/** The state in which a revert leaves the machine (libvirt.md 2.4 and 2.5). */
export function stateAfterRevert(snapshot: Snapshot, want: { running?: boolean; paused?: boolean }): string {
  if (want.running) return 'running';
  if (want.paused) return 'paused';
  return snapshot.state === 'disk-snapshot' ? 'shutoff' : snapshot.state;
}

const participants = (domain: Domain): Disk[] => domain.disks.filter(takesPart);

const isExternal = (snapshot: Snapshot): boolean =>
  snapshot.memory.location === 'external' || snapshot.disks.some((disk) => disk.location === 'external');

function eachDisk(
  { domain, images }: { domain: Domain; images: ReadonlyMap<string, DiskImage> },
  find: (disk: Disk, image: DiskImage | undefined) => Finding | null,
): Finding[] {
  return participants(domain).flatMap((disk) => find(disk, images.get(disk.target)) ?? []);
}

/** Both facts, the file's format and the XML's word, and the edit or conversion that makes them qcow2. */
function formatFinding(domain: Domain, disk: Disk, image: DiskImage | undefined): Finding | null {
  const believed = disk.driver ?? 'raw';
  const inXml =
    disk.driver === null ? 'names no driver type, which libvirt takes for raw' : `says ${disk.driver}`;
  const place = disk.source ?? disk.storage;
  if (image?.kind === 'seen') {
    const found = image.chain[0].format;
    if (found === 'qcow2' && believed === 'qcow2') return null;
    const what = `disk ${disk.target} (${place}): the file is ${found}, the machine's XML ${inXml}`;
    return {
      what,
      ...(found === 'qcow2' ? correction(domain, disk) : conversion(domain, disk, found, believed)),
    };
  }
  if (image?.kind !== 'unseen') return null;
  const format = image.format ?? believed;
  if (format === 'qcow2' && believed === 'qcow2') return null;
  const other = format === believed ? '' : `, and the machine's XML ${inXml}`;
  const what = `disk ${disk.target} (${place}): it is ${format}, by the ${image.source}${other}`;
  return {
    what,
    ...(format === 'qcow2' ? correction(domain, disk) : conversion(domain, disk, format, believed)),
  };
}

/** For a qcow2 file that the machine's XML calls something else. */
const correction = (domain: Domain, { target }: Disk): Pick<Finding, 'hint' | 'command'> => ({
  hint: `set <driver name='qemu' type='qcow2'/> for ${target}, with the machine off`,
  command: editCommand(domain),
});

function conversion(
  domain: Domain,
  disk: Disk,
  found: string,
  believed: string,
): Pick<Finding, 'hint' | 'command'> {
  if (disk.device === 'floppy')
    return {
      hint: `internal snapshots need every writable disk in qcow2: eject the floppy ${disk.target}, or make it <readonly/>`,
    };
  const driver = believed === 'qcow2' ? '' : " with <driver name='qemu' type='qcow2'/>";
  const edit = `, and name the new file${driver} in the machine's XML`;
  if (disk.source === null) return { hint: 'an internal snapshot needs a qcow2 image' };
  if (disk.storage === 'block') {
    return {
      hint: `for a raw logical volume let LVM take the snapshot, with the machine off; or convert it to a qcow2 file${edit}`,
      command: `lvcreate --snapshot --size 10G --name ${quote(`${basename(disk.source)}-snapshot`)} ${quote(disk.source)}`,
    };
  }
  const target = `${disk.source.replace(/\.[^./]+$/, '')}.qcow2`;
  const taken = domain.disks.some(({ source }) => source === target);
  return {
    hint: `convert it, with the machine off${edit}`,
    command: `qemu-img convert -f ${found} -O qcow2 ${quote(disk.source)} ${quote(taken ? `${target}.new` : target)}`,
  };
}

function unsuitableImage(domain: Domain, disk: Disk, image: DiskImage | undefined): Finding | null {
  if (image?.kind !== 'seen') return null;
  const [top] = image.chain;
  const what = `disk ${disk.target} (${disk.source}): the image`;
  if (top.corrupt)
    return {
      what: `${what} is marked corrupt`,
      command: `qemu-img check -r all ${quote(top.path)}`,
      hint: 'make a copy first, then repair it with the machine off',
    };
  if (top.dataFile !== null)
    return {
      what: `${what} keeps its data in ${top.dataFile}, and QEMU takes no internal snapshot of such images`,
      ...conversion(domain, disk, top.format, top.format),
    };
  if (top.refcountBits === 1)
    return {
      what: `${what} has refcount_bits=1, and a snapshot needs at least 2`,
      command: `qemu-img amend -o refcount_bits=16 ${quote(top.path)}`,
    };
  return null;
}

/**
 * With the machine off, libvirt does not hand qemu-img the key. While it runs, QEMU (7.2) dies of a failed assertion when
 * it writes the memory into an encrypted image, which is the first disk's.
 */
function encryptedFinding(
  { domain, images }: CreateFacts,
  disk: Disk,
  image: DiskImage | undefined,
): Finding | null {
  const isEncrypted = (seen: DiskImage | undefined) => seen?.kind === 'seen' && seen.chain[0].encrypted;
  if (!isEncrypted(image)) return null;
  const what = `disk ${disk.target} (${disk.source}): the image is encrypted, and`;
  const [first] = participants(domain);
  if (isActive(domain.state)) {
    if (disk !== first) return null;
    return {
      what: `${what} QEMU crashes when it writes the memory into the first disk and that is encrypted: the guest would be lost`,
      hint: 'with a small unencrypted qcow2 image as the first disk it works; or encrypt within the guest',
    };
  }
  return {
    what: `${what} libvirt does not hand the key to qemu-img for a machine that is off`,
    ...(isEncrypted(images.get(first?.target ?? ''))
      ? { hint: 'copy the image instead, or encrypt within the guest' }
      : { hint: 'start the machine first', command: `virsh start ${virshWord(domain)}` }),
  };
}

function tagFinding(
  domain: Domain,
  snapshot: Snapshot,
  target: string,
  source: string | null,
  image: DiskImage | undefined,
): Finding | null {
  if (image?.kind === 'broken')
    return {
      what: `disk ${target}: ${image.path} ${image.why === 'unreadable' ? image.detail : 'is missing'}`,
    };
  if (image?.kind !== 'seen') return null;
  const found = tagsNamed(image, snapshot.name);
  if (found.length === 1) return null;
  if (found.length === 0) {
    return {
      what: `disk ${target}: ${source} does not hold the snapshot '${snapshot.name}'; a revert would change the other disks only, or lose the running guest`,
      hint: 'restore the image from a backup, or drop this snapshot',
      command: kvmsnapLine('delete', [domain.name, snapshot.name]),
    };
  }
  const ids = found.map((tag) => tag.id).join(', ');
  return {
    what: `disk ${target}: ${source} holds ${found.length} snapshots called '${snapshot.name}' (ids ${ids}), and which one a revert takes is chance`,
    hint: 'with the machine off, this deletes the older one of them',
    command: `qemu-img snapshot -d ${quote(snapshot.name)} ${quote(source ?? '')}`,
  };
}

/** Their bitmaps in the images forbid a revert; libvirt deletes them only while the machine runs. */
function checkpointFinding(domain: Domain, consequence: string): Finding[] {
  const { checkpoints } = domain;
  if (checkpoints.length === 0) return [];
  const machine = virshWord(domain);
  return [
    {
      what: `the machine has ${checkpoints.length} checkpoint(s) of incremental backup (${checkpoints.slice(0, 3).join(', ')}), and ${consequence}`,
      hint: 'end the backup chain, and delete the checkpoints while the machine runs',
      command: [
        ...(isActive(domain.state) ? [] : [`virsh start ${machine}`]),
        ...checkpoints.map((name) => `virsh checkpoint-delete ${machine} --checkpointname ${quote(name)}`),
      ].join(' && '),
    },
  ];
}

/** A snapshot that QEMU would take instead of the one of that name: it goes to an id before a name. */
const tagWithId = (image: DiskImage | undefined, name: string): Tag | undefined =>
  image?.kind === 'seen'
    ? image.chain[0].tags.find((tag) => tag.id === name && tag.name !== name)
    : undefined;

const editCommand = (domain: Domain): string => `virsh edit ${virshWord(domain)}`;

const basename = (path: string): string => path.slice(path.lastIndexOf('/') + 1);
