import { type Bitmap, hasBit } from './bitmap.ts';
import { BREATH_BYTES, createBreath, Unmeasurable, viewOf } from './bytes.ts';
import { findReferences, roomForReferences } from './l2-entries.ts';
import type { L2Tables, Tree } from './l2-tables.ts';
import { NOTHING, plus, type Space, type Survey, spaceAt } from './survey.ts';

/**
 * Clusters of the file to which several L2 tables of one snapshot refer. This happens because compressed clusters are
 * packed without regard to tables. A sum over tables counts them too often.
 */
export interface Overlap {
  /** The tables that share these clusters, by place. */
  readonly tables: readonly number[];
  readonly space: Space;
}

/** Limits for the memory that references to such clusters need, and for the work with them. */
const MOST_REFERENCES = 2 ** 22;
const MOST_STEPS = 2 ** 28;

/** Searches all tables of snapshots for the clusters in the bitmap, which are few. */
export async function findOverlaps(repeated: Bitmap, survey: Survey): Promise<readonly Overlap[]> {
  if (repeated.every((bits) => bits === 0)) return [];
  const { trees } = survey.tables;
  const overlaps = new Map<string, Overlap>();
  for (const [cluster, tables] of await findTables(repeated, survey)) {
    const space = plus(overlaps.get(tables.join())?.space ?? NOTHING, spaceAt(survey, cluster, 1));
    overlaps.set(tables.join(), { tables, space });
  }
  if (overlaps.size * trees.length > MOST_STEPS) throw tangled();
  return [...overlaps.values()];
}

/** By cluster, the places of the tables that refer to it. */
async function findTables(
  repeated: Bitmap,
  { header, clusters, tables: { all, trees }, contents }: Survey,
): Promise<ReadonlyMap<number, readonly number[]>> {
  const found = roomForReferences(header);
  const tablesOf = new Map<number, number[]>();
  const breath = createBreath(BREATH_BYTES);
  let total = 0;
  for (const [place, { first }] of all.entries()) {
    if (first > trees.length) continue;
    const count = findReferences(viewOf(contents.at(place)), header, clusters, true, found);
    const those = found.subarray(0, count).filter((cluster) => hasBit(repeated, cluster));
    total += those.length;
    if (total > MOST_REFERENCES) throw tangled();
    for (const cluster of new Set(those)) {
      const tables = tablesOf.get(cluster);
      if (tables) tables.push(place);
      else tablesOf.set(cluster, [place]);
    }
    await breath(header.clusterBytes);
  }
  return tablesOf;
}

const tangled = () => new Unmeasurable('too-large', 'too many of its tables share packed clusters');

/** How many times too often a sum over a snapshot's tables from that index on counts these clusters. */
export function timesTooMany(
  { tables }: Overlap,
  { l1 }: Tree,
  { all }: L2Tables,
  fromIndex: number,
): number {
  const listed = tables.filter((place) => {
    const index = all[place]?.index ?? 0;
    return index >= fromIndex && l1[index] === place + 1;
  });
  return Math.max(0, listed.length - 1);
}
