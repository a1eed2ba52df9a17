import { KvmsnapError } from '../errors.ts';
import { readByUuid } from '../libvirt/domains.ts';
import { type Pause, pauseCommands, pauseForAMoment } from '../libvirt/pause.ts';
import { virshFailure, virshMessage } from '../libvirt/virsh-error.ts';
import { type Domain, isActive } from '../model/domain.ts';
import { inText } from '../model/text.ts';
import type { Context } from '../run/context.ts';
import type { Vm } from '../vm/load.ts';

/** Having QEMU write out all that it knows of its images, so that what is read of them is the truth. */

/** Until when all is in the images, in milliseconds since the epoch; null: nobody can tell. */
export type WrittenUntil = number | null;

/** Nothing has been written since, and nothing will be. */
const FOR_EVER = Number.POSITIVE_INFINITY;

/**
 * Pauses a running guest for a moment, when QEMU writes all out, and says for how long. A VM in any other state is left
 * as it is. Throws `busy` while another job holds it, and with the fixing command when it is left paused.
 */
export async function flushImages(ctx: Context, vm: Vm): Promise<WrittenUntil> {
  const { domain } = vm;
  if (!isActive(domain.state)) return FOR_EVER;
  if (domain.busy)
    throw new KvmsnapError(
      'busy',
      `another job holds ${inText(domain.name)}: it cannot be paused for --exact`,
      {
        hint: 'try again when it is done, or let kvmsnap wait for it: --wait 10m',
      },
    );
  if (domain.state === 'running') return flushRunning(ctx, domain);
  const atRest = isAtRest(vm);
  const left = `note: ${inText(domain.name)} is ${domain.state}, and left so`;
  ctx.terminal.note(atRest ? left : `${left}: QEMU may know more than is in its images`);
  return atRest ? FOR_EVER : null;
}

/** Reasons of `paused` before which QEMU has written all out: not of an error of its disks, say. */
const WRITTEN_OUT: ReadonlySet<string> = new Set(['user', 'from snapshot']);

/**
 * QEMU wrote all out when it stopped the guest. But a snapshot that is taken of a paused one is written out to its end only
 * when that goes on (7.2 to 11: the clusters of its memory still count as the disk's too), and when it was paused, nobody tells.
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
    ctx.terminal.note(`would pause ${inText(name)} for a moment: ${ctx.virsh.line(...pauseCommands(uuid))}`);
    return null;
  }
  return ctx.interrupts.protect(`pausing ${inText(name)} for a moment`, async () => {
    const pause = await pauseForAMoment(ctx.virsh, uuid);
    const writtenUntil = ctx.clock.now();
    await applyRules(ctx, { name, uuid }, pause);
    return writtenUntil;
  });
}

type Named = Pick<Domain, 'name' | 'uuid'>;

async function applyRules(ctx: Context, { name, uuid }: Named, pause: Pause): Promise<void> {
  const [before, between, after] = pause.states;
  const [suspend, resume] = pauseCommands(uuid);
  const now = after ?? (await readByUuid(ctx.virsh, uuid, name)).domain.state;
  if (now === 'paused')
    throw new KvmsnapError(
      'refused',
      `${inText(name)} was paused for --exact, and is paused still: ${virshMessage(pause.stderr)}`,
      { command: ctx.virsh.line(resume) },
    );
  if (between !== 'paused') throw virshFailure(`cannot pause ${inText(name)} for --exact`, pause.stderr);
  ctx.terminal.note(
    `${inText(name)} was paused for ${Math.ceil(pause.milliseconds)} ms, for QEMU to write all out`,
  );
  if (before === 'paused')
    ctx.terminal.note(
      `warning: someone else had paused ${inText(name)} just before, and now it runs; to pause it again: ${ctx.virsh.line(suspend)}`,
    );
}
