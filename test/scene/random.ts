// Chance that can be repeated.

/** Numbers in [0, 1), the same for the same seed: mulberry32, public domain, by Tommy Ettinger. */
export function randomFrom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** A seed from $KVMSNAP_SEED, to repeat a run, or a new one; tests print it with what they find. */
export function chooseSeed(): number {
  return Number(process.env['KVMSNAP_SEED'] ?? Math.floor(Math.random() * 2 ** 32));
}

/** Choices from a source of numbers in [0, 1). */
export interface Chance {
  /** True in so many of 100 cases. */
  readonly of: (percent: number) => boolean;
  readonly pick: <T>(choices: readonly T[]) => T;
  readonly between: (least: number, most: number) => number;
}

export function chanceFrom(random: () => number): Chance {
  const between = (least: number, most: number) => least + Math.floor(random() * (most - least + 1));
  return {
    of: (percent) => random() * 100 < percent,
    pick: <T>(choices: readonly T[]) => choices[between(0, choices.length - 1)] as T,
    between,
  };
}
