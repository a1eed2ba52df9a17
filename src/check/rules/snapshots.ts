import { adviseDeletion } from '../../model/deletion-advice.ts';
import { isSaving } from '../../model/domain.ts';
import { chainPaths } from '../../model/image.ts';
import { kvmsnapLine, quote, virshWord } from '../../model/quote.ts';
import type { Finding, Rule } from '../../model/rule.ts';
import { inText } from '../../model/text.ts';
import { deleteTagLine } from '../../qemu/command-lines.ts';
import { describeUses, usesOf } from '../../sharing/image-users.ts';
import { participants } from '../../vm/disk-findings.ts';
import { movedDisks, movedFindings } from '../../vm/moved.ts';
import { movedFileFindings } from '../../vm/moved-files.ts';
import { findOrphans, type Orphan } from '../orphans.ts';
import { isGone } from '../stored-tags.ts';
import type { CheckFacts } from './facts.ts';

/** Rules about the snapshots that libvirt knows, and those that only the images hold. */

/** libvirt's reason where QEMU has stopped the guest (VIR_DOMAIN_PAUSED_IOERROR, as virsh spells it). */
const WRITE_ERROR = 'I/O error';

export const SNAPSHOT_RULES: readonly Rule<CheckFacts>[] = [
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
          what: `the snapshot ${inText(name)} is being taken at this moment`,
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
          // a backing file that no VM writes to may be shared by many
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
                what: `the snapshot ${inText(snapshot.name)} is in no disk: only libvirt's knowledge of it is left`,
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
        .flatMap((snapshot) => [
          ...movedFindings(
            { domain, snapshots },
            snapshot,
            movedDisks(snapshot, images, stored.get(snapshot.name)),
          ),
          ...movedFileFindings({ domain, snapshots }, snapshot),
        ]),
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
          what: `the parent of the snapshot ${inText(name)} is ${inText(parent ?? '')}, which does not exist`,
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
          hint: `if the VM runs on from ${inText(newest.name)}`,
          command: `virsh snapshot-current ${virshWord(domain)} --snapshotname ${quote(newest.name)}`,
        },
      ];
    },
  },
];

function orphanFinding({ domain, users }: CheckFacts, { name, holders, status }: Orphan): Finding {
  const verb = holders.length === 1 ? 'holds' : 'hold';
  const lines = holders.map(({ path }) => deleteTagLine(name, path));
  const fix = kvmsnapLine('check', [domain.name], '--fix');
  const unclear = status.kind === 'unclear' ? ` (${status.why})` : '';
  const what = `disk ${holders.map(({ target }) => target).join(', ')} ${verb} a snapshot ${inText(name)} that libvirt does not know${unclear}`;
  // no command is offered where it could delete another VM's only copy
  if (holders.some(({ path }) => usesOf(users, path).length > 0)) return { what };
  return {
    what,
    hint: `${status.kind === 'complete' ? `${fix} lets libvirt know it again; or ` : ''}with the VM off, this deletes it`,
    command: lines.join(' && '),
    tag: name,
  };
}
