import { KvmsnapError } from '../errors.ts';
import type { DomainReading } from '../libvirt/domains.ts';
import type { Target, Targets } from '../vm/select.ts';
import type { Context } from './context.ts';

/** Guests that a killed `create --together` has left paused or frozen go on at the next command that changes the VM. */

/**
 * The reading, or one after the guest goes on, if the VM has a record of such a pause; nothing is read without one. A guest that somebody
 * else may have paused since stays so, and a dry run changes nothing.
 */
export async function letGoOfLeft<Reading extends DomainReading | KvmsnapError>(
  ctx: Context,
  reading: Reading,
): Promise<Reading | DomainReading> {
  const isMarked = !(reading instanceof KvmsnapError) && reading.domain.pauseRecord !== undefined;
  return isMarked && !ctx.settings.dryRun ? (await import('./let-go.ts')).letGoOf(ctx, reading) : reading;
}

/** The same for several VMs, one after the other. */
export async function letAllGo<Reading extends DomainReading | KvmsnapError>(
  ctx: Context,
  readings: readonly Reading[],
): Promise<(Reading | DomainReading)[]> {
  const settled: (Reading | DomainReading)[] = [];
  for (const reading of readings) settled.push(await letGoOfLeft(ctx, reading));
  return settled;
}

/** The same for the VMs of a selection. */
export async function withoutLeftPauses(ctx: Context, { targets, single }: Targets): Promise<Targets> {
  const settled: Target[] = [];
  for (const target of targets) settled.push({ ...target, reading: await letGoOfLeft(ctx, target.reading) });
  return { targets: settled, single };
}
