import { type Disk, type Domain, isActive } from '../../model/domain.ts';
import { chainOf, type DiskImage, tagsNamed } from '../../model/image.ts';
import {
  ifBefore,
  isBefore,
  isFrom,
  LEAVES_OUT_READ_ONLY,
  SAVES_BY_JOB,
} from '../../model/libvirt-versions.ts';
import { mebibytes } from '../../model/mebibytes.ts';
import { couldBeId, isJobName, isMonitorName, jobNameFor } from '../../model/names.ts';
import { virshWord } from '../../model/quote.ts';
import type { Finding, Rule } from '../../model/rule.ts';
import type { Mode } from '../../model/snapshot-spec.ts';
import { deleteTagLine } from '../../qemu/command-lines.ts';
import { describeUses, usesOf } from '../../sharing/image-users.ts';
import { bitmapFindings } from '../../vm/bitmap-rules.ts';
import {
  corruptImage,
  EXTERNAL_INSTEAD,
  eachDisk,
  editCommand,
  foreignHeader,
  formatFinding,
  headerFinding,
  isAsDefined,
  nextTagId,
  participants,
  tagWithId,
  unsupportedImage,
  whatIsBroken,
} from '../../vm/disk-findings.ts';
import { lostVolumes } from '../../vm/volume-rules.ts';
import { savedMemoryBytes } from '../saved-memory.ts';
import { CHECKPOINT_CREATE_RULES } from './checkpoint.ts';
import { EXTERNAL_RULES } from './external.ts';
import type { CreateFacts } from './facts.ts';
import { PARTIAL_CREATE_RULES } from './partial.ts';
import { SHAREABLE_RULES } from './shareable.ts';
import { SHARING_RULES } from './sharing.ts';
import { UNMANAGED_CREATE_RULES } from './unmanaged.ts';
import { WRITE_CREATE_RULES } from './write.ts';

/** The rules that decide, before anything is touched, whether a snapshot can be taken. */

/** The read-only disks in another format than qcow2, of a VM that is off. */
const readOnlyForeign = (domain: Domain): readonly Disk[] =>
  isActive(domain.state)
    ? []
    : domain.disks.filter(
        (disk) => disk.device === 'disk' && disk.hasSource && disk.readonly && disk.driver !== 'qcow2',
      );

/** Whether a rule asks for libvirtd's version, which costs a process and sometimes seconds. */
export function needsDaemonVersion(domain: Domain, mode: Mode): boolean {
  return (
    mode !== 'internal' ||
    isActive(domain.state) ||
    domain.pflash !== null ||
    domain.checkpoints.length > 0 ||
    readOnlyForeign(domain).length > 0
  );
}

const INTERNAL = ['internal'] as const;
const WITH_MEMORY = ['internal', 'external'] as const;

/** An overlay works over a file that the XML calls raw, whatever is in it, and a disk that is left out is not touched. */
const mindsFormat = ({ mode, plan }: CreateFacts, { target, driver }: Disk): boolean =>
  mode === 'internal' ||
  ((driver ?? 'raw') !== 'raw' && plan.disks.some((planned) => planned.target === target));

export const CREATE_RULES: readonly Rule<CreateFacts>[] = [
  {
    id: 'no-disks',
    hazards: [],
    severity: 'error',
    unsupported: true,
    find: ({ plan, mode }) => {
      // a rule of its own says where the memory can go
      if (plan.disks.length > 0 || plan.manual.length > 0 || mode === 'external') return [];
      const { leftOut, spec } = plan;
      if (leftOut.length === 0)
        return [
          {
            what: 'the VM has no disk that a snapshot could hold (cdroms and read-only disks take no part)',
          },
        ];
      const memory = spec.diskOnly
        ? 'so is the memory (--disk-only)'
        : 'the VM is off, without memory to save';
      return [
        { what: `every disk is left out (${leftOut.join(', ')}), and ${memory}: nothing is left to take` },
      ];
    },
  },
  {
    id: 'volume-not-found',
    hazards: [46],
    severity: 'error',
    find: ({ domain }) => lostVolumes(domain),
  },
  {
    id: 'broken-image',
    hazards: [24],
    severity: 'error',
    find: (facts) =>
      eachDisk(facts, ({ target, source }, image) => {
        if (image?.kind !== 'broken') return null;
        const role = image.path === source ? '' : `, in the backing chain of ${source},`;
        return {
          what: `disk ${target}: ${image.path}${role} ${whatIsBroken(image)}`,
          ...(role === ''
            ? {
                hint: "restore the file, or correct the path in the VM's XML",
                command: editCommand(facts.domain),
              }
            : {
                hint:
                  image.why === 'format-unrecorded'
                    ? `record the format that ${image.path} was made with, the VM being off: qemu-img rebase -u -f qcow2 -F FORMAT -b BACKING IMAGE; raw, if a guest could write to it as a raw disk`
                    : 'restore the file, or name the right one with qemu-img rebase -u -f qcow2 -F FORMAT -b BACKING IMAGE, the VM being off',
              }),
        };
      }),
  },
  {
    id: 'not-qcow2',
    hazards: [],
    severity: 'error',
    unsupported: true,
    modes: INTERNAL,
    find: (facts) =>
      eachDisk(facts, (disk, image) =>
        isAsDefined(disk, image) && !foreignHeader(disk, image)
          ? formatFinding(facts.domain, disk, image)
          : null,
      ),
  },
  {
    // no kind of VM: a slip in the XML, or an image whose head is destroyed
    id: 'format-disagrees',
    hazards: [13],
    severity: 'error',
    find: (facts) =>
      eachDisk(facts, (disk, image) =>
        isAsDefined(disk, image) || foreignHeader(disk, image) || !mindsFormat(facts, disk)
          ? null
          : formatFinding(facts.domain, disk, image),
      ),
  },
  {
    id: 'foreign-header',
    hazards: [13, 51],
    severity: 'error',
    modes: INTERNAL,
    find: (facts) =>
      eachDisk(facts, (disk, image) =>
        foreignHeader(disk, image) ? formatFinding(facts.domain, disk, image) : null,
      ),
  },
  {
    // the overlay records that it is raw
    id: 'foreign-header-beneath',
    hazards: [51],
    severity: 'warning',
    modes: ['external', 'disk-only'],
    find: (facts) =>
      eachDisk(facts, (disk, image) => {
        const header = foreignHeader(disk, image);
        return header && headerFinding(disk, header);
      }),
  },
  {
    id: 'external-by-default',
    hazards: [12],
    severity: 'error',
    unsupported: true,
    modes: INTERNAL,
    find: ({ domain }) =>
      participants(domain)
        .filter((disk) => disk.snapshot === 'external')
        .map((disk) => ({
          what: `disk ${disk.target}: the VM's XML says snapshot='external', so libvirt would make an external snapshot`,
          hint: `if that is what you want, say --external; else take snapshot='external' out of disk ${disk.target}`,
          command: editCommand(domain),
        })),
  },
  {
    id: 'excluded-disk',
    hazards: [26],
    severity: 'error',
    unsupported: true,
    modes: INTERNAL,
    find: ({ domain }) =>
      participants(domain)
        .filter((disk) => disk.snapshot === 'no' || disk.snapshot === 'manual')
        .map((disk) => ({
          what: `disk ${disk.target}: the VM's XML says snapshot='${disk.snapshot}', and an internal snapshot needs every writable disk`,
          hint: `take snapshot='${disk.snapshot}' out of disk ${disk.target}, or make the disk <readonly/>${disk.snapshot === 'manual' ? '; an external snapshot (--external, --disk-only) leaves it to its storage' : ''}`,
          command: editCommand(domain),
        })),
  },
  {
    id: 'corrupt-image',
    hazards: [],
    severity: 'error',
    find: (facts) => eachDisk(facts, corruptImage),
  },
  {
    id: 'image-cannot-snapshot',
    hazards: [],
    severity: 'error',
    unsupported: true,
    modes: INTERNAL,
    find: (facts) => eachDisk(facts, (disk, image) => unsupportedImage(facts.domain, disk, image)),
  },
  {
    id: 'encrypted-image',
    hazards: [3],
    severity: 'error',
    unsupported: true,
    modes: INTERNAL,
    find: (facts) => eachDisk(facts, (disk, image) => encryptedFinding(facts, disk, image)),
  },
  {
    id: 'network-disk',
    hazards: [30],
    severity: 'error',
    unsupported: true,
    modes: INTERNAL,
    find: ({ domain }) =>
      isActive(domain.state)
        ? []
        : participants(domain)
            .filter((disk) => disk.storage === 'network')
            .map((disk) => ({
              what: `disk ${disk.target} is on the network, and libvirt takes internal snapshots of such disks only while the VM runs`,
              command: `virsh start ${virshWord(domain)}`,
            })),
  },
  {
    id: 'read-only-disk-refused',
    hazards: [26],
    severity: 'overridable',
    modes: INTERNAL,
    find: ({ domain, daemonVersion }) => {
      const does = 'may take no snapshot beside it while the VM is off, although it is read-only';
      const older = ifBefore(daemonVersion, LEAVES_OUT_READ_ONLY, does);
      return older === null
        ? []
        : readOnlyForeign(domain).map((disk) => ({
            what: `disk ${disk.target} is ${disk.driver ?? 'raw'}, and ${older}`,
            hint: 'start the VM first, or use --force to try',
            command: `virsh start ${virshWord(domain)}`,
          }));
    },
  },
  {
    id: 'orphan-tag',
    hazards: [4],
    severity: 'error',
    modes: INTERNAL,
    find: (facts) =>
      eachDisk(facts, ({ target, source }, image) => {
        const [tag] = tagsNamed(image, facts.name);
        if (!tag) return null;
        const others = usesOf(facts.users, source);
        if (others.length > 0)
          return {
            what: `disk ${target}: ${source} already holds a snapshot '${facts.name}' (id ${tag.id}), and ${describeUses(others)}; a second of that name could not be told from it`,
            hint: 'choose another name',
          };
        return {
          what: `disk ${target}: ${source} already holds a snapshot '${facts.name}' (id ${tag.id}) that libvirt does not know; a second of that name could not be told from it`,
          hint: 'choose another name, or delete the one in the image while the VM is off',
          command: deleteTagLine(facts.name, source ?? ''),
        };
      }),
  },
  {
    id: 'name-is-an-id',
    hazards: [31],
    severity: 'error',
    modes: INTERNAL,
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
    id: 'name-may-be-an-id',
    hazards: [31],
    severity: 'warning',
    modes: INTERNAL,
    find: ({ domain, images, name }) => {
      const isAhead = (image: DiskImage | undefined) =>
        image?.kind === 'unseen' || Number(name) > Number(nextTagId(image) ?? name);
      return couldBeId(name) && participants(domain).some(({ target }) => isAhead(images.get(target)))
        ? [
            {
              what: `'${name}' is a number, which another snapshot in the image may have for its id, or get; QEMU, which looks for an id before a name, would bring that one back: a name with a letter in it, such as 'snapshot-${name}', is safe`,
            },
          ]
        : [];
    },
  },
  {
    id: 'id-is-a-name',
    hazards: [31],
    severity: 'warning',
    modes: INTERNAL,
    find: (facts) =>
      eachDisk(facts, ({ target, source }, image) => {
        const id = nextTagId(image);
        if (id === null || tagsNamed(image, id).length === 0) return null;
        return {
          what: `disk ${target}: in ${source} the new snapshot gets the id ${id}, and QEMU looks for an id before a name: the snapshot called '${id}' cannot be reverted to while the new one is there`,
        };
      }),
  },
  {
    id: 'job-name',
    hazards: [6],
    severity: 'error',
    modes: INTERNAL,
    find: ({ domain, name, daemonVersion }) => {
      if (!isActive(domain.state) || isBefore(daemonVersion, SAVES_BY_JOB) || isJobName(name)) return [];
      const taker =
        daemonVersion === null ? 'libvirtd from 10.9 on (it does not tell its version)' : 'this libvirtd';
      return [
        {
          what: `for a running VM ${taker} takes only names of letters A-Z a-z, digits, '.', '_' and '-', and not '${name}'`,
          hint: `call it '${jobNameFor(name)}'`,
        },
      ];
    },
  },
  {
    id: 'monitor-name',
    hazards: [6],
    severity: 'error',
    modes: INTERNAL,
    find: ({ domain, name, daemonVersion }) =>
      // where the version is not known, job-name refuses these too
      isActive(domain.state) && isBefore(daemonVersion, SAVES_BY_JOB) && !isMonitorName(name)
        ? [
            {
              what: `for a running VM this libvirtd (before 10.9) garbles names with '"' or '\\', and would report a snapshot '${name}' that no disk holds`,
              hint: `call it '${jobNameFor(name)}'`,
            },
          ]
        : [],
  },
  {
    id: 'uefi',
    hazards: [15],
    severity: 'error',
    unsupported: true,
    modes: INTERNAL,
    find: ({ domain, daemonVersion }) => {
      if (!domain.pflash) return [];
      const older = ifBefore(daemonVersion, SAVES_BY_JOB, 'takes no internal snapshot of such a VM');
      if (older !== null) return [{ what: `the VM has UEFI firmware, and ${older}`, hint: EXTERNAL_INSTEAD }];
      if (!isActive(domain.state) || domain.pflash.nvramFormat === 'qcow2') return [];
      return [
        {
          what: `the VM has UEFI firmware with NVRAM in ${domain.pflash.nvramFormat} format, and a snapshot of it while it runs needs NVRAM in qcow2`,
          hint: 'shut the VM down first; its NVRAM will then not be part of the snapshot',
          command: `virsh shutdown ${virshWord(domain)}`,
        },
      ];
    },
  },
  {
    id: 'nvram-left-out',
    hazards: [15],
    severity: 'warning',
    modes: INTERNAL,
    find: ({ domain, daemonVersion }) =>
      domain.pflash &&
      domain.pflash.nvramFormat !== 'qcow2' &&
      isFrom(daemonVersion, SAVES_BY_JOB) &&
      !isActive(domain.state)
        ? [
            {
              what: 'the UEFI NVRAM (boot entries, secure boot keys) is raw and will NOT be part of the snapshot',
            },
          ]
        : [],
  },
  {
    id: 'tpm-left-out',
    hazards: [],
    severity: 'warning',
    find: ({ domain }) =>
      !isActive(domain.state) && domain.tpms.includes('emulator')
        ? [
            {
              what: "the VM has an emulated TPM, whose state (the keys of a disk's encryption, say) is in a directory of libvirt and will NOT be part of the snapshot",
            },
          ]
        : [],
  },
  {
    id: 'shared-disk',
    hazards: [],
    severity: 'warning',
    find: ({ domain }) =>
      participants(domain)
        .filter((disk) => disk.shareable)
        .map(({ target, source }) => ({
          what: `disk ${target} (${source}) is <shareable/>: what another VM writes to it meanwhile is in the snapshot by chance, and a revert takes it away from that VM too`,
          hint: 'shut the other VMs down first',
        })),
  },
  ...CHECKPOINT_CREATE_RULES,
  ...UNMANAGED_CREATE_RULES,
  ...SHAREABLE_RULES,
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
    unsupported: true,
    find: ({ domain, plan }) =>
      isActive(domain.state)
        ? participants(domain)
            // one that is left out hinders only the memory
            .filter(
              ({ target, transient }) =>
                transient && !(plan.mode === 'disk-only' && plan.leftOut.includes(target)),
            )
            .map((disk) => ({
              what: `disk ${disk.target} is <transient/>, and libvirt takes no snapshot of it while the VM runs`,
              command: `virsh shutdown ${virshWord(domain)}`,
            }))
        : [],
  },
  {
    id: 'host-device',
    hazards: [30],
    severity: 'error',
    unsupported: true,
    modes: WITH_MEMORY,
    find: ({ domain }) => {
      const kinds = domain.hostDevices.filter((kind) => kind !== 'usb');
      if (!isActive(domain.state) || kinds.length === 0) return [];
      return [
        {
          what: `the VM has host devices (${[...new Set(kinds)].join(', ')}), whose state cannot be saved while it runs`,
          hint: 'shut it down first, or detach them, or leave the memory out with --disk-only',
          command: `virsh shutdown ${virshWord(domain)}`,
        },
      ];
    },
  },
  {
    id: 'shared-filesystem',
    hazards: [30],
    severity: 'error',
    unsupported: true,
    modes: WITH_MEMORY,
    // a newer libvirtd asks virtiofsd whether it can save its state, and refuses before anything is touched if not
    find: ({ domain, daemonVersion }) => {
      const older = ifBefore(daemonVersion, SAVES_BY_JOB, 'cannot save its state while the VM runs');
      return older !== null && isActive(domain.state) && domain.sharedFilesystems.includes('virtiofs')
        ? [
            {
              what: `the VM shares a file system by virtiofs, and ${older}`,
              hint: 'shut it down first, or detach the share, or leave the memory out with --disk-only',
              command: `virsh shutdown ${virshWord(domain)}`,
            },
          ]
        : [];
    },
  },
  {
    id: 'managed-save',
    hazards: [11],
    severity: 'warning',
    modes: INTERNAL,
    find: ({ domain }) =>
      domain.managedSave
        ? [
            {
              what: "the VM's memory is in a managed save, which this snapshot does not hold: it has the disks only, as they were when the VM was saved",
              hint: 'start the VM first to have its memory in the snapshot',
            },
          ]
        : [],
  },
  {
    id: 'free-space',
    hazards: [7],
    severity: 'overridable',
    modes: INTERNAL,
    find: (facts) => {
      const { domain, freeBytes } = facts;
      if (!isActive(domain.state) || freeBytes === null) return [];
      const needed = savedMemoryBytes(facts);
      if (freeBytes >= needed) return [];
      const [disk] = participants(domain);
      const path = disk?.source ?? 'the disk';
      const where = disk?.storage === 'block' ? path : `the file system of ${path}`;
      return [
        {
          what: `the guest's memory takes up to ${mebibytes(needed)}, and ${where} has ${mebibytes(freeBytes)} free; when it runs full in the middle, the image keeps all the space`,
          hint: 'free some space, shut the VM down first, or use --force',
        },
      ];
    },
  },
  {
    id: 'no-metadata',
    hazards: [],
    severity: 'warning',
    find: ({ plan }) =>
      plan.spec.noMetadata
        ? [
            {
              what: `libvirt will keep no record of it: no command can list, revert or delete it, and ${
                plan.mode === 'internal'
                  ? 'in the images it counts as an orphan'
                  : 'the VM goes on in overlays that belong to nothing'
              }`,
            },
          ]
        : [],
  },
  {
    id: 'dirty-bitmaps',
    hazards: [43],
    severity: 'error',
    modes: INTERNAL,
    find: (facts) =>
      bitmapFindings(
        facts,
        participants(facts.domain).map(({ target }) => target),
        'QEMU could not go back to the snapshot: a revert of the running VM would lose the guest',
      ),
  },
  ...WRITE_CREATE_RULES,
  ...SHARING_RULES,
  ...PARTIAL_CREATE_RULES,
  ...EXTERNAL_RULES,
];

/**
 * With the VM off, libvirt does not hand qemu-img the key. While it runs, QEMU (7.2) dies of a failed assertion when
 * it writes the memory into an encrypted image, which is the first disk's.
 */
function encryptedFinding(
  { domain, images }: CreateFacts,
  disk: Disk,
  image: DiskImage | undefined,
): Finding | null {
  const isEncrypted = (seen: DiskImage | undefined) => chainOf(seen)[0]?.encrypted;
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
    what: `${what} libvirt does not hand the key to qemu-img for a VM that is off`,
    ...(isEncrypted(images.get(first?.target ?? ''))
      ? { hint: 'copy the image instead, or encrypt within the guest' }
      : { hint: 'start the VM first', command: `virsh start ${virshWord(domain)}` }),
  };
}
