import fc from 'fast-check';
import { describe, expect, it, vi } from 'vitest';
import { parseSpan, type Span } from '../../src/model/input/span.ts';
import { before as less, type Period, periodKey, periodName } from '../../src/prune/calendar.ts';
import {
  at,
  CLOCKS,
  clockAndMoment,
  clockOf,
  EFFORT,
  identityOf,
  momentBefore,
  nameOf,
  show,
  spans,
} from './wallclock.ts';

const PERIODS: readonly Period[] = ['hourly', 'daily', 'weekly', 'monthly', 'yearly'];
const UTC = clockOf('UTC');
vi.setConfig({ testTimeout: 300_000 * EFFORT });
const RUNS = { numRuns: 1000 * EFFORT };

const span = (text: string): Span => {
  const parsed = parseSpan(text);
  if (!parsed) throw new Error(`no span: ${text}`);
  return parsed;
};

describe('the clock that these tests ask', () => {
  it('shows the fields that its offset says', () => {
    fc.assert(
      fc.property(clockAndMoment, ({ clock, moment }) => {
        const { year, month, day, hour, minute, second, weekday, offset } = clock.wall(moment);
        const fields = new Date((moment + offset) * 1000);
        expect(Date.UTC(year, month - 1, day, hour, minute, second)).toBe(fields.getTime());
        expect(weekday % 7).toBe(fields.getUTCDay());
      }),
      RUNS,
    );
  });

  it('is the one that a process in that zone has', () => {
    const here = process.env['TZ'];
    try {
      for (const { name, zone } of CLOCKS) {
        process.env['TZ'] = name;
        for (let moment = at('2005-01-01T00:00Z'); moment < at('2030-01-01T00:00Z'); moment += 999_999) {
          expect(0 - new Date(moment * 1000).getTimezoneOffset() * 60).toBe(zone(moment));
        }
      }
    } finally {
      if (here === undefined) delete process.env['TZ'];
      else process.env['TZ'] = here;
    }
  });
});

describe('periodName', () => {
  // each line as `date -u -d DAY +%G-W%V` has it
  it.each([
    ['1969-12-28', '1969-W52'],
    ['1969-12-29', '1970-W01'],
    ['1970-01-01', '1970-W01'],
    ['1970-01-04', '1970-W01'],
    ['1970-01-05', '1970-W02'],
    ['2000-01-02', '1999-W52'],
    ['2000-01-03', '2000-W01'],
    ['2008-12-28', '2008-W52'],
    ['2008-12-29', '2009-W01'],
    ['2010-01-03', '2009-W53'],
    ['2010-01-04', '2010-W01'],
    ['2014-12-29', '2015-W01'],
    ['2015-12-27', '2015-W52'],
    ['2015-12-28', '2015-W53'],
    ['2016-01-03', '2015-W53'],
    ['2016-01-04', '2016-W01'],
    ['2017-01-01', '2016-W52'],
    ['2018-12-31', '2019-W01'],
    ['2019-12-30', '2020-W01'],
    ['2020-12-27', '2020-W52'],
    ['2020-12-31', '2020-W53'],
    ['2021-01-03', '2020-W53'],
    ['2021-01-04', '2021-W01'],
    ['2022-01-02', '2021-W52'],
    ['2024-02-29', '2024-W09'],
    ['2024-12-29', '2024-W52'],
    ['2024-12-30', '2025-W01'],
    ['2026-01-01', '2026-W01'],
    ['2026-12-28', '2026-W53'],
    ['2027-01-03', '2026-W53'],
    ['2027-01-04', '2027-W01'],
  ])('%s is in %s, from its first second to its last', (day, week) => {
    expect(periodName('weekly', at(`${day}T00:00:00Z`), UTC.zone)).toBe(week);
    expect(periodName('weekly', at(`${day}T23:59:59Z`), UTC.zone)).toBe(week);
  });

  it.each([
    ['UTC', '1970-01-01T00:00:00Z', '1970-01-01 00h', '1970-01-01', '1970-W01', '1970-01', '1970'],
    ['UTC', '1969-12-31T23:59:59Z', '1969-12-31 23h', '1969-12-31', '1970-W01', '1969-12', '1969'],
    ['UTC', '1899-12-31T23:00:00Z', '1899-12-31 23h', '1899-12-31', '1899-W52', '1899-12', '1899'],
    ['UTC', '2024-02-29T12:00:00Z', '2024-02-29 12h', '2024-02-29', '2024-W09', '2024-02', '2024'],
    ['UTC', '0050-06-01T00:00:00Z', '0050-06-01 00h', '0050-06-01', '0050-W22', '0050-06', '0050'],
    [
      'UTC',
      '+012345-06-01T00:00:00Z',
      '+012345-06-01 00h',
      '+012345-06-01',
      '+012345-W22',
      '+012345-06',
      '+012345',
    ],
    ['Europe/Berlin', '2026-12-31T23:30:00Z', '2027-01-01 00h', '2027-01-01', '2026-W53', '2027-01', '2027'],
    [
      'America/New_York',
      '2027-01-01T04:59:59Z',
      '2026-12-31 23h',
      '2026-12-31',
      '2026-W53',
      '2026-12',
      '2026',
    ],
    ['Asia/Kolkata', '2026-02-28T18:30:00Z', '2026-03-01 00h', '2026-03-01', '2026-W09', '2026-03', '2026'],
    ['Pacific/Apia', '2011-12-30T09:59:59Z', '2011-12-29 23h', '2011-12-29', '2011-W52', '2011-12', '2011'],
    ['Pacific/Apia', '2011-12-30T10:00:00Z', '2011-12-31 00h', '2011-12-31', '2011-W52', '2011-12', '2011'],
    [
      'Australia/Lord_Howe',
      '2026-04-04T15:00:00Z',
      '2026-04-05 01h',
      '2026-04-05',
      '2026-W14',
      '2026-04',
      '2026',
    ],
    [
      'America/St_Johns',
      '2010-11-07T02:31:00Z',
      '2010-11-06 23h',
      '2010-11-06',
      '2010-W44',
      '2010-11',
      '2010',
    ],
    [
      'America/Sao_Paulo',
      '2018-11-04T03:00:00Z',
      '2018-11-04 01h',
      '2018-11-04',
      '2018-W44',
      '2018-11',
      '2018',
    ],
    [
      'Africa/Casablanca',
      '2026-02-15T01:59:59Z',
      '2026-02-15 02h',
      '2026-02-15',
      '2026-W07',
      '2026-02',
      '2026',
    ],
  ])('%s %s', (zone, moment, ...names) => {
    expect(PERIODS.map((period) => periodName(period, at(moment), clockOf(zone).zone))).toEqual(names);
  });

  it('says what Intl says, at any moment in any zone', () => {
    fc.assert(
      fc.property(clockAndMoment, ({ clock, moment }) => {
        for (const period of PERIODS) {
          expect(periodName(period, moment, clock.zone)).toBe(nameOf(period, clock, moment));
        }
      }),
      RUNS,
    );
  });
});

describe('periodKey', () => {
  // of one zone two moments, and the periods that they share
  it.each([
    [
      'Europe/Berlin: the hour that the change repeats',
      '2026-10-25 02:30 +02:00',
      '2026-10-25 02:30 +01:00',
      'dwmy',
    ],
    ['Europe/Berlin: a day of 25 hours', '2026-10-25 00:00 +02:00', '2026-10-25 23:59 +01:00', 'dwmy'],
    ['Europe/Berlin: a day of 23 hours', '2026-03-29 00:00 +01:00', '2026-03-29 23:59 +02:00', 'dwmy'],
    [
      'Europe/Berlin: either side of a skipped hour',
      '2026-03-29 01:59 +01:00',
      '2026-03-29 03:00 +02:00',
      'dwmy',
    ],
    ['America/New_York: repeated hour', '2026-11-01 01:00 -04:00', '2026-11-01 01:00 -05:00', 'dwmy'],
    ['America/New_York: midnight', '2026-10-31 23:59 -04:00', '2026-11-01 00:00 -04:00', 'wy'],
    [
      'America/St_Johns: back into the day before',
      '2010-11-07 00:00 -02:30',
      '2010-11-07 00:01 -03:30',
      'dwmy',
    ],
    [
      'America/St_Johns: back into the day before',
      '2010-11-06 22:00 -02:30',
      '2010-11-06 23:01 -03:30',
      'dwmy',
    ],
    [
      'America/St_Johns: back into the day before',
      '2010-11-06 23:59 -02:30',
      '2010-11-06 23:01 -03:30',
      'dwmy',
    ],
    ['Australia/Lord_Howe: repeated half hour', '2026-04-05 01:59 +11:00', '2026-04-05 01:30 +10:30', 'dwmy'],
    ['Australia/Lord_Howe: its first half', '2026-04-05 01:00 +11:00', '2026-04-05 01:59 +11:00', 'hdwmy'],
    ['Asia/Kolkata: an hour', '2026-03-01 00:00 +05:30', '2026-03-01 00:59:59 +05:30', 'hdwmy'],
    ['Africa/Casablanca: out of Ramadan', '2026-03-22 01:59 +00:00', '2026-03-22 03:00 +01:00', 'dwmy'],
    ['Pacific/Apia: over the skipped day', '2011-12-29 23:59 -10:00', '2011-12-31 00:00 +14:00', 'wmy'],
    ['America/Sao_Paulo: day that begins at 1', '2018-11-03 23:59 -03:00', '2018-11-04 01:00 -02:00', 'wmy'],
    ['America/Sao_Paulo: repeated 23h', '2018-02-17 23:00 -02:00', '2018-02-17 23:00 -03:00', 'dwmy'],
    ['UTC: a week begins on Monday', '2026-11-22 23:59 Z', '2026-11-23 00:00 Z', 'my'],
    ['UTC: a week over the end of a year', '2026-12-28 00:00 Z', '2027-01-03 23:59 Z', 'w'],
    ['UTC: the epoch', '1969-12-31 23:59 Z', '1970-01-01 00:00 Z', 'w'],
    ['UTC: an hour before the epoch', '1969-12-31 23:00 Z', '1969-12-31 23:59:59 Z', 'hdwmy'],
    ['UTC: a year later', '2025-11-23 14:00 Z', '2026-11-23 14:00 Z', ''],
    ['UTC: a century later', '0050-01-01T00:00Z', '1950-01-01T00:00Z', ''],
    ['UTC: the years after 9999', '+012345-06-01T00:00Z', '+012399-06-01T00:00Z', ''],
  ])('%s: %s and %s', (title, first, second, shared) => {
    const { zone } = clockOf(title.split(':')[0] ?? '');
    const same = PERIODS.filter(
      (period) => periodKey(period, at(first), zone) === periodKey(period, at(second), zone),
    );
    expect(same.map((period) => period[0]).join('')).toBe(shared);
  });

  it('is equal exactly where Intl shows one period, for any two moments in any zone', () => {
    const distances = fc.oneof(
      fc.integer({ min: 0, max: 7200 }),
      fc.integer({ min: 0, max: 200_000 }),
      fc.integer({ min: 0, max: 40_000_000 }),
    );
    fc.assert(
      fc.property(clockAndMoment, distances, ({ clock, moment }, distance) => {
        for (const period of PERIODS) {
          const same =
            periodKey(period, moment, clock.zone) === periodKey(period, moment + distance, clock.zone);
          expect(same).toBe(
            identityOf(period, clock, moment) === identityOf(period, clock, moment + distance),
          );
        }
      }),
      RUNS,
    );
  });
});

describe('before', () => {
  it.each([
    ['UTC', '2026-11-23 14:05:06 Z', '1h', '2026-11-23 13:05:06 +00:00'],
    ['UTC', '2026-11-23 14:05:06 Z', '14d', '2026-11-09 14:05:06 +00:00'],
    ['UTC', '2026-11-23 14:05:06 Z', '2w', '2026-11-09 14:05:06 +00:00'],
    ['UTC', '2026-03-31 12:00 Z', '1m', '2026-02-28 12:00:00 +00:00'],
    ['UTC', '2024-03-31 12:00 Z', '1m', '2024-02-29 12:00:00 +00:00'],
    ['UTC', '2024-02-29 12:00 Z', '1y', '2023-02-28 12:00:00 +00:00'],
    ['UTC', '2024-02-29 12:00 Z', '4y', '2020-02-29 12:00:00 +00:00'],
    ['UTC', '2000-02-29 12:00 Z', '100y', '1900-02-28 12:00:00 +00:00'],
    ['UTC', '2026-05-31 12:00 Z', '1m', '2026-04-30 12:00:00 +00:00'],
    // months first, then days: the 28th less one and not the 30th of March less a month
    ['UTC', '2026-03-31 12:00 Z', '1m1d', '2026-02-27 12:00:00 +00:00'],
    ['UTC', '2026-01-15 12:00 Z', '1m', '2025-12-15 12:00:00 +00:00'],
    ['UTC', '2026-01-15 12:00 Z', '2y6m', '2023-07-15 12:00:00 +00:00'],
    ['UTC', '1970-01-15 12:00 Z', '1m', '1969-12-15 12:00:00 +00:00'],
    // 23 and 25 hours are a day, but 24h is 24 hours
    ['Europe/Berlin', '2026-03-29 12:00 +02:00', '1d', '2026-03-28 12:00:00 +01:00'],
    ['Europe/Berlin', '2026-03-29 12:00 +02:00', '24h', '2026-03-28 11:00:00 +01:00'],
    ['Europe/Berlin', '2026-10-25 12:00 +01:00', '1d', '2026-10-24 12:00:00 +02:00'],
    ['Europe/Berlin', '2026-10-25 12:00 +01:00', '24h', '2026-10-24 13:00:00 +02:00'],
    ['America/New_York', '2026-03-08 12:00 -04:00', '1d', '2026-03-07 12:00:00 -05:00'],
    ['America/New_York', '2026-11-01 12:00 -05:00', '1d', '2026-10-31 12:00:00 -04:00'],
    // a time that was skipped is later, on both sides of Greenwich
    ['Europe/Berlin', '2026-03-30 02:30 +02:00', '1d', '2026-03-29 03:30:00 +02:00'],
    ['America/New_York', '2026-03-09 02:30 -04:00', '1d', '2026-03-08 03:30:00 -04:00'],
    ['Australia/Lord_Howe', '2026-10-05 02:10 +11:00', '1d', '2026-10-04 02:40:00 +11:00'],
    ['America/St_Johns', '2011-03-14 00:30 -02:30', '1d', '2011-03-13 01:30:00 -02:30'],
    ['America/Sao_Paulo', '2018-11-05 00:30 -02:00', '1d', '2018-11-04 01:30:00 -02:00'],
    ['Africa/Casablanca', '2026-03-23 02:30 +01:00', '1d', '2026-03-22 03:30:00 +01:00'],
    ['Pacific/Apia', '2012-01-01 08:00 +14:00', '2d', '2011-12-31 08:00:00 +14:00'],
    ['Pacific/Apia', '2012-01-01 08:00 +14:00', '3d', '2011-12-29 08:00:00 -10:00'],
    // a time that was repeated is the first one, on both sides of Greenwich
    ['Europe/Berlin', '2026-10-26 02:30 +01:00', '1d', '2026-10-25 02:30:00 +02:00'],
    ['America/New_York', '2026-11-02 01:30 -05:00', '1d', '2026-11-01 01:30:00 -04:00'],
    ['Australia/Lord_Howe', '2026-04-06 01:45 +10:30', '1d', '2026-04-05 01:45:00 +11:00'],
    ['America/Sao_Paulo', '2018-02-18 23:30 -03:00', '1d', '2018-02-17 23:30:00 -02:00'],
    // hours are exact, also out of the middle of a repeated hour
    ['Europe/Berlin', '2026-10-25 02:30 +01:00', '1h', '2026-10-25 02:30:00 +02:00'],
    ['Europe/Berlin', '2026-10-25 02:30 +02:00', '1h', '2026-10-25 01:30:00 +02:00'],
    ['America/New_York', '2026-11-01 01:30 -05:00', '1h', '2026-11-01 01:30:00 -04:00'],
    ['America/New_York', '2026-11-01 01:30 -04:00', '1h', '2026-11-01 00:30:00 -04:00'],
  ])('%s %s less %s is %s', (zone, moment, text, expected) => {
    const clock = clockOf(zone);
    expect(show(clock, less(at(moment), span(text), clock.zone))).toBe(expected);
  });

  it('is what stepping back through the calendar of Intl gives, at any moment in any zone', () => {
    fc.assert(
      fc.property(clockAndMoment, spans, ({ clock, moment }, size) => {
        expect(less(moment, size, clock.zone)).toBe(momentBefore(clock, moment, size));
      }),
      RUNS,
    );
  });

  it('never comes later for a longer span', () => {
    fc.assert(
      fc.property(clockAndMoment, spans, spans, ({ clock, moment }, size, more) => {
        const longer = {
          hours: size.hours + more.hours,
          days: size.days + more.days,
          months: size.months + more.months,
        };
        const edge = less(moment, size, clock.zone);
        expect(edge).toBeLessThanOrEqual(moment);
        expect(less(moment, longer, clock.zone)).toBeLessThanOrEqual(edge);
      }),
      RUNS,
    );
  });

  it.each(['999999y', '999999y999999y', '290000y', '999999m', '999999w', '2000y', '1976y', '1930y'])(
    'reaches behind every snapshot with %s',
    (text) => {
      for (const { zone } of CLOCKS) {
        const edge = less(at('2026-11-23T14:00Z'), span(text), (seconds) => {
          // Intl's calendar has no year 0: what matters here is that no moment is asked for that no Date can hold
          expect(Number.isNaN(new Date(seconds * 1000).getTime())).toBe(false);
          return zone(Math.max(seconds, 0));
        });
        expect(edge).toBeLessThan(at('1970-01-01T00:00Z'));
      }
    },
  );

  it('counts years before 100 as they are', () => {
    expect(less(at('2026-11-23T14:00Z'), span('1976y'), () => 0)).toBe(at('0050-11-23T14:00Z'));
  });
});

describe('parseSpan', () => {
  it.each([
    ['36h', 36, 0, 0],
    ['14d', 0, 14, 0],
    ['2w', 0, 14, 0],
    ['6m', 0, 0, 6],
    ['2y', 0, 0, 24],
    ['2y6m', 0, 0, 30],
    ['1y2m3w4d5h', 5, 25, 14],
    ['5h4d', 5, 4, 0],
    ['90min', 1.5, 0, 0],
    ['6mo', 0, 0, 6],
    ['1y2mo3m4min', 4 / 60, 0, 17],
    ['1d1d', 0, 2, 0],
    ['0d1h', 1, 0, 0],
    ['007d', 0, 7, 0],
    ['999999y', 0, 0, 11_999_988],
  ])('%s', (text, hours, days, months) => {
    expect(parseSpan(text)).toEqual({ hours, days, months });
  });

  it.each([
    '',
    '0d',
    '0h0d0w0m0y',
    '14',
    'd',
    '14D',
    '-1d',
    '+1d',
    '1.5d',
    ' 1d',
    '1d ',
    '1d\n',
    '1d 2h',
    '1 d',
    '14days',
    '1mi',
    '1mon',
    'min',
    '1s',
    '1000000d',
    '1e3d',
    '0x1d',
    '١d',
    'd1',
    '1d2',
    'constructor',
    '__proto__',
  ])('%j is none', (text) => {
    expect(parseSpan(text)).toBeNull();
  });

  it('adds up whatever is given, in any order', () => {
    const part = fc.tuple(fc.nat({ max: 999_999 }), fc.constantFrom('h', 'd', 'w', 'm', 'y'));
    fc.assert(
      fc.property(fc.array(part, { minLength: 1, maxLength: 6 }), (parts) => {
        const sum = (unit: string) =>
          parts.reduce((total, [count, of]) => total + (of === unit ? count : 0), 0);
        const expected = {
          hours: sum('h'),
          days: sum('d') + 7 * sum('w'),
          months: sum('m') + 12 * sum('y'),
        };
        const empty = parts.every(([count]) => count === 0);
        expect(parseSpan(parts.map(([count, unit]) => `${count}${unit}`).join(''))).toEqual(
          empty ? null : expected,
        );
      }),
    );
  });
});
