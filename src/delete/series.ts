import { KvmsnapError } from '../errors.ts';
import { readByUuid } from '../libvirt/domains.ts';
import { takingAlong } from '../libvirt/virsh.ts';
import { takesPart } from '../model/domain.ts';
import { mentionedFiles } from '../model/domain-files.ts';
import type { SnapshotReport } from '../model/report.ts';
import { inText } from '../model/text.ts';
import type { Context } from '../run/context.ts';
import { withResidue } from '../run/failed-write.ts';
import { operate } from '../run/operation.ts';
import type { WriteEnd } from '../run/write.ts';
import { readImages } from '../vm/disks.ts';
import type { KnownCounts } from '../vm/find-undercounted.ts';
import { findSnapshot, readAgain, readingsOf, type Vm } from '../vm/load.ts';
import { requireKnown } from './check.ts';
import {
  type DeleteDone,
  type DeleteRequest,
  type DeletionFacts,
  deletion,
  type TellLoss,
} from './deletion.ts';
import { findDeletionSet } from './deletion-set.ts';
import { readDeleteFacts } from './facts.ts';
import { definitionIn, isAsForeseen, isLeftAsForeseen, quickCommands } from './quick-look.ts';
import { clearUnusedFiles, type UnusedFilesFound } from './remove-unused-files.ts';
import { membersStoredElsewhere } from './rules/location.ts';
import { afterDeletion } from './simulate.ts';
import { isExternal, type Proof, proveDeletions, type Written } from './verify.ts';

/**
 * Deletions of one VM, one after another. Before each, one process asks libvirt which VMs exist and use the files, and
 * whether this VM and the snapshot are as the earlier deletions should have left them. The deletion of an internal snapshot
 * that virsh reports as done is verified together with the next ones, by one reading of the list and the images. Any other
 * is verified at once, and so are all of them if something differs.
 */
export interface Deletions {
  /** The VM as it was read last, without what was deleted since. */
  readonly vm: Vm;
  /** Deletes one. Throws a refusal or failure; a deletion that virsh reports as done may still fail in `prove`. */
  delete(ctx: Context, name: string, options?: DeletionOptions): Promise<DeleteDone>;
  /** Verifies what is not verified yet. Returns the failures of all deletions that virsh had reported as done. */
  prove(ctx: Context): Promise<ReadonlyMap<string, KvmsnapError>>;
}

export interface DeletionOptions {
  readonly tell?: TellLoss | undefined;
  readonly count?: string | null;
}

/** The most deletions that are verified together. */
const MOST_UNPROVEN = 16;

const NOTHING_LEFT: UnusedFilesFound = { unusedFiles: [], unremoved: [] };

/** `first`: the VM as it was just read. */
export function openDeletions(first: Vm, request: DeleteRequest): Deletions {
  let vm = first;
  /** The definition as libvirt prints it; null if it was not read since the VM was. */
  let definition: string | null = null;
  let unproven: Unproven | null = null;
  const counts: KnownCounts = new Map();
  const failed = new Map<string, KvmsnapError>();

  const begin = (ctx: Context): Unproven => {
    unproven ??= { before: vm, written: [], memory: null, release: ctx.interrupts.hold() };
    return unproven;
  };

  /** Ends a group of deletions: the VM is as it was just read. */
  const settle = async (ctx: Context, after: Vm): Promise<void> => {
    const ended = unproven;
    vm = after;
    unproven = null;
    ended?.release();
    if (ended) await noteKeptMemory(ctx, after, ended);
  };

  /** Ends a group of deletions that could not be verified. */
  const giveUp = (ctx: Context, written: readonly Written[], error: unknown): void => {
    unproven?.release();
    unproven = null;
    if (!(error instanceof KvmsnapError)) throw error;
    // a user who ends the run at once gets only virsh's report
    if (ctx.interrupts.stop.aborted) noteUnseen(ctx, written);
    else for (const { snapshot } of written) failed.set(snapshot.name, unseen(snapshot, error));
  };

  const proveAll = async (ctx: Context, { before, written }: Unproven): Promise<Proof> => {
    const proof = await proveDeletions(ctx, before, written);
    // with a failure, they are reported as what it has left behind
    const isReported = proof.failures.some((failure) => failure !== null);
    const left = isReported ? [] : [...(isLost(proof.after) ? proof.odd : []), ...proof.lost];
    for (const { what, command } of left)
      ctx.terminal.note(`warning: ${what}${command === undefined ? '' : `. To fix it:\n  ${command}`}`);
    definition = null;
    await settle(ctx, proof.after);
    return proof;
  };

  /** Records the failures; what happened to the VM itself is reported with the last one. */
  const takeOver = (ctx: Context, written: readonly Written[], { failures, odd, lost }: Proof): void => {
    const broken = written.flatMap(({ snapshot }, i) => {
      const failure = failures[i];
      return failure ? [{ name: snapshot.name, failure }] : [];
    });
    for (const [i, { name, failure }] of broken.entries())
      failed.set(name, i === broken.length - 1 ? withResidue(ctx, failure, [...odd, ...lost]) : failure);
  };

  const prove = async (ctx: Context): Promise<void> => {
    const pending = unproven;
    if (!pending) return;
    if (pending.written.length === 0) return settle(ctx, vm);
    try {
      const { domain, uri } = vm;
      const [reading, images] = await Promise.all([
        readByUuid(ctx.virsh, domain.uuid, domain.name),
        readImages(ctx, uri, domain.disks.filter(takesPart)),
      ]);
      if (isLeftAsForeseen(vm, reading, images)) await settle(ctx, { ...vm, ...reading, images });
      else takeOver(ctx, pending.written, await proveAll(ctx, pending));
    } catch (error) {
      giveUp(ctx, pending.written, error);
    }
  };

  const gather = async (ctx: Context, name: string): Promise<DeletionFacts> => {
    const snapshot = findSnapshot(vm, name);
    requireKnown(ctx, vm, snapshot, request);
    const facts = request.metadataOnly
      ? null
      : await readDeleteFacts(ctx, vm, snapshot, request.scope, { counts });
    const deletionSet = findDeletionSet(vm.snapshots, snapshot, request.scope);
    return { vm, snapshot, deletionSet, facts, isGone: false };
  };

  const renew = async (ctx: Context): Promise<void> => {
    await prove(ctx);
    vm = await readAgain(ctx, vm.domain);
    definition = null;
    counts.clear();
  };

  /** A snapshot of the beginning that another run has deleted since; null: it exists, or never did. */
  const findGone = (name: string): DeletionFacts | null => {
    const isCalled = (each: SnapshotReport) => each.name === name;
    const snapshot = first.snapshots.find(isCalled);
    if (!snapshot || vm.snapshots.some(isCalled)) return null;
    return { vm, snapshot, deletionSet: [snapshot], facts: null, isGone: true };
  };

  const look = async (ctx: Context, name: string, again: boolean): Promise<DeletionFacts> => {
    if (again) await renew(ctx);
    const gone = again ? null : findGone(name);
    if (gone) return gone;
    const { virsh, answers } = takingAlong(ctx.virsh, quickCommands(vm, name));
    const facts = await gather({ ...ctx, virsh }, name);
    const found = await answers();
    const isRead = (await readingsOf(ctx, vm.domain)).length > 0;
    if (!isRead && isAsForeseen(vm, name, found, definition)) {
      definition = definitionIn(found);
      return facts;
    }
    await renew(ctx);
    return findGone(name) ?? gather(ctx, name);
  };

  const verify = async (
    ctx: Context,
    { vm: before, snapshot, deletionSet }: DeletionFacts,
    end: WriteEnd,
  ) => {
    const pending = begin(ctx);
    pending.written.push({ snapshot, deletionSet, request, end });
    const foreseen = end.kind === 'done' ? withoutDeleted(before, snapshot, deletionSet, request) : null;
    if (foreseen) {
      vm = foreseen;
      if (pending.written.length >= MOST_UNPROVEN) await prove(ctx);
      return { done: { gone: deletionSet, ...NOTHING_LEFT } };
    }
    const earlier = pending.written.slice(0, -1);
    const proof = await proveAll(ctx, pending).catch((error) => {
      giveUp(ctx, earlier, error);
      throw error;
    });
    const failure = proof.failures.at(-1);
    takeOver(ctx, earlier, failure ? { ...proof, odd: [], lost: [] } : proof);
    if (failure) return { failure, seen: proof };
    const found = deletionSet.some(isExternal)
      ? await clearUnusedFiles(ctx, vm, deletionSet.flatMap(mentionedFiles), request.removeUnused)
      : NOTHING_LEFT;
    return { done: { gone: deletionSet, ...found } };
  };

  const prepare = async (ctx: Context, facts: DeletionFacts): Promise<DeletionFacts> => {
    const hasMemory = facts.deletionSet.some(({ memory }) => memory.location === 'internal');
    if (request.metadataOnly || !hasMemory || unproven?.memory) return facts;
    const { readUnusedMemoryOf } = await import('../space/unused-memory.ts');
    const memory = await readUnusedMemoryOf(ctx, vm.images);
    begin(ctx).memory = memory;
    return facts;
  };

  const series = { look, prepare, verify };
  return {
    get vm() {
      return vm;
    },
    async delete(ctx, name, { tell, count = null } = {}) {
      const ended = await operate(ctx, deletion(series, name, request, { tell, count }));
      if ('planned' in ended) throw new Error('a deletion plans nothing');
      return ended.done;
    },
    async prove(ctx) {
      await prove(ctx);
      return failed;
    },
  };
}

/** Whether QEMU has ended by itself; what a person did to the VM meanwhile is not reported. */
const isLost = ({ domain }: Vm): boolean => ['crashed', 'failed'].includes(domain.stateReason);

/** Deletions that are not verified yet, and the VM before them. */
interface Unproven {
  readonly before: Vm;
  readonly written: Written[];
  /** By target, the memory that belonged to no snapshot before; null if none of the deleted snapshots has memory. */
  memory: Awaited<ReturnType<typeof import('../space/unused-memory.ts').readUnusedMemoryOf>> | null;
  /** A signal waits until they are verified. */
  readonly release: () => void;
}

function noteUnseen({ terminal }: Context, written: readonly Written[]): void {
  const names = written.map(({ snapshot }) => inText(snapshot.name)).join(', ');
  if (names !== '')
    terminal.note(
      `note: virsh reported ${names} as deleted; kvmsnap has not verified that, because the run was ended`,
    );
}

const unseen = ({ name }: SnapshotReport, error: KvmsnapError): KvmsnapError =>
  error.prefixed(`virsh reported ${inText(name)} as deleted, but kvmsnap could not verify that: `);

/** The VM without what was deleted; null if it must be read to know. */
function withoutDeleted(
  before: Vm,
  snapshot: SnapshotReport,
  deletionSet: readonly SnapshotReport[],
  { scope, metadataOnly }: DeleteRequest,
): Vm | null {
  const { snapshots, images } = before;
  if (deletionSet.some(isExternal)) return null;
  if (!metadataOnly && membersStoredElsewhere({ snapshot, scope, snapshots, images }).length > 0) return null;
  const left = afterDeletion(before, snapshot, scope);
  if (!left) return null;
  const snapshotNames = [...before.snapshotNames];
  for (const line of deletionSet.flatMap(({ name }) => name.split('\n'))) {
    const at = snapshotNames.indexOf(line);
    if (at >= 0) snapshotNames.splice(at, 1);
  }
  return { ...before, ...left, snapshotNames, images: metadataOnly ? images : left.images };
}

async function noteKeptMemory(ctx: Context, vm: Vm, { written, memory }: Unproven): Promise<void> {
  if (!memory) return;
  const names = written
    .flatMap(({ deletionSet }) => deletionSet)
    .filter((member) => member.memory.location === 'internal')
    .map(({ name }) => name);
  const { noteKeptMemory } = await import('../space/unused-memory.ts');
  await noteKeptMemory(ctx, vm, names, memory);
}
