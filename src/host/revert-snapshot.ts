import type { Context } from '../context.ts';
import { isActive } from '../core/domain.ts';
import {
  judge,
  REVERT_RULES,
  type RevertFacts,
  revertConsequences,
  stateAfterRevert,
} from '../core/preflight.ts';
import type { SnapshotReport } from '../core/report.ts';
import { internalDisks } from '../core/snapshot.ts';
import { KvmsnapError } from '../errors.ts';
import type { VirshCommand } from '../libvirt/batch.ts';
import { virshFailure } from '../libvirt/virsh-error.ts';
import { humanSpan, localTime } from '../render/format.ts';
import { aftermath, carryOut, confirm, readAfter, refuseOn } from './act.ts';
import { type Images, lookAtDisks, noteUnseen } from './disks.ts';
import { completeMachine, type Machine } from './machine.ts';
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
  const { domain, host } = machine;
  if (snapshot.underWay) throw underWay(domain.name, snapshot.name);
  if (request.backup?.name) checkName(request.backup.name);
  const images = await lookAtStoredDisks(ctx, machine, snapshot);
  noteUnseen(ctx, images);
  const facts: RevertFacts = { domain, snapshot, images, daemonVersion: host.daemonVersion };
  refuseOn(
    ctx,
    `cannot revert '${domain.name}' to '${snapshot.name}'`,
    judge(REVERT_RULES, facts),
    request.force,
  );

  const end = stateAfterRevert(snapshot, request);
  for (const consequence of revertConsequences(facts, end)) ctx.terminal.note(`note: ${consequence}`);
  await confirm(ctx, question(ctx, machine, snapshot, request, end));

  const command: VirshCommand = [
    'snapshot-revert',
    ...['--domain', domain.uuid, '--snapshotname', snapshot.name],
    ...(request.running ? ['--running'] : []),
    ...(request.paused ? ['--paused'] : []),
    ...(request.force ? ['--force'] : []),
  ];
  const backup = request.backup && (await takeBackup(ctx, machine, request.backup.name));
  if (ctx.settings.dryRun)
    return { planned: [...(backup && 'planned' in backup ? [backup.planned] : []), command] };
  const reverted = await ctx.interrupts.protect(`the revert of '${domain.name}' to '${snapshot.name}'`, () =>
    revertAndVerify(ctx, machine, snapshot, { command, end }),
  );
  return { ...reverted, backup: backup && 'snapshot' in backup ? backup.snapshot : null };
}

const underWay = (machine: string, name: string): KvmsnapError =>
  new KvmsnapError('busy', `the snapshot '${name}' of '${machine}' is still being taken`, {
    hint: 'wait until kvmsnap list shows it complete',
  });

/** The images that libvirt would revert are those of the definition stored with the snapshot, not those in use now. */
async function lookAtStoredDisks(ctx: Context, machine: Machine, snapshot: SnapshotReport): Promise<Images> {
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
  return new Map([...known, ...(await lookAtDisks(ctx, machine.host.uri, elsewhere))]);
}

function question(
  ctx: Context,
  machine: Machine,
  snapshot: SnapshotReport,
  request: RevertRequest,
  end: string,
): string {
  const age = humanSpan(ctx.clock.now() / 1000 - snapshot.createdAtSeconds);
  const memory = isActive(machine.domain.state) ? ', and what is in memory,' : '';
  const lost = request.backup
    ? 'The present state is kept in a snapshot first.'
    : `Everything written since the newest snapshot that keeps it${memory} is lost${sinceWhen(machine)}.`;
  return `Revert '${machine.domain.name}' to '${snapshot.name}' of ${localTime(snapshot.createdAtSeconds)} (${age} ago)? ${lost} It will then be ${end}.`;
}

/** The last moment whose state survives: the current snapshot's, for the machine has run on from there. */
function sinceWhen({ snapshots, current }: Machine): string {
  const from = snapshots.find((snapshot) => snapshot.name === current);
  return from ? ` (current: '${from.name}', ${localTime(from.createdAtSeconds)})` : '';
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
  if (ctx.interrupts.pending) throw ctx.interrupts.pending;
  return taken;
}

interface Plan {
  readonly command: VirshCommand;
  readonly end: string;
}

async function revertAndVerify(
  ctx: Context,
  before: Machine,
  snapshot: SnapshotReport,
  { command, end }: Plan,
): Promise<{ machine: Machine; snapshot: SnapshotReport }> {
  const { domain } = before;
  const written = await carryOut(ctx, { command, label: `reverting '${domain.name}'`, growing: null });
  const machine = await completeMachine(ctx, await readAfter(ctx, domain.uuid, written));
  const wrong = mismatches(machine, snapshot.name, end);
  const now = machine.snapshots.find(({ name }) => name === snapshot.name);
  if (written.kind === 'done' && now && wrong.length === 0) return { machine, snapshot: now };
  // After a lost connection the state alone cannot tell a finished revert from one that never began.
  const failure =
    written.kind === 'done'
      ? new KvmsnapError('refused', `virsh reported '${domain.name}' as reverted, but ${wrong.join('; ')}`)
      : virshFailure(`the revert of '${domain.name}' to '${snapshot.name}' failed`, written.stderr);
  const left = aftermath(machine.domain, domain.state);
  throw new KvmsnapError(failure.code, [failure.message, ...left.map(({ what }) => what)].join('\n       '), {
    hint: [failure.hint, left[0]?.command].filter((text) => text !== undefined).join('\n      ') || undefined,
    command: left[0]?.command,
  });
}

function mismatches({ domain, current }: Machine, name: string, end: string): string[] {
  const wrong: string[] = [];
  if (current !== name) wrong.push(`the current snapshot is ${current === null ? 'none' : `'${current}'`}`);
  if (domain.state !== end) wrong.push(`the machine is ${domain.state} and not ${end}`);
  return wrong;
}
