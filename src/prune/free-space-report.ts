import type { KvmsnapError } from '../errors.ts';
import { describeError } from '../output/error.ts';
import { humanBytes } from '../output/format.ts';
import type { Context } from '../run/context.ts';
import type { SpaceRun } from './free-space-run.ts';

/** What --free-min reached, told to people and to scripts. */

/** `/srv: 12.0 GiB of 40.0 GiB free, 10.0 GiB wanted`, of each file system. */
export const spaceLines = (space: SpaceRun | null): string[] =>
  (space?.fileSystems ?? []).map(
    ({ mountPoint, freeBytes, sizeBytes, wantedBytes }) =>
      `${mountPoint}: ${humanBytes(freeBytes)} of ${humanBytes(sizeBytes)} free, ${humanBytes(wantedBytes)} wanted`,
  );

/** A document's `freeMin`. */
export function spaceDocument(space: SpaceRun | null) {
  if (!space) return null;
  return {
    // of a VM whose space cannot be told, nobody knows
    reached:
      space.fileSystems.every(({ reached }) => reached) && space.vms.every(({ failure }) => failure === null),
    fileSystems: space.fileSystems.map(({ unyielding: _, ...system }) => system),
  };
}

/** What the run ends with, of what failed and what is too little free. After a signal nobody knows what would have been. */
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
