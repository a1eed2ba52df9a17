import { adviseDeletion } from '../../model/deletion-advice.ts';
import { isSaving } from '../../model/domain.ts';
import { chainPaths } from '../../model/image.ts';
import { kvmsnapLine, quote, virshWord } from '../../model/quote.ts';
import { type Finding, inOrder, type Rule } from '../../model/rule.ts';
import { disksInText, inText } from '../../model/text.ts';
import { humanSpan } from '../../output/format.ts';
import { deleteTagLine } from '../../qemu/command-lines.ts';
import { describeUses, usesOf } from '../../sharing/image-users.ts';
import { participants } from '../../vm/findings/disks.ts';
import type { LeftPause } from '../../vm/left-pause.ts';
import { movedFileFindings } from '../../vm/moved-files.ts';
import { movedDisks, movedFindings } from '../../vm/moved-images.ts';
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
    id: 'left-by-together',
    hazards: [9],
    severity: 'error',
    find: ({ domain, leftPause }) => (leftPause ? leftPauseFindings(domain, leftPause) : []),
  },
  {
    id: 'unfinished-together',
    hazards: [],
    severity: 'warning',
    // while that run is at work, it is not finished yet
    find: ({ domain, snapshots, leftPause }) =>
      leftPause?.verdict === 'under-way' || domain.busy
        ? []
        : snapshots
            .filter(({ together, underWay }) => together?.length === 0 && !underWay)
            .map(({ name }) => ({
              snapshot: name,
              what: `the snapshot ${inText(name)} was taken by a create --together that did not finish: other VMs may not have it, or one of another moment`,
              ...adviseDeletion({ domain, snapshots }, [name], { hint: 'if you do not need it, delete it' }),
            })),
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
    id: 'failed-verification',
    hazards: [],
    severity: 'warning',
    find: ({ domain, snapshots, nowSeconds }) =>
      snapshots.flatMap(({ name, verified }) =>
        verified?.outcome === 'failed'
          ? [
              {
                snapshot: name,
                what: `kvmsnap verify found ${humanSpan(nowSeconds - verified.atSeconds)} ago that the guest of snapshot ${inText(name)} does not work: ${verified.seen}`,
                hint: 'if the reason is gone, verify it again',
                command: kvmsnapLine('verify', [domain.name, name]),
              },
            ]
          : [],
      ),
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
        ? [{ what: 'another job is running on the VM at this moment' }]
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

/** A guest that a `create --together` has paused or frozen, and that still stands. */
function leftPauseFindings(
  { state, name, uuid }: CheckFacts['domain'],
  { record: { how, snapshot }, verdict }: LeftPause,
): Finding[] {
  const what = `the guest was ${how} for the snapshot ${inText(snapshot)} by a create --together`;
  if (verdict === 'under-way') return [{ severity: 'information', what: `${what} that is under way` }];
  if (verdict === 'over') return [];
  const command = `virsh ${how === 'paused' ? 'resume' : 'domfsthaw'} ${virshWord({ name, uuid })}`;
  if (verdict === 'ours') return [{ what: `${what} that was killed`, command }];
  if (state !== 'paused') return [];
  return [
    {
      severity: 'warning',
      what: `${what} that was killed; it may have run since, so somebody else may have paused it on purpose`,
      hint: 'if nobody has, resume it',
      command,
    },
  ];
}

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
