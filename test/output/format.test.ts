import fc from 'fast-check';
import { afterEach, describe, expect, test, vi } from 'vitest';
import {
  humanBytes,
  humanSpan,
  isPlainAscii,
  localTime,
  rfc3339,
  visible,
  visibleLines,
} from '../../src/output/format.ts';
import { anyCharacter } from '../any-name.ts';

afterEach(() => {
  vi.unstubAllEnvs();
});

describe('sizes', () => {
  test.each([
    [0, '0 B'],
    [1, '1 B'],
    [1023, '1023 B'],
    [1024, '1.0 KiB'],
    [1536, '1.5 KiB'],
    [102_348, '99.9 KiB'],
    [102_400, '100 KiB'],
    [1_048_063, '1023 KiB'],
    [1_048_524, '1.0 MiB'],
    [1_048_575, '1.0 MiB'],
    [1_048_576, '1.0 MiB'],
    [1_288_490_189, '1.2 GiB'],
    [5 * 1024 ** 4, '5.0 TiB'],
    [3 * 1024 ** 5, '3.0 PiB'],
    [5000 * 1024 ** 5, '5000 PiB'],
  ])('%i is %s', (bytes, text) => {
    expect(humanBytes(bytes)).toBe(text);
  });

  test('are never four digits and a point, nor off by more than one in a hundred', () => {
    const factor: Readonly<Record<string, number>> = {
      B: 1,
      KiB: 2 ** 10,
      MiB: 2 ** 20,
      GiB: 2 ** 30,
      TiB: 2 ** 40,
      PiB: 2 ** 50,
    };
    fc.assert(
      fc.property(fc.maxSafeNat(), (bytes) => {
        const [, number = '', unit = ''] =
          /^(\d{1,4}|\d{1,2}\.\d) ([A-Za-z]+)$/.exec(humanBytes(bytes)) ?? [];
        const meant = Number(number) * (factor[unit] ?? Number.NaN);
        expect(Math.abs(meant - bytes)).toBeLessThanOrEqual(bytes * 0.05 + 0.5);
      }),
    );
  });
});

describe('spans', () => {
  test.each([
    [0, '0 s'],
    [59.4, '59 s'],
    [59.6, '1 min'],
    [3599, '59 min'],
    [3600, '1 h'],
    [86_399, '23 h'],
    [12.5 * 86_400, '12 d'],
    [365 * 86_400, '1 y'],
    [-90, '-1 min'],
  ])('%d s is %s', (seconds, text) => {
    expect(humanSpan(seconds)).toBe(text);
  });
});

describe('times', () => {
  test.each([
    ['UTC', 1_795_424_800, '2026-11-23T09:06:40+00:00'],
    ['Asia/Shanghai', 1_795_424_800, '2026-11-23T17:06:40+08:00'],
    ['Asia/Kathmandu', 1_795_424_800, '2026-11-23T14:51:40+05:45'],
    ['America/St_Johns', 1_795_424_800, '2026-11-23T05:36:40-03:30'],
    ['Pacific/Kiritimati', 1_795_424_800, '2026-11-23T23:06:40+14:00'],
    // the same wall clock twice, in the night that summer time ends
    ['Europe/Berlin', 1_792_888_200, '2026-10-25T02:30:00+02:00'],
    ['Europe/Berlin', 1_792_891_800, '2026-10-25T02:30:00+01:00'],
    ['UTC', 0, '1970-01-01T00:00:00+00:00'],
    ['America/New_York', 0, '1969-12-31T19:00:00-05:00'],
    ['Nowhere/Unknown', 0, '1970-01-01T00:00:00+00:00'],
  ])('in %s, %i is %s', (zone, seconds, text) => {
    vi.stubEnv('TZ', zone);
    expect(rfc3339(seconds)).toBe(text);
    expect(localTime(seconds)).toBe(text.slice(0, 19).replace('T', ' '));
  });

  test.each(['UTC', 'America/Caracas', 'Australia/Lord_Howe'])(
    'in %s they are read back as they were',
    (zone) => {
      vi.stubEnv('TZ', zone);
      fc.assert(
        fc.property(fc.integer({ min: 0, max: 4_000_000_000 }), (seconds) => {
          expect(Date.parse(rfc3339(seconds))).toBe(seconds * 1000);
        }),
      );
    },
  );
});

describe('what could redraw a terminal', () => {
  test.each([
    ['plain ~', 'plain ~'],
    ['快照 é 🙂', '快照 é 🙂'],
    ['a\nb\tc', 'a\\nb\\tc'],
    ['\r', '\\x0d'],
    ['\x1b[2J', '\\x1b[2J'],
    ['\x7f', '\\x7f'],
    ['\u009b31m', '\\x9b31m'],
    ['\u202egnp.exe', '\\u202egnp.exe'],
    ['\u2066a\u2069', '\\u2066a\\u2069'],
    ['\u2028', '\\u2028'],
  ])('%j is shown as %s', (text, shown) => {
    expect(visible(text)).toBe(shown);
  });

  test('lines of our own stay lines', () => {
    expect(visibleLines('a\x1b\nb\tc')).toBe('a\\x1b\nb\\tc');
  });

  test('nothing of it is left, and all else is untouched', () => {
    const hidden = /[\p{Cc}\u2028\u2029\u202a-\u202e\u2066-\u2069]/u;
    fc.assert(
      fc.property(
        fc.string({ unit: fc.oneof(anyCharacter, fc.constantFrom(...'a\x1b\x9b\u202e\u2069')) }),
        (text) => {
          expect(visible(text)).not.toMatch(hidden);
          if (!hidden.test(text)) expect(visible(text)).toBe(text);
        },
      ),
    );
  });
});

test.each([
  ['', true],
  ['a ~', true],
  ['a\n', false],
  ['é', false],
  ['\x7f', false],
])('%j is plain: %s', (text, plain) => {
  expect(isPlainAscii(text)).toBe(plain);
});
