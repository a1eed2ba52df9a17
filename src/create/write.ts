import { KvmsnapError } from '../errors.ts';
import type { VirshCommand } from '../libvirt/batch.ts';
import type { DomainReading } from '../libvirt/domains.ts';
import { readJobProgress } from '../libvirt/runtime.ts';
import { virshFailure } from '../libvirt/virsh-error.ts';
import { type Domain, isActive, takesPart } from '../model/domain.ts';
import type { Images } from '../model/image.ts';
import type { SnapshotPlan } from '../model/snapshot-spec.ts';
import type { Context } from '../run/context.ts';
import { lostCurrent, residue, withResidue } from '../run/failed-write.ts';
import { carryOut, readAfter, type WriteEnd } from '../run/write.ts';
import { completeVm } from '../vm/load.ts';
import { readAgainWhile } from '../vm/read-again.ts';
import { closeNewFiles } from './file-modes.ts';
import { thaw } from './guest-agent.ts';
import { existsAlready } from './naming.ts';
import { orphans, residueFiles, wastedSpace } from './residue.ts';
import type { CreateFacts } from './rules/facts.ts';
import type { Taken } from './take.ts';
import { readTargetFiles } from './target-files.ts';
import { externalFlaws } from './verify-external.ts';
import { internalFlaws } from './verify-internal.ts';

/** Writes the planned snapshot, and verifies that it is complete; a failure names all that is left behind. */

interface Before {
  readonly reading: DomainReading;
  readonly images: Images;
  readonly plan: SnapshotPlan;
  readonly targetFiles: CreateFacts['targetFiles'];
}

export async function createAndVerify(
  ctx: Context,
  before: Before,
  name: string,
  command: VirshCommand,
): Promise<Taken> {
  const { domain } = before.reading;
  const { plan } = before;
  const end = await carryOut(ctx, { command, ...howFar(ctx, domain, plan) });
  await closeNewFiles(ctx, plan, before.targetFiles);
  const { vm, snapshot, flaws, targetFiles } = await readAfterwards(ctx, before, name, end);
  const frozen = plan.spec.quiesce ? await thaw(ctx, vm.domain) : [];

  if (end.kind !== 'refused' && flaws.length === 0) {
    if (frozen.length > 0) throw withResidue(leftFrozen(domain.name, name), frozen);
    return { vm, snapshot: snapshot ?? null, name, plan };
  }
  const failure = virshFailure(`the snapshot '${name}' of '${domain.name}' was not taken`, end.stderr);
  if (end.kind === 'refused' && snapshot && failure.code === 'refused')
    throw await existsAlready(ctx, domain, name);
  if (failure.code === 'busy' && frozen.length === 0) throw failure; // virsh did not start: whatever has changed was done by the other job
  const inImages =
    plan.mode === 'internal'
      ? [...orphans(vm, name), ...wastedSpace(vm, before.images, name)]
      : residueFiles(plan, before.targetFiles, targetFiles, vm, name);
  const inLibvirt = [
    ...frozen,
    ...lostCurrent(ctx, vm, before.reading.current),
    ...residue(ctx, vm.domain, domain.state),
  ];
  throw withResidue(
    end.kind === 'done' ? incomplete(domain.name, name, flaws) : failure,
    // in the order of fixing: what needs the VM off comes before its start, and after its resume
    isActive(vm.domain.state) ? [...inLibvirt, ...inImages] : [...inImages, ...inLibvirt],
  );
}

/** The text of the progress line, and what progress is measured by: the growth of a file, or libvirt's own figures. */
function howFar(
  { virsh }: Context,
  { name, uuid, disks, state }: Domain,
  { mode, memoryFile }: SnapshotPlan,
) {
  const saves = isActive(state) && mode !== 'disk-only';
  return {
    label: saves ? `saving the memory of '${name}'` : `taking a snapshot of '${name}'`,
    growing: mode === 'internal' ? (disks.find(takesPart)?.source ?? null) : memoryFile,
    ...(mode === 'external' ? { progress: () => readJobProgress(virsh, uuid) } : {}),
  };
}

const leftFrozen = (vm: string, name: string): KvmsnapError =>
  new KvmsnapError('refused', `the snapshot '${name}' of '${vm}' is complete, but its guest may stand still`);

/** The VM afterwards, and what its new snapshot lacks. */
function readAfterwards(ctx: Context, { reading, plan }: Before, name: string, end: WriteEnd) {
  const isFlawed = ({ flaws }: { readonly flaws: readonly string[] }) =>
    end.kind === 'done' && flaws.length > 0;
  return readAgainWhile(ctx, isFlawed, async () => {
    const after = await readAfter(ctx, reading.domain.uuid, end);
    const [vm, targetFiles] = await Promise.all([
      completeVm(ctx, after, [name]),
      readTargetFiles(ctx, after.uri, plan),
    ]);
    const snapshot = vm.snapshots.find((candidate) => candidate.name === name);
    const flaws = [
      ...(snapshot || plan.spec.noMetadata ? [] : ["libvirt's list does not have it"]),
      ...(plan.mode === 'internal'
        ? internalFlaws(vm, name, snapshot)
        : externalFlaws(plan, vm, snapshot, targetFiles)),
      ...(plan.spec.halt && isActive(vm.domain.state) ? ['the VM was not halted'] : []),
    ];
    return { vm, snapshot, flaws, targetFiles };
  });
}

const incomplete = (vm: string, name: string, flaws: readonly string[]): KvmsnapError =>
  new KvmsnapError(
    'refused',
    `virsh reported the snapshot '${name}' of '${vm}' as created, but it is not complete: ${flaws.join('; ')}`,
  );
