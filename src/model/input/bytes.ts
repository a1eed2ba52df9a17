/** Amounts of bytes as they are typed. */

const UNITS: Readonly<Record<string, number>> = { K: 2 ** 10, M: 2 ** 20, G: 2 ** 30, T: 2 ** 40 };

/**
 * `500M`, `50G`, `1.5T` -> bytes, rounded up; null for any other text. A number without unit is refused, because nobody
 * means 20 bytes.
 */
export function parseBytes(text: string): number | null {
  const [, number, unit = ''] = /^(\d{1,9}(?:\.\d{1,9})?)([KMGT])$/i.exec(text) ?? [];
  const amount = Number(number);
  return amount > 0 ? Math.ceil(amount * (UNITS[unit.toUpperCase()] ?? 1)) : null;
}
