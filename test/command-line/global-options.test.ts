import { describe, expect, test } from 'vitest';
import { parseDuration } from '../../src/command-line/values.ts';
import type { Settings } from '../../src/run/context.ts';
import { DEFAULTS, GLOBAL_OPTIONS, parse } from './program.ts';

describe('global options', () => {
  const cases: readonly (readonly [words: string, settings: Partial<Settings>])[] = [
    ['', {}],
    ['-c qemu:///session', { connect: 'qemu:///session' }],
    ['--connect=qemu+ssh://h/system', { connect: 'qemu+ssh://h/system' }],
    ['-o csv', { output: 'csv' }],
    ['--output name', { output: 'name' }],
    ['--json', { output: 'json' }],
    ['-q', { output: 'name' }],
    ['--color never', { color: 'never' }],
    ['-y -v --dry-run', { yes: true, verbose: true, dryRun: true }],
    ['-yv', { yes: true, verbose: true }],
    ['--timeout 10m', { timeout: 600 }],
    ['--wait 1.5h', { wait: 5400 }],
    ['--wait 0', { wait: 0 }],
    ['--timeout 0', { timeout: null }],
    ['--timeout 0s --wait 10min', { timeout: null, wait: 600 }],
    ['--silent', { silent: true }],
    ['--readonly', { readonly: true }],
  ];

  test.each(cases)('%j before, after and around the command', async (text, settings) => {
    const words = text.split(' ').filter((word) => word !== '');
    const expected = { thrown: null, started: [{ ...DEFAULTS, ...settings }] };
    expect(await parse(...words, 'list', 'web')).toMatchObject(expected);
    expect(await parse('list', ...words, 'web')).toMatchObject(expected);
    expect(await parse('list', 'web', ...words)).toMatchObject(expected);
  });

  test('each is one that this knows of', () => {
    expect(GLOBAL_OPTIONS.map(({ flags }) => flags.replace(/ <.*/, ''))).toEqual([
      '-c, --connect',
      '-o, --output',
      '--json',
      '-q, --quiet',
      '--color',
      '-y, --yes',
      '--dry-run',
      '--readonly',
      '-v, --verbose',
      '--timeout',
      '--wait',
      '--silent',
      '--metrics',
      '--host',
      '--hosts-from',
      '--exclude-host',
      '--hosts-at-once',
    ]);
  });
});

describe('--readonly', () => {
  test.each([
    'list',
    'list web',
    'info web',
    'info web s1',
    'info web s1 --xml',
    'current web',
    'current web --xml',
    'space web',
    'check web',
  ])('%s reads', async (line) => {
    expect(await parse('--readonly', ...line.split(' '))).toMatchObject({ thrown: null, started: [{}] });
  });

  test.each([
    ['create web'],
    ['create-as web s1'],
    ['create-as web s1 --dry-run'],
    ['revert web s1'],
    ['delete web s1'],
    ['rm web s1'],
    ['prune web --label n --keep-last 1'],
    ['hold web s1'],
    ['unhold web s1'],
    ['describe web s1 text'],
    ['check web --fix', /'check --fix' cannot be used/],
    ['current web --set s1', /'current --set' cannot be used/],
    ['current web --xml --security-info', /'current --security-info' cannot be used/],
    ['info web s1 --xml --security-info', /'info --security-info' cannot be used/],
  ])('%s does not', async (line, says = /cannot be used with --readonly/) => {
    expect(await parse(...line.split(' '), '--readonly')).toMatchObject({
      started: [],
      thrown: { code: 'usage', message: expect.stringMatching(says) },
    });
  });
});

describe('durations', () => {
  test.each([
    ['30', 30],
    ['30s', 30],
    ['10m', 600],
    ['10min', 600],
    ['0', 0],
    ['0s', 0],
    ['2h', 7200],
    ['1.5m', 90],
    ['0.1', 0.1],
  ])('%s is %d s', (text, seconds) => {
    expect(parseDuration(text)).toBe(seconds);
  });

  test.each(['', '-1', '1d', 'm', 'min', '1mo', '1 m', '1e3', '10000h', 'Infinity', '0x10', '1m30s'])(
    '%j is none',
    async (text) => {
      expect(() => parseDuration(text)).toThrow(/duration/);
      expect(await parse(`--timeout=${text}`, 'list')).toMatchObject({
        started: [],
        thrown: { code: 'usage' },
      });
    },
  );
});
