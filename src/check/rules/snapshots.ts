import { adviseDeletion } from '../../model/deletion-advice.ts';
import { isSaving } from '../../model/domain.ts';
import { chainPaths } from '../../model/image.ts';
import { kvmsnapLine, quote, virshWord } from '../../model/quote.ts';
import { type Finding, inOrder, type Rule } from '../../model/rule.ts';
import { disksInText, inText } from '../../model/text.ts';
import { deleteTagLine } from '../../qemu/command-lines.ts';
import { describeUses, usesOf } from '../../sharing/image-users.ts';
import { participants } from '../../vm/disk-findings.ts';
import { movedDisks, movedFindings } from '../../vm/moved.ts';
import { movedFileFindings } from '../../vm/moved-files.ts';
import { findOrphans, type Orphan } from '../orphans.ts';
import { isGone } from '../stored-tags.ts';
import type { CheckFacts } from './facts.ts';

/** Rules about registered snapshots, and about snapshots that only the images hold. */

/** The reason that libvirt gives when QEMU has stopped the guest (VIR_DOMAIN_PAUSED_IOERROR, in virsh's words). */
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
              what: `the VM is paused (${domain.stateReason}): a disk could not be read or written, usually because a file system or device is full`,
              hint: 'the first command shows which disk it is; when that disk can be written to again, the second command resumes the guest',
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
        what: `${failure.message}; the files that it needs are unknown, so kvmsnap fixes, reverts and deletes nothing of this VM`,
        command: `virsh snapshot-dumpxml ${virshWord(domain)} --snapshotname ${quote(name)}`,
        hint: 'this command shows the error of libvirt',
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
        ? [{ what: 'a libvirt job holds the VM at this moment' }]
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
          // many VMs may share a backing file that none of them writes to
          const others = usesOf(users, path).filter(({ writes }) => i === 0 || writes);
          if (path === null || others.length === 0) return [];
          return {
            what: `disk ${target}: ${path} is also used elsewhere: ${describeUses(others)}. kvmsnap refuses whatever would change that data (a revert, a merge, the fix of an image)`,
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
                what: `the snapshot ${inText(snapshot.name)} is in no disk; only its metadata in libvirt is left`,
                ...adviseDeletion({ domain, snapshots }, [snapshot.name], {
                  hint: 'this unregisters it',
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
          what: 'libvirt has no current snapshot (it was lost or deleted), so the next snapshot will have no parent',
          hint: `if the present state of the VM is based on ${inText(newest.name)}, make that the current snapshot`,
          command: `virsh snapshot-current ${virshWord(domain)} --snapshotname ${quote(newest.name)}`,
        },
      ];
    },
  },
];

function orphanFinding({ domain, users }: CheckFacts, { name, holders, status }: Orphan): Finding {
  const verb = holders.length === 1 ? 'contains' : 'contain';
  const lines = holders.map(({ path }) => deleteTagLine(name, path));
  const fix = kvmsnapLine('check', [domain.name], '--fix');
  const unclear = status.kind === 'unclear' ? ` (${status.why})` : '';
  const what = `${disksInText(holders.map(({ target }) => target))} ${verb} the snapshot ${inText(name)}, which is not registered in libvirt${unclear}`;
  // a command that could delete another VM's only copy is not offered
  if (holders.some(({ path }) => usesOf(users, path).length > 0)) return { what };
  // the command that deletes it is not offered beside the one that keeps it
  if (status.kind === 'complete')
    return {
      what,
      hint: 'this registers the snapshot again; then kvmsnap delete can delete it',
      command: fix,
      tag: name,
    };
  return {
    what,
    hint: 'with the VM off, this deletes the snapshot and its data',
    ...inOrder(lines),
    tag: name,
  };
}
