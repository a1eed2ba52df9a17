import { type Disk, type Domain, isActive, takesPart } from '../model/domain.ts';
import { nearest } from '../model/names.ts';
import { directoryOf, stem } from '../model/paths.ts';

/** What a create is to make: which disks, the memory, and in which files. Worked out before anything is looked at. */

/**
 * `internal`: all inside the qcow2 images. `external`: the guest's writes go to new files from then on (overlays), and the
 * memory is saved to a file. `disk-only`: overlays, and no memory; also of a machine that is off.
 */
export type Mode = 'internal' | 'external' | 'disk-only';

/** The options that say what is made: virsh's own, and `external`, for which kvmsnap finds the files itself. */
export interface Wishes {
  readonly external: boolean;
  readonly diskOnly: boolean;
  readonly memory: MemoryWish | null;
  readonly disks: readonly DiskWish[];
  readonly live: boolean;
  readonly halt: boolean;
  readonly quiesce: boolean;
  readonly atomic: boolean;
  readonly reuse: boolean;
  readonly noMetadata: boolean;
  readonly validate: boolean;
  /** Whose names the overlays get that none is said for: for an XML file, libvirt's. */
  readonly namedBy: 'kvmsnap' | 'libvirt';
}

/** An internal snapshot of everything. */
export const NO_WISHES: Wishes = {
  external: false,
  diskOnly: false,
  memory: null,
  disks: [],
  live: false,
  halt: false,
  quiesce: false,
  atomic: false,
  reuse: false,
  noMetadata: false,
  validate: false,
  namedBy: 'kvmsnap',
};

/** What `--memspec` says; `location` as libvirt's `snapshot=` attribute. */
export interface MemoryWish {
  readonly location: string | null;
  readonly file: string | null;
}

/** What one `--diskspec` says. */
export interface DiskWish {
  /** A target, or the path of a disk's image. */
  readonly disk: string;
  readonly location: string | null;
  readonly file: string | null;
  readonly driver: string | null;
  /** `file` or `block`: what kind of storage the overlay is on. */
  readonly storage: string | null;
}

export interface PlannedDisk {
  readonly target: string;
  /** The image of now, which the overlay is laid over. */
  readonly source: string | null;
  /** What the guest writes to from then on; null: the image itself (internal), or no place for it is known. */
  readonly overlay: string | null;
  readonly driver: string | null;
  readonly storage: string | null;
}

export interface SnapshotPlan {
  readonly mode: Mode;
  readonly disks: readonly PlannedDisk[];
  /** Targets of writable disks that stay out of it. */
  readonly leftOut: readonly string[];
  /** Targets of disks whose storage takes the snapshot itself (`snapshot='manual'`): libvirt leaves the VM paused for it. */
  readonly manual: readonly string[];
  /** The file for the memory; null but in `external`, and there where no place for it is known. */
  readonly memoryFile: string | null;
  readonly wishes: Wishes;
}

/** Words that cannot be planned: a contradiction, or a disk that the machine does not have. */
export interface PlanProblem {
  readonly problem: string;
  readonly hint?: string;
}

const spoken = ({ location, file, driver, storage }: DiskWish): string | null =>
  location ?? (file !== null || driver !== null || storage !== null ? 'external' : null);

/** Whether these wishes are for files beside the images, or leave a disk to its storage. */
export function isExternalWish({ external, diskOnly, memory, disks }: Wishes): boolean {
  return (
    external ||
    diskOnly ||
    (memory !== null && memory.location !== 'internal' && memory.location !== 'no') ||
    disks.some((wish) => ['external', 'manual'].includes(spoken(wish) ?? ''))
  );
}

/** Whether the memory is asked for by name, in whatever place. */
export const wantsMemory = ({ memory }: Wishes): boolean => memory !== null && memory.location !== 'no';

/** Wishes that contradict each other, whatever the machine: when, and what is said. */
const CONTRADICTIONS: readonly { readonly when: (wishes: Wishes) => boolean; readonly says: PlanProblem }[] =
  [
    {
      when: ({ memory }) => !['no', 'internal', 'external'].includes(memory?.location ?? 'external'),
      says: { problem: '--memspec: snapshot= is no, internal or external' },
    },
    {
      when: ({ memory }) => memory?.file != null && ['no', 'internal'].includes(memory.location ?? ''),
      says: { problem: 'a file for the memory goes with snapshot=external, or with nothing' },
    },
    {
      when: (wishes) => wantsMemory(wishes) && wishes.diskOnly,
      says: { problem: 'memory and --disk-only exclude each other: with the memory, or without' },
    },
    {
      when: (wishes) => wishes.memory?.location === 'internal' && isExternalWish(wishes),
      says: { problem: 'libvirt saves the memory inside the images only where all disks are internal too' },
    },
    {
      when: ({ live, diskOnly, memory }) => live && (diskOnly || memory?.location === 'no'),
      says: { problem: '--live is about saving the memory, which is left out here' },
    },
    {
      when: (wishes) => wishes.live && !isExternalWish(wishes),
      says: {
        problem: '--live needs the memory in a file: for an internal snapshot the guest is paused',
        hint: 'add --external, or --memspec FILE',
      },
    },
    {
      when: ({ quiesce, diskOnly }) => quiesce && !diskOnly,
      says: {
        problem:
          '--quiesce goes with --disk-only: saved with its memory, the guest needs no quiet file systems',
      },
    },
    {
      // of an XML libvirt ignores it
      when: (wishes) => wishes.reuse && wishes.namedBy === 'kvmsnap' && !isExternalWish(wishes),
      says: { problem: '--reuse-external is about overlays: add --external, --disk-only or --diskspec' },
    },
    {
      when: ({ disks }) =>
        disks.some(({ location }) => !['no', 'internal', 'external', 'manual'].includes(location ?? 'no')),
      says: { problem: '--diskspec: snapshot= is no, internal, external or manual' },
    },
    {
      when: (wishes) =>
        isExternalWish(wishes) && wishes.disks.some(({ location }) => location === 'internal'),
      says: { problem: 'libvirt takes no snapshot that is internal in one disk and external in another' },
    },
    {
      when: (wishes) => !isExternalWish(wishes) && wishes.disks.some(({ location }) => location === 'no'),
      says: {
        problem: 'an internal snapshot needs every writable disk; leaving one out is for external ones',
        hint: 'add --external, or --disk-only',
      },
    },
    {
      when: ({ memory, disks }) =>
        [memory?.file, ...disks.map(({ file }) => file)].some((file) => file && !file.startsWith('/')),
      says: { problem: 'files are named by absolute paths: libvirtd has another working directory' },
    },
  ];

/** What is wrong with the wishes alone; null: nothing. */
export function wishProblem(wishes: Wishes): PlanProblem | null {
  return CONTRADICTIONS.find(({ when }) => when(wishes))?.says ?? null;
}

/** Works out what a snapshot of that name makes of this machine. */
export function planSnapshot(domain: Domain, name: string, wishes: Wishes): SnapshotPlan | PlanProblem {
  const writable = domain.disks.filter(takesPart);
  const mode = modeOf(domain, wishes);
  const wanted = new Map<string, DiskWish>();
  for (const wish of wishes.disks) {
    const disk = findDisk(domain, wish.disk);
    if (!disk) return noSuchDisk(domain, wish.disk);
    if (wanted.has(disk.target)) return { problem: `--diskspec names disk ${disk.target} twice` };
    if (!takesPart(disk) && spoken(wish) !== 'no')
      return { problem: `disk ${disk.target} is read-only or has no medium, and takes no part in snapshots` };
    wanted.set(disk.target, wish);
  }
  if (wishes.memory?.location === 'no' && isActive(domain.state) && !wishes.diskOnly)
    return {
      problem: `the memory of '${domain.name}', which runs, is left out, and libvirt does that only with --disk-only`,
      hint: 'add --disk-only for an external snapshot of the disks; an internal one needs the memory',
    };
  if (mode === 'internal') return internalPlan(domain, wishes);
  if (mode === 'external' && wishes.namedBy === 'libvirt' && !wishes.memory?.file)
    return {
      problem: 'the disks are external, and the XML names no file for the memory of the running machine',
      hint: "leave the memory out with --disk-only, or add <memory snapshot='external' file='/PATH'/>",
    };
  const fates = new Map(writable.map((disk) => [disk, fateOf(disk, wanted.get(disk.target))]));
  const having = (fate: Fate) => writable.filter((disk) => fates.get(disk) === fate);
  const disks = placeOverlays(having('overlay'), name, wanted, wishes.namedBy);
  return {
    mode,
    disks,
    leftOut: having('no').map(({ target }) => target),
    manual: having('manual').map(({ target }) => target),
    memoryFile: mode === 'external' ? (wishes.memory?.file ?? placeMemory(domain, name, disks)) : null,
    wishes,
  };
}

type Fate = 'overlay' | 'no' | 'manual';

/** What a snapshot that is not internal makes of a disk: as it is wished, else as the VM's XML says. */
function fateOf({ snapshot }: Disk, wish: DiskWish | undefined): Fate {
  const said = (wish && spoken(wish)) ?? snapshot;
  return said === 'no' || said === 'manual' ? said : 'overlay';
}

/** All writable disks, each in its image, and the memory in the first of them. */
export function internalPlan({ disks }: Pick<Domain, 'disks'>, wishes: Wishes = NO_WISHES): SnapshotPlan {
  const plain = { overlay: null, driver: null, storage: null };
  return {
    mode: 'internal',
    disks: disks.filter(takesPart).map(({ target, source }) => ({ ...plain, target, source })),
    leftOut: [],
    manual: [],
    memoryFile: null,
    wishes,
  };
}

function modeOf(domain: Domain, wishes: Wishes): Mode {
  if (!isExternalWish(wishes)) return 'internal';
  return wishes.diskOnly || !isActive(domain.state) ? 'disk-only' : 'external';
}

const findDisk = ({ disks }: Domain, word: string): Disk | undefined =>
  disks.find(({ target }) => target === word) ?? disks.find(({ source }) => source === word);

function noSuchDisk({ name, disks }: Domain, word: string): PlanProblem {
  const targets = disks.map(({ target }) => target);
  const meant = nearest(word, targets);
  return {
    problem: `the machine '${name}' has no disk '${word}'`,
    hint: meant ? `did you mean '${meant}'?` : `its disks are: ${targets.join(', ') || 'none'}`,
  };
}

/**
 * Beside each image, by libvirt's own pattern: the image's name up to its last dot, and the snapshot's. Where two disks of
 * the machine would get one name (`a.qcow2` and `a.raw`), the target stands in between.
 */
function placeOverlays(
  disks: readonly Disk[],
  name: string,
  wanted: ReadonlyMap<string, DiskWish>,
  namedBy: Wishes['namedBy'],
): PlannedDisk[] {
  const plain = ({ storage, source }: Disk): string | null =>
    storage === 'file' && source !== null ? `${stem(source)}.${name}` : null;
  const said = (disk: Disk): string | null => wanted.get(disk.target)?.file ?? null;
  const taken = disks.map((disk) => said(disk) ?? plain(disk));
  return disks.map((disk) => {
    const { target, source } = disk;
    const wish = wanted.get(target);
    const own = plain(disk);
    const collides = namedBy === 'kvmsnap' && taken.filter((path) => path === own).length > 1;
    const placed = own !== null && collides ? `${stem(source ?? '')}.${target}.${name}` : own;
    return {
      target,
      source,
      overlay: said(disk) ?? placed,
      driver: wish?.driver ?? null,
      storage: wish?.storage ?? null,
    };
  });
}

/** Beside the first overlay, by the machine's name: no two machines of a host have one. */
function placeMemory(domain: Domain, name: string, disks: readonly PlannedDisk[]): string | null {
  const beside = disks.find(({ overlay, storage }) => overlay !== null && storage !== 'block')?.overlay;
  return beside ? `${directoryOf(beside)}/${domain.name}.${name}.mem` : null;
}

/** Every file that the plan makes, or with `--reuse-external` takes. */
export function plannedFiles({ disks, memoryFile }: SnapshotPlan): string[] {
  return [...disks.map(({ overlay }) => overlay), memoryFile].filter((path) => path !== null);
}
