import { KvmsnapError } from '../errors.ts';
import type { VirshCommand } from '../libvirt/batch.ts';
import { createCommand, createFromXmlCommand, requireValidate } from '../libvirt/create-command.ts';
import { type DomainReading, readByUuid } from '../libvirt/domains.ts';
import { FROM_PIPE, pipedLine, printing } from '../libvirt/piped-lines.ts';
import { readJobProgress } from '../libvirt/runtime.ts';
import { NO_SNAPSHOTS, readSnapshots } from '../libvirt/snapshots.ts';
import { virshFailure } from '../libvirt/virsh-error.ts';
import { withName } from '../libvirt/xml/snapshot-request.ts';
import { adviseDeletion } from '../model/deletion-advice.ts';
import { type Domain, isActive, takesPart } from '../model/domain.ts';
import { type Images, tagsIn, tagsNamed } from '../model/image.ts';
import { nameProblem } from '../model/names.ts';
import type { SnapshotReport } from '../model/report.ts';
import { applyRules } from '../model/rule.ts';
import { INTERNAL_SPEC, type SnapshotPlan, type SnapshotSpec } from '../model/snapshot-spec.ts';
import type { Context } from '../run/context.ts';
import { refuseOn, toErrorFinding } from '../run/enforce.ts';
import { lostCurrent, residue, withResidue } from '../run/failed-write.ts';
import { retryWhileBusy } from '../run/retry-while-busy.ts';
import { carryOut, readAfter, type WriteEnd } from '../run/write.ts';
import { noteUnseen, readImages } from '../vm/disks.ts';
import { completeVm, type Vm } from '../vm/load.ts';
import { readAgainWhile } from '../vm/read-again.ts';
import { readCreateFacts } from './facts.ts';
import { closeNewFiles } from './file-modes.ts';
import { thawCommand } from './guest-agent.ts';
import { type PlanProblem, planSnapshot } from './plan.ts';
import type { CreateFacts } from './rules/facts.ts';
import { CREATE_RULES } from './rules/table.ts';
import { readTargetFiles } from './target-files.ts';
import { thaw } from './thaw.ts';
import { externalFlaws, residueFiles } from './verify-external.ts';
import { internalFlaws, orphans, wastedSpace } from './verify-internal.ts';

export interface SnapshotRequest {
  /** A name, or what makes one of the time (seconds since the epoch) and of what is taken already. */
  readonly name: string | NameMaker;
  readonly description: string | null;
  readonly force: boolean;
  /** What is made, and how; absent: an internal snapshot. */
  readonly spec?: SnapshotSpec;
  /** The name is made of a label. */
  readonly labelled?: boolean;
  /** Where the wishes come from, and the description too. */
  readonly xml?: XmlFile;
}

/** A file with the XML of a snapshot, as it was read. */
export interface XmlFile {
  readonly path: string;
  readonly text: string;
  /** Whether it says the snapshot's name. */
  readonly isNamed: boolean;
}

export type NameMaker = (nowSeconds: number, taken: (name: string) => boolean) => string;

/**
 * What came of it: the VM afterwards and its new snapshot (null: libvirt was told to keep no metadata of it), or with
 * `--dry-run` the command that would run.
 */
export type Taken =
  | {
      readonly vm: Vm;
      readonly snapshot: SnapshotReport | null;
      readonly name: string;
      readonly plan: SnapshotPlan;
    }
  | { readonly planned: VirshCommand | string; readonly name: string };

/** Further tries for an automatic name that another script took: in each, one of them gets its own. */
const RETRIES = 30;

/**
 * Takes a snapshot: checks, acts, looks. Returns only when it is complete in libvirt and in every disk: an internal one's
 * tag is in each image exactly once, an external one's overlays are in use over the images of before.
 */
export async function takeSnapshot(
  ctx: Context,
  reading: DomainReading,
  request: SnapshotRequest,
): Promise<Taken> {
  const { uuid, name } = reading.domain;
  return retryWhileBusy(ctx, async (ctx, again) =>
    takeNow(ctx, again ? await readByUuid(ctx.virsh, uuid, name) : reading, request),
  );
}

async function takeNow(ctx: Context, reading: DomainReading, request: SnapshotRequest): Promise<Taken> {
  if (typeof request.name === 'string') return attempt(ctx, reading, request.name, request);
  for (let left = RETRIES; ; left--) {
    const images = await readImages(ctx, reading.uri, reading.domain.disks.filter(takesPart));
    const taken = new Set([
      ...reading.snapshotNames,
      ...[...images.values()].flatMap(tagsIn).map((tag) => tag.name),
    ]);
    const name = request.name(Math.floor(ctx.clock.now() / 1000), (candidate) => taken.has(candidate));
    try {
      return await attempt(ctx, reading, name, request, images);
    } catch (error) {
      if (!(error instanceof KvmsnapError) || error.code !== 'exists' || left === 0) throw error;
      reading = await readByUuid(ctx.virsh, reading.domain.uuid);
    }
  }
}

async function attempt(
  ctx: Context,
  reading: DomainReading,
  name: string,
  { description, force, spec = INTERNAL_SPEC, labelled = false, xml }: SnapshotRequest,
  known?: Images,
): Promise<Taken> {
  const { domain } = reading;
  checkName(name);
  if (reading.snapshotNames.includes(name)) throw await existsAlready(ctx, domain, name);
  const plan = planOrThrow(planSnapshot(domain, name, spec));
  const facts = await readCreateFacts(ctx, reading, name, { images: known, plan, labelled });
  const { images, targetFiles } = facts;
  // of two runs with one name, the other one's tag or overlay may be there before its snapshot is listed to us
  const isBegun =
    plan.mode === 'internal' ? holdsTag(images, name) : [...targetFiles.values()].some(({ holds }) => holds);
  if (isBegun && (await isListed(ctx, domain.uuid, name))) throw await existsAlready(ctx, domain, name);
  noteUnseen(ctx, domain, images);
  refuseOn(ctx, `cannot take a snapshot of '${domain.name}'`, applyRules(CREATE_RULES, facts), force);

  if (spec.validate) await requireValidate(ctx.virsh);
  const byFile = (file: string) => createFromXmlCommand(domain.uuid, file, plan);
  if (ctx.settings.dryRun)
    return {
      planned: xml
        ? lineWithName(ctx, xml, name, byFile)
        : createCommand(domain.uuid, name, description, plan),
      name,
    };
  const named = xml ? await fileWithName(ctx, domain, xml, name) : null;
  const command = named === null ? createCommand(domain.uuid, name, description, plan) : byFile(named);
  const taken = await ctx.interrupts.protect(describeSnapshot(ctx, domain, name, plan), () =>
    createAndVerify(ctx, { reading, images, plan, targetFiles }, name, command),
  );
  if (named !== null && named !== xml?.path) await ctx.stateFiles.drop(named);
  return taken;
}

/** libvirt would take a name of its own, and not tell it before. */
async function fileWithName(
  { stateFiles, clock }: Pick<Context, 'stateFiles' | 'clock'>,
  { uuid }: Domain,
  { path, text, isNamed }: XmlFile,
  name: string,
): Promise<string> {
  return isNamed ? path : stateFiles.keep(`${uuid}.${clock.now()}.create.xml`, withName(text, name));
}

/** The same for a dry run, which writes no file. */
const lineWithName = (
  { virsh }: Context,
  { path, text, isNamed }: XmlFile,
  name: string,
  byFile: (file: string) => VirshCommand,
): VirshCommand | string =>
  isNamed ? byFile(path) : pipedLine(virsh, printing(withName(text, name)), byFile(FROM_PIPE));

/** Throws `usage` for wishes that nothing can be made of. */
export function planOrThrow(planned: SnapshotPlan | PlanProblem): SnapshotPlan {
  if (!('problem' in planned)) return planned;
  throw new KvmsnapError('usage', planned.problem, { hint: planned.hint });
}

/** What libvirtd carries on with, should we stop waiting: also the thaw of the guest. */
function describeSnapshot({ virsh }: Context, { name: vm, uuid }: Domain, name: string, plan: SnapshotPlan) {
  const thawing = plan.spec.quiesce
    ? ` (libvirtd thaws the guest's file systems at its end; should they stay frozen: ${virsh.line(thawCommand(uuid))})`
    : '';
  return `the snapshot '${name}' of '${vm}'${thawing}`;
}

/** Throws `usage` when libvirt or the images could not hold a new snapshot of this name. */
export function checkName(name: string): void {
  const problem = nameProblem(name);
  if (problem !== null)
    throw new KvmsnapError('usage', `'${name}' cannot be the name of a snapshot: ${problem}`);
}

const holdsTag = (images: Images, name: string): boolean =>
  [...images.values()].some((image) => tagsNamed(image, name).length > 0);

/** A tag of a snapshot that another script takes meanwhile is no orphan: libvirt lists it before the tag is there. */
async function isListed(ctx: Context, uuid: string, name: string): Promise<boolean> {
  return (await readByUuid(ctx.virsh, uuid)).snapshotNames.includes(name);
}

async function existsAlready(ctx: Context, domain: Domain, name: string): Promise<KvmsnapError> {
  // whether it is on hold; what cannot be read is a matter of the advice alone
  const { snapshots } = await readSnapshots(ctx.virsh, { ...domain, names: [name] }).catch(
    () => NO_SNAPSHOTS,
  );
  const advice = adviseDeletion({ domain, snapshots }, [name], {
    hint: 'choose another name, or delete that one first',
  });
  const message = `the VM '${domain.name}' already has a snapshot '${name}'`;
  return KvmsnapError.of('exists', null, [toErrorFinding({ what: message, ...advice })]);
}

interface Before {
  readonly reading: DomainReading;
  readonly images: Images;
  readonly plan: SnapshotPlan;
  readonly targetFiles: CreateFacts['targetFiles'];
}

async function createAndVerify(
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
  if (failure.code === 'busy' && frozen.length === 0) throw failure; // ours never began, and what has changed is the other job's
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
    // in the order to fix it: what needs the VM off comes before its start, and after its resume
    isActive(vm.domain.state) ? [...inLibvirt, ...inImages] : [...inImages, ...inLibvirt],
  );
}

/** What the progress line says, and what it goes by: a file's growth, or libvirt's own figures. */
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
