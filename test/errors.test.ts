import { describe, expect, test } from 'vitest';
import {
  combineFailures,
  exitCodeOf,
  FAILURES,
  type FailureCode,
  KvmsnapError,
  SIGNAL_FAILURES,
  understand,
} from '../src/errors.ts';

describe('exit codes', () => {
  /** The contract with scripts, as the manual has it. */
  test('are these', () => {
    const codes = Object.entries(FAILURES).map(([code, { exitCode }]) => [code, exitCode]);
    expect(Object.fromEntries(codes)).toEqual({
      refused: 1,
      usage: 2,
      partial: 3,
      'not-found': 4,
      check: 5,
      exists: 6,
      busy: 7,
      unreachable: 8,
      'tool-missing': 9,
      declined: 10,
      bug: 70,
      'timed-out': 124,
      'hung-up': 129,
      interrupted: 130,
      terminated: 143,
    });
  });

  test('of signals are 128 and the number', () => {
    const numbers = { SIGHUP: 1, SIGINT: 2, SIGTERM: 15 };
    for (const [signal, code] of Object.entries(SIGNAL_FAILURES))
      expect(FAILURES[code].exitCode).toBe(128 + numbers[signal as keyof typeof numbers]);
  });

  test.each([
    [new KvmsnapError('busy', 'x'), 7],
    [new Error('x'), 70],
    ['x', 70],
    [undefined, 70],
  ])('of %s is %i', (thrown, code) => {
    expect(exitCodeOf(thrown)).toBe(code);
  });
});

describe('an error', () => {
  test('keeps what it was given', () => {
    const cause = new Error('why');
    expect(new KvmsnapError('check', 'what', { hint: 'h', command: 'c', cause })).toMatchObject({
      name: 'KvmsnapError',
      code: 'check',
      exitCode: 5,
      message: 'what',
      hint: 'h',
      command: 'c',
      cause,
    });
  });

  test('has nothing that it was not given', () => {
    const bare = new KvmsnapError('check', 'what');
    expect([bare.hint, bare.command, 'cause' in bare]).toEqual([undefined, undefined, false]);
  });
});

describe('what makes no sense', () => {
  test.each([
    [new Error('Unexpected token\nat all'), 'Unexpected token'],
    [
      {
        issues: [
          { path: ['a', 0], message: 'no text' },
          { path: [], message: 'more' },
        ],
      },
      'a.0: no text',
    ],
    ['thrown', ''],
  ])('is refused with its first line, and its cause', (cause, says) => {
    const read = () => {
      throw cause;
    };
    expect(() => understand('virsh', read)).toThrow(
      expect.objectContaining({
        code: 'refused',
        message: `cannot parse the output of virsh: ${says}`,
        cause,
      }),
    );
  });
});

describe('several failures of one run', () => {
  const failures = (...codes: FailureCode[]) => codes.map((code) => new KvmsnapError(code, `it was ${code}`));

  test.each([
    { codes: ['busy'], succeeded: 0, code: 'busy', message: 'it was busy' },
    { codes: ['busy'], succeeded: 2, code: 'partial', message: 'in short' },
    { codes: ['busy', 'busy'], succeeded: 0, code: 'busy', message: 'in short' },
    { codes: ['busy', 'busy'], succeeded: 1, code: 'partial', message: 'in short' },
    { codes: ['busy', 'check'], succeeded: 0, code: 'partial', message: 'in short' },
  ] as const)('$codes beside $succeeded that went well: $code', ({ codes, succeeded, code, message }) => {
    expect(combineFailures(failures(...codes), succeeded, 'in short')).toMatchObject({ code, message });
  });

  test('none is no failure', () => {
    expect(() => combineFailures([], 1, 'in short')).toThrow(/needs a failure/);
  });
});
