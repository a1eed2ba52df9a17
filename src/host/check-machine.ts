import type { Context } from '../context.ts';
import { TRUTH_RULES, type TruthFacts } from '../core/check-rules.ts';
import { CREATE_RULES, type CreateFacts } from '../core/create-rules.ts';
import { isActive } from '../core/domain.ts';
import { automaticName } from '../core/names.ts';
import { judge, type RuledFinding } from '../core/preflight.ts';
import { REVERT_RULES } from '../core/revert-rules.ts';
import type { Machine } from './machine.ts';
import { readRevertFacts } from './revert-snapshot.ts';
import { readCreateFacts } from './take-snapshot.ts';

/** All that the rules find of one machine, which is only looked at. */
export interface Checked {
  readonly findings: readonly RuledFinding[];
  /** Whether a snapshot can be taken while it runs, and while it is off; null where a job holds it, and nobody can say. */
  readonly running: boolean | null;
  readonly off: boolean | null;
}

export interface CheckRequest {
  readonly maxAge: TruthFacts['maxAge'];
  /** As libvirt counts it; asked once for all machines. */
  readonly daemonVersion: number;
}

/** Judges a machine by the rules of a create, of a revert to each of its snapshots, and of the truth about them. */
export async function checkMachine(
  ctx: Context,
  machine: Machine,
  { maxAge, daemonVersion }: CheckRequest,
): Promise<Checked> {
  const { domain, snapshots, images, current } = machine;
  const nowSeconds = Math.floor(ctx.clock.now() / 1000);
  const truth = judge(TRUTH_RULES, { domain, snapshots, images, current, nowSeconds, maxAge });
  // a running machine that a job holds answers nothing for 30 s
  const facts = domain.busy ? null : await createFacts(ctx, machine, nowSeconds, daemonVersion);
  const before = facts ? judge(CREATE_RULES, facts) : [];
  const reverts = await revertFindings(ctx, machine, daemonVersion);
  const findings = [...before, ...truth];
  const isGone = new Set(truth.filter(({ rule }) => rule === 'no-data').map(({ snapshot }) => snapshot));
  const said = new Set(findings.map(({ what }) => what));
  for (const finding of reverts) {
    // what holds for the whole machine is said once, and of a snapshot that is in no disk only that
    if (said.has(finding.what) || isGone.has(finding.snapshot)) continue;
    said.add(finding.what);
    findings.push(finding);
  }
  const now = facts && !before.some(refuses);
  const otherwise = facts && !judge(CREATE_RULES, inOtherState(facts)).some(refuses);
  return {
    findings,
    ...(isActive(domain.state) ? { running: now, off: otherwise } : { running: otherwise, off: now }),
  };
}

const refuses = ({ severity }: RuledFinding): boolean => severity === 'error' || severity === 'judgement';

function createFacts(
  ctx: Context,
  machine: Machine,
  nowSeconds: number,
  daemonVersion: number,
): Promise<CreateFacts> {
  const taken = new Set(machine.snapshotNames);
  const name = automaticName(nowSeconds, (candidate) => taken.has(candidate));
  return readCreateFacts(ctx, machine, name, { images: machine.images, daemonVersion });
}

/** The same machine, started or off; what only a running one can tell is not foretold. */
function inOtherState(facts: CreateFacts): CreateFacts {
  const state = isActive(facts.domain.state) ? 'shutoff' : 'running';
  return { ...facts, domain: { ...facts.domain, state }, blockJobs: [], residentBytes: null };
}

async function revertFindings(
  ctx: Context,
  machine: Machine,
  daemonVersion: number,
): Promise<RuledFinding[]> {
  const found: RuledFinding[] = [];
  for (const snapshot of machine.snapshots) {
    if (snapshot.underWay) continue;
    const facts = await readRevertFacts(ctx, machine, snapshot);
    const findings = judge(REVERT_RULES, { ...facts, daemonVersion });
    found.push(...findings.map((finding) => ({ ...finding, snapshot: snapshot.name })));
  }
  return found;
}
