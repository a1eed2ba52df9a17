import type { KvmsnapError } from '../errors.ts';
import { describeError } from '../output/error.ts';
import { humanBytes } from '../output/format.ts';
import type { Context } from '../run/context.ts';
import type { SpaceRun } from './free-space-run.ts';

/** The result of --free-min for people and for scripts. */

/** `/srv: 12.0 GiB of 40.0 GiB free, 10.0 GiB wanted`, one line for each file system. */
export const spaceLines = (space: SpaceRun | null): string[] =>
  (space?.fileSystems ?? []).map(
    ({ mountPoint, freeBytes, sizeBytes, wantedBytes }) =>
      `${mountPoint}: ${humanBytes(freeBytes)} of ${humanBytes(sizeBytes)} free, ${humanBytes(wantedBytes)} wanted`,
  );

/** A document's `freeMin`. */
export function spaceDocument(space: SpaceRun | null) {
  if (!space) return null;
  return {
    // if the free space of a VM is unknown, the target is not reached
    reached:
      space.fileSystems.every(({ reached }) => reached) && space.vms.every(({ failure }) => failure === null),
    fileSystems: space.fileSystems.map(({ unyielding: _, ...system }) => system),
  };
}

/** The failure with which the run ends: a failed deletion, or too little free space. After a signal, the latter is not known. */
export async function concludeSpace(
  ctx: Context,
  failure: KvmsnapError | null,
  space: SpaceRun | null,
): Promise<KvmsnapError | null> {
  if (!space || ctx.interrupts.pending) return failure;
  const { shortage } = await import('./free-space-run.ts');
  const short = shortage(space.fileSystems);
  if (!failure || !short) return failure ?? short;
  if (ctx.settings.output !== 'json')
    ctx.terminal.note(describeError(short, { json: false, level: 0 }).trimEnd());
  return failure;
}
