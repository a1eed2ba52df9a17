import { hasBit } from './bitmap.ts';
import { createBreath } from './bytes.ts';
import type { Ledger } from './ledger.ts';
import type { Survey } from './survey.ts';

/** What deletions free, by turn; place 0 is unused. */
export interface Freed {
  readonly alone: SumsByTurn;
  /** At that turn, after all turns before it. */
  readonly inTurn: SumsByTurn;
}

export interface SumsByTurn {
  readonly clusters: Float64Array;
  readonly hostBytes: Float64Array;
}

const WORDS_AT_ONCE = 2 ** 15;

/** Adds up the clusters that become free, once all references have been entered. */
export async function sumFreed(ledger: Ledger, { host }: Survey): Promise<Freed> {
  const { owned, left, last, common, never } = ledger;
  const newSums = () => ({ clusters: new Float64Array(never), hostBytes: new Float64Array(never) });
  const freed = { alone: newSums(), inTurn: newSums() };
  const count = (sums: SumsByTurn, turn: number, bytes: number) => {
    sums.clusters[turn] = (sums.clusters[turn] ?? 0) + 1;
    sums.hostBytes[turn] = (sums.hostBytes[turn] ?? 0) + bytes;
  };
  const breath = createBreath(1);
  for (let word = 0; word < owned.length; word++) {
    if (word % WORDS_AT_ONCE === 0) await breath(1);
    if (owned[word] === 0) continue;
    for (let cluster = word * 32; cluster < word * 32 + 32; cluster++) {
      const turn = last[cluster] ?? 0;
      // no one's, the image's own, or something refers to it that is no table of a snapshot
      if (turn === 0 || turn === never || (left !== null && left[cluster] !== 0)) continue;
      const bytes = host.in(cluster);
      count(freed.inTurn, turn, bytes);
      if (!hasBit(common, cluster)) count(freed.alone, turn, bytes);
    }
  }
  return freed;
}
