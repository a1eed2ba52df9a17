import { inText } from '../model/text.ts';
import { humanBytes } from '../output/format.ts';
import type { Context } from '../run/context.ts';
import type { Freed } from './reclaimed.ts';

/** What was freed, or would be, told to people and to scripts. */

/** Of one VM; null where nothing was to go. */
export interface FreedOf {
  readonly vm: { readonly name: string };
  readonly freed: Freed | null;
}

/** `freed 12.0 MiB`, `would free ~3.0 MiB, not counting 'db', of which it is not known`; none where nothing was to go. */
export function freedLines(dryRun: boolean, each: readonly FreedOf[]): string[] {
  const concerned = each.flatMap(({ vm, freed }) => (freed ? [{ vm, ...freed }] : []));
  if (concerned.length === 0) return [];
  const known = concerned.filter(({ bytes }) => bytes !== null);
  const unknown = concerned.filter(({ bytes }) => bytes === null).map(({ vm }) => inText(vm.name));
  const verb = dryRun ? 'would free' : 'freed';
  if (known.length === 0) return [`what ${dryRun ? 'it would free' : 'was freed'} is not known`];
  const sum = known.reduce((all, { bytes }) => all + (bytes ?? 0), 0);
  const mark = known.some(({ approximate }) => approximate) ? '~' : '';
  const rest = unknown.length === 0 ? '' : `, not counting ${unknown.join(', ')}, of which it is not known`;
  return [`${verb} ${mark}${humanBytes(sum)}${rest}`];
}

/** The members of a VM's result; null: nothing was done. */
export const freedDocument = (dryRun: boolean, freed: Freed | null) => ({
  freesBytes: dryRun ? (freed?.bytes ?? null) : null,
  freedBytes: dryRun ? null : (freed?.bytes ?? null),
  approximate: freed?.approximate ?? false,
});

/** Says what would be free to whoever asked by `--dry-run`; what was freed is a remark beneath the table. */
export function noteForeseen(ctx: Context, lines: readonly string[]): void {
  if (ctx.settings.output === 'table') for (const line of lines) ctx.terminal.note(line);
}
