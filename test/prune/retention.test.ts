import { describe, expect, it } from 'vitest';
import { parseSpan } from '../../src/model/input/span.ts';
import {
  hasRules,
  planRetention,
  type RetentionCandidate,
  type RetentionRules,
} from '../../src/prune/retention.ts';
import { candidate, rules } from './retention-model.ts';
import { at, clockOf } from './wallclock.ts';

const NOW = at('2026-11-23T14:30Z');

/** A snapshot whose name says when it was taken: `11-23 14:00`, this year unless it is said. */
function taken(when: string, changes: Partial<RetentionCandidate> = {}): RetentionCandidate {
  const day = when.length > 11 ? when : `2026-${when}`;
  return candidate(when, at(`${day.replace(' ', 'T')}Z`), changes);
}

/** Each line of the plan: the name, then the reasons, or `-`. */
function lines(
  snapshots: readonly RetentionCandidate[],
  given: Partial<RetentionRules>,
  zone = 'UTC',
  now = NOW,
): string[] {
  return planRetention(snapshots, rules(given), now, clockOf(zone).zone).map(
    ({ snapshot, keep, reasons }) => {
      expect(keep).toBe(reasons.length > 0);
      return `${snapshot.name}: ${reasons.join(', ') || '-'}`;
    },
  );
}

const within = (text: string): Partial<RetentionRules> => {
  const span = parseSpan(text);
  return span ? { within: span } : {};
};

describe('each rule alone', () => {
  it('keep-last counts snapshots', () => {
    expect(lines([taken('11-23 12:00'), taken('11-23 12:01'), taken('11-23 12:02')], { last: 2 })).toEqual([
      '11-23 12:00: -',
      '11-23 12:01: last',
      '11-23 12:02: last',
    ]);
  });

  it('keep-last of more than there are keeps all', () => {
    expect(lines([taken('11-23 12:00'), taken('11-23 12:01')], { last: 99 })).toEqual([
      '11-23 12:00: last',
      '11-23 12:01: last',
    ]);
  });

  it('keep-hourly keeps the newest of an hour, and counts only hours that have one', () => {
    const snapshots = [
      '11-20 03:59',
      '11-21 07:00',
      '11-23 13:00',
      '11-23 13:59',
      '11-23 14:00',
      '11-23 14:10',
    ];
    expect(
      lines(
        snapshots.map((when) => taken(when)),
        { periods: { hourly: 3 } },
      ),
    ).toEqual([
      '11-20 03:59: -',
      '11-21 07:00: hourly 2026-11-21 07h',
      '11-23 13:00: -',
      '11-23 13:59: hourly 2026-11-23 13h',
      '11-23 14:00: -',
      '11-23 14:10: hourly 2026-11-23 14h',
    ]);
  });

  it('keep-daily: from midnight to midnight', () => {
    const snapshots = ['11-01 12:00', '11-21 00:00', '11-21 23:59', '11-22 00:00', '11-23 00:00'];
    expect(
      lines(
        snapshots.map((when) => taken(when)),
        { periods: { daily: 3 } },
      ),
    ).toEqual([
      '11-01 12:00: -',
      '11-21 00:00: -',
      '11-21 23:59: daily 2026-11-21',
      '11-22 00:00: daily 2026-11-22',
      '11-23 00:00: daily 2026-11-23',
    ]);
  });

  it('keep-weekly: a week begins on Monday, and one belongs to two years', () => {
    const snapshots = ['2026-12-20 12:00', '2026-12-28 00:00', '2027-01-03 23:59', '2027-01-04 00:00'];
    const now = at('2027-01-04T12:00Z');
    expect(
      lines(
        snapshots.map((when) => taken(when)),
        { periods: { weekly: 2 } },
        'UTC',
        now,
      ),
    ).toEqual([
      '2026-12-20 12:00: -',
      '2026-12-28 00:00: -',
      '2027-01-03 23:59: weekly 2026-W53',
      '2027-01-04 00:00: weekly 2027-W01',
    ]);
  });

  it('keep-monthly', () => {
    const snapshots = [
      '2025-11-30 00:00',
      '2026-02-27 00:00',
      '2026-02-28 23:59',
      '2026-11-01 00:00',
      '2026-11-02 00:00',
    ];
    expect(
      lines(
        snapshots.map((when) => taken(when)),
        { periods: { monthly: 2 } },
      ),
    ).toEqual([
      '2025-11-30 00:00: -',
      '2026-02-27 00:00: -',
      '2026-02-28 23:59: monthly 2026-02',
      '2026-11-01 00:00: -',
      '2026-11-02 00:00: monthly 2026-11',
    ]);
  });

  it('keep-yearly', () => {
    const snapshots = ['2022-01-01 00:00', '2024-12-31 23:59', '2026-01-01 00:00'];
    expect(
      lines(
        snapshots.map((when) => taken(when)),
        { periods: { yearly: 2 } },
      ),
    ).toEqual(['2022-01-01 00:00: -', '2024-12-31 23:59: yearly 2024', '2026-01-01 00:00: yearly 2026']);
  });

  it('keep-within counts back from the newest and not from now, and what is exactly that old goes', () => {
    const snapshots = ['01-01 11:59', '01-01 12:00', '01-01 12:01', '01-15 12:00'];
    expect(
      lines(
        snapshots.map((when) => taken(when)),
        within('14d'),
      ),
    ).toEqual(['01-01 11:59: -', '01-01 12:00: -', '01-01 12:01: within', '01-15 12:00: within']);
  });

  it('keep-within a span longer than all calendars keeps all', () => {
    const snapshots = [taken('1971-01-01 00:00'), taken('11-23 14:00')];
    expect(lines(snapshots, within('999999y'))).toEqual(['1971-01-01 00:00: within', '11-23 14:00: within']);
  });

  it('keep-within keeps the newest also where the day before was skipped', () => {
    const newest = candidate('newest', at('2011-12-31T10:00+14:00'));
    expect(lines([newest], { ...within('1d'), allowEmpty: true }, 'Pacific/Apia')).toEqual([
      'newest: within',
    ]);
  });

  it('keep PATTERN', () => {
    const snapshots = [taken('11-01 12:00'), taken('11-02 12:00'), taken('11-03 12:00')];
    expect(lines(snapshots, { matching: (name) => name.startsWith('11-01') })).toEqual([
      '11-01 12:00: name',
      '11-02 12:00: -',
      '11-03 12:00: newest',
    ]);
  });
});

describe('the clock of the zone', () => {
  const night = ['2026-10-24T23:30Z', '2026-10-25T00:30Z', '2026-10-25T01:30Z', '2026-10-25T02:30Z'].map(
    (when) => candidate(when.slice(8, 16), at(when)),
  );

  it('keeps both hours that the change from daylight saving repeats', () => {
    expect(lines(night, { periods: { hourly: 9 } }, 'Europe/Berlin')).toEqual([
      '24T23:30: hourly 2026-10-25 01h',
      '25T00:30: hourly 2026-10-25 02h',
      '25T01:30: hourly 2026-10-25 02h',
      '25T02:30: hourly 2026-10-25 03h',
    ]);
  });

  it('has days of its own', () => {
    expect(lines(night, { periods: { daily: 9 } }, 'Europe/Berlin')).toEqual([
      '24T23:30: -',
      '25T00:30: -',
      '25T01:30: -',
      '25T02:30: daily 2026-10-25',
    ]);
    expect(lines(night, { periods: { daily: 9 } }, 'UTC')).toEqual([
      '24T23:30: daily 2026-10-24',
      '25T00:30: -',
      '25T01:30: -',
      '25T02:30: daily 2026-10-25',
    ]);
  });

  it('counts a day once that a change a minute past midnight goes back into', () => {
    const snapshots = [
      candidate('the 6th, 23:30', at('2010-11-06T23:30-02:30')),
      candidate('the 7th, 00:00', at('2010-11-07T00:00-02:30')),
      candidate('the 6th again, 23:30', at('2010-11-06T23:30-03:30')),
      candidate('the 7th again, 00:00', at('2010-11-07T00:00-03:30')),
    ];
    expect(lines(snapshots, { periods: { daily: 9 } }, 'America/St_Johns')).toEqual([
      'the 6th, 23:30: -',
      'the 7th, 00:00: -',
      'the 6th again, 23:30: daily 2010-11-06',
      'the 7th again, 00:00: daily 2010-11-07',
    ]);
  });
});

describe('what stands apart', () => {
  it('of one second and label, the last that was counted is the newest', () => {
    const second = at('2026-11-23T12:00Z');
    const counted = ['', '-2', '-10'].map((count) => candidate(`l-20261123T120000Z${count}`, second));
    expect(lines(counted, { last: 1 }).at(-1)).toBe('l-20261123T120000Z-10: last');
  });

  it('of one second, the last by name is the newest', () => {
    const second = at('2026-11-23T12:00Z');
    const tied = ['b', 'a', 'c', 'B'].map((name) => candidate(name, second));
    const periods = { daily: 1 };
    expect(lines(tied, { last: 2, periods })).toEqual([
      'B: -',
      'a: -',
      'b: last',
      'c: last, daily 2026-11-23',
    ]);
  });

  it('what is dated in the future stays, and takes no place', () => {
    const snapshots = [
      taken('11-22 12:00'),
      taken('11-23 14:30'),
      taken('11-23 14:31'),
      taken('2027-01-01 00:00'),
    ];
    const future = ['11-23 14:31: dated in the future', '2027-01-01 00:00: dated in the future'];
    expect(lines(snapshots, { last: 1 })).toEqual(['11-22 12:00: -', '11-23 14:30: last', ...future]);
    expect(lines(snapshots, { periods: { yearly: 2 } })).toEqual([
      '11-22 12:00: -',
      '11-23 14:30: yearly 2026',
      ...future,
    ]);
    expect(lines(snapshots, within('1d'))).toEqual(['11-22 12:00: -', '11-23 14:30: within', ...future]);
  });

  it('what is held stays, and takes a place', () => {
    const snapshots = [taken('11-21 12:00'), taken('11-22 12:00'), taken('11-23 12:00', { held: true })];
    expect(lines(snapshots, { last: 1 })).toEqual([
      '11-21 12:00: -',
      '11-22 12:00: -',
      '11-23 12:00: held, last',
    ]);
    expect(lines(snapshots, { last: 0 })).toEqual(['11-21 12:00: -', '11-22 12:00: -', '11-23 12:00: held']);
  });

  it('what is under way stays, takes no place, and is not the newest', () => {
    const snapshots = [
      taken('11-21 12:00'),
      taken('11-22 12:00'),
      taken('11-23 12:00', { unfinished: 'under way' }),
    ];
    expect(lines(snapshots, { last: 1 })).toEqual([
      '11-21 12:00: -',
      '11-22 12:00: last',
      '11-23 12:00: under way',
    ]);
    expect(lines(snapshots, { last: 0 })).toEqual([
      '11-21 12:00: -',
      '11-22 12:00: newest',
      '11-23 12:00: under way',
    ]);
    expect(lines(snapshots, within('1h'))).toEqual([
      '11-21 12:00: -',
      '11-22 12:00: within',
      '11-23 12:00: under way',
    ]);
  });

  it('what libvirt would not delete stays, and takes a place', () => {
    const snapshots = [taken('11-22 12:00'), taken('11-23 12:00', { undeletable: 'has external disks' })];
    expect(lines(snapshots, { last: 1 })).toEqual([
      '11-22 12:00: -',
      '11-23 12:00: has external disks, last',
    ]);
  });

  it('alone, each of them leaves a prune nothing to do', () => {
    const held = taken('11-20 12:00', { held: true });
    const underWay = taken('11-21 12:00', { unfinished: 'under way' });
    const future = taken('12-21 12:00');
    expect(lines([held, underWay, future], { last: 0, allowEmpty: true })).toEqual([
      '11-20 12:00: held',
      '11-21 12:00: under way',
      '12-21 12:00: dated in the future',
    ]);
  });
});

describe('without a rule, and with one that keeps nothing', () => {
  const snapshots = [taken('11-22 12:00'), taken('11-23 12:00')];

  it.each<[string, Partial<RetentionRules>]>([
    ['nothing', {}],
    ['allow-empty alone', { allowEmpty: true }],
  ])('%s deletes nothing', (_, given) => {
    expect(hasRules(rules(given))).toBe(false);
    expect(lines(snapshots, given)).toEqual(['11-22 12:00: no rule', '11-23 12:00: no rule']);
  });

  it('nor does a period that was not given', () => {
    const periods: Record<string, number | undefined> = { daily: undefined };
    expect(hasRules({ periods: periods as RetentionRules['periods'], allowEmpty: true })).toBe(false);
  });

  it.each<[string, Partial<RetentionRules>]>([
    ['last 0', { last: 0 }],
    ['daily 0', { periods: { daily: 0 } }],
    ['all 0', { last: 0, periods: { hourly: 0, daily: 0, weekly: 0, monthly: 0, yearly: 0 } }],
    ['a name that none has', { matching: () => false }],
  ])('%s keeps the newest, unless empty is allowed', (_, given) => {
    expect(hasRules(rules(given))).toBe(true);
    expect(lines(snapshots, given)).toEqual(['11-22 12:00: -', '11-23 12:00: newest']);
    expect(lines(snapshots, { ...given, allowEmpty: true })).toEqual(['11-22 12:00: -', '11-23 12:00: -']);
  });

  it('0 beside another rule adds nothing and takes nothing', () => {
    expect(lines(snapshots, { last: 0, periods: { daily: 1 } })).toEqual([
      '11-22 12:00: -',
      '11-23 12:00: daily 2026-11-23',
    ]);
  });

  it('of no snapshots there is no plan', () => {
    expect(lines([], { last: 1 })).toEqual([]);
    expect(lines([], {})).toEqual([]);
  });
});

it('all reasons are told, oldest snapshot first', () => {
  const snapshots = [
    taken('2024-12-31 12:00'),
    taken('2025-12-30 12:00'),
    taken('2025-12-31 12:00'),
    taken('10-31 12:00', { held: true, undeletable: 'has external disks' }),
    taken('11-20 12:00'),
    taken('11-22 12:00'),
    taken('11-23 12:00'),
    taken('11-23 13:00'),
  ];
  const given = {
    last: 2,
    periods: { hourly: 1, daily: 2, weekly: 2, monthly: 2, yearly: 2 },
    ...within('30h'),
    matching: (name: string) => name === '2025-12-30 12:00',
  };
  expect(lines([...snapshots].reverse(), given)).toEqual([
    '2024-12-31 12:00: -',
    '2025-12-30 12:00: name',
    '2025-12-31 12:00: yearly 2025',
    '10-31 12:00: held, has external disks, monthly 2026-10',
    '11-20 12:00: -',
    '11-22 12:00: within, daily 2026-11-22, weekly 2026-W47',
    '11-23 12:00: last, within',
    '11-23 13:00: last, within, hourly 2026-11-23 13h, daily 2026-11-23, weekly 2026-W48, monthly 2026-11, yearly 2026',
  ]);
});

describe('where the clock was set back (hazard 52)', () => {
  // taken one after the other: the third when the clock was nine hours behind
  const back = ['11-23 10:00', '11-23 12:00', '11-23 03:00'].map((when, place) => taken(when, { place }));

  it('the newest is the last of the tree, whatever its date', () => {
    expect(lines(back, { last: 1 })).toEqual(['11-23 10:00: -', '11-23 12:00: -', '11-23 03:00: last']);
    expect(lines([...back].reverse(), { last: 0 })).toEqual([
      '11-23 10:00: -',
      '11-23 12:00: -',
      '11-23 03:00: newest',
    ]);
  });

  it('of a day it is the one that is kept, and a span counts back from it', () => {
    expect(lines(back, { periods: { daily: 1 } })).toEqual([
      '11-23 10:00: -',
      '11-23 12:00: -',
      '11-23 03:00: daily 2026-11-23',
    ]);
    expect(lines(back, within('2h'))).toEqual([
      '11-23 10:00: within',
      '11-23 12:00: within',
      '11-23 03:00: within',
    ]);
  });
});
