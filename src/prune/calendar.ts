import type { Span } from '../model/input/span.ts';

/** Calendar arithmetic in a time zone, on seconds since the epoch. Pure: the zone is a function. */

/** Seconds east of UTC of the local clock at a moment (seconds since the epoch). */
export type Zone = (seconds: number) => number;

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

/** The name of the period of that moment for people: `2026-11-23 14h`, `2026-11-23`, `2026-W48`, `2026-11`, `2026`. */
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

/** The earliest moment that a Date can represent, with a margin for the offset of a zone. */
const BEGINNING = -8.64e12 + 2 * DAY;

/**
 * The moment a span earlier. Months come first (a day that the month does not have becomes its last day), then days, both
 * by the local clock, then exact hours. A local time that a change to daylight saving skips moves forward by what is
 * skipped; of a time that the change back repeats, the first is taken. A span beyond the calendar gives minus infinity.
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

/** A local time -> seconds since the epoch, by the offsets before and after a clock change near it. */
function toEpoch(local: number, zone: Zone): number {
  const offsets = [zone(local - DAY), zone(local + DAY)];
  const east = Math.max(...offsets);
  const first = local - east;
  return zone(first) === east ? first : local - Math.min(...offsets);
}
