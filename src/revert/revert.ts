import { checkName, takeSnapshot } from '../create/take.ts';
import { clearLeftovers } from '../delete/remove-leftover-files.ts';
import { KvmsnapError } from '../errors.ts';
import { occupiedBytes } from '../host/files.ts';
import type { VirshCommand } from '../libvirt/batch.ts';
import { readDaemonVersion } from '../libvirt/runtime.ts';
import { virshFailure } from '../libvirt/virsh-error.ts';
import { isActive } from '../model/domain.ts';
import { chainOf, type Images } from '../model/image.ts';
import { utcStamp } from '../model/labels.ts';
import { virshWord } from '../model/quote.ts';
import type { SnapshotReport } from '../model/report.ts';
import { applyRules } from '../model/rule.ts';
import { hasMemory, locationOf } from '../model/snapshot.ts';
import { humanSpan } from '../output/format.ts';
import { seekConsent } from '../run/confirm.ts';
import type { Context } from '../run/context.ts';
import { refuseOn, withConnection } from '../run/enforce.ts';
import { residue, withResidue } from '../run/failed-write.ts';
import { retryWhileBusy, withNotesOnce } from '../run/retry-while-busy.ts';
import { carryOut, readAfter } from '../run/write.ts';
import { readImageUsers } from '../sharing/find-image-users.ts';
import type { ImageUsers } from '../sharing/image-users.ts';
import { isRemote, noteUnseen } from '../vm/disks.ts';
import { identifyFiles } from '../vm/file-identity.ts';
import { completeVm, findSnapshot, readAgain, requireAllRead, stillBeingTaken, type Vm } from '../vm/load.ts';
import { lookAtStoredDisks } from '../vm/stored-disks.ts';
import { tellRevert } from './announce.ts';
import { readOverlayPlaces, withFreeNames } from './overlay-names.ts';
import { REVERT_RULES, revertConsequences, revertNeedsForce, stateAfterRevert } from './rules/common.ts';
import type { RevertFacts } from './rules/facts.ts';
import { readStates } from './state-files.ts';
import { lackingNow, readStoredFacts, type StoredFacts } from './stored-definitions.ts';

export interface RevertRequest {
  readonly running: boolean;
  readonly paused: boolean;
  readonly force: boolean;
  readonly resetNvram: boolean;
  /** null: no backup; else take a snapshot of the present state first. Its name null: one is given. */
  readonly backup: { readonly name: string | null } | null;
}

export type Reverted =
  | { readonly vm: Vm; readonly snapshot: SnapshotReport; readonly backup: SnapshotReport | null }
  | { readonly planned: readonly (VirshCommand | string)[] };

/** Reverts a VM: checks, asks, keeps a backup where wanted, acts, looks. */
export async function revertSnapshot(
  outer: Context,
  vm: Vm,
  snapshot: SnapshotReport,
  request: RevertRequest,
): Promise<Reverted> {
  if (request.backup?.name) checkName(request.backup.name);
  const ctx = withNotesOnce(outer);
  // set when the backup is there: what is done then needs none
  let kept: SnapshotReport | null = null;
  const consent = await seekConsent(
    ctx,
    {
      load: async (ctx) => {
        const now = await readAgain(ctx, vm.domain);
        return check(ctx, now, findSnapshot(now, snapshot.name), {
          ...request,
          backup: kept ? null : request.backup,
        });
      },
      tell: (checked) => tellRevert(ctx, checked, request.backup !== null),
    },
    await retryWhileBusy(ctx, async (ctx, again) => {
      const now = again ? await readAgain(ctx, vm.domain) : vm;
      return check(ctx, now, again ? findSnapshot(now, snapshot.name) : snapshot, request);
    }),
  );
  const backup = request.backup && (await takeBackup(ctx, consent.plan.vm, request.backup.name));
  if (ctx.settings.dryRun)
    return { planned: [...(backup && 'planned' in backup ? [backup.planned] : []), consent.plan.command] };
  if (backup && 'snapshot' in backup) kept = backup.snapshot;
  const done = kept ? `the backup '${kept.name}' is complete, and nothing was reverted` : undefined;
  const reverted = await retryWhileBusy(ctx, async (ctx, again) => {
    // what was checked may have changed, also by our own backup
    const latest = again || kept ? await consent.renew(ctx, done) : consent.plan;
    return ctx.interrupts.protect(`the revert of '${vm.domain.name}' to '${snapshot.name}'`, () =>
      revertAndVerify(ctx, latest),
    );
  });
  return { ...reverted, backup: kept };
}

/** A revert that no rule forbids. */
export interface Checked {
  readonly vm: Vm;
  readonly snapshot: SnapshotReport;
  /** The images that hold its state. */
  readonly images: Images;
  readonly command: VirshCommand;
  /** The state that the VM will end in, and all that is to be said of it. */
  readonly end: string;
  readonly consequences: readonly string[];
}

async function check(
  ctx: Context,
  vm: Vm,
  snapshot: SnapshotReport,
  request: RevertRequest,
): Promise<Checked> {
  const { domain } = vm;
  if (snapshot.underWay) throw stillBeingTaken(vm, snapshot);
  requireAllRead(ctx, vm, `revert '${domain.name}' to '${snapshot.name}'`);
  const external = locationOf(snapshot) === 'external';
  const [stored, daemonVersion] = await Promise.all([
    readStoredFacts(ctx, vm, [snapshot]),
    isActive(domain.state) || external || request.resetNvram || snapshot.definedDisks.some(({ pool }) => pool)
      ? readDaemonVersion(ctx.virsh)
      : null,
  ]);
  const facts = await readRevertFacts(ctx, vm, snapshot, stored(snapshot));
  const { resetNvram, force } = request;
  const end = stateAfterRevert(snapshot, request);
  const wanted = { ...facts, daemonVersion, backup: request.backup !== null, resetNvram, force, end };
  noteUnseen(ctx, domain, facts.images);
  refuseOn(
    ctx,
    `cannot revert '${domain.name}' to '${snapshot.name}'`,
    applyRules(REVERT_RULES, wanted),
    request.force,
  );

  const command: VirshCommand = [
    'snapshot-revert',
    ...['--domain', domain.uuid, '--snapshotname', snapshot.name],
    ...(request.running ? ['--running'] : []),
    ...(request.paused ? ['--paused'] : []),
    ...(request.resetNvram ? ['--reset-nvram'] : []),
    ...(request.force || revertNeedsForce(wanted, end) ? ['--force'] : []),
  ];
  const state = end === 'shutoff' ? 'shut off' : end;
  return {
    vm,
    snapshot,
    images: facts.images,
    command,
    end,
    consequences: [...revertConsequences(wanted, end), `it will then be ${state}`],
  };
}

/** What the rules of a revert judge by, but for libvirtd's version. `known`: who else uses its files, where that is known. */
export async function readRevertFacts(
  ctx: Context,
  vm: Vm,
  snapshot: SnapshotReport,
  stored: StoredFacts,
  known?: ImageUsers,
): Promise<Omit<RevertFacts, 'daemonVersion'>> {
  const { domain, snapshots, current, uri, images: active } = vm;
  const { location, file } = snapshot.memory;
  const isFile = location === 'external' && file !== null && !isRemote(uri);
  const [images, memoryBytes, states, overlayPlaces, users] = await Promise.all([
    lookAtStoredDisks(ctx, vm, snapshot),
    isFile ? occupiedBytes(file) : null,
    readStates(vm, snapshot),
    readOverlayPlaces(uri, snapshot),
    known ?? readImageUsers(ctx, vm),
  ]);
  const memoryThere = isFile ? memoryBytes !== null : null;
  return {
    ...{ domain, snapshot, snapshots, current, images, active, memoryThere, states, overlayPlaces, users },
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
    description: 'kept by kvmsnap before a revert',
    force: false,
  });
  const { pending } = ctx.interrupts;
  if (pending)
    throw new KvmsnapError(
      pending.code,
      `${pending.message}: the backup '${given}' is complete, and nothing was reverted`,
    );
  return taken;
}

async function revertAndVerify(
  ctx: Context,
  checked: Checked,
): Promise<{ vm: Vm; snapshot: SnapshotReport }> {
  const { vm: before, snapshot, command } = checked;
  const { domain } = before;
  const written = await withFreeNames(ctx, before.uri, snapshot, () =>
    carryOut(ctx, { command, label: `reverting '${domain.name}'`, growing: null }),
  );
  const vm = await completeVm(ctx, await readAfter(ctx, domain.uuid, written));
  const wrong = await mismatches(vm, checked);
  const now = vm.snapshots.find(({ name }) => name === snapshot.name);
  if (written.kind === 'done' && now && wrong.length === 0) {
    noteClock(ctx, vm, now);
    if (vm.snapshots.some((each) => locationOf(each) === 'external'))
      await clearLeftovers(ctx, vm, overlaysIn(before), false);
    return { vm, snapshot: now };
  }
  const failure =
    written.kind === 'done'
      ? new KvmsnapError('refused', `virsh reported '${domain.name}' as reverted, but ${wrong.join('; ')}`)
      : virshFailure(`the revert of '${domain.name}' to '${snapshot.name}' failed`, written.stderr);
  if (failure.code === 'busy') throw failure; // it never began
  throw withResidue(failure, [
    ...(await lackingNow(ctx, vm)), // before it can be started
    ...residue(ctx, vm.domain, domain.state),
    ...(before.current !== null && vm.current === null ? [NO_CURRENT] : []),
    ...(written.kind === 'done' ? [] : [UNKNOWN_END[written.kind]]),
  ]);
}

/** A guest whose memory was loaded goes on with the time of then. */
function noteClock(ctx: Context, { domain }: Vm, snapshot: SnapshotReport): void {
  if (!isActive(domain.state) || !hasMemory(snapshot)) return;
  const age = humanSpan(ctx.clock.now() / 1000 - snapshot.createdAtSeconds);
  const { command } = withConnection(ctx, {
    what: '',
    command: `virsh domtime ${virshWord(domain)} --sync`,
  });
  const cure = domain.agentChannel === 'none' ? '' : `; its guest agent can set it: ${command}`;
  ctx.terminal.note(`note: the guest's clock is behind, by ${age}${cure}`);
}

/** The files in use that lie on another one. */
const overlaysIn = ({ images }: Vm): string[] =>
  [...images.values()].flatMap((image) => {
    const [top] = chainOf(image);
    return top && top.backing !== null ? [top.path] : [];
  });

/** libvirt could not write down what it has done (hazard 22); the next revert does. */
const NO_CURRENT = { what: 'libvirt forgot which snapshot is the current one' };

/** Neither the state nor the current snapshot tells how far a revert has come: libvirtd goes from disk to disk. */
const UNKNOWN_END = {
  unknown: {
    what: 'whether libvirtd has carried it out is not known, and neither is what the disks hold now',
    hint: 'run the same revert again to be sure',
  },
  refused: {
    what: 'how far libvirtd came is not known: some of the disks, or all, may hold the snapshot by now',
    hint: 'when the cause is mended, run the same revert again to be sure',
  },
};

async function mismatches(vm: Vm, checked: Checked): Promise<string[]> {
  const { domain, current } = vm;
  const { snapshot, end } = checked;
  return [
    ...(current === snapshot.name
      ? []
      : [`the current snapshot is ${current === null ? 'none' : `'${current}'`}`]),
    ...(domain.state === end ? [] : [`the VM is ${domain.state} and not ${end}`]),
    ...(await wrongDisks(vm, checked)),
  ];
}

/** The disks that are not what they should be after a revert; the definition may spell the same file otherwise now. */
async function wrongDisks(
  { images }: Vm,
  { snapshot, images: stored }: Pick<Checked, 'snapshot' | 'images'>,
): Promise<string[]> {
  const links = [...images.values(), ...stored.values()].flatMap(chainOf);
  const key = await identifyFiles(links.flatMap(({ path, backing }) => [path, backing ?? path]));
  return snapshot.disks.flatMap(({ target, location }) => {
    const [[top], [state]] = [chainOf(images.get(target)), chainOf(stored.get(target))];
    if (!top || !state) return [];
    // over one that was left to its storage an overlay may be laid, too
    const isOver = location === 'external' || (location === 'manual' && key(top.path) !== key(state.path));
    const lies = isOver ? top.backing : top.path;
    if (lies !== null && key(lies) === key(state.path)) return [];
    return [`disk ${target} is ${top.path}, and not ${isOver ? 'over ' : ''}${state.path}`];
  });
}
