import { KvmsnapError } from '../errors.ts';
import type { Context } from '../run/context.ts';
import { retryWhileBusy } from '../run/retry-while-busy.ts';
import { findSnapshot, loadVm, type Vm } from '../vm/load.ts';
import type { SpaceOptions } from './command.ts';
import { flushImages } from './flush.ts';
import { measureVm } from './measure.ts';
import { showSpace } from './report.ts';

/**
 * `space`: what each snapshot costs on disk, and what deleting it gives back. Throws `check` if an image cannot be
 * measured.
 */
export async function space(
  ctx: Context,
  word: string,
  names: readonly string[],
  { disks = false, exact = false, sort = 'created' }: SpaceOptions,
): Promise<void> {
  if (ctx.settings.output === 'name') requireFigureless({ disks, exact, sort });
  const { vm, measured } = await retryWhileBusy(ctx, async (ctx) => {
    const vm = await loadVm(ctx, word);
    for (const name of names) findSnapshot(vm, name);
    const writtenUntil = exact && canBeMeasured(vm) ? await flushImages(ctx, vm) : null;
    return { vm, measured: await measureVm(ctx, vm, [...new Set(names)], writtenUntil) };
  });
  await showSpace(ctx, vm, measured, names, { disks, sort });
}

/** Throws `usage` for options that have no effect if only names are printed. */
function requireFigureless({ disks, exact, sort }: SpaceOptions): void {
  const [option] = disks ? ['--disks'] : exact && sort !== 'frees' ? ['--exact'] : [];
  if (option !== undefined)
    throw new KvmsnapError('usage', `${option} cannot be combined with -q, which prints only names`);
}

/** A guest is not paused without need. */
const canBeMeasured = ({ snapshots, images }: Vm): boolean =>
  snapshots.length > 0 && [...images.values()].some(({ kind }) => kind === 'seen');
