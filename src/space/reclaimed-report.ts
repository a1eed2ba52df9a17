import { inText } from '../model/text.ts';
import { humanBytes } from '../output/format.ts';
import type { Output } from '../run/context.ts';
import type { Freed } from './reclaimed.ts';

/** Reports to people and scripts what was freed or would be freed. */

/** For one VM; null if nothing was to be deleted. */
export interface FreedOf {
  readonly vm: { readonly name: string };
  readonly freed: Freed | null;
}

/** `freed 12.0 MiB`, `would free ~3.0 MiB (unknown for db)`; empty if nothing was to be deleted. */
export function freedLines(dryRun: boolean, each: readonly FreedOf[]): string[] {
  const concerned = each.flatMap(({ vm, freed }) => (freed ? [{ vm, ...freed }] : []));
  if (concerned.length === 0) return [];
  const known = concerned.filter(({ bytes }) => bytes !== null);
  const unknown = concerned.filter(({ bytes }) => bytes === null).map(({ vm }) => inText(vm.name));
  const verb = dryRun ? 'would free' : 'freed';
  if (known.length === 0) return [`${verb} an unknown amount of space`];
  const sum = known.reduce((all, { bytes }) => all + (bytes ?? 0), 0);
  const mark = known.some(({ approximate }) => approximate) ? '~' : '';
  const rest = unknown.length === 0 ? '' : ` (unknown for ${unknown.join(', ')})`;
  return [`${verb} ${mark}${humanBytes(sum)}${rest}`];
}

/** The members of a VM's result; null: nothing was done. */
export const freedDocument = (dryRun: boolean, freed: Freed | null) => ({
  freesBytes: dryRun ? (freed?.bytes ?? null) : null,
  freedBytes: dryRun ? null : (freed?.bytes ?? null),
  approximate: freed?.approximate ?? false,
});

/** Prints what a dry run would free; what was really freed is a remark below the table. */
export function noteForeseen(ctx: Output, lines: readonly string[]): void {
  if (ctx.settings.output === 'table') for (const line of lines) ctx.terminal.note(line);
}
