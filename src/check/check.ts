import type { Context } from '../run/context.ts';
import { TRUTH_RULES, type TruthFacts } from './rules.ts';
import { CREATE_RULES, type CreateFacts } from '../create/rules/common.ts';
import { isActive, isSaving } from '../model/domain.ts';
import { type Fix, planFixes } from './fix-plan.ts';
import type { ImageUsers } from '../sharing/image-users.ts';
import type { DaemonVersion } from '../model/libvirt-versions.ts';
import { mentionedFiles } from '../model/domain-files.ts';
import { automaticName } from '../model/names.ts';
import { judge, type RuledFinding } from '../model/rule.ts';
import { REVERT_RULES, type RevertFacts } from '../revert/rules/common.ts';
import { NO_WISHES, planSnapshot } from '../create/plan.ts';
import { readCreateFacts } from '../create/facts.ts';
import { isRemote } from '../vm/disks.ts';
import { readableByOthers } from '../create/file-modes.ts';
import type { LeftoverFinder } from './find-leftover-files.ts';
import { type Currency, readImageUsers } from '../sharing/find-image-users.ts';
import { readLeftovers } from '../space/leftover-memory.ts';
import type { Machine } from '../vm/load.ts';
import { lookAtPlaces } from '../create/target-files.ts';
import { withConnection } from '../run/enforce.ts';
import { readRevertFacts } from '../revert/revert.ts';
import { readStoredFacts } from '../revert/stored-definitions.ts';

/** All that the rules find of one machine, which is only looked at. */
export interface Checked {
  readonly findings: readonly RuledFinding[];
  /** What could be mended, in the order to do it. */
  readonly fixes: readonly Fix[];
  /** Whether a snapshot can be taken while it runs, and while it is off; null where a job holds it, and nobody can say. */
  readonly running: boolean | null;
  readonly off: boolean | null;
  /** Whether an external one can be taken as it is now. */
  readonly external: boolean | null;
}

export interface CheckRequest {
  readonly maxAge: TruthFacts['maxAge'];
  /** As libvirt counts it; asked once for all machines. */
  readonly daemonVersion: DaemonVersion;
  readonly findLeftovers: LeftoverFinder;
}

/**
 * Judges a machine by the rules of a create, of a revert to each of its snapshots, and of the truth about them. `currency`:
 * how well other VMs have to be known; where nothing is written for it, what this run has read before will do.
 */
export async function checkMachine(
  ctx: Context,
  machine: Machine,
  { maxAge, daemonVersion, findLeftovers }: CheckRequest,
  currency: Currency = 'old',
): Promise<Checked> {
  const { domain } = machine;
  const nowSeconds = Math.floor(ctx.clock.now() / 1000);
  const users = await readImageUsers(ctx, machine, { currency });
  const reverts = await readReverts(ctx, machine, users);
  const truthFacts = await readTruth(machine, reverts, {
    nowSeconds,
    maxAge,
    daemonVersion,
    readableFiles: isRemote(machine.uri)
      ? []
      : await readableByOthers(machine.snapshots.flatMap(mentionedFiles)),
    users,
    leftoverFiles: await findLeftovers(machine),
  });
  const truth = judge(TRUTH_RULES, truthFacts);
  // a running machine that a job holds answers nothing for 30 s
  const facts = domain.busy ? null : await createFacts(ctx, machine, nowSeconds, { daemonVersion, users });
  const before = facts ? judge(CREATE_RULES, facts).filter((finding) => !isOfUsers(finding)) : [];
  const findings = [...before, ...truth];
  const isGone = new Set(truth.filter(({ rule }) => rule === 'no-data').map(({ snapshot }) => snapshot));
  const said = new Set(findings.map(({ what }) => what));
  for (const finding of revertFindings(reverts, daemonVersion)) {
    if (isOfUsers(finding)) continue;
    // what holds for the whole machine is said once, and of a snapshot that is in no disk only that
    if (said.has(finding.what) || isGone.has(finding.snapshot)) continue;
    said.add(finding.what);
    findings.push(finding);
  }
  const now = facts && !before.some(refuses);
  const otherwise = facts && !judge(CREATE_RULES, inOtherState(facts)).some(refuses);
  return {
    findings: findings.map((finding) => withConnection(ctx, finding)),
    // what an unknown snapshot needs must not be taken for nobody's
    fixes: machine.unread.length > 0 ? [] : planFixes(truthFacts),
    external: facts && (await takesExternal(ctx, machine, facts)),
    ...(isActive(domain.state) ? { running: now, off: otherwise } : { running: otherwise, off: now }),
  };
}

/** Who else uses the images is told by one note, and not with each action that is refused or warned of for it. */
const isOfUsers = ({ rule, severity }: RuledFinding): boolean =>
  rule === 'shared-image' || rule === 'shared-base' || (rule === 'image-users' && severity === 'error');

const refuses = ({ severity }: RuledFinding): boolean => severity === 'error' || severity === 'judgement';

function createFacts(
  ctx: Context,
  machine: Machine,
  nowSeconds: number,
  known: { readonly daemonVersion: DaemonVersion; readonly users: ImageUsers },
): Promise<CreateFacts> {
  const taken = new Set(machine.snapshotNames);
  const name = automaticName(nowSeconds, (candidate) => taken.has(candidate));
  return readCreateFacts(ctx, machine, name, { images: machine.images, ...known });
}

/** The same machine, started or off; what only a running one can tell is not foretold. */
function inOtherState(facts: CreateFacts): CreateFacts {
  const state = isActive(facts.domain.state) ? 'shutoff' : 'running';
  return { ...facts, domain: { ...facts.domain, state }, blockJobs: [], residentBytes: null };
}

/** The same machine, and a snapshot in files beside the images. */
async function takesExternal(ctx: Context, { domain, uri }: Machine, facts: CreateFacts): Promise<boolean> {
  const plan = planSnapshot(domain, facts.name, { ...NO_WISHES, external: true });
  if ('problem' in plan) return false;
  const places = await lookAtPlaces(ctx, uri, plan);
  return !judge(CREATE_RULES, { ...facts, plan, mode: plan.mode, places }).some(refuses);
}

/** By name, what a revert to each finished snapshot would be judged by. */
type Reverts = ReadonlyMap<string, Omit<RevertFacts, 'daemonVersion'>>;

async function readReverts(ctx: Context, machine: Machine, users: ImageUsers): Promise<Reverts> {
  const reverts = new Map<string, Omit<RevertFacts, 'daemonVersion'>>();
  const finished = machine.snapshots.filter(({ underWay }) => !underWay);
  if (finished.length === 0) return reverts;
  const stored = await readStoredFacts(ctx, machine, finished);
  for (const snapshot of finished)
    reverts.set(snapshot.name, await readRevertFacts(ctx, machine, snapshot, stored(snapshot), users));
  return reverts;
}

/** The machine beside what its images hold, for the rules that compare them. */
async function readTruth(
  { domain, snapshots, unread, images, current }: Machine,
  reverts: Reverts,
  known: Pick<
    TruthFacts,
    'nowSeconds' | 'maxAge' | 'leftoverFiles' | 'users' | 'daemonVersion' | 'readableFiles'
  >,
): Promise<TruthFacts> {
  const stored = new Map([...reverts].map(([name, facts]) => [name, facts.images]));
  // what a save under way writes looks the same
  const isQuiet = !domain.busy && !isSaving(domain);
  const leftovers = isQuiet ? await readLeftovers(images) : new Map();
  return { ...known, domain, snapshots, unread, images, current, stored, leftovers };
}

const revertFindings = (reverts: Reverts, daemonVersion: DaemonVersion): RuledFinding[] =>
  [...reverts].flatMap(([snapshot, facts]) =>
    judge(REVERT_RULES, { ...facts, daemonVersion }).map((finding) => ({ ...finding, snapshot })),
  );
