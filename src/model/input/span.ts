/** Spans of time as they are typed. */

/** A span as people say it: hours (and parts of one) are exact, days and longer follow the calendar (a day may have 23 or 25 hours). */
export interface Span {
  readonly hours: number;
  readonly days: number;
  readonly months: number;
}

const UNITS: Readonly<Record<string, Span>> = {
  min: { hours: 1 / 60, days: 0, months: 0 },
  h: { hours: 1, days: 0, months: 0 },
  d: { hours: 0, days: 1, months: 0 },
  w: { hours: 0, days: 7, months: 0 },
  m: { hours: 0, days: 0, months: 1 },
  mo: { hours: 0, days: 0, months: 1 },
  y: { hours: 0, days: 0, months: 12 },
};

/** `90min`, `14d`, `2y6mo`, `36h` -> a span (`m` alone means months); null if it is not a span, or empty. */
export function parseSpan(text: string): Span | null {
  if (!/^(\d{1,6}(min|mo|[hdwmy]))+$/.test(text)) return null;
  const total = { hours: 0, days: 0, months: 0 };
  for (const [, count, unit] of text.matchAll(/(\d+)(min|mo|[hdwmy])/g)) {
    const size = UNITS[unit ?? 'd'] ?? total;
    total.hours += Number(count) * size.hours;
    total.days += Number(count) * size.days;
    total.months += Number(count) * size.months;
  }
  return total.hours + total.days + total.months > 0 ? total : null;
}

/** Whether it says months by an `m`, which others take for minutes. */
export const saysMonthsByM = (text: string): boolean => /\dm(?!in|o)/.test(text);

/** Seconds of an age. A month is 31 days: an age that is tested is rather a day too long than too short. */
export const ageSeconds = ({ hours, days, months }: Span): number =>
  Math.round((hours + 24 * (days + 31 * months)) * 3600);
