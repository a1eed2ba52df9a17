/** Calendar arithmetic in a time zone, on seconds since the epoch. Pure: the zone is a function. */

/** Seconds east of UTC that a clock on the wall shows at that moment. */
export type Zone = (seconds: number) => number;

/** A span as people say it: hours (and parts of one) are exact, days and longer follow the calendar (a day may have 23 or 25 hours). */
export interface Span {
  readonly hours: number;
  readonly days: number;
  readonly months: number;
}

export type Period = 'hourly' | 'daily' | 'weekly' | 'monthly' | 'yearly';

const HOUR = 3600;
const DAY = 86_400;

/**
 * A key that is equal for two moments exactly when they lie in the same period by the wall clock of the zone. Weeks are
 * ISO weeks (Monday first; a week belongs to the year of its Thursday). The hour that a change from daylight saving
 * repeats counts as two.
 */
export function periodKey(period: Period, seconds: number, zone: Zone): string {
  const offset = zone(seconds);
  const local = seconds + offset;
  const day = Math.floor(local / DAY);
  switch (period) {
    case 'hourly':
      return `${Math.floor(local / HOUR)} ${offset}`;
    case 'daily':
      return String(day);
    case 'weekly':
      // 1970-01-01 was a Thursday: shifted by three days, whole weeks of Mondays count up.
      return String(Math.floor((day + 3) / 7));
    case 'monthly':
      return `${monthOf(day)}`;
    case 'yearly':
      return `${Math.floor(monthOf(day) / 12)}`;
  }
}

/** How a person calls the period of that moment: `2026-11-23 14h`, `2026-11-23`, `2026-W48`, `2026-11`, `2026`. */
export function periodName(period: Period, seconds: number, zone: Zone): string {
  const local = seconds + zone(seconds);
  const day = Math.floor(local / DAY);
  switch (period) {
    case 'hourly':
      return `${isoDay(day)} ${String(Math.floor((local - day * DAY) / HOUR)).padStart(2, '0')}h`;
    case 'daily':
      return isoDay(day);
    case 'weekly':
      return isoWeek(day);
    case 'monthly':
      return isoMonth(day);
    case 'yearly':
      return isoYear(day);
  }
}

/** Days since the epoch -> months since the year 0. */
function monthOf(day: number): number {
  const date = new Date(day * DAY * 1000);
  return date.getUTCFullYear() * 12 + date.getUTCMonth();
}

/** Days since the epoch -> `2026-11-23` (proleptic Gregorian, four digits or more). */
function isoDay(day: number): string {
  return new Date(day * DAY * 1000).toISOString().slice(0, -'T00:00:00.000Z'.length);
}

const isoMonth = (day: number) => isoDay(day).slice(0, -'-23'.length);
const isoYear = (day: number) => isoDay(day).slice(0, -'-11-23'.length);

function isoWeek(day: number): string {
  const thursday = day - ((((day + 3) % 7) + 7) % 7) + 3;
  const firstDay = new Date(thursday * DAY * 1000).setUTCMonth(0, 1) / 1000 / DAY;
  return `${isoYear(thursday)}-W${String(Math.floor((thursday - firstDay) / 7) + 1).padStart(2, '0')}`;
}

/** The earliest that a Date holds, with room for the offset of a zone. */
const BEGINNING = -8.64e12 + 2 * DAY;

/**
 * The moment a span before. Months first, where a day that the month does not have becomes its last; then days, both by
 * the wall clock; then exact hours. A wall-clock time that a change to daylight saving skips moves to after it, by what
 * it skips; of one that the change back repeats it is the first. A span beyond all calendars goes back for ever.
 */
export function before(seconds: number, span: Span, zone: Zone): number {
  const exact = Math.round(span.hours * HOUR);
  if (span.months === 0 && span.days === 0) return seconds - exact;
  const wall = new Date((seconds + zone(seconds)) * 1000);
  const dayOfMonth = wall.getUTCDate();
  wall.setUTCMonth(wall.getUTCMonth() - span.months + 1, 0);
  wall.setUTCDate(Math.min(dayOfMonth, wall.getUTCDate()) - span.days);
  const local = wall.getTime() / 1000;
  return local >= BEGINNING ? toEpoch(local, zone) - exact : Number.NEGATIVE_INFINITY;
}

/** A wall-clock time -> seconds since the epoch, by the offsets before and after a change of the clock near it. */
function toEpoch(local: number, zone: Zone): number {
  const offsets = [zone(local - DAY), zone(local + DAY)];
  const east = Math.max(...offsets);
  const first = local - east;
  return zone(first) === east ? first : local - Math.min(...offsets);
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

/** `90min`, `14d`, `2y6mo`, `36h` -> a span (`m` alone is months); null when it is none, or empty. */
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
