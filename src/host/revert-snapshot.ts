import type { Context } from '../context.ts';
import { isActive } from '../core/domain.ts';
import { judge } from '../core/preflight.ts';
import type { SnapshotReport } from '../core/report.ts';
import {
  REVERT_RULES,
  type RevertFacts,
  revertConsequences,
  revertNeedsForce,
  stateAfterRevert,
} from '../core/revert-rules.ts';
import { internalDisks, locationOf } from '../core/snapshot.ts';
import { KvmsnapError } from '../errors.ts';
import type { VirshCommand } from '../libvirt/batch.ts';
import { readByUuid } from '../libvirt/machine.ts';
import { readDaemonVersion } from '../libvirt/runtime.ts';
import { virshFailure } from '../libvirt/virsh-error.ts';
import { humanSpan, localTime } from '../render/format.ts';
import { aftermath, carryOut, confirm, patiently, readAfter, refuseOn, withAftermath } from './act.ts';
import { type Images, lookAtDisks, noteUnseen } from './disks.ts';
import { completeMachine, findSnapshot, type Machine } from './machine.ts';
import { checkName, takeSnapshot } from './take-snapshot.ts';

export interface RevertRequest {
  readonly running: boolean;
  readonly paused: boolean;
  readonly force: boolean;
  /** null: no backup; else take a snapshot of the present state first. Its name null: one is given. */
  readonly backup: { readonly name: string | null } | null;
}

export type Reverted =
  | { readonly machine: Machine; readonly snapshot: SnapshotReport; readonly backup: SnapshotReport | null }
  | { readonly planned: readonly VirshCommand[] };

/** Reverts a machine: checks, asks, keeps a backup where wanted, acts, looks. */
export async function revertSnapshot(
  ctx: Context,
  machine: Machine,
  snapshot: SnapshotReport,
  request: RevertRequest,
): Promise<Reverted> {
  if (request.backup?.name) checkName(request.backup.name);
  const { uuid, name } = machine.domain;
  const lookAgain = async (ctx: Context) => {
    const now = await completeMachine(ctx, await readByUuid(ctx.virsh, uuid, name));
    return check(ctx, now, findSnapshot(now, snapshot.name), request);
  };
  const checked = await patiently(ctx, async (ctx, again) =>
    again ? lookAgain(ctx) : check(ctx, machine, snapshot, request),
  );
  await warnAndConfirm(ctx, checked, request);
  const backup = request.backup && (await takeBackup(ctx, checked.machine, request.backup.name));
  if (ctx.settings.dryRun)
    return { planned: [...(backup && 'planned' in backup ? [backup.planned] : []), checked.command] };
  const reverted = await patiently(ctx, async (ctx, again) => {
    const latest = again ? await lookAgain(ctx) : checked;
    return ctx.interrupts.protect(`the revert of '${machine.domain.name}' to '${snapshot.name}'`, () =>
      revertAndVerify(ctx, latest),
    );
  });
  return { ...reverted, backup: backup && 'snapshot' in backup ? backup.snapshot : null };
}

/** A revert that no rule forbids. */
interface Checked {
  readonly machine: Machine;
  readonly snapshot: SnapshotReport;
  readonly command: VirshCommand;
  /** The state that the machine will end in, and all that is to be said of it. */
  readonly end: string;
  readonly consequences: readonly string[];
}

async function check(
  ctx: Context,
  machine: Machine,
  snapshot: SnapshotReport,
  request: RevertRequest,
): Promise<Checked> {
  const { domain } = machine;
  if (snapshot.underWay) throw underWay(domain.name, snapshot.name);
  const [images, daemonVersion] = await Promise.all([
    lookAtStoredDisks(ctx, machine, snapshot),
    isActive(domain.state) || locationOf(snapshot) === 'external' ? readDaemonVersion(ctx.virsh) : 0,
  ]);
  noteUnseen(ctx, domain, images);
  const facts: RevertFacts = { domain, snapshot, images, daemonVersion };
  refuseOn(
    ctx,
    `cannot revert '${domain.name}' to '${snapshot.name}'`,
    judge(REVERT_RULES, facts),
    request.force,
  );

  const end = stateAfterRevert(snapshot, request);
  const command: VirshCommand = [
    'snapshot-revert',
    ...['--domain', domain.uuid, '--snapshotname', snapshot.name],
    ...(request.running ? ['--running'] : []),
    ...(request.paused ? ['--paused'] : []),
    ...(request.force || revertNeedsForce(facts, end) ? ['--force'] : []),
  ];
  const state = end === 'shutoff' ? 'shut off' : end;
  return {
    machine,
    snapshot,
    command,
    end,
    consequences: [...revertConsequences(facts, end), `it will then be ${state}`],
  };
}

const underWay = (machine: string, name: string): KvmsnapError =>
  new KvmsnapError('busy', `the snapshot '${name}' of '${machine}' is still being taken`, {
    hint: 'wait until kvmsnap list shows it complete',
  });

/** The images that libvirt would revert are those of the definition stored with the snapshot, not those in use now. */
export async function lookAtStoredDisks(
  ctx: Context,
  machine: Machine,
  snapshot: SnapshotReport,
): Promise<Images> {
  const now = new Map(machine.domain.disks.map((disk) => [disk.target, disk]));
  const known = new Map<string, NonNullable<ReturnType<Images['get']>>>();
  const elsewhere = internalDisks(snapshot).flatMap(({ target, source }) => {
    const disk = now.get(target);
    const image = machine.images.get(target);
    if (image && (source === null || source === disk?.source)) {
      known.set(target, image);
      return [];
    }
    return [
      {
        target,
        source,
        storage: disk?.storage ?? 'file',
        pool: source === null ? (disk?.pool ?? null) : null,
        driver: disk?.driver ?? 'qcow2',
      },
    ];
  });
  return new Map([...known, ...(await lookAtDisks(ctx, machine.uri, elsewhere))]);
}

/** What the user must know before a revert; what is lost is asked on a terminal, where there is somebody to mind. */
async function warnAndConfirm(
  ctx: Context,
  { machine, snapshot, consequences }: Checked,
  { backup }: RevertRequest,
): Promise<void> {
  for (const line of consequences) ctx.terminal.note(`note: ${line}`);
  const lost = backup
    ? 'The present state is kept in a snapshot first.'
    : `All ${whatIsLost(machine)} will be lost.`;
  const age = humanSpan(ctx.clock.now() / 1000 - snapshot.createdAtSeconds);
  const taken = `${localTime(snapshot.createdAtSeconds)}, ${age} ago`;
  await confirm(ctx, `${lost}\nRevert '${machine.domain.name}' to '${snapshot.name}' (${taken})?`);
}

/** The last moment whose state survives is the current snapshot's: the machine has run on from there. */
function whatIsLost({ domain, snapshots, current }: Machine): string {
  const memory = isActive(domain.state) ? ', and what is in its memory,' : '';
  const from = snapshots.find((snapshot) => snapshot.name === current);
  if (!from) return `that is on its disks now${memory}`;
  return `that was written on top of '${from.name}' (taken ${localTime(from.createdAtSeconds)})${memory}`;
}

async function takeBackup(
  ctx: Context,
  machine: Machine,
  name: string | null,
): Promise<Awaited<ReturnType<typeof takeSnapshot>>> {
  const given = name ?? `before-revert-${new Date(ctx.clock.now()).toISOString().replace(/[-:]|\.\d+/g, '')}`;
  const taken = await takeSnapshot(ctx, machine, {
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
  { machine: before, snapshot, command, end }: Checked,
): Promise<{ machine: Machine; snapshot: SnapshotReport }> {
  const { domain } = before;
  const written = await carryOut(ctx, { command, label: `reverting '${domain.name}'`, growing: null });
  const machine = await completeMachine(ctx, await readAfter(ctx, domain.uuid, written));
  const wrong = mismatches(machine, snapshot.name, end);
  const now = machine.snapshots.find(({ name }) => name === snapshot.name);
  if (written.kind === 'done' && now && wrong.length === 0) return { machine, snapshot: now };
  const failure =
    written.kind === 'done'
      ? new KvmsnapError('refused', `virsh reported '${domain.name}' as reverted, but ${wrong.join('; ')}`)
      : virshFailure(`the revert of '${domain.name}' to '${snapshot.name}' failed`, written.stderr);
  if (failure.code === 'busy') throw failure; // it never began
  throw withAftermath(failure, [
    ...aftermath(ctx, machine.domain, domain.state),
    ...(before.current !== null && machine.current === null ? [NO_CURRENT] : []),
    ...(written.kind === 'done' ? [] : [UNKNOWN_END[written.kind]]),
  ]);
}

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

function mismatches({ domain, current }: Machine, name: string, end: string): string[] {
  const wrong: string[] = [];
  if (current !== name) wrong.push(`the current snapshot is ${current === null ? 'none' : `'${current}'`}`);
  if (domain.state !== end) wrong.push(`the machine is ${domain.state} and not ${end}`);
  return wrong;
}
