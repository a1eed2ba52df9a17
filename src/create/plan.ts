import { KvmsnapError } from '../errors.ts';
import { type Disk, type Domain, isActive, takesPart } from '../model/domain.ts';
import {
  type DiskSpec,
  INTERNAL_SPEC,
  type Mode,
  type PlannedDisk,
  type SnapshotPlan,
  type SnapshotSpec,
} from '../model/input/snapshot-spec.ts';
import { nearest } from '../model/names.ts';
import { directoryOf, stem } from '../model/paths.ts';
import { inText } from '../model/text.ts';

/**
 * The plan of a create: which disks it contains, whether it contains the memory, and the files for them. It depends only
 * on the VM's definition and the options.
 */

/** Why there is no plan: contradicting options, or a disk that the VM does not have. */
export interface PlanProblem {
  readonly problem: string;
  readonly hint?: string;
}

/** Where the option puts the disk; null if it does not say. */
const specifiedLocation = ({ location, file, driver, storage }: DiskSpec): string | null =>
  location ?? (file !== null || driver !== null || storage !== null ? 'external' : null);

/** Whether the snapshot has new files, or leaves a disk to its storage. */
export function isExternalSpec({ external, diskOnly, memory, disks }: SnapshotSpec): boolean {
  return (
    external ||
    diskOnly ||
    (memory !== null && memory.location !== 'internal' && memory.location !== 'no') ||
    disks.some((diskSpec) => ['external', 'manual'].includes(specifiedLocation(diskSpec) ?? ''))
  );
}

/** Whether the memory is requested explicitly, wherever it is saved. */
export const wantsMemory = ({ memory }: SnapshotSpec): boolean => memory !== null && memory.location !== 'no';

/** Combinations of options that are wrong for every VM. */
const CONTRADICTIONS: readonly {
  readonly when: (spec: SnapshotSpec) => boolean;
  readonly says: PlanProblem;
}[] = [
  {
    when: ({ memory }) => !['no', 'internal', 'external'].includes(memory?.location ?? 'external'),
    says: { problem: '--memspec: snapshot= must be no, internal or external' },
  },
  {
    when: ({ memory }) => memory?.file != null && ['no', 'internal'].includes(memory.location ?? ''),
    says: { problem: 'a file for the memory needs snapshot=external, which is the default' },
  },
  {
    when: (spec) => wantsMemory(spec) && spec.diskOnly,
    says: { problem: 'a memory file cannot be combined with --disk-only, which leaves the memory out' },
  },
  {
    when: (spec) => spec.memory?.location === 'internal' && isExternalSpec(spec),
    says: { problem: 'the memory can be saved inside the images only if all disks are internal too' },
  },
  {
    when: ({ live, diskOnly, memory }) => live && (diskOnly || memory?.location === 'no'),
    says: { problem: '--live needs a snapshot with memory, but here the memory is left out' },
  },
  {
    when: (spec) => spec.live && !isExternalSpec(spec),
    says: {
      problem: '--live needs the memory in a file: an internal snapshot pauses the guest',
      hint: 'add --external, or --memspec FILE',
    },
  },
  {
    when: ({ quiesce, diskOnly }) => quiesce && !diskOnly,
    says: {
      problem: '--quiesce needs --disk-only: in a snapshot with memory, the file systems need not be frozen',
    },
  },
  {
    // in an XML file, libvirt ignores it
    when: (spec) => spec.reuse && spec.namedBy === 'kvmsnap' && !isExternalSpec(spec),
    says: {
      problem: '--reuse-external needs an external snapshot: add --external, --disk-only or --diskspec',
    },
  },
  {
    when: ({ disks }) =>
      disks.some(({ location }) => !['no', 'internal', 'external', 'manual'].includes(location ?? 'no')),
    says: { problem: '--diskspec: snapshot= must be no, internal, external or manual' },
  },
  {
    when: (spec) => isExternalSpec(spec) && spec.disks.some(({ location }) => location === 'internal'),
    says: { problem: 'a snapshot cannot be internal on one disk and external on another' },
  },
  {
    when: (spec) => !isExternalSpec(spec) && spec.disks.some(({ location }) => location === 'no'),
    says: {
      problem: 'an internal snapshot needs every writable disk; only an external one can leave a disk out',
      hint: 'add --external, or --disk-only',
    },
  },
  {
    when: ({ memory, disks }) =>
      [memory?.file, ...disks.map(({ file }) => file)].some((file) => file && !file.startsWith('/')),
    says: { problem: 'file names must be absolute paths, because libvirtd has another working directory' },
  },
];

/** What is wrong with the options for every VM; null: nothing. */
export function specProblem(spec: SnapshotSpec): PlanProblem | null {
  return CONTRADICTIONS.find(({ when }) => when(spec))?.says ?? null;
}

/** The plan; throws `usage` if there is a problem instead. */
export function planOrThrow(planned: SnapshotPlan | PlanProblem): SnapshotPlan {
  if (!('problem' in planned)) return planned;
  throw new KvmsnapError('usage', planned.problem, { hint: planned.hint });
}

/** The plan for a snapshot of that name, or the problem that prevents it. */
export function planSnapshot(domain: Domain, name: string, spec: SnapshotSpec): SnapshotPlan | PlanProblem {
  const writable = domain.disks.filter(takesPart);
  const mode = modeOf(domain, spec);
  const wanted = new Map<string, DiskSpec>();
  for (const diskSpec of spec.disks) {
    const disk = findDisk(domain, diskSpec.disk);
    if (!disk) return noSuchDisk(domain, diskSpec.disk);
    if (wanted.has(disk.target)) return { problem: `--diskspec names disk ${disk.target} twice` };
    if (!takesPart(disk) && specifiedLocation(diskSpec) !== 'no')
      return { problem: `disk ${disk.target} is read-only or has no medium, so snapshots leave it out` };
    wanted.set(disk.target, diskSpec);
  }
  if (spec.memory?.location === 'no' && isActive(domain.state) && !spec.diskOnly)
    return {
      problem: `libvirt leaves the memory of a running VM (${inText(domain.name)}) out only with --disk-only`,
      hint: 'add --disk-only for an external snapshot of the disks; an internal one needs the memory',
    };
  if (mode === 'internal') return internalPlan(domain, spec);
  if (mode === 'external' && spec.namedBy === 'libvirt' && !spec.memory?.file)
    return {
      problem: 'the disks are external, but the XML names no file for the memory of the running VM',
      hint: "leave the memory out with --disk-only, or add <memory snapshot='external' file='/PATH'/>",
    };
  const roles = new Map(writable.map((disk) => [disk, roleOf(disk, wanted.get(disk.target))]));
  const having = (role: DiskRole) => writable.filter((disk) => roles.get(disk) === role);
  const disks = nameOverlays(having('overlay'), name, wanted, spec.namedBy);
  return {
    mode,
    disks,
    leftOut: having('no').map(({ target }) => target),
    manual: having('manual').map(({ target }) => target),
    memoryFile: mode === 'external' ? (spec.memory?.file ?? nameMemoryFile(domain, name, disks)) : null,
    spec,
  };
}

type DiskRole = 'overlay' | 'no' | 'manual';

/** The role of a disk in an external snapshot: from the option, else from the VM's XML. */
function roleOf({ snapshot }: Disk, diskSpec: DiskSpec | undefined): DiskRole {
  const location = (diskSpec && specifiedLocation(diskSpec)) ?? snapshot;
  return location === 'no' || location === 'manual' ? location : 'overlay';
}

/** The plan of an internal snapshot: all writable disks, each in its image, and the memory in the first of them. */
export function internalPlan(
  { disks }: Pick<Domain, 'disks'>,
  spec: SnapshotSpec = INTERNAL_SPEC,
): SnapshotPlan {
  const plain = { overlay: null, driver: null, storage: null };
  return {
    mode: 'internal',
    disks: disks.filter(takesPart).map(({ target, source }) => ({ ...plain, target, source })),
    leftOut: [],
    manual: [],
    memoryFile: null,
    spec,
  };
}

function modeOf(domain: Domain, spec: SnapshotSpec): Mode {
  if (!isExternalSpec(spec)) return 'internal';
  return spec.diskOnly || !isActive(domain.state) ? 'disk-only' : 'external';
}

const findDisk = ({ disks }: Domain, word: string): Disk | undefined =>
  disks.find(({ target }) => target === word) ?? disks.find(({ source }) => source === word);

function noSuchDisk({ name, disks }: Domain, word: string): PlanProblem {
  const targets = disks.map(({ target }) => target);
  const meant = nearest(word, targets);
  return {
    problem: `VM ${inText(name)} has no disk ${inText(word)}`,
    hint: meant ? `did you mean ${inText(meant)}?` : `its disks are: ${targets.join(', ') || 'none'}`,
  };
}

/**
 * Names the overlays as libvirt does: in the directory of the image, the name of the image up to the last dot, and the
 * name of the snapshot. If two disks of the VM would get the same name (`a.qcow2` and `a.raw`), the target is inserted.
 */
function nameOverlays(
  disks: readonly Disk[],
  name: string,
  wanted: ReadonlyMap<string, DiskSpec>,
  namedBy: SnapshotSpec['namedBy'],
): PlannedDisk[] {
  const plain = ({ storage, source }: Disk): string | null =>
    storage === 'file' && source !== null ? `${stem(source)}.${name}` : null;
  const specified = (disk: Disk): string | null => wanted.get(disk.target)?.file ?? null;
  const taken = disks.map((disk) => specified(disk) ?? plain(disk));
  return disks.map((disk) => {
    const { target, source } = disk;
    const diskSpec = wanted.get(target);
    const own = plain(disk);
    const collides = namedBy === 'kvmsnap' && taken.filter((path) => path === own).length > 1;
    const unique = own !== null && collides ? `${stem(source ?? '')}.${target}.${name}` : own;
    return {
      target,
      source,
      overlay: specified(disk) ?? unique,
      driver: diskSpec?.driver ?? null,
      storage: diskSpec?.storage ?? null,
    };
  });
}

/** Names the memory file: in the directory of the first overlay, with the VM's name, which is unique on the host. */
function nameMemoryFile(domain: Domain, name: string, disks: readonly PlannedDisk[]): string | null {
  const overlay = disks.find(({ overlay, storage }) => overlay !== null && storage !== 'block')?.overlay;
  return overlay ? `${directoryOf(overlay)}/${domain.name}.${name}.mem` : null;
}

/** Every file that the plan creates, or uses with `--reuse-external`. */
export function plannedFiles({ disks, memoryFile }: SnapshotPlan): string[] {
  return [...disks.map(({ overlay }) => overlay), memoryFile].filter((path) => path !== null);
}
