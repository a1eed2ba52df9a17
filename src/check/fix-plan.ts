import { type Domain, isActive, isSaving } from '../model/domain.ts';
import type { SnapshotReport } from '../model/report.ts';
import { mebibytes, type RuledFinding } from '../model/rule.ts';
import { inText } from '../model/text.ts';
import { ancestors } from '../model/tree.ts';
import { againstGrowing, againstOpening, NO_OBSTACLES } from '../model/write-obstacles.ts';
import { isNotable, resizable, type UnusedMemory } from '../qemu/unused-memory.ts';
import { usesOf } from '../sharing/image-users.ts';
import type { LeftPause } from '../vm/left-pause.ts';
import { movedDisks } from '../vm/moved-images.ts';
import { findOrphans, type Orphan } from './orphans.ts';
import type { CheckFacts } from './rules/facts.ts';
import { isGone, staleDuplicates } from './stored-tags.ts';

/** What `check --fix` does: turns the facts about a VM into steps, as data. There is no step for what is not proven. */

export interface Fix {
  /** The rule whose finding it fixes. */
  readonly rule: string;
  readonly what: string;
  readonly why: string;
  /** What is assumed; null: nothing. */
  readonly assumed: string | null;
  readonly snapshot: string | null;
  readonly action: FixAction;
}

export type FixAction =
  | { readonly kind: 'resume' }
  /** Lets a guest go on that a `create --together` has left paused or frozen. */
  | { readonly kind: 'let-go'; readonly left: LeftPause }
  /** Unregisters a snapshot that no disk holds; one on hold is left alone. */
  | { readonly kind: 'forget'; readonly name: string }
  /** Deletes the oldest tag of that name from the image, so many times. */
  | { readonly kind: 'delete-tag'; readonly name: string; readonly path: string; readonly times: number }
  /** Registers a snapshot that the disks hold. */
  | {
      readonly kind: 'adopt';
      readonly name: string;
      readonly createdAtSeconds: number;
      readonly hasMemory: boolean;
      readonly parent: string | null;
    }
  /** Registers a snapshot with the paths of the files that hold it now. */
  | {
      readonly kind: 'register';
      readonly name: string;
      readonly paths: readonly (readonly [from: string, to: string])[];
      readonly isCurrent: boolean;
    }
  /** Grows the disk by so many bytes over memory that a save left beyond its end, and shrinks it back. */
  | {
      readonly kind: 'win-back';
      readonly path: string;
      readonly virtualBytes: number;
      readonly growBytes: number;
    }
  /** Allows only the owner to read and write a file. */
  | { readonly kind: 'chmod'; readonly path: string };

/** Two steps are the same if their keys are equal. */
export const fixKey = ({ action }: Fix): string => JSON.stringify(action);

/**
 * The steps for a VM in their order. There are none while a libvirt job holds the VM, and none within the images while
 * it runs, because QEMU has them open.
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
    ...(facts.leftPause ? letGo(facts.leftPause) : resume(domain)),
    ...registered,
    ...withinImages,
    ...registerTags(facts, orphans),
    ...close(facts),
  ];
}

/** The findings that no step fixes: of each rule and subject, as many as exceed the number of steps. */
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

function letGo(left: LeftPause): Fix[] {
  const { how, snapshot } = left.record;
  if (left.verdict !== 'ours') return [];
  return [
    {
      rule: 'left-by-together',
      what: how === 'paused' ? 'resume the VM' : 'thaw the guest file systems',
      why: `create --together was killed, and has left the guest ${how} (snapshot ${inText(snapshot)})`,
      assumed: null,
      snapshot: null,
      action: { kind: 'let-go', left },
    },
  ];
}

function forget({ snapshots, stored, images }: CheckFacts): Fix[] {
  return snapshots
    .filter((snapshot) => !snapshot.held && isGone(snapshot, stored.get(snapshot.name), images))
    .map(({ name }) => ({
      rule: 'no-data',
      what: `unregister the snapshot ${inText(name)}`,
      why: 'no disk contains it, and all disks were inspected',
      assumed: null,
      snapshot: name,
      action: { kind: 'forget', name },
    }));
}

/** Parents first, because libvirt requires it. */
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
              'the image that the VM uses contains the snapshot (same name, date and memory size), but libvirt looks for it elsewhere',
            ]
          : []),
        ...(moved.length > 0
          ? [
              'the old path is gone; the backing chain of the VM shows where the file is now, and a memory file is recognized by the VM and the time of the snapshot',
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
          what: `delete the older tag ${inText(snapshot.name)} in disk ${target}`,
          why: `the disk has ${stale + 1} tags of that name, and the older one is older than the snapshot that libvirt knows`,
          assumed: null,
          snapshot: snapshot.name,
          action: { kind: 'delete-tag', name: snapshot.name, path, times: stale },
        }),
      ),
  );
}

function deleteIncomplete(facts: CheckFacts, { name, holders, status }: Orphan): Fix[] {
  // all parts must be deleted together; otherwise even less of the snapshot would be left
  if (status.kind !== 'incomplete' || !holders.every(({ path }) => canLoseTags(facts, path))) return [];
  return holders.map(({ target, path }) => ({
    rule: 'orphan-tag',
    what: `delete ${inText(name)} in disk ${target}`,
    why: `the snapshot is incomplete, and libvirt does not know it: disk ${status.lacking.join(', ')} was part of ${inText(facts.domain.name)} when it was taken, and does not contain it`,
    assumed: null,
    snapshot: name,
    action: { kind: 'delete-tag', name, path, times: 1 },
  }));
}

/** Parents first, because libvirt requires it. */
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
      const state = hasMemory ? ' and was running' : '';
      return {
        rule: 'orphan-tag',
        what: `register the snapshot ${inText(name)}`,
        why: 'every disk contains it once, but libvirt does not know it',
        assumed: `the VM was defined as it is today${state}; ${parent === null ? 'it has no parent' : `its parent is ${inText(parent)}, the one before it`}`,
        snapshot: name,
        action: { kind: 'adopt', name, createdAtSeconds, hasMemory, parent },
      };
    });
}

/** Whether all VMs could be read and no other one uses the image. */
const isOwn = ({ users }: CheckFacts, path: string): boolean =>
  usesOf(users, path).length === 0 && users.unknown.length === 0;

const isWritable = ({ writeObstacles = NO_OBSTACLES }: CheckFacts, path: string): boolean =>
  againstOpening(writeObstacles, path) === null;

/** Whether QEMU would overwrite nothing in it. */
const isSound = ({ undercounted }: CheckFacts, path: string): boolean => !undercounted?.get(path);

/** QEMU writes the list of the remaining tags before it frees the old one. */
const canLoseTags = (facts: CheckFacts, path: string): boolean =>
  isWritable(facts, path) &&
  isSound(facts, path) &&
  againstGrowing(facts.writeObstacles ?? NO_OBSTACLES, path) === null;

/** The mode of a file that another VM uses is left alone. */
function close({ readableFiles, users }: CheckFacts): Fix[] {
  return readableFiles
    .filter((path) => usesOf(users, path).length === 0)
    .map((path) => ({
      rule: 'readable-file',
      what: `allow only the owner to read ${path}`,
      why: 'the file belongs to a snapshot and contains data of the guest, and other users of this host can read it',
      assumed: null,
      snapshot: null,
      action: { kind: 'chmod', path },
    }));
}

function freeUnusedMemory(facts: CheckFacts, target: string, unusedMemory: UnusedMemory): Fix[] {
  const image = resizable(facts.images.get(target));
  if (!image || !isNotable(unusedMemory) || !isOwn(facts, image.path)) return [];
  if (!isWritable(facts, image.path) || !isSound(facts, image.path)) return [];
  const { path, virtualBytes } = image;
  return [
    {
      rule: 'unused-memory',
      what: `free ${mebibytes(unusedMemory.bytes)} in the image of disk ${target}`,
      why: 'it is saved memory that no snapshot needs; it stays in the image after a failed save, or if a snapshot is deleted after a revert to it',
      assumed: null,
      snapshot: null,
      action: { kind: 'win-back', path, virtualBytes, growBytes: unusedMemory.endBytes - virtualBytes },
    },
  ];
}
