import { takeSnapshot } from '../create/take.ts';
import { KvmsnapError } from '../errors.ts';
import { occupiedBytes } from '../host/files.ts';
import type { VirshCommand } from '../libvirt/batch.ts';
import { readDaemonVersion } from '../libvirt/runtime.ts';
import { policyIn } from '../libvirt/xml/policy.ts';
import { isActive } from '../model/domain.ts';
import { chainPaths, type Images } from '../model/image.ts';
import { utcStamp } from '../model/labels.ts';
import type { SnapshotReport } from '../model/report.ts';
import { applyRules } from '../model/rule.ts';
import { locationOf } from '../model/snapshot.ts';
import { inText } from '../model/text.ts';
import { stateWord } from '../output/format.ts';
import { keepPolicy } from '../policy/set-policy.ts';
import type { Context } from '../run/context.ts';
import { type Operation, skip } from '../run/operation.ts';
import { carryOut } from '../run/write.ts';
import { readImageUsers } from '../sharing/find-image-users.ts';
import type { ImageUsers } from '../sharing/image-users.ts';
import { isRemote, noteUnseen } from '../vm/disks.ts';
import { type KnownCounts, readUndercounted } from '../vm/find-undercounted.ts';
import { readWriteObstacles } from '../vm/find-write-obstacles.ts';
import { findSnapshot, readAgain, requireAllRead, stillBeingTaken, type Vm } from '../vm/load.ts';
import { loadsMemory } from '../vm/memory-load.ts';
import { readStoredImages } from '../vm/stored-disks.ts';
import { tellRevert } from './announce.ts';
import { revertConsequences, revertNeedsForce, stateAfterRevert } from './consequences.ts';
import { readOverlayTargets, withFreeNames } from './overlay-names.ts';
import type { RevertFacts } from './rules/facts.ts';
import { filesOpened } from './rules/opened-files.ts';
import { REVERT_RULES } from './rules/table.ts';
import { revertedIn, writtenByRevert } from './rules/write.ts';
import { readStates } from './state-files.ts';
import { readStoredFacts, type StoredFacts } from './stored-definitions.ts';
import { type FailedRevert, leftBehind, verifyRevert } from './verify.ts';

export interface RevertRequest {
  readonly running: boolean;
  readonly paused: boolean;
  readonly force: boolean;
  readonly resetNvram: boolean;
  /** null: no backup; else a snapshot of the present state is taken first. Its name null: kvmsnap chooses one. */
  readonly backup: { readonly name: string | null } | null;
}

/** The result of a revert: the VM afterwards, the snapshot, and the backup with the state before. */
export interface Reverted {
  readonly vm: Vm;
  readonly snapshot: SnapshotReport;
  readonly backup: SnapshotReport | null;
}

/** A revert, with everything that its rules need. */
export interface PlannedRevert {
  readonly vm: Vm;
  readonly snapshot: SnapshotReport;
  readonly facts: RevertFacts;
  /** The images that contain the state of the snapshot. */
  readonly images: Images;
  readonly command: VirshCommand;
  /** The state of the VM afterwards. */
  readonly end: string;
  /** What the user must know, a sentence each. */
  readonly consequences: readonly string[];
}

/**
 * Reverts a VM that was read to one of its snapshots, after a backup if the request has one. Its plan is the commands to
 * paste.
 */
export function revertSnapshot(
  vm: Vm,
  { name }: SnapshotReport,
  request: RevertRequest,
): Operation<PlannedRevert, FailedRevert, Reverted, readonly (VirshCommand | string)[]> {
  // after the backup was taken, a repeated load must not ask for another one
  let backup: SnapshotReport | null = null;
  return {
    async load(ctx, again) {
      const now = again ? await readAgain(ctx, vm.domain) : vm;
      return planRevert(ctx, now, findSnapshot(now, name), {
        ...request,
        backup: backup ? null : request.backup,
      });
    },
    rules: [
      {
        cannot: ({ vm: { domain } }) => `cannot revert ${inText(domain.name)} to ${inText(name)}`,
        find: ({ facts }) => applyRules(REVERT_RULES, facts),
        force: request.force,
      },
    ],
    settled: skip('a revert to the current snapshot also discards what was written since'),
    async plan(ctx, checked) {
      const taken = request.backup && (await takeBackup(ctx, checked.vm, request.backup.name));
      return [...(taken && 'planned' in taken ? [taken.planned.command] : []), checked.command];
    },
    consent: {
      asks: (ctx, checked) => tellRevert(ctx, checked, request.backup !== null),
      async backup(ctx, checked) {
        if (!request.backup) return null;
        const taken = await takeBackup(ctx, checked.vm, request.backup.name);
        if (!('done' in taken) || !taken.done.snapshot) return null;
        backup = taken.done.snapshot;
        return { done: `backup ${inText(backup.name)} is complete, and nothing was reverted` };
      },
    },
    prepare: skip('virsh needs no file'),
    write: {
      subject: (_, { vm: { domain } }) => `the revert of ${inText(domain.name)} to ${inText(name)}`,
      run: (ctx, { vm: { uri, domain }, snapshot, command }) =>
        withFreeNames(ctx, uri, snapshot, () =>
          carryOut(ctx, { command, label: `reverting ${inText(domain.name)}`, growing: null }),
        ),
    },
    log: ({ vm: { domain } }) => ({ action: 'revert', vm: domain.name, snapshots: [name] }),
    async verify(ctx, checked, end) {
      const verified = await verifyRevert(ctx, checked, end);
      const { domain } = 'done' in verified ? verified.done.vm : verified.seen.vm;
      if (hasPolicy(checked)) await keepPolicy(ctx, domain, policyBefore(checked));
      return 'done' in verified ? { done: { ...verified.done, backup } } : verified;
    },
    residue: leftBehind,
  };
}

/** A revert restores the definition of that time; what the VM has chosen since then, it keeps. */
const policyBefore = ({ vm: { domain }, facts: { now } }: PlannedRevert): string | null =>
  now?.config ? policyIn(now.config) : domain.policy;

/** Whether the VM has a policy, or had one when the snapshot was taken. */
function hasPolicy(checked: PlannedRevert): boolean {
  const { stored } = checked.facts;
  return [
    policyBefore(checked),
    checked.vm.domain.policy,
    stored && policyIn(stored.domain),
    stored?.inactive && policyIn(stored.inactive),
  ].some((policy) => typeof policy === 'string');
}

/** Plans a revert. Throws what prevents it apart from the rules. */
async function planRevert(
  ctx: Context,
  vm: Vm,
  snapshot: SnapshotReport,
  request: RevertRequest,
): Promise<PlannedRevert> {
  const { domain } = vm;
  if (snapshot.underWay) throw stillBeingTaken(vm, snapshot);
  requireAllRead(ctx, vm, `revert ${inText(domain.name)} to ${inText(snapshot.name)}`);
  const external = locationOf(snapshot) === 'external';
  const [stored, daemonVersion] = await Promise.all([
    readStoredFacts(ctx, vm, [snapshot]),
    isActive(domain.state) || external || request.resetNvram || snapshot.definedDisks.some(({ pool }) => pool)
      ? readDaemonVersion(ctx.virsh)
      : null,
  ]);
  const [facts, loads] = await Promise.all([
    readRevertFacts(ctx, vm, snapshot, stored(snapshot)),
    loadsMemory(ctx.files, vm.uri, daemonVersion),
  ]);
  const { resetNvram, force } = request;
  const end = stateAfterRevert(snapshot, request);
  const wanted = {
    ...facts,
    daemonVersion,
    loadsMemory: loads,
    backup: request.backup !== null,
    resetNvram,
    force,
    end,
  };
  noteUnseen(ctx, domain, facts.images);
  const command: VirshCommand = [
    'snapshot-revert',
    ...['--domain', domain.uuid, '--snapshotname', snapshot.name],
    ...(request.running ? ['--running'] : []),
    ...(request.paused ? ['--paused'] : []),
    ...(request.resetNvram ? ['--reset-nvram'] : []),
    ...(request.force || revertNeedsForce(wanted, end) ? ['--force'] : []),
  ];
  return {
    vm,
    snapshot,
    facts: wanted,
    images: facts.images,
    command,
    end,
    consequences: [...revertConsequences(wanted, end), `the VM will be ${stateWord(end)} afterwards`],
  };
}

interface KnownFacts {
  readonly users?: ImageUsers;
  readonly counts?: KnownCounts;
  readonly lastingOnly?: boolean;
}

/**
 * Reads the facts for the rules of a revert, except libvirtd's version. `users`: who else uses the files, if already read; `counts`:
 * those of images that were read before; `lastingOnly` as for a create.
 */
export async function readRevertFacts(
  ctx: Context,
  vm: Vm,
  snapshot: SnapshotReport,
  stored: StoredFacts,
  { users: known, counts, lastingOnly = false }: KnownFacts = {},
): Promise<Omit<RevertFacts, 'daemonVersion'>> {
  const { domain, snapshots, current, uri, images: active } = vm;
  const { location, file } = snapshot.memory;
  const isFile = location === 'external' && file !== null && !isRemote(uri);
  const imagesRead = readStoredImages(ctx, vm, snapshot);
  const [images, memoryBytes, states, overlayTargets, users, writeObstacles, undercounted] =
    await Promise.all([
      imagesRead,
      isFile ? occupiedBytes(ctx.files, file) : null,
      imagesRead.then((read) => readStates(ctx, vm, snapshot, read)),
      readOverlayTargets(ctx, uri, snapshot),
      known ??
        imagesRead.then((read) => {
          const opened = filesOpened(snapshot, stored).map(({ path }) => path);
          return readImageUsers(ctx, vm, { more: [...[...read.values()].flatMap(chainPaths), ...opened] });
        }),
      readWriteObstacles(
        ctx,
        uri,
        writtenByRevert({ domain, snapshot, end: 'running' }).map(({ path }) => path),
        { adds: null, byRoot: true, isOff: !lastingOnly && !isActive(domain.state) },
      ),
      imagesRead.then((read) =>
        readUndercounted(
          ctx,
          vm,
          revertedIn({ snapshot, images: read }).map(({ image }) => image),
          counts,
        ),
      ),
    ]);
  const memoryThere = isFile ? memoryBytes !== null : null;
  return {
    ...{ domain, snapshot, snapshots, current, images, active, memoryThere, states, overlayTargets, users },
    writeObstacles,
    undercounted,
    ...stored,
  };
}

async function takeBackup(
  ctx: Context,
  vm: Vm,
  name: string | null,
): Promise<Awaited<ReturnType<typeof takeSnapshot>>> {
  const given = name ?? `before-revert-${utcStamp(Math.floor(ctx.clock.now() / 1000))}`;
  const taken = await takeSnapshot(ctx, vm, {
    name: given,
    description: 'taken by kvmsnap before a revert',
    force: false,
  });
  const { pending } = ctx.interrupts;
  if (pending)
    throw new KvmsnapError(
      pending.code,
      `${pending.message}: backup ${inText(given)} is complete, and nothing was reverted`,
    );
  return taken;
}
