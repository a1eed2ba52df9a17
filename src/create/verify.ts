import { KvmsnapError } from '../errors.ts';
import type { DomainReading } from '../libvirt/domains.ts';
import { dumpCommand, parseSnapshots } from '../libvirt/snapshots.ts';
import { takingAlong } from '../libvirt/virsh.ts';
import { virshFailure } from '../libvirt/virsh-error.ts';
import { isActive, takesPart } from '../model/domain.ts';
import type { SnapshotReport } from '../model/report.ts';
import type { Finding } from '../model/rule.ts';
import { inText } from '../model/text.ts';
import type { Context } from '../run/context.ts';
import { lostCurrent, residue } from '../run/failed-write.ts';
import type { Verified } from '../run/operation.ts';
import { readAfter, type WriteEnd } from '../run/write.ts';
import { readImages } from '../vm/disks.ts';
import { assembleVm, completeVm, type Vm } from '../vm/load.ts';
import { readAgainWhile } from '../vm/read-again.ts';
import { thaw } from './guest-agent.ts';
import { existsAlready } from './naming.ts';
import { orphans, residueFiles, wastedSpace } from './residue.ts';
import type { CreateFacts } from './rules/facts.ts';
import type { Prepared, Taken } from './take.ts';
import { readTargetFiles } from './target-files.ts';
import { externalFlaws } from './verify-external.ts';
import { internalFlaws } from './verify-internal.ts';

/** Verifies that a snapshot was taken, and finds what a failed one has left behind. */

/** What was read of the VM after the write. */
interface After {
  readonly vm: Vm;
  readonly snapshot: SnapshotReport | undefined;
  readonly flaws: readonly string[];
  readonly targetFiles: CreateFacts['targetFiles'];
}

/** What was found after a failure. */
export interface FailedCreate extends Pick<After, 'vm' | 'targetFiles'> {
  /** How to thaw the guest file systems; empty if they are thawed. */
  readonly frozen: readonly Finding[];
  /** Whether the snapshot itself is complete. */
  readonly isComplete: boolean;
}

/**
 * Verifies a snapshot. It is complete if it is in libvirt and on every disk: one tag in each image, or overlays on top of
 * the former images.
 */
export async function verifyTaken(
  ctx: Context,
  prepared: Prepared,
  end: WriteEnd,
): Promise<Verified<FailedCreate, Taken>> {
  const { name, plan } = prepared.facts;
  const { domain } = prepared.reading;
  const { vm, snapshot, flaws, targetFiles } = await readAfterwards(ctx, prepared, end);
  const frozen = plan.spec.quiesce ? await thaw(ctx, vm.domain) : [];
  const isComplete = end.kind !== 'refused' && flaws.length === 0;
  const seen: FailedCreate = { vm, targetFiles, frozen, isComplete };
  if (isComplete && frozen.length === 0) return { done: { vm, snapshot: snapshot ?? null, name, plan } };
  if (isComplete) return { failure: leftFrozen(domain.name, name), seen };
  if (end.kind === 'done') return { failure: incomplete(domain.name, name, flaws), seen };
  const failure = virshFailure(
    `snapshot ${inText(name)} of ${inText(domain.name)} was not taken`,
    end.stderr,
  );
  const isOther = end.kind === 'refused' && snapshot && failure.code === 'refused';
  return { failure: isOther ? await existsAlready(ctx, domain, name) : failure, seen };
}

/** What a failed snapshot has left behind, in the order in which it can be fixed. */
export function leftBehind(
  ctx: Context,
  { reading, facts: { name, plan, images, targetFiles } }: Prepared,
  { vm, targetFiles: filesNow, frozen, isComplete }: FailedCreate,
  { code }: KvmsnapError,
): readonly Finding[] {
  if (isComplete) return frozen;
  if (code === 'exists') return []; // what exists belongs to another run
  // libvirt did nothing for us: whatever has changed was done by the other job
  if (code === 'busy' && frozen.length === 0) return [];
  const inImages =
    plan.mode === 'internal'
      ? [...orphans(vm, name), ...wastedSpace(vm, images, name)]
      : residueFiles(plan, targetFiles, filesNow, vm, name);
  const inLibvirt = [
    ...frozen,
    ...lostCurrent(ctx, vm, reading.current),
    ...residue(ctx, vm.domain, reading.domain.state),
  ];
  // fixes that need the VM off come before its start, and after its resume
  return isActive(vm.domain.state) ? [...inLibvirt, ...inImages] : [...inImages, ...inLibvirt];
}

const leftFrozen = (vm: string, name: string): KvmsnapError =>
  new KvmsnapError(
    'refused',
    `snapshot ${inText(name)} of ${inText(vm)} is complete, but the guest file systems may still be frozen`,
  );

/** Reads the VM afterwards, and finds what its new snapshot lacks. */
function readAfterwards(
  ctx: Context,
  { reading, facts: { name, plan } }: Prepared,
  end: WriteEnd,
): Promise<After> {
  const isFlawed = ({ flaws }: After) => end.kind === 'done' && flaws.length > 0;
  const readNow = end.kind === 'done' && plan.mode === 'internal' ? readAtOnce : readInTurn;
  return readAgainWhile(ctx, isFlawed, async () => {
    const vm = await readNow(ctx, reading, name, end);
    const targetFiles = await readTargetFiles(ctx, vm.uri, plan);
    const snapshot = vm.snapshots.find((candidate) => candidate.name === name);
    const flaws = [
      ...(snapshot || plan.spec.noMetadata ? [] : ['libvirt does not list it']),
      ...(plan.mode === 'internal'
        ? internalFlaws(vm, name, snapshot)
        : externalFlaws(plan, vm, snapshot, targetFiles)),
      ...(plan.spec.halt && isActive(vm.domain.state) ? ['the VM still runs (--halt)'] : []),
    ];
    return { vm, snapshot, flaws, targetFiles };
  });
}

type ReadAfterwards = (ctx: Context, before: DomainReading, name: string, end: WriteEnd) => Promise<Vm>;

/** Reads the VM first, and then the images that it has now. */
const readInTurn: ReadAfterwards = async (ctx, { domain }, name, end) =>
  completeVm(ctx, await readAfter(ctx, domain.uuid, end), [name]);

/**
 * A finished internal snapshot is in the same images as before, so everything is read at once, in one virsh process. If
 * anything has changed, the VM is read first and the images after it.
 */
const readAtOnce: ReadAfterwards = async (ctx, before, name, end) => {
  const { uri, domain } = before;
  const along = takingAlong(ctx.virsh, [dumpCommand(domain.uuid, name)]);
  const imagesRead = readImages(ctx, uri, domain.disks.filter(takesPart));
  const after = readAfter({ ...ctx, virsh: along.virsh }, domain.uuid, end).catch(() => null);
  const [vm, images, [xml]] = await Promise.all([after, imagesRead, along.answers()]);
  const isAsBefore = vm && JSON.stringify(vm.domain.disks) === JSON.stringify(domain.disks);
  if (!isAsBefore || !xml) return readInTurn(ctx, before, name, end);
  return assembleVm(ctx, vm, parseSnapshots(ctx.virsh, [xml]), images);
};

const incomplete = (vm: string, name: string, flaws: readonly string[]): KvmsnapError =>
  new KvmsnapError(
    'refused',
    `virsh reported snapshot ${inText(name)} of ${inText(vm)} as taken, but it is not complete: ${flaws.join('; ')}`,
  );
