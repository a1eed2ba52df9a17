import { hasBit } from './bitmap.ts';
import { createBreath } from './bytes.ts';
import type { HostData } from './host-data.ts';
import type { Ledger } from './ledger.ts';
import type { Survey } from './survey.ts';

/** What deletions free, by turn; index 0 is unused. */
export interface FreedByTurn {
  readonly alone: SumsByTurn;
  /** What is freed at that turn, after all turns before it. */
  readonly inTurn: SumsByTurn;
}

export interface SumsByTurn {
  readonly clusters: Float64Array;
  readonly hostBytes: Float64Array;
}

const WORDS_AT_ONCE = 2 ** 13;

/** Adds up the clusters that become free, after all references have been entered. */
export async function sumFreed(ledger: Ledger, { host }: Survey): Promise<FreedByTurn> {
  const newSums = () => ({
    clusters: new Float64Array(ledger.never),
    hostBytes: new Float64Array(ledger.never),
  });
  const freed = { alone: newSums(), inTurn: newSums() };
  const breath = createBreath(1);
  for (let start = 0; start < ledger.owned.length; start += WORDS_AT_ONCE) {
    const end = Math.min(start + WORDS_AT_ONCE, ledger.owned.length);
    for (let word = start; word < end; word++)
      if (ledger.owned[word] !== 0) addFreed(ledger, host, word * 32, freed);
    if (end < ledger.owned.length) await breath(1);
  }
  return freed;
}

/** Adds those of 32 clusters. */
function addFreed(
  { left, last, common, never }: Ledger,
  host: HostData,
  from: number,
  freed: FreedByTurn,
): void {
  for (let cluster = from; cluster < from + 32; cluster++) {
    const turn = last[cluster] ?? 0;
    // it has no owner, or belongs to the image itself, or something other than a table of a snapshot refers to it
    if (turn === 0 || turn === never || (left !== null && left[cluster] !== 0)) continue;
    const bytes = host.in(cluster);
    count(freed.inTurn, turn, bytes);
    if (!hasBit(common, cluster)) count(freed.alone, turn, bytes);
  }
}

function count(sums: SumsByTurn, turn: number, bytes: number): void {
  sums.clusters[turn] = (sums.clusters[turn] ?? 0) + 1;
  sums.hostBytes[turn] = (sums.hostBytes[turn] ?? 0) + bytes;
}
