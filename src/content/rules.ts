import { chainOf, type DiskImage } from '../model/image.ts';
import { commandLine } from '../model/quote.ts';
import { applyRules, type Finding, type Rule, type RuledFinding } from '../model/rule.ts';
import { isOfMemoryAlone } from '../model/snapshot.ts';
import { diskInText, inText } from '../model/text.ts';
import {
  changeSince,
  interruptedMerges,
  isBeingMerged,
  isUntouched,
  type StateFile,
  takenOnItLater,
} from '../vm/external-state.ts';
import { whatIsBroken } from '../vm/findings/disks.ts';
import { movedFindings } from '../vm/moved-images.ts';
import { type ContentFacts, type DiskContent, entriesNamed } from './facts.ts';

/** Whether the disks of a snapshot can be read as they were at its time. */

type ContentRule = Rule<ContentFacts>;

const eachDisk = (
  { disks }: ContentFacts,
  find: (disk: DiskContent) => Omit<Finding, 'severity'> | null,
): Finding[] => disks.flatMap((disk) => find(disk) ?? []);

const named = ({ target, path }: DiskContent): string => diskInText({ target, source: path });

const UNSEEN: Readonly<Record<Extract<DiskImage, { kind: 'unseen' }>['why'], string>> = {
  permission: 'permission denied',
  remote: 'it is on another host',
  network: 'it has no path on this host',
  pool: 'its storage pool does not show it now',
};

const CONTENT_RULES: readonly ContentRule[] = [
  {
    id: 'other-host',
    hazards: [],
    severity: 'error',
    alone: true,
    find: ({ isOnOtherHost }) =>
      isOnOtherHost
        ? [{ what: 'the images are on another host', hint: 'run kvmsnap on the host of the VM' }]
        : [],
  },
  {
    id: 'no-disk',
    hazards: [],
    severity: 'error',
    alone: true,
    find: ({ snapshot }) =>
      isOfMemoryAlone(snapshot) || snapshot.disks.length === 0
        ? [{ what: `${inText(snapshot.name)} contains no disk` }]
        : [],
  },
  {
    id: 'left-to-storage',
    hazards: [],
    severity: 'error',
    find: (facts) =>
      eachDisk(facts, (disk) =>
        disk.location === 'internal' || disk.location === 'external'
          ? null
          : {
              what: `${named(disk)}: the snapshot left this disk to its storage`,
              hint: 'read the other disks, each with --disk',
            },
      ),
  },
  {
    id: 'moved',
    hazards: [45],
    severity: 'error',
    find: (facts) =>
      movedFindings(
        facts,
        facts.snapshot,
        facts.moved.filter(
          ({ target, doubt }) => doubt !== null && facts.disks.some((disk) => disk.target === target),
        ),
      ),
  },
  {
    id: 'unreadable',
    hazards: [],
    severity: 'error',
    find: (facts) =>
      eachDisk(facts, (disk) => {
        const { target, image, tags } = disk;
        if (image?.kind === 'unseen') return { what: `${named(disk)} cannot be read: ${UNSEEN[image.why]}` };
        if (image?.kind === 'broken') return { what: `disk ${target}: ${image.path} ${whatIsBroken(image)}` };
        if (tags && 'problem' in tags) return { what: `${named(disk)} cannot be read: ${tags.problem}` };
        return null;
      }),
  },
  {
    id: 'not-its-tag',
    hazards: [2, 4, 31],
    severity: 'error',
    find: (facts) =>
      eachDisk(facts, (disk) => {
        if (disk.location !== 'internal' || disk.image?.kind !== 'seen') return null;
        const { name } = facts.snapshot;
        const found = entriesNamed(disk.tags, name);
        if (found.length === 1 || (disk.tags && 'problem' in disk.tags)) return null;
        const ids = found.map(({ id }) => id).join(', ');
        return {
          what:
            found.length === 0
              ? `${named(disk)} does not contain snapshot ${inText(name)}`
              : `${named(disk)} contains ${found.length} snapshots named ${inText(name)} (ids ${ids}), and it is unknown which of them is meant`,
        };
      }),
  },
  {
    id: 'smaller-now',
    hazards: [],
    severity: 'error',
    find: (facts) =>
      eachDisk(facts, (disk) => {
        const [tag] = entriesNamed(disk.tags, facts.snapshot.name);
        const [top] = chainOf(disk.image);
        return tag && top && top.virtualBytes < tag.diskBytes
          ? {
              what: `${named(disk)} had ${tag.diskBytes} bytes at the time of the snapshot and has ${top.virtualBytes} now, and QEMU shows only as much of a snapshot as the disk has now`,
              hint: 'make the disk as large as it was, with the VM off',
              command: commandLine('qemu-img', ['resize', '-f', 'qcow2', top.path, String(tag.diskBytes)]),
            }
          : null;
      }),
  },
  {
    id: 'encrypted',
    hazards: [],
    severity: 'error',
    find: (facts) =>
      eachDisk(facts, (disk) =>
        chainOf(disk.image).some(({ encrypted, format }) => encrypted || format === 'luks')
          ? {
              what: `${named(disk)} is encrypted, and kvmsnap does not use its key`,
              hint: 'read the other disks, each with --disk',
            }
          : null,
      ),
  },
  {
    id: 'beyond-host',
    hazards: [],
    severity: 'error',
    find: (facts) =>
      eachDisk(facts, (disk) => {
        const backing = chainOf(disk.image).at(-1)?.backing ?? null;
        return backing === null
          ? null
          : { what: `${named(disk)} has the backing file ${backing}, which is not a file of this host` };
      }),
  },
  {
    id: 'state-lost',
    hazards: [40, 41],
    severity: 'error',
    find: ({ snapshot, snapshots, states, disks }) => [
      ...interruptedMerges(snapshots)
        .filter(
          ({ ruined, target }) =>
            ruined.includes(snapshot.name) && disks.some((disk) => disk.target === target),
        )
        .map(({ target, path }) => ({
          what: `disk ${target}: a deletion of ${inText(snapshot.name)} has begun, and ${path}, which contained its state, is partly overwritten`,
        })),
      ...states
        .filter((state) => isUsedLater({ snapshot, snapshots }, state))
        .map(({ target, path }) => ({
          what: `disk ${target}: ${path}, which contained the state of ${inText(snapshot.name)}, was used by the VM later, so that state is lost`,
        })),
    ],
  },
  {
    id: 'state-written',
    hazards: [40, 41],
    severity: 'overridable',
    find: ({ snapshot, snapshots, states }) =>
      states.flatMap((state) => {
        const change = changeSince(state);
        const isReported = isBeingMerged(snapshots, state) || isUsedLater({ snapshot, snapshots }, state);
        if (change === null || isReported) return [];
        return [
          {
            what: `disk ${state.target}: ${state.path}, which contains the state of ${inText(snapshot.name)}, ${change}`,
            hint: 'if you know that its content is that of the snapshot, add --force',
          },
        ];
      }),
  },
];

/** Whether the VM has used the file itself since, and not only as a backing file. */
const isUsedLater = (
  { snapshot, snapshots }: Pick<ContentFacts, 'snapshot' | 'snapshots'>,
  state: StateFile,
): boolean =>
  !state.isBelow &&
  (takenOnItLater(snapshots, snapshot, state) !== null || (state.isInUse && !isUntouched(snapshot, state)));

/** What prevents the disks from being read. */
export const contentFindings = (facts: ContentFacts): RuledFinding[] => applyRules(CONTENT_RULES, facts);
