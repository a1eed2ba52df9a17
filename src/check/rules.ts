import { adviseDeletion } from '../model/deletion-advice.ts';
import { type Domain, isActive, isSaving } from '../model/domain.ts';
import { chainOf, chainPaths, type DiskImage, type Images } from '../model/image.ts';
import { labelOf } from '../model/labels.ts';
import type { DaemonVersion } from '../model/libvirt-versions.ts';
import { mebibytes } from '../model/mebibytes.ts';
import { commandLine, kvmsnapLine, quote, virshWord } from '../model/quote.ts';
import type { SnapshotReport } from '../model/report.ts';
import type { Finding, Rule } from '../model/rule.ts';
import type { WriteObstacles } from '../model/write-obstacles.ts';
import { deleteTagLine } from '../qemu/command-lines.ts';
import { freeUnusedMemoryLine, isNotable, resizable, type UnusedMemory } from '../qemu/unused-memory.ts';
import { describeUses, type ImageUsers, usesOf } from '../sharing/image-users.ts';
import { beyondLimit, nearLimit } from '../vm/chain-depth.ts';
import { eachDisk, participants } from '../vm/disk-findings.ts';
import { movedDisks, movedFindings } from '../vm/moved.ts';
import { findOrphans, type Orphan } from './orphans.ts';
import { isGone } from './stored-tags.ts';
import type { UnusedFileFinding } from './unused-files.ts';

/**
 * The rules that compare what libvirt believes with what the disks hold. What stops a create or a revert is told by the
 * rules of these, so that a check and what it foretells cannot differ.
 */

/** A VM with all that is known of it. */
export interface CheckFacts {
  readonly domain: Domain;
  readonly snapshots: readonly SnapshotReport[];
  /** Snapshots that libvirt lists and does not tell of, and what it says. */
  readonly unread: readonly { readonly name: string; readonly failure: { readonly message: string } }[];
  readonly current: string | null;
  /** By target, the disks that take part in a snapshot. */
  readonly images: Images;
  /** By the name of a snapshot, the images that it is in: of the definition stored with it; none while it is being taken. */
  readonly stored: ReadonlyMap<string, Images>;
  /** Which other VMs use its files. */
  readonly users: ImageUsers;
  /** Beside its images. */
  readonly unusedFiles: readonly UnusedFileFinding[];
  /** By target, where something was found. */
  readonly unusedMemory: ReadonlyMap<string, UnusedMemory>;
  readonly daemonVersion: DaemonVersion;
  /** Those of the files that its snapshots have made that others than their owner may read. */
  readonly readableFiles: readonly string[];
  /** Why images cannot be written to; absent: nobody looked. */
  readonly writeObstacles?: WriteObstacles;
  /** Seconds since the epoch. */
  readonly nowSeconds: number;
  /** The newest snapshot (of those that count) must not be older than these seconds; null: any age is right. */
  readonly maxAge: {
    readonly seconds: number;
    readonly says: string;
    /** Only snapshots of this label count; null: all do. */
    readonly label: string | null;
  } | null;
}

/** libvirt's reason where QEMU has stopped the guest (VIR_DOMAIN_PAUSED_IOERROR, as virsh spells it). */
const WRITE_ERROR = 'I/O error';

export const CHECK_RULES: readonly Rule<CheckFacts>[] = [
  {
    id: 'left-paused',
    hazards: [9, 25],
    severity: 'error',
    find: ({ domain }) =>
      isSaving(domain) && !domain.busy
        ? [
            {
              what: `the VM was left paused (${domain.stateReason}) by a snapshot or save that has ended`,
              command: `virsh resume ${virshWord(domain)}`,
            },
          ]
        : [],
  },
  {
    id: 'paused-by-write-error',
    hazards: [50],
    severity: 'error',
    find: ({ domain }) =>
      domain.state === 'paused' && domain.stateReason === WRITE_ERROR
        ? [
            {
              what: `the VM is paused (${domain.stateReason}): a disk could not be read or written, mostly because a file system or device is full`,
              hint: 'the first command tells which disk; when it can be written to again, the second lets the guest go on',
              commands: [`virsh domblkerror ${virshWord(domain)}`, `virsh resume ${virshWord(domain)}`],
            },
          ]
        : [],
  },
  {
    id: 'unread-snapshot',
    hazards: [],
    severity: 'error',
    find: ({ domain, unread }) =>
      unread.map(({ name, failure }) => ({
        snapshot: name,
        what: `${failure.message}; what depends on it is not known, and nothing of this VM is fixed, reverted or deleted`,
        command: `virsh snapshot-dumpxml ${virshWord(domain)} --snapshotname ${quote(name)}`,
        hint: 'this shows the error of libvirt',
      })),
  },
  {
    id: 'under-way',
    hazards: [25],
    severity: 'information',
    find: ({ domain, snapshots }) => [
      ...snapshots
        .filter(({ underWay }) => underWay)
        .map(({ name }) => ({
          snapshot: name,
          what: `the snapshot '${name}' is being taken at this moment`,
        })),
      ...(domain.busy && !snapshots.some(({ underWay }) => underWay)
        ? [{ what: 'a job of libvirt holds the VM at this moment' }]
        : []),
    ],
  },
  {
    id: 'orphan-tag',
    hazards: [4, 9, 19, 22],
    severity: 'warning',
    find: (facts) => findOrphans(facts).map((orphan) => orphanFinding(facts, orphan)),
  },
  {
    id: 'used-by-others',
    hazards: [39],
    severity: 'information',
    find: ({ domain, images, users }) =>
      participants(domain).flatMap(({ target, source }) =>
        [...new Set([source, ...chainPaths(images.get(target))])].flatMap((path, i) => {
          // many may lie on one image that nobody writes to
          const others = usesOf(users, path).filter(({ writes }) => i === 0 || writes);
          if (path === null || others.length === 0) return [];
          return {
            what: `disk ${target}: ${path} is not this VM's alone: ${describeUses(others)}. What would change their data (a revert, a merge, the fix of an image) is refused`,
          };
        }),
      ),
  },
  {
    id: 'no-data',
    hazards: [2, 3, 22],
    severity: 'error',
    find: ({ domain, snapshots, stored, images }) =>
      snapshots.flatMap((snapshot) =>
        isGone(snapshot, stored.get(snapshot.name), images)
          ? [
              {
                snapshot: snapshot.name,
                what: `the snapshot '${snapshot.name}' is in no disk: only libvirt's knowledge of it is left`,
                ...adviseDeletion({ domain, snapshots }, [snapshot.name], {
                  hint: 'this has libvirt forget it',
                  options: ['--metadata'],
                }),
              },
            ]
          : [],
      ),
  },
  {
    id: 'moved',
    hazards: [45],
    severity: 'error',
    find: ({ domain, snapshots, stored, images }) =>
      snapshots
        .filter(({ underWay }) => !underWay)
        .flatMap((snapshot) =>
          movedFindings(
            { domain, snapshots },
            snapshot,
            movedDisks(snapshot, images, stored.get(snapshot.name)),
          ),
        ),
  },
  {
    id: 'broken-parent',
    hazards: [],
    severity: 'warning',
    find: ({ snapshots, unread }) => {
      const known = new Set([...snapshots, ...unread].map(({ name }) => name));
      return snapshots
        .filter(({ parent }) => parent !== null && !known.has(parent))
        .map(({ name, parent }) => ({
          snapshot: name,
          what: `the parent of the snapshot '${name}' is '${parent}', which does not exist`,
        }));
    },
  },
  {
    id: 'no-current',
    hazards: [22],
    severity: 'information',
    find: ({ domain, snapshots, current }) => {
      const newest = snapshots.at(-1);
      if (current !== null || !newest) return [];
      return [
        {
          what: 'no snapshot is the current one: libvirt has lost it, or it was deleted; the next one will have no parent',
          hint: `if the VM runs on from '${newest.name}'`,
          command: `virsh snapshot-current ${virshWord(domain)} --snapshotname ${quote(newest.name)}`,
        },
      ];
    },
  },
  {
    id: 'chain-too-deep',
    hazards: [38],
    severity: 'error',
    find: beyondLimit,
  },
  {
    id: 'chain-deep',
    hazards: [38],
    severity: 'warning',
    find: nearLimit,
  },
  {
    id: 'dirty-image',
    hazards: [],
    severity: 'warning',
    find: ({ domain, images }) =>
      // with lazy refcounts it is so all the time while it runs
      isActive(domain.state)
        ? []
        : [...images].flatMap(([target, image]) => {
            const [top] = chainOf(image);
            if (!top?.dirty || top.corrupt) return [];
            return {
              what: `disk ${target}: the image was not closed in peace (dirty bit); QEMU repairs it when the VM starts`,
              hint: 'make a copy of the image before that',
              command: commandLine('cp', ['--reflink=auto', '--', top.path, `${top.path}.copy`]),
            };
          }),
  },
  {
    id: 'read-only-disk',
    hazards: [],
    severity: 'information',
    find: ({ domain }) =>
      domain.disks
        .filter(({ readonly, hasSource, device }) => readonly && hasSource && device === 'disk')
        .map(({ target }) => ({ what: `disk ${target} is read-only, and no snapshot holds it` })),
  },
  {
    id: 'no-guest-agent',
    hazards: [],
    severity: 'information',
    find: ({ domain }) => {
      if (domain.state !== 'running' || domain.agentChannel === 'connected') return [];
      const why =
        domain.agentChannel === 'none' ? 'the VM has no channel for one' : 'none answers in the guest';
      return [
        {
          what: `no guest agent (${why}): its file systems cannot be frozen for a snapshot of the disks alone`,
        },
      ];
    },
  },
  {
    id: 'unused-memory',
    hazards: [7],
    severity: 'warning',
    find: ({ domain, images, unusedMemory, users }) =>
      [...unusedMemory].flatMap(([target, unusedMemory]) =>
        isNotable(unusedMemory) && !domain.busy && !isSaving(domain)
          ? unusedMemoryFinding(domain, target, images.get(target), { unusedMemory, users })
          : [],
      ),
  },
  {
    // what a guest writes that encrypts the whole disk
    id: 'encrypted-by-guest',
    hazards: [51],
    severity: 'information',
    find: (facts) =>
      eachDisk(facts, ({ target, source }, image) =>
        chainOf(image)[0]?.looksLike?.format === 'luks'
          ? {
              what: `disk ${target} (${source}) looks like luks, as a guest writes it that encrypts its disk; the VM has it as raw, so do not change the type`,
            }
          : null,
      ),
  },
  {
    id: 'unused-file',
    hazards: [23],
    severity: 'information',
    find: ({ unusedFiles }) =>
      unusedFiles.map(({ path, over }) => ({
        what:
          over === null
            ? `${path} holds a memory of the VM that no snapshot of it names`
            : `${path} is laid over ${over}, and neither the VM nor a snapshot of it uses it`,
        hint: 'if you do not need it, and nobody else does, this removes it',
        command: commandLine('rm', [path]),
      })),
  },
  {
    id: 'readable-file',
    hazards: [54],
    severity: 'warning',
    find: ({ readableFiles }) =>
      readableFiles.map((path) => ({
        what: `${path}, which a snapshot has made, holds data of the guest, and other users of this host may read it`,
        command: commandLine('chmod', ['600', path]),
      })),
  },
  {
    id: 'too-old',
    hazards: [],
    severity: 'error',
    find: ({ domain, snapshots, unread, nowSeconds, maxAge }) => {
      if (!maxAge) return [];
      const { label, says } = maxAge;
      const counts = ({ name }: { readonly name: string }) => label === null || labelOf(name) === label;
      const newest = snapshots.filter((snapshot) => counts(snapshot) && !snapshot.underWay).at(-1);
      if (newest && nowSeconds - newest.createdAtSeconds <= maxAge.seconds) return [];
      const [one, all] = unread.some(counts)
        ? ['readable snapshot', 'readable snapshots']
        : ['snapshot', 'snapshots'];
      const labelled = label === null ? '' : ` with the label '${label}'`;
      const what = newest
        ? `the newest ${one}${labelled}, '${newest.name}', is older than ${says}`
        : `the VM has no ${all}${labelled}, so none is younger than ${says}`;
      const options = label === null ? [] : ['--label', label];
      return [{ what, command: kvmsnapLine('create', [domain.name], ...options) }];
    },
  },
];

function orphanFinding({ domain, users }: CheckFacts, { name, holders, status }: Orphan): Finding {
  const verb = holders.length === 1 ? 'holds' : 'hold';
  const lines = holders.map(({ path }) => deleteTagLine(name, path));
  const fix = kvmsnapLine('check', [domain.name], '--fix');
  const unclear = status.kind === 'unclear' ? ` (${status.why})` : '';
  const what = `disk ${holders.map(({ target }) => target).join(', ')} ${verb} a snapshot '${name}' that libvirt does not know${unclear}`;
  // no command that deletes what may be the only copy of somebody else's data
  if (holders.some(({ path }) => usesOf(users, path).length > 0)) return { what };
  return {
    what,
    hint: `${status.kind === 'complete' ? `${fix} lets libvirt know it again; or ` : ''}with the VM off, this deletes it`,
    command: lines.join(' && '),
    tag: name,
  };
}

function unusedMemoryFinding(
  domain: Domain,
  target: string,
  image: DiskImage | undefined,
  { unusedMemory, users }: { readonly unusedMemory: UnusedMemory; readonly users: ImageUsers },
): Finding[] {
  const what = `disk ${target}: ${mebibytes(unusedMemory.bytes)} of the image are memory that no snapshot refers to: of a save that failed, or of a snapshot that was reverted to and then deleted`;
  const top = resizable(image);
  if (!top)
    return [{ what, hint: 'the next snapshot of the running VM takes them, and its deletion frees them' }];
  const others = usesOf(users, top.path);
  if (others.length > 0)
    return [{ what, hint: `an image that another VM uses is not resized: ${describeUses(others)}` }];
  const off = isActive(domain.state) ? 'with the VM off, and' : 'with';
  return [
    {
      what,
      hint: `${off} a little space free, this gives them back`,
      command: freeUnusedMemoryLine(top, unusedMemory),
    },
  ];
}
