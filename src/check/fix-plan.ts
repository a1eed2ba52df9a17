import { type Domain, isActive, isSaving } from '../model/domain.ts';
import type { SnapshotReport } from '../model/report.ts';
import { mebibytes, type RuledFinding } from '../model/rule.ts';
import { inText } from '../model/text.ts';
import { ancestors } from '../model/tree.ts';
import { againstGrowing, againstOpening, NO_OBSTACLES } from '../model/write-obstacles.ts';
import { isNotable, resizable, type UnusedMemory } from '../qemu/unused-memory.ts';
import { usesOf } from '../sharing/image-users.ts';
import { movedDisks } from '../vm/moved.ts';
import { findOrphans, type Orphan } from './orphans.ts';
import type { CheckFacts } from './rules/facts.ts';
import { isGone, staleDuplicates } from './stored-tags.ts';

/** What `check --fix` does: the facts of a VM -> steps, as data. What is not proven is no step. */

export interface Fix {
  /** The finding that it answers. */
  readonly rule: string;
  readonly what: string;
  readonly why: string;
  /** What is taken for granted; null: nothing. */
  readonly assumed: string | null;
  readonly snapshot: string | null;
  readonly action: FixAction;
}

export type FixAction =
  | { readonly kind: 'resume' }
  /** libvirt forgets a snapshot that no disk holds; not one that is on hold. */
  | { readonly kind: 'forget'; readonly name: string }
  /** The oldest tag of that name goes from the image, so many times. */
  | { readonly kind: 'delete-tag'; readonly name: string; readonly path: string; readonly times: number }
  /** libvirt learns of a snapshot that the disks hold. */
  | {
      readonly kind: 'adopt';
      readonly name: string;
      readonly createdAtSeconds: number;
      readonly hasMemory: boolean;
      readonly parent: string | null;
    }
  /** libvirt looks for a snapshot in other files: those that hold it. */
  | {
      readonly kind: 'register';
      readonly name: string;
      readonly paths: readonly (readonly [from: string, to: string])[];
      readonly isCurrent: boolean;
    }
  /** The disk grows by so many bytes over what a save left behind its end, and is cut off again to its size. */
  | {
      readonly kind: 'win-back';
      readonly path: string;
      readonly virtualBytes: number;
      readonly growBytes: number;
    }
  /** Only the owner of a file may read it and write to it. */
  | { readonly kind: 'chmod'; readonly path: string };

/** Two plans are about the same step when this is the same. */
export const fixKey = ({ action }: Fix): string => JSON.stringify(action);

/**
 * The steps for a VM in the order to take them. None while a job of libvirt holds it; none within the images while
 * it runs, for they are QEMU's then.
 */
export function planFixes(facts: CheckFacts): Fix[] {
  const { domain } = facts;
  if (domain.busy) return [];
  const orphans = findOrphans(facts);
  const withinImages = isActive(domain.state)
    ? []
    : [
        ...deleteDuplicates(facts),
        ...orphans.flatMap((orphan) => deleteIncomplete(facts, orphan)),
        ...[...facts.unusedMemory].flatMap(([target, unusedMemory]) =>
          freeUnusedMemory(facts, target, unusedMemory),
        ),
      ];
  const registered = [...forget(facts), ...register(facts)];
  return [
    ...resume(domain),
    ...registered,
    ...withinImages,
    ...registerTags(facts, orphans),
    ...close(facts),
  ];
}

/** The findings that no step answers: of one rule about one thing, as many as there are more than steps. */
export function unanswered<F extends RuledFinding>(findings: readonly F[], fixes: readonly Fix[]): F[] {
  const key = (rule: string, about: string | null | undefined) => JSON.stringify([rule, about ?? null]);
  const steps = fixes.map(({ rule, snapshot }) => key(rule, snapshot));
  return findings.filter(({ rule, snapshot, tag }) => {
    const at = steps.indexOf(key(rule, tag ?? snapshot));
    if (at >= 0) steps.splice(at, 1);
    return at < 0;
  });
}

function resume(domain: Domain): Fix[] {
  if (!isSaving(domain)) return [];
  return [
    {
      rule: 'left-paused',
      what: 'resume the VM',
      why: `it was left paused (${domain.stateReason}) by a snapshot or save that has ended`,
      assumed: null,
      snapshot: null,
      action: { kind: 'resume' },
    },
  ];
}

function forget({ snapshots, stored, images }: CheckFacts): Fix[] {
  return snapshots
    .filter((snapshot) => !snapshot.held && isGone(snapshot, stored.get(snapshot.name), images))
    .map(({ name }) => ({
      rule: 'no-data',
      what: `have libvirt forget the snapshot ${inText(name)}`,
      why: 'it is in no disk, and all of them were looked at',
      assumed: null,
      snapshot: name,
      action: { kind: 'forget', name },
    }));
}

/** Parents first, as libvirt wants it. */
function register({ snapshots, stored, images }: CheckFacts): Fix[] {
  const depth = ({ name }: SnapshotReport) => ancestors(snapshots, name).length;
  return snapshots
    .filter(({ underWay }) => !underWay)
    .map((snapshot) => ({
      snapshot,
      images: movedDisks(snapshot, images, stored.get(snapshot.name)),
      files: snapshot.movedFiles ?? { moved: [], lost: [] },
    }))
    .filter(
      ({ images, files: { moved, lost } }) =>
        images.length + moved.length > 0 && lost.length === 0 && images.every(({ doubt }) => doubt === null),
    )
    .sort((a, b) => depth(a.snapshot) - depth(b.snapshot))
    .map(({ snapshot: { name, isCurrent }, images, files: { moved } }) => ({
      rule: 'moved',
      what: `register the snapshot ${inText(name)} with ${[
        ...images.map(({ target, to }) => `${to} for disk ${target}`),
        ...moved.map(([from, to]) => `${to} instead of ${from}`),
      ].join(', ')}`,
      why: [
        ...(images.length > 0
          ? [
              'that image, which the VM uses, holds the snapshot by name, date and size of the memory, and libvirt looks for it elsewhere',
            ]
          : []),
        ...(moved.length > 0
          ? [
              'the old path is gone; the images of the VM lie on one another as its snapshots tell, and a memory is known by the VM and the time in it',
            ]
          : []),
      ].join('; '),
      assumed: null,
      snapshot: name,
      action: {
        kind: 'register',
        name,
        paths: [...images.flatMap(({ from, to, below }) => [[from, to] as const, ...below]), ...moved],
        isCurrent,
      },
    }));
}

function deleteDuplicates(facts: CheckFacts): Fix[] {
  return facts.snapshots.flatMap((snapshot) =>
    staleDuplicates(snapshot, facts.stored.get(snapshot.name), facts.images)
      .filter(({ path }) => isOwn(facts, path) && canLoseTags(facts, path))
      .map(
        ({ target, path, stale }): Fix => ({
          rule: 'missing-tag',
          what: `delete the older ${inText(snapshot.name)} in disk ${target}`,
          why: `the disk holds ${stale + 1} of that name, and the older was taken before the snapshot that libvirt knows by it`,
          assumed: null,
          snapshot: snapshot.name,
          action: { kind: 'delete-tag', name: snapshot.name, path, times: stale },
        }),
      ),
  );
}

function deleteIncomplete(facts: CheckFacts, { name, holders, status }: Orphan): Fix[] {
  // half of it cannot go alone: it would be still less of a snapshot
  if (status.kind !== 'incomplete' || !holders.every(({ path }) => canLoseTags(facts, path))) return [];
  return holders.map(({ target, path }) => ({
    rule: 'orphan-tag',
    what: `delete ${inText(name)} in disk ${target}`,
    why: `it is half a snapshot, which libvirt does not know: disk ${status.lacking.join(', ')} was part of ${inText(facts.domain.name)} then and does not hold it`,
    assumed: null,
    snapshot: name,
    action: { kind: 'delete-tag', name, path, times: 1 },
  }));
}

/** Parents first, as libvirt wants it. */
function registerTags({ snapshots, stored, images }: CheckFacts, orphans: readonly Orphan[]): Fix[] {
  const known = snapshots
    .filter((snapshot) => !snapshot.underWay && !isGone(snapshot, stored.get(snapshot.name), images))
    .map(({ name, createdAtSeconds }) => ({ name, createdAtSeconds }));
  return orphans
    .flatMap(({ name, status }) => (status.kind === 'complete' ? [{ name, ...status }] : []))
    .sort((a, b) => a.createdAtSeconds - b.createdAtSeconds)
    .map(({ name, createdAtSeconds, hasMemory }): Fix => {
      const earlier = known.filter((other) => other.createdAtSeconds <= createdAtSeconds);
      earlier.sort((a, b) => a.createdAtSeconds - b.createdAtSeconds);
      const parent = earlier.at(-1)?.name ?? null;
      known.push({ name, createdAtSeconds });
      const state = hasMemory ? ', and it ran' : '';
      return {
        rule: 'orphan-tag',
        what: `have libvirt know the snapshot ${inText(name)}`,
        why: 'every disk holds it once, and libvirt does not know it',
        assumed: `the VM was defined then as it is today${state}; ${parent === null ? 'it has no parent' : `its parent is ${inText(parent)}, the one before it`}`,
        snapshot: name,
        action: { kind: 'adopt', name, createdAtSeconds, hasMemory, parent },
      };
    });
}

/** Whether no other VM uses the image, as far as all of them could be read. */
const isOwn = ({ users }: CheckFacts, path: string): boolean =>
  usesOf(users, path).length === 0 && users.unknown.length === 0;

const isWritable = ({ writeObstacles = NO_OBSTACLES }: CheckFacts, path: string): boolean =>
  againstOpening(writeObstacles, path) === null;

/** The list of the tags that stay is written before the old one is given up. */
const canLoseTags = (facts: CheckFacts, path: string): boolean =>
  isWritable(facts, path) && againstGrowing(facts.writeObstacles ?? NO_OBSTACLES, path) === null;

/** A file that another VM uses is as its maker wants it. */
function close({ readableFiles, users }: CheckFacts): Fix[] {
  return readableFiles
    .filter((path) => usesOf(users, path).length === 0)
    .map((path) => ({
      rule: 'readable-file',
      what: `let only its owner read ${path}`,
      why: 'a snapshot has made the file, it holds data of the guest, and other users of this host may read it',
      assumed: null,
      snapshot: null,
      action: { kind: 'chmod', path },
    }));
}

function freeUnusedMemory(facts: CheckFacts, target: string, unusedMemory: UnusedMemory): Fix[] {
  const image = resizable(facts.images.get(target));
  if (!image || !isNotable(unusedMemory) || !isOwn(facts, image.path) || !isWritable(facts, image.path))
    return [];
  const { path, virtualBytes } = image;
  return [
    {
      rule: 'unused-memory',
      what: `give back ${mebibytes(unusedMemory.bytes)} of the image of disk ${target}`,
      why: 'they are memory behind the end of the disk that no snapshot refers to: of a save that failed, or of a snapshot that was reverted to and then deleted',
      assumed: null,
      snapshot: null,
      action: { kind: 'win-back', path, virtualBytes, growBytes: unusedMemory.endBytes - virtualBytes },
    },
  ];
}
