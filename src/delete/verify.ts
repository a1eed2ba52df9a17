import { KvmsnapError } from '../errors.ts';
import { virshFailure, virshMessage } from '../libvirt/virsh-error.ts';
import { chainPaths, type Images, tagsNamed } from '../model/image.ts';
import { type SnapshotReport, tagsOf } from '../model/report.ts';
import type { Finding } from '../model/rule.ts';
import { externalDisks, internalDisks, locationOf } from '../model/snapshot.ts';
import { disksInText, inText } from '../model/text.ts';
import { deleteTagLine } from '../qemu/command-lines.ts';
import type { Context, VmReader } from '../run/context.ts';
import { lostCurrent, residue, withResidue } from '../run/failed-write.ts';
import { readAfter, type WriteEnd } from '../run/write.ts';
import { completeVm, type Vm } from '../vm/load.ts';
import { readAgainWhile } from '../vm/read-again.ts';
import type { DeleteRequest } from './deletion.ts';
import { readStored } from './facts.ts';
import { membersStoredElsewhere } from './rules/location.ts';

/** Verifies that deleted snapshots are gone: from libvirt and, unless only the metadata was deleted, from every disk. */

/** A deletion whose virsh has ended. */
export interface Written {
  readonly snapshot: SnapshotReport;
  /** All snapshots that were to be deleted. */
  readonly deletionSet: readonly SnapshotReport[];
  readonly request: DeleteRequest;
  readonly end: WriteEnd;
}

/** The VM after some deletions, and the result of each. */
export interface Proof {
  readonly after: Vm;
  /** In the order of the deletions; null: verified. */
  readonly failures: readonly (KvmsnapError | null)[];
  /** What is wrong with the VM now. */
  readonly odd: readonly Finding[];
  /** The finding that libvirt has lost the current snapshot. */
  readonly lost: readonly Finding[];
}

/** Reads the VM after these deletions, the last of which may have ended in any way. `before`: the VM before the first. */
export async function proveDeletions(ctx: Context, before: Vm, written: readonly Written[]): Promise<Proof> {
  const end = written.at(-1)?.end ?? { kind: 'done', stderr: '' };
  const { after, orphaned } = await readAgainWhile(
    ctx,
    (seen) => seen.orphaned.some(({ length }) => length > 0),
    async () => {
      const after = await completeVm(ctx, await readAfter(ctx, before.domain.uuid, end));
      return {
        after,
        orphaned: await Promise.all(written.map((each) => orphansOf(ctx, before, after, each))),
      };
    },
  );
  const odd = residue(ctx, after.domain, before.domain.state);
  const gone = written.flatMap(({ deletionSet }) => deletionSet);
  return {
    after,
    odd,
    lost: lostCurrent(ctx, after, successorOfCurrent(before, gone)),
    failures: written.map((each, i) => failureOf(ctx, after, each, orphaned[i] ?? [], odd.length > 0)),
  };
}

async function orphansOf(
  ctx: VmReader,
  { snapshots }: Vm,
  after: Vm,
  { snapshot, deletionSet, request }: Written,
): Promise<Orphaned[]> {
  if (request.metadataOnly) return [];
  const elsewhere = membersStoredElsewhere({
    snapshot,
    scope: request.scope,
    snapshots,
    images: after.images,
  });
  return orphans(after, deletionSet, await readStored(ctx, after, elsewhere));
}

/** Whether at least a part of its state is in external files. */
export const isExternal = (snapshot: SnapshotReport): boolean => locationOf(snapshot) === 'external';

/** What is wrong after a deletion; null: nothing. A merge starts a VM that is off, so the state of the VM counts. */
function failureOf(
  ctx: Pick<Context, 'virsh'>,
  after: Vm,
  { snapshot, deletionSet, request, end }: Written,
  orphaned: readonly Orphaned[],
  isOdd: boolean,
): KvmsnapError | null {
  const present = new Set([...after.snapshotNames, ...after.snapshots.map(({ name }) => name)]);
  const left = deletionSet.filter(({ name }) => present.has(name));
  if (left.length > 0) return withResidue(ctx, stillThere(after, left, end), halfGone(after, left));
  if (orphaned.length > 0) return leftInImages(orphaned);
  if (!deletionSet.some(isExternal)) return null;
  const unmerged = request.metadataOnly ? [] : deletionSet.flatMap((member) => unmergedIn(after, member));
  return unmerged.length > 0 || isOdd ? notWhole(snapshot, unmerged) : null;
}

/** The snapshot that libvirt makes current: the nearest ancestor that stays. */
function successorOfCurrent(
  { snapshots, current }: Vm,
  deletionSet: readonly SnapshotReport[],
): string | null {
  const going = new Set(deletionSet.map(({ name }) => name));
  const parents = new Map(snapshots.map(({ name, parent }) => [name, parent]));
  let name = current;
  while (name !== null && going.has(name)) name = parents.get(name) ?? null;
  return name;
}

/** Disks from which a snapshot is gone that still exists: libvirtd deletes from one disk after another, and unregisters the snapshot last. */
function halfGone(after: Vm, left: readonly SnapshotReport[]): Finding[] {
  return left.flatMap((snapshot) => {
    const targets = internalDisks(snapshot)
      .filter((disk) => tagsOf(snapshot, disk, after.images)?.length === 0)
      .map(({ target }) => target);
    if (targets.length === 0) return [];
    const what = `${inText(snapshot.name)} is no longer in ${disksInText(targets)}`;
    return [{ what, hint: 'run the same delete again' }];
  });
}

function stillThere(vm: Vm, left: readonly SnapshotReport[], end: WriteEnd): KvmsnapError {
  const names = left.map(({ name }) => inText(name)).join(', ');
  const what =
    left.length === 1
      ? `snapshot ${names} of ${inText(vm.domain.name)} was not deleted`
      : `snapshots ${names} of ${inText(vm.domain.name)} were not deleted`;
  if (end.kind === 'done') return new KvmsnapError('refused', `virsh reported success, but ${what}`);
  if (end.kind === 'unknown') {
    return new KvmsnapError(
      'refused',
      `${what}. virsh was ended before it could report the result (${virshMessage(end.stderr)}), so libvirtd may still delete it`,
    );
  }
  return virshFailure(what, end.stderr);
}

interface Orphaned {
  readonly name: string;
  readonly target: string;
  readonly path: string;
}

/** The tags that are left in the images without their snapshot. */
const orphans = (
  { images }: Vm,
  deletionSet: readonly SnapshotReport[],
  stored: ReadonlyMap<string, Images>,
): Orphaned[] =>
  deletionSet.flatMap((member) =>
    internalDisks(member)
      .filter((disk) => {
        const elsewhere = stored.get(member.name)?.get(disk.target);
        const tags = elsewhere ? tagsNamed(elsewhere, member.name) : tagsOf(member, disk, images);
        return (tags?.length ?? 0) > 0;
      })
      .map(({ target, source }) => ({ name: member.name, target, path: source ?? '' })),
  );

/** The overlays of a deleted external snapshot that the VM still uses. */
function unmergedIn(after: Vm, member: SnapshotReport): string[] {
  const active = new Map(after.domain.disks.map((disk) => [disk.target, disk.source]));
  return externalDisks(member).flatMap(({ target, source }) => {
    const image = after.images.get(target);
    const chain = image?.kind === 'seen' ? chainPaths(image) : [active.get(target)];
    return source !== null && chain.includes(source) ? [source] : [];
  });
}

const notWhole = ({ name }: SnapshotReport, unmerged: readonly string[]): KvmsnapError =>
  new KvmsnapError(
    'refused',
    unmerged.length === 0
      ? `${inText(name)} was deleted, but the VM is no longer in the state that it had before`
      : `libvirt has unregistered ${inText(name)}, but the VM still uses ${unmerged.join(', ')}`,
  );

function leftInImages(orphaned: readonly Orphaned[]): KvmsnapError {
  const commands = orphaned.map(({ name, path }) => deleteTagLine(name, path));
  const what = orphaned.map(({ name, target }) => `${inText(name)} in disk ${target}`).join(', ');
  const message = `libvirt has unregistered the snapshot, but the images still contain it: ${what}`;
  const hint = 'delete it from the images while the VM is off';
  return KvmsnapError.of('refused', null, [{ message, hint, commands }]);
}
