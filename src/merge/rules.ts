import { isActive } from '../model/domain.ts';
import { kvmsnapLine, virshWord } from '../model/quote.ts';
import { type Finding, mebibytes, type Rule } from '../model/rule.ts';
import { allInText, inText } from '../model/text.ts';
import { againstOpening, obstacleFindings } from '../model/write-obstacles.ts';
import {
  byOtherDisks,
  describeUses,
  type ImageUse,
  partFrom,
  seeing,
  usesOf,
} from '../sharing/image-users.ts';
import { interruptedMerges } from '../vm/external-state.ts';
import type { MergeFacts } from './facts.ts';
import { whyOnlyRunning } from './only-running.ts';
import { type DiskMerge, filesMade } from './plan.ts';

/** When overlays cannot be merged: a snapshot or another VM needs one of the files, or the merge could not be completed. */

export const MERGE_RULES: readonly Rule<MergeFacts>[] = [
  {
    id: 'deletion-interrupted',
    hazards: [40],
    severity: 'error',
    alone: true,
    find: ({ vm: { domain, snapshots } }) =>
      interruptedMerges(snapshots).flatMap(({ target, path, ruined: [first] }) =>
        first === undefined || domain.busy
          ? []
          : [
              {
                what: `disk ${target}: libvirt was interrupted while it deleted the snapshot ${inText(first)}, and merged into ${path}`,
                hint: 'finish that deletion first',
                command: kvmsnapLine('delete', [domain.name, first]),
              },
            ],
      ),
  },
  {
    id: 'block-job',
    hazards: [30],
    severity: 'error',
    find: ({ vm: { domain }, wanted }) =>
      domain.disks
        .filter(({ target }) => wanted.disks.length === 0 || wanted.disks.includes(target))
        .flatMap(({ target, mirror }) => {
          if (!mirror || (mirror.job === 'active-commit' && mirror.ready)) return [];
          return mirror.job === 'active-commit'
            ? {
                what: `disk ${target}: a merge is running already`,
                hint: 'wait until it is ready; this command shows how far it is. Then kvmsnap merge completes it',
                command: `virsh blockjob ${virshWord(domain)} ${target} --info`,
              }
            : {
                what: `disk ${target}: a job (${mirror.job}) of another program is running`,
                hint: 'wait until it has finished, or abort it (what it has done so far is lost)',
                command: `virsh blockjob ${virshWord(domain)} ${target} --abort`,
              };
        }),
  },
  {
    id: 'into-not-in-chain',
    hazards: [],
    severity: 'error',
    find: ({ vm: { images }, wanted: { into }, merges }) =>
      into === null || merges.some(({ base }) => base.path === into)
        ? []
        : [
            {
              what: `${inText(into)} is not the backing file of an overlay that a disk of the VM uses${images.size === 0 ? ', which has no disks' : ''}`,
            },
          ],
  },
  {
    id: 'snapshot-needs-it',
    hazards: [33],
    severity: 'error',
    find: (facts) => {
      const made = filesMade(facts.vm.snapshots);
      return each(facts, ({ target, overlays, base }) => [
        ...overlays
          .filter(({ path }) => made.has(path))
          .map(({ path }) => ({
            what: `disk ${target}: ${path} belongs to a snapshot`,
            hint: 'kvmsnap delete merges the overlays of snapshots',
          })),
        ...overlays.flatMap(({ path, tags }) =>
          tags.length === 0
            ? []
            : {
                what: `disk ${target}: ${path} contains ${tags.length === 1 ? 'the snapshot' : 'the snapshots'} ${allInText(tags.map(({ name }) => name))}, which would be lost with it`,
                hint: 'delete them first, if you can do without them',
              },
        ),
        ...[base, ...overlays].flatMap(({ path }) =>
          ownUses(facts, path)
            .filter(({ kind }) => kind === 'state')
            .map(({ snapshots }) => ({
              what: `disk ${target}: ${path} would be changed or removed, but it contains the state of ${allInText(snapshots)}`,
              hint: `delete ${snapshots.length === 1 ? 'this snapshot' : 'these snapshots'} first, if you can do without`,
              command: kvmsnapLine('delete', [facts.vm.domain.name, ...snapshots]),
            })),
        ),
      ]);
    },
  },
  {
    id: 'image-users',
    hazards: [37, 39],
    severity: 'error',
    find: (facts) =>
      each(facts, ({ target, overlays, base }) => {
        const isOther = ({ vm }: ImageUse) => vm.uuid !== facts.vm.domain.uuid;
        const changed = seeing(facts.users, base.path).filter(isOther);
        const removed = overlays.flatMap(({ path }) => usesOf(facts.users, path).filter(isOther));
        const { uuid } = facts.vm.domain;
        const second = [base, ...overlays].flatMap(({ path }) =>
          byOtherDisks(facts.users, path, { uuid, target }),
        );
        return [
          ...[changed, second].flatMap((uses) =>
            uses.length === 0
              ? []
              : {
                  what: `disk ${target}: the merge would write into ${base.path}, and ${describeUses(uses)}`,
                },
          ),
          ...(removed.length === 0
            ? []
            : [{ what: `disk ${target}: the merge would remove an overlay, and ${describeUses(removed)}` }]),
        ].map((finding) => ({ ...finding, ...partFrom([...changed, ...removed]) }));
      }),
  },
  {
    id: 'unread-vms',
    hazards: [39],
    severity: 'error',
    find: ({ users, merges }) =>
      users.unknown.length === 0 || merges.length === 0
        ? []
        : [
            {
              what: `the files of ${allInText(users.unknown)} could not be read, and a merge may change them`,
              hint: 'kvmsnap check shows why',
            },
          ],
  },
  {
    id: 'managed-save',
    hazards: [35],
    severity: 'error',
    find: ({ vm: { domain }, merges }) =>
      domain.managedSave && merges.length > 0
        ? [
            {
              what: 'the VM has a managed save, which needs the overlays: the VM could not be started from it any more',
              hint: 'start the VM first, and merge while it runs',
              command: `virsh start ${virshWord(domain)}`,
            },
          ]
        : [],
  },
  {
    id: 'other-definition',
    hazards: [],
    severity: 'error',
    find: (facts) =>
      each(facts, ({ target, overlays: [top] }) => {
        const next = facts.nextStart.get(target);
        if (facts.vm.domain.transient || next === top.path) return [];
        return {
          what: `disk ${target}: the VM uses ${top.path} now, but its definition has ${next ?? 'no such disk'} for the next start`,
          hint: 'shut the VM down, and look with virsh edit which file is the right one',
        };
      }),
  },
  {
    id: 'needs-running',
    hazards: [],
    severity: 'error',
    find: (facts) =>
      isActive(facts.vm.domain.state) ? [] : each(facts, (merge) => whyOnlyRunning(facts, merge)),
  },
  {
    id: 'unwritable-base',
    hazards: [50],
    severity: 'error',
    find: (facts) =>
      each(facts, ({ target, base }) =>
        obstacleFindings(
          facts.writeObstacles,
          [{ target, path: base.path }],
          againstOpening,
          'the overlay cannot be merged into it',
        ),
      ),
  },
  {
    id: 'space-for-merge',
    hazards: [7],
    severity: 'error',
    find: ({ tight }) =>
      tight.map(({ target, base, growthBytes, freeBytes }) => ({
        what: `disk ${target}: ${base} grows by ${mebibytes(growthBytes)}, but its file system has only ${mebibytes(freeBytes)} free, so the merge would fail`,
        hint: 'free some space there first',
      })),
  },
];

const each = (
  { merges }: Pick<MergeFacts, 'merges'>,
  find: (merge: DiskMerge) => Finding | readonly Finding[],
): Finding[] => merges.flatMap(find);

const ownUses = ({ users, vm }: MergeFacts, path: string): ImageUse[] =>
  usesOf(users, path).filter((use) => use.vm.uuid === vm.domain.uuid);
