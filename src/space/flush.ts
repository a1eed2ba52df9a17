import { KvmsnapError } from '../errors.ts';
import { readByUuid } from '../libvirt/domains.ts';
import { type Pause, pauseCommands, pauseForAMoment } from '../libvirt/pause.ts';
import { virshFailure, virshMessage } from '../libvirt/virsh-error.ts';
import { type Domain, isActive } from '../model/domain.ts';
import { inText } from '../model/text.ts';
import type { Context } from '../run/context.ts';
import type { Vm } from '../vm/load.ts';

/** Makes QEMU write all its metadata to the images, so that they can be measured exactly. */

/** The time up to which all metadata is in the images, in milliseconds since the epoch; null if unknown. */
export type WrittenUntil = number | null;

/** All metadata is in the images, and nothing will be written. */
const FOR_EVER = Number.POSITIVE_INFINITY;

/**
 * Pauses a running guest for a moment, so that QEMU writes its metadata, and prints for how long. A VM in another state
 * is not changed. Throws `busy` while another job holds the VM; if the VM stays paused, the failure contains the
 * command that resumes it.
 */
export async function flushImages(ctx: Context, vm: Vm): Promise<WrittenUntil> {
  const { domain } = vm;
  if (!isActive(domain.state)) return FOR_EVER;
  if (domain.busy)
    throw new KvmsnapError(
      'busy',
      `another job is running on ${inText(domain.name)}, so it cannot be paused for --exact`,
      {
        hint: 'try again when it has finished, or let kvmsnap wait for it with --wait 10min',
      },
    );
  if (domain.state === 'running') return flushRunning(ctx, domain);
  const atRest = isAtRest(vm);
  const left = `note: ${inText(domain.name)} is ${domain.state} and stays so`;
  ctx.terminal.note(atRest ? left : `${left}; QEMU may not have written all metadata to the images`);
  return atRest ? FOR_EVER : null;
}

/** The reasons for `paused` with which QEMU has written all metadata; a disk error, for example, is not one of them. */
const WRITTEN_OUT: ReadonlySet<string> = new Set(['user', 'from snapshot']);

/**
 * QEMU wrote all metadata when it stopped the guest. But a snapshot that is taken of a paused guest is not written
 * completely until the guest continues (7.2 to 11: the clusters of its memory still count as the disk's too), and
 * libvirt does not tell when the guest was paused.
 */
function isAtRest({ domain, snapshots }: Vm): boolean {
  return (
    domain.state === 'paused' &&
    WRITTEN_OUT.has(domain.stateReason) &&
    snapshots.every(({ state }) => state !== 'paused')
  );
}

async function flushRunning(ctx: Context, { name, uuid }: Domain): Promise<WrittenUntil> {
  if (ctx.settings.dryRun) {
    ctx.terminal.note(
      `would pause ${inText(name)} for a moment:\n  ${ctx.virsh.line(...pauseCommands(uuid))}`,
    );
    return null;
  }
  return ctx.interrupts.protect(`pausing ${inText(name)} for a moment`, async () => {
    const pause = await pauseForAMoment(ctx.virsh, uuid);
    const writtenUntil = ctx.clock.now();
    await requirePaused(ctx, { name, uuid }, pause);
    return writtenUntil;
  });
}

type DomainName = Pick<Domain, 'name' | 'uuid'>;

async function requirePaused(
  ctx: Pick<Context, 'terminal' | 'virsh'>,
  { name, uuid }: DomainName,
  pause: Pause,
): Promise<void> {
  const [before, between, after] = pause.states;
  const [suspend, resume] = pauseCommands(uuid);
  const now = after ?? (await readByUuid(ctx.virsh, uuid, name)).domain.state;
  if (now === 'paused')
    throw new KvmsnapError(
      'refused',
      `${inText(name)} was paused for --exact and is still paused: ${virshMessage(pause.stderr)}`,
      { command: ctx.virsh.line(resume) },
    );
  if (between !== 'paused') throw virshFailure(`cannot pause ${inText(name)} for --exact`, pause.stderr);
  ctx.terminal.note(
    `${inText(name)} was paused for ${Math.ceil(pause.milliseconds)} ms so that QEMU could write all metadata`,
  );
  if (before === 'paused')
    ctx.terminal.note(
      `warning: someone else paused ${inText(name)} just before, and now it runs. To pause it again:\n  ${ctx.virsh.line(suspend)}`,
    );
}
