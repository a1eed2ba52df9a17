/** Limits that a check watches. */

/** A value as it was typed, and in seconds, bytes or a number. */
export interface Bound {
  readonly amount: number;
  readonly says: string;
}

/** `ERROR`, or `WARNING:ERROR`: a larger value than `warn` is a warning, a larger one than `crit` an error. */
export interface Limit {
  readonly warn: Bound | null;
  readonly crit: Bound;
}

/** The bound that this value exceeds, with the severity; null if it exceeds none. */
export function exceeded(
  { warn, crit }: Limit,
  value: number,
): { readonly severity: 'error' | 'warning'; readonly bound: Bound } | null {
  if (value > crit.amount) return { severity: 'error', bound: crit };
  return warn && value > warn.amount ? { severity: 'warning', bound: warn } : null;
}
