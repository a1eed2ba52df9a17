import type { Tree } from './l2-tables.ts';
import { type Overlap, timesTooMany } from './overlaps.ts';
import { NOTHING, plus, type Space, type Survey } from './survey.ts';

/**
 * The size of a snapshot's tables from that entry of its L1 table on, with everything that they refer to. `spaces`: the
 * size for each L2 table, by place.
 */
export function spaceFrom(
  fromIndex: number,
  tree: Tree,
  { tables }: Survey,
  spaces: readonly Space[],
  overlaps: readonly Overlap[],
): Space {
  let sum = NOTHING;
  for (let index = fromIndex; index < tree.l1.length; index++)
    sum = plus(sum, spaces[(tree.l1[index] ?? 0) - 1] ?? NOTHING);
  for (const overlap of overlaps)
    sum = plus(sum, overlap.space, -timesTooMany(overlap, tree, tables, fromIndex));
  return sum;
}
