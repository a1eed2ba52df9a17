import { KvmsnapError } from '../errors.ts';
import { virshFailure, virshMessage } from '../libvirt/virsh-error.ts';
import { chainPaths, type Images, tagsNamed } from '../model/image.ts';
import { type SnapshotReport, tagsOf } from '../model/report.ts';
import type { Finding } from '../model/rule.ts';
import { externalDisks, internalDisks, locationOf } from '../model/snapshot.ts';
import { inText } from '../model/text.ts';
import { deleteTagLine } from '../qemu/command-lines.ts';
import type { Context } from '../run/context.ts';
import { lostCurrent, residue, withResidue } from '../run/failed-write.ts';
import { readAfter, type WriteEnd } from '../run/write.ts';
import { completeVm, type Vm } from '../vm/load.ts';
import { readAgainWhile } from '../vm/read-again.ts';
import type { DeleteRequest } from './deletion.ts';
import { readStored } from './facts.ts';
import { membersStoredElsewhere } from './rules/location.ts';

/** Looking whether what was to go is gone: from libvirt and, unless only the metadata was to go, from every disk. */

/** A deletion that virsh has come back from. */
export interface Written {
  readonly snapshot: SnapshotReport;
  /** All that was to go. */
  readonly deletionSet: readonly SnapshotReport[];
  readonly request: DeleteRequest;
  readonly end: WriteEnd;
}

/** The VM after some deletions, and what became of each. */
export interface Proof {
  readonly after: Vm;
  /** In the order of the deletions; null: it is done. */
  readonly failures: readonly (KvmsnapError | null)[];
  /** What is odd about the VM now. */
  readonly odd: readonly Finding[];
  /** libvirt has lost which snapshot is the current one. */
  readonly forgotten: readonly Finding[];
}

/** Looks at the VM after these deletions, the last of which may have ended in any way. `before`: the VM before the first. */
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
    forgotten: lostCurrent(ctx, after, successorOfCurrent(before, gone)),
    failures: written.map((each, i) => failureOf(after, each, orphaned[i] ?? [], odd.length > 0)),
  };
}

async function orphansOf(
  ctx: Context,
  { snapshots }: Vm,
  after: Vm,
  { snapshot, deletionSet, request }: Written,
): Promise<Orphaned[]> {
  if (request.metadataOnly) return [];
  const strays = membersStoredElsewhere({ snapshot, scope: request.scope, snapshots, images: after.images });
  return orphans(after, deletionSet, await readStored(ctx, after, strays));
}

export const isExternal = (snapshot: SnapshotReport): boolean => locationOf(snapshot) === 'external';

/** What is not as it should be after a deletion; null: all is. A merge starts a VM that is off, so its state counts. */
function failureOf(
  after: Vm,
  { snapshot, deletionSet, request, end }: Written,
  orphaned: readonly Orphaned[],
  isOdd: boolean,
): KvmsnapError | null {
  const present = new Set([...after.snapshotNames, ...after.snapshots.map(({ name }) => name)]);
  const left = deletionSet.filter(({ name }) => present.has(name));
  if (left.length > 0) return withResidue(stillThere(after, left, end), halfGone(after, left));
  if (orphaned.length > 0) return leftInImages(orphaned);
  if (!deletionSet.some(isExternal)) return null;
  const unmerged = request.metadataOnly ? [] : deletionSet.flatMap((member) => unmergedIn(after, member));
  return unmerged.length > 0 || isOdd ? notWhole(snapshot, unmerged) : null;
}

/** The snapshot that libvirt makes the current one: the nearest above, of those that stay. */
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

/** libvirtd deletes from disk to disk, and forgets the snapshot last. */
function halfGone(after: Vm, left: readonly SnapshotReport[]): Finding[] {
  return left.flatMap((snapshot) => {
    const targets = internalDisks(snapshot)
      .filter((disk) => tagsOf(snapshot, disk, after.images)?.length === 0)
      .map(({ target }) => target);
    if (targets.length === 0) return [];
    const what = `${inText(snapshot.name)} is no longer in disk ${targets.join(', ')}`;
    return [{ what, hint: 'run the same delete again' }];
  });
}

function stillThere(vm: Vm, left: readonly SnapshotReport[], end: WriteEnd): KvmsnapError {
  const names = left.map(({ name }) => inText(name)).join(', ');
  const what = `the snapshot ${names} of ${inText(vm.domain.name)} was not deleted`;
  if (end.kind === 'done') return new KvmsnapError('refused', `virsh reported success, but ${what}`);
  if (end.kind === 'unknown') {
    return new KvmsnapError(
      'refused',
      `${what}; virsh was ended before it could tell (${virshMessage(end.stderr)}), and libvirtd may still do it`,
    );
  }
  return virshFailure(what, end.stderr);
}

interface Orphaned {
  readonly name: string;
  readonly target: string;
  readonly path: string;
}

/** The tags that outlived their snapshot. */
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

/** The overlays of a deleted external snapshot that the VM still lies on. */
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
      ? `${inText(name)} is deleted`
      : `libvirt has forgotten ${inText(name)}, but the VM still lies on ${unmerged.join(', ')}`,
  );

function leftInImages(orphaned: readonly Orphaned[]): KvmsnapError {
  const commands = orphaned.map(({ name, path }) => deleteTagLine(name, path));
  const what = orphaned.map(({ name, target }) => `${inText(name)} in disk ${target}`).join(', ');
  return new KvmsnapError('refused', `libvirt has forgotten them, but still in the images: ${what}`, {
    hint: `with the VM off: ${commands.join(' && ')}`,
    command: commands[0],
  });
}
