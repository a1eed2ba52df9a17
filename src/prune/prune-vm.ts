import { deleteInTurn } from '../delete/delete-in-turn.ts';
import type { DeleteRequest } from '../delete/deletion.ts';
import type { UnusedFilesFound } from '../delete/remove-unused-files.ts';
import { DELETE_RULES } from '../delete/rules/table.ts';
import { KvmsnapError } from '../errors.ts';
import { readDaemonVersion } from '../libvirt/runtime.ts';
import type { Images } from '../model/image.ts';
import { labelOf } from '../model/labels.ts';
import type { DaemonVersion } from '../model/libvirt-versions.ts';
import { foldNames } from '../model/node-set.ts';
import { type SnapshotReport, tagsOf } from '../model/report.ts';
import { applyRules } from '../model/rule.ts';
import { internalDisks, locationOf } from '../model/snapshot.ts';
import { inText } from '../model/text.ts';
import type { Context } from '../run/context.ts';
import { readImageUsers } from '../sharing/find-image-users.ts';
import { type ImageUsers, NOBODY } from '../sharing/image-users.ts';
import type { Vm } from '../vm/load.ts';
import type { Zone } from './calendar.ts';
import type { FreeMin } from './free-space-policy.ts';
import {
  type Decision,
  hasRules,
  planRetention,
  type RetentionCandidate,
  type RetentionRules,
} from './retention.ts';

/** Which snapshots a prune considers: those with the label in their name, and those that match a pattern. */
export interface PruneScope {
  readonly label: string | null;
  readonly matches: ((name: string) => boolean) | null;
}

export interface PruneRequest {
  readonly scope: PruneScope;
  readonly rules: RetentionRules;
  /** Snapshots are deleted only until this much space is free; null: all that no keep rule keeps are deleted. */
  readonly freeMin: FreeMin | null;
  /** Unused files that libvirt leaves behind are removed too. */
  readonly removeUnused: boolean;
  /** By UUID, the names that a person has agreed to lose; absent: nobody was asked, and the rules alone decide. */
  readonly agreed?: ReadonlyMap<string, ReadonlySet<string>>;
}

/** A snapshot within a prune's scope. */
export interface PruneCandidate extends RetentionCandidate {
  /** null in a dry run for the snapshot that the run would take. */
  readonly report: SnapshotReport | null;
}

/** The offset of this process's time zone. */
const LOCAL_ZONE: Zone = (seconds) => -new Date(seconds * 1000).getTimezoneOffset() * 60;

/** The parts of a VM that a plan needs. */
interface Planned extends Pick<Vm, 'domain' | 'snapshots' | 'current'> {
  /** null: only libvirt's information is used. */
  readonly images: Images | null;
  /** Decides whether an external snapshot can be deleted; absent: all of them stay. */
  readonly daemonVersion?: DaemonVersion;
  /** As `DeleteFacts` has it. */
  readonly users?: ImageUsers;
}

/** Decides for every snapshot in the scope. `fresh`: the name of the snapshot that this run has taken, or would take. */
function planPrune(
  ctx: Context,
  vm: Planned,
  { scope, rules, agreed }: Pick<PruneRequest, 'scope' | 'rules' | 'agreed'>,
  fresh: string | null = null,
): Decision<PruneCandidate>[] {
  const now = Math.floor(ctx.clock.now() / 1000);
  const present = vm.snapshots
    .filter(({ name }) => inScope(scope, name))
    .map((report) =>
      report.name === fresh ? { ...toCandidate(report, vm), undeletable: FRESH } : toCandidate(report, vm),
    );
  const coming: PruneCandidate[] =
    fresh === null || present.some(({ name }) => name === fresh)
      ? []
      : [
          {
            name: fresh,
            createdAtSeconds: now,
            place: vm.snapshots.length,
            held: false,
            unfinished: null,
            undeletable: FRESH,
            report: null,
          },
        ];
  const plan = planRetention([...present, ...coming], rules, now, LOCAL_ZONE);
  if (!agreed) return plan;
  const mayGo = agreed.get(vm.domain.uuid);
  return plan.map((decision) =>
    decision.keep || mayGo?.has(decision.snapshot.name)
      ? decision
      : { ...decision, keep: true, reasons: ['not in the plan that was confirmed'] },
  );
}

/** The reason that keeps the snapshot which the same run has just taken. */
const FRESH = 'just taken';

function inScope({ label, matches }: PruneScope, name: string): boolean {
  return (label !== null && labelOf(name) === label) || (matches?.(name) ?? false);
}

function toCandidate(report: SnapshotReport, vm: Planned): PruneCandidate {
  return {
    name: report.name,
    createdAtSeconds: report.createdAtSeconds,
    place: vm.snapshots.indexOf(report),
    held: report.held,
    unfinished: unfinished(report, vm.images),
    undeletable: whyBeingRead(report) ?? (isExternal(report) ? whyItStays(report, vm) : null),
    report,
  };
}

/** `read by kvmsnap export`; null if no run reads it. */
const whyBeingRead = ({ readers: [reader] }: SnapshotReport): string | null =>
  reader ? `read by kvmsnap ${reader.command}` : null;

/** Why an external snapshot cannot be deleted from the VM as it is now; null if it can. */
function whyItStays(
  snapshot: SnapshotReport,
  { daemonVersion, images, users = NOBODY, ...vm }: Planned,
): string | null {
  if (daemonVersion === undefined) return 'external';
  // free space is checked when its turn comes
  const facts = {
    ...vm,
    snapshot,
    images: images ?? new Map(),
    daemonVersion,
    users,
    stored: new Map(),
    merges: [],
  };
  return applyRules(DELETE_RULES, { ...facts, scope: 'only' })[0]?.what ?? null;
}

/**
 * The plan with the facts that the rules about external snapshots need: libvirtd's version, if such a snapshot is in the
 * scope, and the files that other VMs use, if one would be deleted and `images` are known.
 */
export async function planWithExternal(
  ctx: Context,
  vm: Planned & Pick<Vm, 'uri'>,
  request: PruneRequest,
  fresh: string | null = null,
): Promise<Decision<PruneCandidate>[]> {
  requireOneHost(ctx, vm);
  const isAsked = ({ name }: SnapshotReport) => inScope(request.scope, name);
  if (!vm.snapshots.some((snapshot) => isAsked(snapshot) && isExternal(snapshot)))
    return planPrune(ctx, vm, request, fresh);
  const known = { ...vm, daemonVersion: await readDaemonVersion(ctx.virsh) };
  const plan = planPrune(ctx, known, request, fresh);
  const { images } = vm;
  const asks = plan.some(({ keep, snapshot: { report } }) => !keep && report !== null && isExternal(report));
  if (images === null || !asks) return plan;
  return planPrune(ctx, { ...known, users: await readImageUsers(ctx, { ...vm, images }) }, request, fresh);
}

/** Throws `check` for a VM that another host of the run defines too: what one deletes would be missing on the other. */
function requireOneHost({ host }: Pick<Context, 'host'>, { domain }: Pick<Vm, 'domain'>): void {
  const others = host?.sharedWith(domain.uuid) ?? [];
  if (others.length === 0) return;
  throw new KvmsnapError(
    'check',
    `cannot prune ${inText(domain.name)}: it is defined on ${foldNames(others)} too, and they may share its images`,
    { hint: 'undefine it where it does not belong, or prune it on one host only' },
  );
}

const isExternal = (snapshot: SnapshotReport): boolean => locationOf(snapshot) === 'external';

/** Why a snapshot is incomplete: an inspected disk does not contain its tag. It must not displace a complete one that a rule keeps. */
function unfinished(report: SnapshotReport, images: Images | null): string | null {
  if (report.underWay) return 'under way';
  if (images === null) return null;
  const isLacking = internalDisks(report).some((disk) => tagsOf(report, disk, images)?.length === 0);
  return isLacking ? 'not in every disk' : null;
}

/** The result of one deletion. */
export interface Pruned extends UnusedFilesFound {
  readonly name: string;
  readonly failure: KvmsnapError | null;
}

/** The result of a failed deletion. */
export const notPruned = (name: string, failure: KvmsnapError): Pruned => ({
  name,
  failure,
  unusedFiles: [],
  unremoved: [],
});

/** All failures of a deletion. */
export const pruneFailures = ({ failure, unremoved }: Pruned): readonly KvmsnapError[] =>
  failure ? [failure, ...unremoved] : unremoved;

/** What a prune did, and the names of snapshots that were held meanwhile and stay. */
export interface PruneDone {
  readonly done: readonly Pruned[];
  readonly held: ReadonlySet<string>;
}

/** Carries out a plan: oldest first, one at a time. A snapshot that was held meanwhile stays, which is no failure. */
export async function prune(
  ctx: Context,
  vm: Vm,
  plan: readonly Decision<PruneCandidate>[],
  request: Pick<PruneRequest, 'removeUnused'>,
): Promise<PruneDone> {
  if (ctx.interrupts.pending) return { done: [], held: new Set() };
  const names = plan.flatMap(({ snapshot, keep }) =>
    keep || snapshot.report === null ? [] : [snapshot.name],
  );
  const { tried } = await deleteInTurn(ctx, vm, names, deletionBy(request));
  return {
    done: tried.filter(({ isHeld }) => !isHeld),
    held: new Set(tried.filter(({ isHeld }) => isHeld).map(({ name }) => name)),
  };
}

/** How a prune deletes. */
export const deletionBy = ({ removeUnused }: Pick<PruneRequest, 'removeUnused'>): DeleteRequest => ({
  scope: 'only',
  metadataOnly: false,
  removeUnused,
});

/** Throws `usage` unless the request has a scope and a keep rule. */
export function checkPruneRequest({ scope, rules }: PruneRequest): void {
  if (scope.label === null && scope.matches === null) {
    throw new KvmsnapError('usage', 'prune needs --label NAME or --match PATTERN');
  }
  if (!hasRules(rules)) {
    throw new KvmsnapError('usage', 'prune needs a keep rule (--keep-last, --keep-daily, ...) or --free-min');
  }
}
