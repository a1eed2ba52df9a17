import { describe, expect, test } from 'vitest';
import { KvmsnapError } from '../../src/errors.ts';
import { DOCUMENTS } from '../../src/output/contract.ts';
import { describeError } from '../../src/output/error.ts';

const text = (error: unknown) => describeError(error, { json: false, level: 0 });
const json = (error: unknown): unknown => JSON.parse(describeError(error, { json: true, level: 1 }));

const failure = (details: { hint?: string; command?: string }, message = 'it failed') =>
  new KvmsnapError('check', message, details);

describe('as text', () => {
  test.each([
    ['bare', failure({}), 'error: it failed\n'],
    ['with a hint', failure({ hint: 'do this' }), 'error: it failed\nhint: do this\n'],
    [
      'with a command',
      failure({ command: 'virsh x' }),
      'error: it failed\nhint: run this command\n        virsh x\n',
    ],
    [
      'with both',
      failure({ hint: 'do this', command: 'virsh x' }),
      'error: it failed\nhint: do this\n        virsh x\n',
    ],
    [
      'with a command that the hint tells already',
      failure({ hint: 'run virsh x first', command: 'virsh x' }),
      'error: it failed\nhint: run virsh x first\n',
    ],
    [
      'of several lines, with what could redraw the terminal',
      failure({ hint: 'a\x1b[2J\nb' }, 'one\u009b\n       two'),
      'error: one\\x9b\n       two\nhint: a\\x1b[2J\n      b\n',
    ],
  ])('%s', (_, error, shown) => {
    expect(text(error)).toBe(shown);
  });

  test('with colors where they are wanted', () => {
    expect(describeError(failure({ hint: 'x' }), { json: false, level: 1 })).toBe(
      '\x1b[31merror:\x1b[39m it failed\n\x1b[35mhint:\x1b[39m x\n',
    );
  });

  test('wrapped where there is a width, with its commands whole', () => {
    const error = failure(
      { hint: 'do all of this first', command: 'virsh start a-long-name' },
      'it could not be done',
    );
    expect(describeError(error, { json: false, level: 0, columns: 20 })).toBe(
      [
        'error: it could not',
        '       be done',
        'hint: do all of this',
        '      first',
        '        virsh start a-long-name',
        '',
      ].join('\n'),
    );
  });

  test('of a bug: where it happened, and what to do with it', () => {
    const shown = text(new TypeError('x is undefined'));
    expect(shown).toMatch(/^error: unexpected \(exit 70\): TypeError: x is undefined\n +at /);
    expect(shown).toMatch(/\nhint: this is a bug in kvmsnap: please report it/);
  });

  test('of a bug that threw no Error', () => {
    expect(text('why')).toMatch(/^error: unexpected \(exit 70\): why\n/);
  });
});

describe('as JSON', () => {
  test.each([
    [
      failure({ hint: 'do this', command: 'virsh x' }, 'it \x1b failed'),
      { code: 'check', exitCode: 5, message: 'it \x1b failed', hint: 'do this', command: 'virsh x' },
    ],
    [failure({}), { code: 'check', exitCode: 5, message: 'it failed', hint: null, command: null }],
    [
      new Error('oops'),
      {
        code: 'bug',
        exitCode: 70,
        message: expect.stringMatching(/Error: oops/),
        hint: expect.stringMatching(/report it/),
        command: null,
      },
    ],
  ])('%s', (error, document) => {
    const { command, ...said } = document;
    const finding = { message: said.message, hint: said.hint, commands: command === null ? [] : [command] };
    expect(json(error)).toEqual({ error: { ...document, findings: [finding] } });
    expect(DOCUMENTS.error.safeParse(json(error)).success).toBe(true);
  });

  test('the exit code is that of the run, where a command has its own', () => {
    const shown = describeError(failure({}), { json: true, level: 0, exitCode: 125 });
    expect(JSON.parse(shown).error.exitCode).toBe(125);
  });

  test('one line, without colors', () => {
    const shown = describeError(failure({ hint: 'a\nb' }), { json: true, level: 3 });
    expect(shown.indexOf('\n')).toBe(shown.length - 1);
    expect(shown).not.toContain('\x1b');
  });
});

describe('of several findings', () => {
  const findings = [
    { message: 'a is wrong', hint: 'first fix it', commands: ['virsh a'] },
    { message: 'b is wrong', hint: 'two steps', commands: ['virsh b', 'virsh c'] },
    { message: 'c is wrong', hint: null, commands: [] },
  ];
  const error = KvmsnapError.of('check', 'cannot create s1', findings);

  test('as text: a line each, a command on a line of its own, several numbered', () => {
    expect(text(error)).toBe(
      'error: cannot create s1: a is wrong\n       b is wrong\n       c is wrong\n' +
        'hint: first fix it\n        virsh a\n      two steps\n        1. virsh b\n        2. virsh c\n',
    );
  });

  test('as JSON: no layout in the words, and all of the commands', () => {
    expect(json(error)).toEqual({
      error: {
        code: 'check',
        exitCode: 5,
        message: 'cannot create s1: a is wrong; b is wrong; c is wrong',
        hint: 'first fix it: virsh a; two steps',
        command: 'virsh a',
        findings,
      },
    });
  });

  test('a command that its hint tells already is told once', () => {
    const told = KvmsnapError.of('check', null, [
      { message: 'a', hint: 'run virsh a first', commands: ['virsh a'] },
    ]);
    expect([told.hint, told.command]).toEqual(['run virsh a first', 'virsh a']);
    expect(text(told)).toBe('error: a\nhint: run virsh a first\n');
  });

  test('with words before: those of the whole', () => {
    expect(text(error.prefixed('web: '))).toMatch(
      /^error: web: cannot create s1: a is wrong\n {7}b is wrong/,
    );
    expect(text(failure({ hint: 'x' }).prefixed('web: '))).toBe('error: web: it failed\nhint: x\n');
  });
});
