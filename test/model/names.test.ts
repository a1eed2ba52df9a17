import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  automaticName,
  isJobName,
  isMonitorName,
  jobNameFor,
  MAX_NAME_BYTES,
  nameProblem,
  nearest,
} from '../../src/model/names.ts';
import { anyName } from '../any-name.ts';

describe('names of new snapshots', () => {
  test.each([
    ['a', null],
    ['before the upgrade', null],
    ['-leading dash', null],
    ['升级前', null],
    ['🙂', null],
    ['a\u{10fffe}', /noncharacter/],
    ['\ufdd0', /noncharacter/],
    [`it's "quoted"; $(rm) \\ %s`, null],
    ['a'.repeat(MAX_NAME_BYTES), null],
    ['快'.repeat(66), null],
    ['', /empty/],
    ['a/b', /'\/'/],
    ['.hidden', /'\.'/],
    ['a\nb', /control/],
    ['a\u007fb', /control/],
    ['a\u009bb', /control/],
    ['a\ud800', /Unicode/],
    ['a'.repeat(MAX_NAME_BYTES + 1), /201 bytes/],
    ['快'.repeat(67), /201 bytes/],
  ])('%j', (name, problem) => {
    if (problem === null) expect(nameProblem(name)).toBeNull();
    else expect(nameProblem(name)).toMatch(problem);
  });
});

describe("names that QEMU's snapshot job takes", () => {
  test.each([
    ['snapshot-2', true],
    ['1.10_x', true],
    ['before upgrade', false],
    ['升级前', false],
    ['a+b', false],
  ])('%j', (name, takes) => {
    expect(isJobName(name)).toBe(takes);
  });

  test.each([
    ['before upgrade', 'before-upgrade'],
    ['  été: 1 ', 'e-te-1'],
    ['..a', 'a'],
    ['升级前', 'snapshot'],
    [`${'a'.repeat(300)}!`, 'a'.repeat(200)],
  ])('%j is proposed as %j', (name, proposed) => {
    expect(jobNameFor(name)).toBe(proposed);
  });

  test('what is proposed is always taken', () => {
    fc.assert(
      fc.property(anyName, (name) => {
        const proposed = jobNameFor(name);
        expect([isJobName(proposed), nameProblem(proposed)]).toEqual([true, null]);
      }),
    );
  });
});

test.each([
  ["升级 'x'; $(y)", true],
  ['a"b', false],
  ['a\\b', false],
])('the monitor of an older QEMU takes %j: %s', (name, takes) => {
  expect(isMonitorName(name)).toBe(takes);
});

describe('automatic names', () => {
  test.each([
    [[], '1795424800'],
    [['other', '1795424799'], '1795424800'],
    [['1795424800'], '1795424800-2'],
    [['1795424800', '1795424800-2', '1795424800-4'], '1795424800-3'],
  ])('beside %j: %s', (taken, name) => {
    expect(automaticName(1_795_424_800, (candidate) => taken.includes(candidate))).toBe(name);
  });
});

describe('the nearest name', () => {
  test.each([
    ['cetos7-1', ['centos7-2', 'centos7-1', 'web'], 'centos7-1'],
    ['centos7-1.qcow2', ['centos7-2', 'centos7-1'], 'centos7-1'],
    ['delet', ['create', 'create-as', 'list', 'ls', 'delete', 'rm'], 'delete'],
    ['lsit', ['list', 'info'], 'list'],
    ['CentOS7-1', ['centos7-1'], 'centos7-1'],
    ['ls', ['rm', 'la'], 'la'],
    ['3', ['7', '33'], null],
    ['ab', ['xy', 'b'], 'b'],
    ['升级钱', ['升级前', '升级后-备份'], '升级前'],
    ['database', ['web-1', 'mail'], null],
    ['anything', [], null],
    // the only one that begins so
    ['web', ['db', 'web-frontend-1', 'my-web'], 'web-frontend-1'],
    ['Centos', ['centos7-template', 'debian'], 'centos7-template'],
    ['web', ['wen', 'web-frontend'], 'web-frontend'],
    ['web', ['web-frontend-1', 'web-frontend-2'], null],
    ['w', ['web-frontend-1'], null],
  ])('of %j among %j: %j', (word, candidates, meant) => {
    expect(nearest(word, candidates)).toBe(meant);
  });

  /** Optimal string alignment, by its definition: no rows kept, no way out early. */
  function distance(a: string, b: string): number {
    if (a === '' || b === '') return a.length + b.length;
    const [shortA, shortB] = [a.slice(0, -1), b.slice(0, -1)];
    const ways = [
      distance(shortA, b) + 1,
      distance(a, shortB) + 1,
      distance(shortA, shortB) + (a.at(-1) === b.at(-1) ? 0 : 1),
    ];
    if (a.length > 1 && b.length > 1 && a.at(-1) === b.at(-2) && a.at(-2) === b.at(-1))
      ways.push(distance(a.slice(0, -2), b.slice(0, -2)) + 1);
    return Math.min(...ways);
  }

  test('is the only one that begins so, or the first of the smallest distance, and never further than a third', () => {
    const word = fc.string({ unit: fc.constantFrom('a', 'b', 'c'), minLength: 1, maxLength: 6 });
    fc.assert(
      fc.property(word, fc.array(word, { maxLength: 4 }), (wanted, candidates) => {
        const allowed = Math.min(wanted.length - 1, Math.max(1, Math.floor(wanted.length / 3)));
        const distances = candidates.map((candidate) => distance(wanted, candidate));
        const smallest = Math.min(...distances);
        const near = smallest <= allowed ? candidates[distances.indexOf(smallest)] : null;
        const begun = wanted.length > 1 ? candidates.filter((each) => each.startsWith(wanted)) : [];
        const expected = begun.length === 1 ? begun[0] : near;
        expect(nearest(wanted, candidates)).toBe(expected);
      }),
      { numRuns: 300 },
    );
  });

  test('is found among thousands of long names at once', () => {
    const names = Array.from({ length: 2000 }, (_, i) => `${'machine-of-a-long-name-'.repeat(4)}${i}`);
    const started = process.cpuUsage();
    expect(nearest(`${'machine-of-a-long-nam-'.repeat(4)}777`, names)).toBe(names[777]);
    expect(process.cpuUsage(started).user / 1000).toBeLessThan(2000);
  });
});
