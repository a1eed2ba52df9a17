import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { byTimeAndName, labeledName, labelOf, labelProblem } from '../../src/model/labels.ts';
import { nameProblem } from '../../src/model/names.ts';

const THREE = Date.UTC(2026, 10, 23, 3) / 1000;
const free = () => false;

describe('the label of a name', () => {
  it.each([
    ['nightly-20261123T030000Z', 'nightly'],
    ['nightly-20261123T030000Z-2', 'nightly'],
    ['nightly-20261123T030000Z-13', 'nightly'],
    ['web-20261123T030000Z', 'web'],
    ['web-db-20261123T030000Z', 'web-db'],
    ['a.b_c-20261123T030000Z', 'a.b_c'],
    ['夜-20261123T030000Z', '夜'], // by hand, and no label that create takes
    ['nightly', null],
    ['nightly-', null],
    ['1649751390', null],
    ['20261123T030000Z', null],
    ['-20261123T030000Z', null],
    ['nightly-20261123T030000', null],
    ['nightly-20261123T0300Z', null],
    ['nightly-20261123t030000z', null],
    ['nightly-20261123T030000Z-', null],
    ['nightly-20261123T030000Z-x', null],
    ['nightly-20261123T030000Z ', null],
    ['nightly-20261123T030000Z\n', null],
    ['nightly-2026-11-23T03:00:00Z', null],
    ['nightly_20261123T030000Z', null],
  ])('of %j is %j', (name, label) => expect(labelOf(name)).toBe(label));
});

describe('what can be a label', () => {
  it.each(['nightly', 'n', '7', 'web-db', 'a.b_c', 'Nightly-2', 'web-20261123', 'x'.repeat(150)])(
    '%j',
    (label) => expect(labelProblem(label)).toBeNull(),
  );

  it.each([
    '',
    '-nightly',
    '.nightly',
    '_x',
    'two words',
    'a/b',
    'a%b',
    'a*',
    '夜',
    "it's",
    'a\n',
    'x'.repeat(151),
    'nightly-20261123T030000Z',
    'nightly-20261123T030000Z-2',
  ])('not %j', (label) => expect(labelProblem(label)).not.toBeNull());
});

describe('the name of a labeled snapshot', () => {
  it('is the label and the time in UTC, to the second', () => {
    expect(labeledName('nightly', THREE, free)).toBe('nightly-20261123T030000Z');
  });

  it('counts up where it is taken', () => {
    const taken = new Set(['nightly-20261123T030000Z', 'nightly-20261123T030000Z-2']);
    expect(labeledName('nightly', THREE, (name) => taken.has(name))).toBe('nightly-20261123T030000Z-3');
  });

  it('never goes into a gap that a prune has left', () => {
    const taken = new Set(['nightly-20261123T030000Z-2', 'nightly-20261123T030000Z-12']);
    expect(labeledName('nightly', THREE, (name) => taken.has(name))).toBe('nightly-20261123T030000Z-13');
  });

  const label = fc
    .stringMatching(/^[A-Za-z0-9][A-Za-z0-9._-]{0,30}$/)
    .filter((text) => labelProblem(text) === null);
  const moment = fc.integer({ min: 0, max: Date.UTC(2200, 0) / 1000 });

  it('carries its label, however many were taken, and any image can hold it', () => {
    fc.assert(
      fc.property(label, moment, fc.integer({ min: 0, max: 30 }), (given, seconds, many) => {
        const taken = new Set<string>();
        for (let n = 0; n < many; n++) taken.add(labeledName(given, seconds, (name) => taken.has(name)));
        expect(taken.size).toBe(many);
        const name = labeledName(given, seconds, (candidate) => taken.has(candidate));
        expect(labelOf(name)).toBe(given);
        expect(nameProblem(name)).toBeNull();
      }),
    );
  });

  it('sorts by time, and belongs to no other label', () => {
    fc.assert(
      fc.property(label, label, moment, moment, (given, other, a, b) => {
        const [first, second] = [a, b].map((seconds) => labeledName(given, seconds, free));
        expect(Math.sign(a - b)).toBe(first === second ? 0 : (first ?? '') < (second ?? '') ? -1 : 1);
        if (other !== given) expect(labelOf(first ?? '')).not.toBe(other);
      }),
    );
  });
});

describe('the order of snapshots', () => {
  const sorted = (...names: string[]) =>
    names
      .map((name) => ({ name, createdAtSeconds: THREE }))
      .sort(byTimeAndName)
      .map(({ name }) => name);

  it('is that in which labeled ones of one second were counted', () => {
    const counted: string[] = [];
    for (let n = 0; n < 12; n++) counted.push(labeledName('l', THREE, (name) => counted.includes(name)));
    expect(sorted(...[...counted].sort())).toEqual(counted);
    expect(sorted('m-20261123T030000Z', 'l-20261123T030000Z-10', 'b', 'l-20261123T030000Z-2')).toEqual([
      'b',
      'l-20261123T030000Z-2',
      'l-20261123T030000Z-10',
      'm-20261123T030000Z',
    ]);
  });

  const name = fc.tuple(
    fc.constantFrom('a', 'l-20261123T030000Z', 'l'),
    fc.constantFrom('', '-', '-1', '-02', '-2', '-10'),
  );
  const dated = fc.record({
    name: name.map((parts) => parts.join('')),
    createdAtSeconds: fc.nat({ max: 1 }),
  });

  it('is one order, whatever is compared first', () => {
    fc.assert(
      fc.property(dated, dated, dated, (a, b, c) => {
        expect(Math.sign(byTimeAndName(a, b))).toBe(0 - Math.sign(byTimeAndName(b, a)));
        if (byTimeAndName(a, b) < 0 && byTimeAndName(b, c) < 0) expect(byTimeAndName(a, c)).toBeLessThan(0);
        expect(byTimeAndName(a, b) === 0).toBe(
          a.name === b.name && a.createdAtSeconds === b.createdAtSeconds,
        );
      }),
    );
  });
});
