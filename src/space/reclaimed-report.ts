import type { Context } from '../run/context.ts';
import type { KvmsnapError } from '../errors.ts';
import type { Freed } from './reclaimed.ts';
import type { SpaceRun } from '../prune/free-space.ts';
import { describeError } from '../output/error.ts';
import { humanBytes } from '../output/format.ts';

/** What was freed, or would be, told to people and to scripts. */

/** Of one machine; null where nothing was to go. */
export interface FreedOf {
  readonly machine: { readonly name: string };
  readonly freed: Freed | null;
}

/** `freed 12.0 MiB`, `would free ~3.0 MiB, not counting 'db', of which it is not known`; none where nothing was to go. */
export function freedLines(dryRun: boolean, each: readonly FreedOf[]): string[] {
  const concerned = each.flatMap(({ machine, freed }) => (freed ? [{ machine, ...freed }] : []));
  if (concerned.length === 0) return [];
  const known = concerned.filter(({ bytes }) => bytes !== null);
  const unknown = concerned.filter(({ bytes }) => bytes === null).map(({ machine }) => `'${machine.name}'`);
  const verb = dryRun ? 'would free' : 'freed';
  if (known.length === 0) return [`what ${dryRun ? 'it would free' : 'was freed'} is not known`];
  const sum = known.reduce((all, { bytes }) => all + (bytes ?? 0), 0);
  const mark = known.some(({ approximate }) => approximate) ? '~' : '';
  const rest = unknown.length === 0 ? '' : `, not counting ${unknown.join(', ')}, of which it is not known`;
  return [`${verb} ${mark}${humanBytes(sum)}${rest}`];
}

/** The members of a machine's result; null: nothing was done. */
export const freedDocument = (dryRun: boolean, freed: Freed | null) => ({
  freesBytes: dryRun ? (freed?.bytes ?? null) : null,
  freedBytes: dryRun ? null : (freed?.bytes ?? null),
  approximate: freed?.approximate ?? false,
});

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
    // of a machine whose space cannot be told, nobody knows
    reached:
      space.fileSystems.every(({ reached }) => reached) &&
      space.machines.every(({ failure }) => failure === null),
    fileSystems: space.fileSystems.map(({ barren: _, ...system }) => system),
  };
}

/** Says what would be free to whoever asked by `--dry-run`; what was freed is a remark beneath the table. */
export function sayForeseen(ctx: Context, lines: readonly string[]): void {
  if (ctx.settings.output === 'table') for (const line of lines) ctx.terminal.note(line);
}

/** What the run ends with, of what failed and what is too little free. After a signal nobody knows what would have been. */
export async function concludeSpace(
  ctx: Context,
  failure: KvmsnapError | null,
  space: SpaceRun | null,
): Promise<KvmsnapError | null> {
  if (!space || ctx.interrupts.pending) return failure;
  const { shortage } = await import('../prune/free-space.ts');
  const short = shortage(space.fileSystems);
  if (!failure || !short) return failure ?? short;
  if (ctx.settings.output !== 'json')
    ctx.terminal.note(describeError(short, { json: false, level: 0 }).trimEnd());
  return failure;
}
