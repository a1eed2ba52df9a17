import { readCreateFacts } from '../create/facts.ts';
import { readableByOthers } from '../create/file-modes.ts';
import { planSnapshot } from '../create/plan.ts';
import type { CreateFacts } from '../create/rules/facts.ts';
import { CREATE_RULES } from '../create/rules/table.ts';
import { readTargetFiles } from '../create/target-files.ts';
import { isActive, isSaving } from '../model/domain.ts';
import { mentionedFiles } from '../model/domain-files.ts';
import { chainPaths } from '../model/image.ts';
import type { DaemonVersion } from '../model/libvirt-versions.ts';
import { automaticName } from '../model/names.ts';
import { applyRules, type RuledFinding } from '../model/rule.ts';
import { INTERNAL_SPEC } from '../model/snapshot-spec.ts';
import { loadsMemory } from '../revert/memory-load.ts';
import { readRevertFacts } from '../revert/revert.ts';
import type { RevertFacts } from '../revert/rules/facts.ts';
import { REVERT_RULES } from '../revert/rules/table.ts';
import { readStoredFacts } from '../revert/stored-definitions.ts';
import type { Context } from '../run/context.ts';
import { withConnection } from '../run/enforce.ts';
import { type Currency, readImageUsers } from '../sharing/find-image-users.ts';
import type { ImageUsers } from '../sharing/image-users.ts';
import { readUnusedMemoryOf } from '../space/unused-memory.ts';
import { isRemote } from '../vm/disks.ts';
import { readWriteObstacles } from '../vm/find-write-obstacles.ts';
import type { Vm } from '../vm/load.ts';
import type { UnusedFileFinder } from './find-unused-files.ts';
import { type Fix, planFixes } from './fix-plan.ts';
import type { CheckFacts } from './rules/facts.ts';
import { CHECK_RULES } from './rules/table.ts';

/** All that the rules find of one VM, which is only looked at. */
export interface Checked {
  readonly findings: readonly RuledFinding[];
  /** What could be fixed, in the order to do it. */
  readonly fixes: readonly Fix[];
  /** Whether a snapshot can be taken while it runs, and while it is off; null where a job holds it, and nobody can say. */
  readonly running: boolean | null;
  readonly off: boolean | null;
  /** Whether an external one can be taken as it is now. */
  readonly external: boolean | null;
}

export interface CheckRequest {
  readonly maxAge: CheckFacts['maxAge'];
  /** As libvirt counts it; asked once for all machines. */
  readonly daemonVersion: DaemonVersion;
  readonly findUnusedFiles: UnusedFileFinder;
}

/**
 * Judges a VM by the rules of a create, of a revert to each of its snapshots, and of the truth about them. `currency`:
 * how well other VMs have to be known; where nothing is written for it, what this run has read before will do.
 */
export async function checkVm(
  ctx: Context,
  vm: Vm,
  { maxAge, daemonVersion, findUnusedFiles }: CheckRequest,
  currency: Currency = 'old',
): Promise<Checked> {
  const { domain } = vm;
  const nowSeconds = Math.floor(ctx.clock.now() / 1000);
  const users = await readImageUsers(ctx, vm, { currency });
  const reverts = await readReverts(ctx, vm, users);
  const checkFacts = await readCheckFacts(ctx, vm, reverts, {
    nowSeconds,
    maxAge,
    daemonVersion,
    readableFiles: isRemote(vm.uri)
      ? []
      : await readableByOthers(ctx.files, vm.snapshots.flatMap(mentionedFiles)),
    users,
    unusedFiles: await findUnusedFiles(vm),
  });
  const present = applyRules(CHECK_RULES, checkFacts);
  // a running VM that a job holds answers nothing for 30 s
  const facts = domain.busy ? null : await createFacts(ctx, vm, nowSeconds, { daemonVersion, users });
  const before = facts ? applyRules(CREATE_RULES, facts).filter((finding) => !isOfUsers(finding)) : [];
  const findings = [...before, ...present];
  const isGone = new Set(present.filter(({ rule }) => rule === 'no-data').map(({ snapshot }) => snapshot));
  const said = new Set(findings.map(({ what }) => what));
  const loads = await loadsMemory(ctx.files, vm.uri, daemonVersion);
  for (const finding of revertFindings(reverts, { daemonVersion, loadsMemory: loads })) {
    if (isOfUsers(finding)) continue;
    // what holds for the whole VM is said once, and of a snapshot that is in no disk only that
    if (said.has(finding.what) || isGone.has(finding.snapshot)) continue;
    said.add(finding.what);
    findings.push(finding);
  }
  const now = facts && !before.some(refuses);
  const otherwise = facts && !applyRules(CREATE_RULES, inOtherState(facts)).some(refuses);
  return {
    findings: findings.map((finding) => withConnection(ctx, finding)),
    // what an unknown snapshot needs must not be taken for nobody's
    fixes: vm.unread.length > 0 ? [] : planFixes(checkFacts),
    external: facts && (await takesExternal(ctx, vm, facts)),
    ...(isActive(domain.state) ? { running: now, off: otherwise } : { running: otherwise, off: now }),
  };
}

/** Who else uses the images is told by one note, and not with each action that is refused or warned of for it. */
const isOfUsers = ({ rule, severity }: RuledFinding): boolean =>
  rule === 'shared-image' || rule === 'shared-base' || (rule === 'image-users' && severity === 'error');

const refuses = ({ severity }: RuledFinding): boolean => severity === 'error' || severity === 'overridable';

function createFacts(
  ctx: Context,
  vm: Vm,
  nowSeconds: number,
  known: { readonly daemonVersion: DaemonVersion; readonly users: ImageUsers },
): Promise<CreateFacts> {
  const taken = new Set(vm.snapshotNames);
  const name = automaticName(nowSeconds, (candidate) => taken.has(candidate));
  return readCreateFacts(ctx, vm, name, { images: vm.images, ...known });
}

/** The same VM, started or off; what only a running one can tell is not foretold. */
function inOtherState(facts: CreateFacts): CreateFacts {
  const state = isActive(facts.domain.state) ? 'shutoff' : 'running';
  return { ...facts, domain: { ...facts.domain, state }, blockJobs: [], residentBytes: null };
}

/** The same VM, and a snapshot in files beside the images. */
async function takesExternal(ctx: Context, { domain, uri }: Vm, facts: CreateFacts): Promise<boolean> {
  const plan = planSnapshot(domain, facts.name, { ...INTERNAL_SPEC, external: true });
  if ('problem' in plan) return false;
  const targetFiles = await readTargetFiles(ctx, uri, plan);
  return !applyRules(CREATE_RULES, { ...facts, plan, mode: plan.mode, targetFiles }).some(refuses);
}

/** By name, what a revert to each finished snapshot would be judged by. */
type Reverts = ReadonlyMap<string, Omit<RevertFacts, 'daemonVersion'>>;

async function readReverts(ctx: Context, vm: Vm, users: ImageUsers): Promise<Reverts> {
  const reverts = new Map<string, Omit<RevertFacts, 'daemonVersion'>>();
  const finished = vm.snapshots.filter(({ underWay }) => !underWay);
  if (finished.length === 0) return reverts;
  const stored = await readStoredFacts(ctx, vm, finished);
  for (const snapshot of finished)
    reverts.set(snapshot.name, await readRevertFacts(ctx, vm, snapshot, stored(snapshot), users));
  return reverts;
}

/** The VM beside what its images hold, for the rules that compare them. */
async function readCheckFacts(
  ctx: Pick<Context, 'files'>,
  { domain, snapshots, unread, images, current, uri }: Vm,
  reverts: Reverts,
  known: Pick<
    CheckFacts,
    'nowSeconds' | 'maxAge' | 'unusedFiles' | 'users' | 'daemonVersion' | 'readableFiles'
  >,
): Promise<CheckFacts> {
  const stored = new Map([...reverts].map(([name, facts]) => [name, facts.images]));
  // what a save under way writes looks the same
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
  return { ...known, domain, snapshots, unread, images, current, stored, unusedMemory, writeObstacles };
}

const revertFindings = (
  reverts: Reverts,
  daemon: Pick<RevertFacts, 'daemonVersion' | 'loadsMemory'>,
): RuledFinding[] =>
  [...reverts].flatMap(([snapshot, facts]) =>
    applyRules(REVERT_RULES, { ...facts, ...daemon }).map((finding) => ({ ...finding, snapshot })),
  );
