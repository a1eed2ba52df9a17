import { readCreateFacts } from '../create/facts.ts';
import { readableByOthers } from '../create/file-modes.ts';
import { planSnapshot } from '../create/plan.ts';
import type { CreateFacts } from '../create/rules/facts.ts';
import { CREATE_RULES } from '../create/rules/table.ts';
import { readTargetFiles } from '../create/target-files.ts';
import { isActive, isSaving } from '../model/domain.ts';
import { mentionedFiles } from '../model/domain-files.ts';
import { chainPaths } from '../model/image.ts';
import { INTERNAL_SPEC } from '../model/input/snapshot-spec.ts';
import type { DaemonVersion } from '../model/libvirt-versions.ts';
import { automaticName } from '../model/names.ts';
import { applyRules, type RuledFinding } from '../model/rule.ts';
import { readRevertFacts } from '../revert/operation.ts';
import type { RevertFacts } from '../revert/rules/facts.ts';
import { REVERT_RULES } from '../revert/rules/table.ts';
import { readStoredFacts } from '../revert/stored-definitions.ts';
import type { Context } from '../run/context.ts';
import { withConnection } from '../run/enforce.ts';
import { type Currency, readImageUsers } from '../sharing/find-image-users.ts';
import type { UnusedFileFinder } from '../sharing/find-unused-files.ts';
import type { ImageUsers } from '../sharing/image-users.ts';
import { readUnusedMemoryOf } from '../space/unused-memory.ts';
import { isRemote } from '../vm/disks.ts';
import { type KnownCounts, readUndercounted } from '../vm/find-undercounted.ts';
import { readWriteObstacles } from '../vm/find-write-obstacles.ts';
import { judgeLeftPause } from '../vm/left-pause.ts';
import type { Vm } from '../vm/load.ts';
import { loadsMemory } from '../vm/memory-load.ts';
import { type Freed, measureFreed } from '../watch/freed.ts';
import { watched } from '../watch/watched.ts';
import { type Fix, planFixes } from './fix-plan.ts';
import type { CheckFacts } from './rules/facts.ts';
import { type Limits, NO_LIMITS } from './rules/limits.ts';
import { CHECK_RULES } from './rules/table.ts';

/** What the rules find about one VM. Nothing is changed. */
export interface Findings {
  /** The VM as it was checked. */
  readonly vm: Vm;
  /** The limits that apply to it. */
  readonly limits: Limits;
  /** What deleting the watched snapshots would free; null if no limit needs it. */
  readonly freed: Freed | null;
  readonly findings: readonly RuledFinding[];
  /** The steps that would fix something, in their order. */
  readonly fixes: readonly Fix[];
  /** Whether a snapshot can be taken while the VM runs, and while it is off; null while a job holds the VM. */
  readonly running: boolean | null;
  readonly off: boolean | null;
  /** Whether an external snapshot can be taken in the present state. */
  readonly external: boolean | null;
}

export interface CheckRequest {
  readonly limits: Limits;
  /** By UUID, why the limits do not apply to a VM; a VM to which they apply is not in it. */
  readonly leftOut: ReadonlyMap<string, string>;
  /** Which policies a run can have; null: the VMs are on another host. */
  readonly policies: readonly string[] | null;
  /** In libvirt's numbering; read once for all VMs. */
  readonly daemonVersion: DaemonVersion;
  readonly findUnusedFiles: UnusedFileFinder;
}

/**
 * Checks a VM by the rules for create, by the rules for a revert to each of its snapshots, and by the rules that
 * compare libvirt with the disks. `currency`: how recent the facts about other VMs must be; if nothing is written,
 * those that this run has read before are recent enough.
 */
export async function checkVm(
  ctx: Context,
  vm: Vm,
  request: CheckRequest,
  currency: Currency = 'old',
): Promise<Findings> {
  const { domain } = vm;
  const { daemonVersion, findUnusedFiles } = request;
  const { limits, limitsLeftOut } = limitsFor(domain, request);
  const nowSeconds = Math.floor(ctx.clock.now() / 1000);
  const users = await readImageUsers(ctx, vm, { currency });
  const counts: KnownCounts = new Map();
  const reverts = await readReverts(ctx, vm, { users, counts });
  const checkFacts = await readCheckFacts(ctx, vm, reverts, {
    nowSeconds,
    limits,
    limitsLeftOut,
    policies: request.policies,
    freed: limits.holds && (await measureFreed(ctx, vm, keptNames(vm, limits.label))),
    daemonVersion,
    readableFiles: isRemote(vm.uri)
      ? []
      : await readableByOthers(ctx.files, vm.snapshots.flatMap(mentionedFiles)),
    users,
    unusedFiles: await findUnusedFiles(vm),
    undercounted: await readUndercounted(
      ctx,
      vm,
      [vm, ...reverts.values()].flatMap(({ images }) => [...images.values()]),
      counts,
    ),
  });
  const present = applyRules(CHECK_RULES, checkFacts);
  // while a job holds a running VM, libvirtd does not answer for 30 s
  const facts = domain.busy ? null : await createFacts(ctx, vm, nowSeconds, { daemonVersion, users, counts });
  const before = facts ? applyRules(CREATE_RULES, facts).filter((finding) => !isOfUsers(finding)) : [];
  const findings = [...before, ...present];
  const isGone = new Set(present.filter(({ rule }) => rule === 'no-data').map(({ snapshot }) => snapshot));
  const said = new Set(findings.map(({ what }) => what));
  const loads = await loadsMemory(ctx.files, vm.uri, daemonVersion);
  for (const finding of revertFindings(reverts, { daemonVersion, loadsMemory: loads })) {
    if (isOfUsers(finding)) continue;
    // a finding about the whole VM is reported once; of a snapshot that is in no disk, only that is reported
    if (said.has(finding.what) || isGone.has(finding.snapshot)) continue;
    said.add(finding.what);
    findings.push(finding);
  }
  const now = facts && !before.some(refuses);
  const otherwise = facts && !applyRules(CREATE_RULES, inOtherState(facts)).some(refuses);
  return {
    vm,
    limits,
    freed: checkFacts.freed,
    findings: findings.map((finding) => withConnection(ctx, finding)),
    // a file that an unreadable snapshot needs must not be reported as unused
    fixes: vm.unread.length > 0 ? [] : planFixes(checkFacts),
    external: facts && (await takesExternal(ctx, vm, facts)),
    ...(isActive(domain.state) ? { running: now, off: otherwise } : { running: otherwise, off: now }),
  };
}

/** The limits that apply to the VM; or why none does. */
function limitsFor(
  { uuid }: Vm['domain'],
  { limits, leftOut }: CheckRequest,
): Pick<CheckFacts, 'limits' | 'limitsLeftOut'> {
  const limitsLeftOut = leftOut.get(uuid) ?? null;
  return { limits: limitsLeftOut === null ? limits : NO_LIMITS, limitsLeftOut };
}

/**
 * True for findings about other users of the images. One note reports these users, so the findings of each action are
 * left out.
 */
const isOfUsers = ({ rule, severity }: RuledFinding): boolean =>
  rule === 'shared-image' || rule === 'shared-base' || (rule === 'image-users' && severity === 'error');

const refuses = ({ severity }: RuledFinding): boolean => severity === 'error' || severity === 'overridable';

const keptNames = ({ snapshots }: Vm, label: string | null): string[] =>
  watched(snapshots, label).kept.map(({ name }) => name);

function createFacts(
  ctx: Context,
  vm: Vm,
  nowSeconds: number,
  known: {
    readonly daemonVersion: DaemonVersion;
    readonly users: ImageUsers;
    readonly counts: KnownCounts;
  },
): Promise<CreateFacts> {
  const taken = new Set(vm.snapshotNames);
  const name = automaticName(nowSeconds, (candidate) => taken.has(candidate));
  return readCreateFacts(ctx, vm, name, { images: vm.images, lastingOnly: true, ...known });
}

/** The same VM as if it were started, or shut off. What only a running VM can tell is left out. */
function inOtherState(facts: CreateFacts): CreateFacts {
  const state = isActive(facts.domain.state) ? 'shutoff' : 'running';
  return { ...facts, domain: { ...facts.domain, state }, blockJobs: [], residentBytes: null };
}

/** The same VM with an external snapshot. */
async function takesExternal(ctx: Context, { domain, uri }: Vm, facts: CreateFacts): Promise<boolean> {
  const plan = planSnapshot(domain, facts.name, { ...INTERNAL_SPEC, external: true });
  if ('problem' in plan) return false;
  const targetFiles = await readTargetFiles(ctx, uri, plan);
  return !applyRules(CREATE_RULES, { ...facts, plan, mode: plan.mode, targetFiles }).some(refuses);
}

/** By name, the facts for a revert to each complete snapshot. */
type Reverts = ReadonlyMap<string, Omit<RevertFacts, 'daemonVersion'>>;

async function readReverts(
  ctx: Context,
  vm: Vm,
  known: { readonly users: ImageUsers; readonly counts: KnownCounts },
): Promise<Reverts> {
  const reverts = new Map<string, Omit<RevertFacts, 'daemonVersion'>>();
  const finished = vm.snapshots.filter(({ underWay }) => !underWay);
  if (finished.length === 0) return reverts;
  const stored = await readStoredFacts(ctx, vm, finished);
  for (const snapshot of finished)
    reverts.set(
      snapshot.name,
      await readRevertFacts(ctx, vm, snapshot, stored(snapshot), { ...known, lastingOnly: true }),
    );
  return reverts;
}

/** The VM and what its images hold, for the rules that compare the two. */
async function readCheckFacts(
  ctx: Pick<Context, 'files' | 'clock' | 'virsh'>,
  { domain, snapshots, unread, images, current, uri }: Vm,
  reverts: Reverts,
  known: Pick<
    CheckFacts,
    | 'nowSeconds'
    | 'limits'
    | 'limitsLeftOut'
    | 'policies'
    | 'freed'
    | 'unusedFiles'
    | 'users'
    | 'daemonVersion'
    | 'readableFiles'
    | 'undercounted'
  >,
): Promise<CheckFacts> {
  const stored = new Map([...reverts].map(([name, facts]) => [name, facts.images]));
  // memory that is being saved at this moment looks the same
  const isQuiet = !domain.busy && !isSaving(domain);
  const unusedMemory = isQuiet ? await readUnusedMemoryOf(ctx, images) : new Map();
  const writeObstacles = await readWriteObstacles(
    ctx,
    uri,
    [images, ...stored.values()].flatMap((found) =>
      [...found.values()].map((image) => chainPaths(image)[0] ?? null),
    ),
    { adds: 'table', byRoot: true },
  );
  const leftPause = await judgeLeftPause(ctx.virsh, domain, ctx.clock.now());
  return {
    ...known,
    domain,
    snapshots,
    unread,
    images,
    current,
    stored,
    unusedMemory,
    writeObstacles,
    leftPause,
  };
}

const revertFindings = (
  reverts: Reverts,
  daemon: Pick<RevertFacts, 'daemonVersion' | 'loadsMemory'>,
): RuledFinding[] =>
  [...reverts].flatMap(([snapshot, facts]) =>
    applyRules(REVERT_RULES, { ...facts, ...daemon }).map((finding) => ({ ...finding, snapshot })),
  );
