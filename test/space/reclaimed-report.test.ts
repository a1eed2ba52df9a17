import { expect, test } from 'vitest';
import { freedLines } from '../../src/space/reclaimed-report.ts';
import { MiB } from '../model.ts';

const of = (name: string, bytes: number | null, approximate = false) => ({
  vm: { name, uuid: name },
  freed: { bytes, approximate },
});

test.each([
  ['nothing was to go', false, [{ ...of('a', 0), freed: null }], []],
  ['one VM', false, [of('a', 3 * MiB)], ['freed 3.0 MiB']],
  ['beforehand', true, [of('a', 3 * MiB)], ['would free 3.0 MiB']],
  ['several, one running', false, [of('a', MiB), of('b', 2 * MiB, true)], ['freed ~3.0 MiB']],
  ['not known', false, [of('a', null)], ['freed an unknown amount of space']],
  ['not known beforehand', true, [of('a', null)], ['would free an unknown amount of space']],
  [
    'not known of some',
    false,
    [of('a', MiB), of('b', null, true), of('c', null)],
    ['freed 1.0 MiB (unknown for b, c)'],
  ],
])('%s', (_, dryRun, each, lines) => expect(freedLines(dryRun, each)).toEqual(lines));
