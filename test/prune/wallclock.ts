import fc from 'fast-check';
import type { Span } from '../../src/model/input/span.ts';
import type { Period, Zone } from '../../src/prune/calendar.ts';

/**
 * What a clock on the wall shows, asked of Intl, and a slow calendar on top of it, written from what calendar.ts says
 * that it does: the oracle of the retention tests. It shares nothing but types with src.
 */

interface Wall {
  readonly year: number;
  readonly month: number;
  readonly day: number;
  readonly hour: number;
  readonly minute: number;
  readonly second: number;
  /** 1 is Monday, 7 is Sunday. */
  readonly weekday: number;
  /** Seconds east of UTC. */
  readonly offset: number;
}

type WallTime = Omit<Wall, 'weekday' | 'offset'>;

export interface Clock {
  readonly name: string;
  readonly wall: (seconds: number) => Wall;
  readonly zone: Zone;
  /** What `identityOf` has said before, since the simulation asks the same for years. */
  readonly identities: Readonly<Record<Period, Map<number, string>>>;
}

const WEEKDAYS = ['Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat', 'Sun'];
const SHOWN = /^(\w+), (\d+)\/(\d+)\/(\d+), (\d+):(\d+):(\d+) GMT(?:([+-])(\d\d):(\d\d)(?::(\d\d))?)?$/;

export function clock(name: string): Clock {
  const format = new Intl.DateTimeFormat('en-US', {
    timeZone: name,
    calendar: 'gregory',
    hourCycle: 'h23',
    weekday: 'short',
    year: 'numeric',
    month: 'numeric',
    day: 'numeric',
    hour: 'numeric',
    minute: 'numeric',
    second: 'numeric',
    timeZoneName: 'longOffset',
  });
  const known = new Map<number, Wall>();
  const wall = (seconds: number): Wall => {
    const before = known.get(seconds);
    if (before) return before;
    const shown = SHOWN.exec(format.format(seconds * 1000));
    if (!shown) throw new Error(`unreadable: ${format.format(seconds * 1000)}`);
    const [month = 0, day = 0, year = 0, hour = 0, minute = 0, second = 0] = shown.slice(2, 8).map(Number);
    const [hours = 0, minutes = 0, rest = 0] = shown.slice(9).map((digits) => Number(digits ?? 0));
    const size = hours * 3600 + minutes * 60 + rest;
    const offset = shown[8] === '-' ? -size : size;
    const weekday = WEEKDAYS.indexOf(shown[1] ?? '') + 1;
    const answer = { year, month, day, hour, minute, second, weekday, offset };
    known.set(seconds, answer);
    return answer;
  };
  const identities = {
    hourly: new Map(),
    daily: new Map(),
    weekly: new Map(),
    monthly: new Map(),
    yearly: new Map(),
  };
  return { name, wall, zone: (seconds) => wall(seconds).offset, identities };
}

/** How many times the usual number of runs: `RETENTION_RUNS=20 npx vitest run ... test/prune` searches longer. */
export const EFFORT = Number(process.env['RETENTION_RUNS'] ?? 1);

/** Zones with every habit that we know of: see the names of the tests that use them. */
export const CLOCKS = [
  'UTC',
  'Europe/Berlin',
  'America/New_York',
  'America/St_Johns',
  'America/Sao_Paulo',
  'Africa/Casablanca',
  'Asia/Kolkata',
  'Asia/Kathmandu',
  'Australia/Lord_Howe',
  'Pacific/Apia',
].map(clock);

export function clockOf(name: string): Clock {
  const found = CLOCKS.find((one) => one.name === name);
  if (!found) throw new Error(`no zone ${name}`);
  return found;
}

const two = (value: number) => String(value).padStart(2, '0');

/** `2026-11-23 14:00:00 +01:00` */
export function show({ wall }: Clock, seconds: number): string {
  const at = wall(seconds);
  const minutes = Math.abs(at.offset) / 60;
  const offset = `${at.offset < 0 ? '-' : '+'}${two(Math.floor(minutes / 60))}:${two(minutes % 60)}`;
  const time = [at.hour, at.minute, at.second].map(two).join(':');
  return `${at.year}-${two(at.month)}-${two(at.day)} ${time} ${offset}`;
}

/** The other way: `2026-11-23 14:00 +01:00`; Date reads it, with its offset. */
export const at = (text: string): number => Date.parse(text) / 1000;

const leap = (year: number) => (year % 4 === 0 && year % 100 !== 0) || year % 400 === 0;
const daysIn = (year: number, month: number) =>
  [31, leap(year) ? 29 : 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31][month - 1] ?? 0;

/** The schoolbook formula: week = (day of the year - weekday + 10) / 7, and mind both ends of the year. */
function isoWeek({ year, month, day, weekday }: Wall): string {
  let dayOfYear = day;
  for (let earlier = 1; earlier < month; earlier++) dayOfYear += daysIn(year, earlier);
  const week = Math.floor((dayOfYear - weekday + 10) / 7);
  if (week === 0) {
    // the last week of the year before: ask for the 31st of December
    const last = ((weekday - dayOfYear + 6) % 7) + 1;
    return isoWeek({ ...lastOf(year - 1), weekday: last });
  }
  // 53 when the year's own Thursday is in it: its Monday is the 28th of December or before
  const left = (leap(year) ? 366 : 365) - dayOfYear;
  return week === 53 && left < 4 - weekday ? `${year + 1}-W01` : `${year}-W${two(week)}`;
}

const lastOf = (year: number) => ({ year, month: 12, day: 31, hour: 0, minute: 0, second: 0, offset: 0 });

/** The name of the period of a moment. */
export function nameOf(period: Period, { wall }: Clock, seconds: number): string {
  const now = wall(seconds);
  const day = `${now.year}-${two(now.month)}-${two(now.day)}`;
  const names: Record<Period, () => string> = {
    hourly: () => `${day} ${two(now.hour)}h`,
    daily: () => day,
    weekly: () => isoWeek(now),
    monthly: () => `${now.year}-${two(now.month)}`,
    yearly: () => `${now.year}`,
  };
  return names[period]();
}

/** Equal for moments of one period; an hour is another one when the clock has changed in it. */
export function identityOf(period: Period, clock: Clock, seconds: number): string {
  const known = clock.identities[period].get(seconds);
  if (known !== undefined) return known;
  const name = nameOf(period, clock, seconds);
  const identity = period === 'hourly' ? `${name} ${clock.wall(seconds).offset}` : name;
  clock.identities[period].set(seconds, identity);
  return identity;
}

/** The moment a span before: months one by one, days one by one, then hours. */
export function momentBefore(clock: Clock, seconds: number, { months, days, hours }: Span): number {
  if (months === 0 && days === 0) return seconds - hours * 3600;
  let { year, month, day, hour, minute, second } = clock.wall(seconds);
  for (let left = months; left > 0; left--) {
    month--;
    if (month === 0) {
      month = 12;
      year--;
    }
  }
  day = Math.min(day, daysIn(year, month));
  for (let left = days; left > 0; left--) {
    day--;
    if (day > 0) continue;
    month--;
    if (month === 0) {
      month = 12;
      year--;
    }
    day = daysIn(year, month);
  }
  return momentOf(clock, { year, month, day, hour, minute, second }) - hours * 3600;
}

const HALF_HOUR = 1800;

/** Tries every offset that the zone has had around then: the first moment that shows it. */
function momentOf({ wall }: Clock, time: WallTime): number {
  const target = asNumber(time);
  const middle = Math.floor(target / HALF_HOUR) * HALF_HOUR;
  const grid = Array.from({ length: 105 }, (_, step) => middle + (step - 52) * HALF_HOUR);
  const moments = [...new Set(grid.map((moment) => wall(moment).offset))].map((offset) => target - offset);
  const shows = moments.filter((moment) => asNumber(wall(moment)) === target);
  if (shows.length > 0) return Math.min(...shows);
  // Skipped: as the clock that ran up to the change would have gone on.
  const last = grid.findLast((moment, index) => {
    const next = grid[index + 1];
    return next !== undefined && asNumber(wall(moment)) < target && asNumber(wall(next)) > target;
  });
  if (last === undefined) throw new Error(`no such moment: ${JSON.stringify(time)}`);
  return target - wall(last).offset;
}

const asNumber = ({ year, month, day, hour, minute, second }: WallTime) =>
  Date.UTC(year, month - 1, day, hour, minute, second) / 1000;

/** When the clock of the zone was changed, 2005 to 2030: the first moment of each new offset. */
export function changesOf({ zone }: Clock): number[] {
  const step = 7 * 86_400;
  const changes: number[] = [];
  for (let from = at('2005-01-01T00:00Z'); from < at('2030-01-01T00:00Z'); from += step) {
    if (zone(from) === zone(from + step)) continue;
    let [low, high] = [from, from + step];
    while (high - low > 1) {
      const middle = Math.floor((low + high) / 2);
      if (zone(middle) === zone(low)) low = middle;
      else high = middle;
    }
    changes.push(high);
  }
  return changes;
}

/** A zone, and a moment: any since 1900, or one within two days of a change of its clock. */
export const clockAndMoment: fc.Arbitrary<{ clock: Clock; moment: number }> = fc
  .constantFrom(...CLOCKS.map((clock) => ({ clock, changes: changesOf(clock) })))
  .chain(({ clock, changes }) => {
    const any = fc.integer({ min: at('1900-01-01T00:00Z'), max: at('2100-01-01T00:00Z') });
    const near = fc
      .tuple(
        fc.constantFrom(...(changes.length > 0 ? changes : [0])),
        fc.integer({ min: -172_800, max: 172_800 }),
      )
      .map(([change, distance]) => change + distance);
    return fc.record({ clock: fc.constant(clock), moment: fc.oneof(any, near) });
  });

export const spans: fc.Arbitrary<Span> = fc
  .record({
    hours: fc.oneof(fc.constant(0), fc.nat({ max: 100 })),
    days: fc.oneof(fc.constant(0), fc.nat({ max: 70 })),
    months: fc.oneof(fc.constant(0), fc.nat({ max: 30 })),
  })
  .filter(({ hours, days, months }) => hours + days + months > 0);
