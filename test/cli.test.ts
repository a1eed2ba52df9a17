import { describe, expect, test } from 'vitest';
import { createProgram } from '../src/cli.ts';
import type { AnyCommand } from '../src/command-line/commander.ts';
import { errorStyleOf, speaksAsPlugin } from '../src/command-line/spoken.ts';
import { completionOf } from '../src/completion/grammar.ts';
import { KvmsnapError } from '../src/errors.ts';
import { TOPICS } from '../src/help/topics.ts';
import { DEFAULTS, GLOBAL_OPTIONS, parse, SHOWN, VERBS, WHOLE } from './command-line/program.ts';

describe('what cannot be meant', () => {
  test.each([
    [['snapshot-delet', 'vm', 'x'], /no command 'snapshot-delet'/, /^did you mean /],
    [['lsit'], /no command 'lsit'/, /^did you mean /],
    [['dominfo'], /no command 'dominfo'/, /kvmsnap --help/],
    // names that every object of JavaScript has
    [['constructor'], /no command 'constructor'/, /^to see all commands and options kvmsnap --help$/],
    [['manua'], /no command 'manua'/, /kvmsnap --help/],
    [[], /no command given/, undefined],
    [['--json'], /no command given/, undefined],
    [['create-as'], /^<vm> is missing: \w/, /kvmsnap create-as --help/],
    [['create-as', 'vm'], /^<name> is missing: name of the new snapshot$/, /kvmsnap create-as --help/],
    [['hold', 'vm'], /<name> is missing/, /kvmsnap hold --help/],
    [['describe', 'vm', 's1'], /<text> is missing/, /kvmsnap describe --help/],
    [['describe', 'vm/s1'], /<text> is missing/, /kvmsnap describe --help/],
    [['current'], /^<vm> is missing: \w/, /kvmsnap current --help/],
    [['current', '--set', 's1'], /^<vm> is missing: \w/, /kvmsnap current --help/],
    [['current', 'vm', 'x'], /too many arguments/, /^to make it the current snapshot /],
    [['info', 'vm', 'a', 'b'], /too many arguments/, /kvmsnap info --help/],
    [['list', '--jsn'], /unknown option '--jsn'/, /did you mean --json/],
    [['list', '--desc'], /unknown option '--desc'/, /did you mean --descendants/],
    [['create', 'vm', '--desc', 'text'], /unknown option '--desc'/, /did you mean --description/],
    [['create-as', 'vm', '--zzzzzz'], /unknown option/, / after --\) kvmsnap create-as --help$/],
    [['info', 'create', '--foo'], /unknown option '--foo'/, /kvmsnap info --help/],
    [['list', 'info', 'delete', '--zzzzzz'], /unknown option/, /kvmsnap list --help/],
    [['--yes', '-c', 'create', 'info', 'delete', '--foo'], /unknown option '--foo'/, /kvmsnap info --help/],
    [['revert', 'create', '--descr'], /unknown option '--descr'/, /kvmsnap revert --help/],
    [['-c', 'create', 'list', '-o', 'xml'], /--output cannot be 'xml'/, /kvmsnap list --help/],
    [['rm', 'vm', '-x'], /unknown option '-x'/, / after --\) kvmsnap delete --help$/],
    [['--nosuch'], /unknown option/, /^to see all commands and options kvmsnap --help$/],
    [['list', '--colour'], /unknown option '--colour'/, /did you mean --color/],
    [
      ['list', '-o', 'xml'],
      /^--output cannot be 'xml': expected table, json, csv, name, nagios or prometheus$/,
      /kvmsnap list --help/,
    ],
    [
      ['list', '--color', 'blue'],
      /^--color cannot be 'blue': expected always, never or auto$/,
      /kvmsnap list --help/,
    ],
    [['list', '-o', 'table', '--json'], /conflicting output formats: table and json/, undefined],
    [['list', '-q', '--json'], /formats: json and name/, undefined],
    [['list', '--connect'], /^--connect needs a value$/, /kvmsnap list --help/],
    [
      ['prune', '--state', 'off', 'vm'],
      /^--state cannot be 'off': expected running, shutoff or paused$/,
      /kvmsnap prune --help/,
    ],
    [
      ['completion', 'tcsh'],
      /^<shell> cannot be 'tcsh': expected bash, zsh or fish$/,
      /kvmsnap completion --help/,
    ],
    [
      ['prune', 'vm', '--keep-within', '5x'],
      /^--keep-within cannot be '5x': expected a time span$/,
      /^write for example 90min, 36h/,
    ],
    [
      ['prune', 'vm', '--keep-within', '5\n(x'],
      /^--keep-within cannot be '5\n\(x': expected a time span$/,
      /^write for example 90min, 36h/,
    ],
    [
      ['prune', 'vm', '--free-min', '20'],
      /^--free-min cannot be '20': expected an amount of space$/,
      /^write a part of the file system, such as 20%/,
    ],
    [['prune', 'vm', '--label', 'a b'], /^--label cannot be 'a b': use only letters/, /prune --help/],
    [['check', '--max-age', '90m'], /minutes or months/, /^write min or mo/],
    [['list', '-o', 'nagios'], /'list' has no output format nagios/, /only check has it/],
    [['create', '--all', '-o', 'nagios'], /'create' has no output format nagios/, /only check has it/],
    [['create-as', 'a', 'b', '-o', 'prometheus'], /'create-as' has no metrics/, /^only check, create and/],
    [['list', '--metrics', 'f'], /'list' has no metrics/, /^only check, create and/],
    [['check', '--most', '5:3'], /must not be larger than that of the error/, /^did you mean 3:5/],
    [['check', '--oldest', '26h:90m'], /minutes or months/, /^write min or mo/],
    [['check', '--oldest', '26h:'], /expected one limit, or two as WARNING:ERROR/, /check --help/],
    [['check', '--depth', '1:2:3'], /expected one limit, or two as WARNING:ERROR/, /check --help/],
    [
      ['check', '--holds', '50'],
      /^--holds cannot be '50': expected an amount of space/,
      /^write for example 500M/,
    ],
    [['check', '--label', 'a b', '--max-age', '1d'], /^--label cannot be 'a b'/, /check --help/],
    [
      ['create', 'vm', '--diskspec', 'vda,x'],
      /^--diskspec cannot be 'vda,x': expected DISK/,
      /^write a comma/,
    ],
    [
      ['create', 'vm', '--memspec', '/a,/b'],
      /^--memspec cannot be '\/a,\/b': expected \[file=\]\/PATH/,
      /^write a comma/,
    ],
    [['list', ''], /empty name/, undefined],
    [['delete', 'vm', 'a', ''], /empty name/, undefined],
  ])('%j', async (words, message, hint) => {
    const { thrown, started } = await parse(...words);
    expect(started).toEqual([]);
    expect(thrown).toBeInstanceOf(KvmsnapError);
    expect(thrown).toMatchObject({ code: 'usage', exitCode: 2, message: expect.stringMatching(message) });
    const { hint: advice, command = '' } = thrown as KvmsnapError;
    if (hint) expect(`${advice} ${command}`.trim()).toMatch(hint);
  });

  test.each([
    'create-as vm/s1',
    'hold vm/s1',
    'unhold vm/s1',
    'describe vm/s1 text',
    'revert vm/s1',
    'delete vm/s1 db/s2',
    'info vm/s1',
    'space vm/s1 vm/s2',
    'current --set vm/s1',
    'list --from vm/s1',
  ])('%s: one word can name a VM and a snapshot', async (line) => {
    expect(await parse(...line.split(' '))).toMatchObject({ thrown: null, started: [DEFAULTS] });
  });

  test('of too many arguments, the command keeps the options that were typed', async () => {
    const { thrown } = await parse('create-as', 'vm', 's1', '--live', 'two', 'words');
    expect(thrown).toMatchObject({
      code: 'usage',
      command: "kvmsnap create-as '--description=two words' vm s1 --live",
    });
  });

  test('a name that begins with a dash is data after --', async () => {
    expect(await parse('delete', '--', 'vm', '-x', '--all')).toMatchObject({
      thrown: null,
      started: [DEFAULTS],
    });
  });
});

describe('how an error is shown', () => {
  test.each<[string, 'text' | 'json' | 'nagios', string]>([
    ['', 'text', 'auto'],
    ['list --json', 'json', 'auto'],
    ['-o json list', 'json', 'auto'],
    ['list -qojson', 'json', 'auto'],
    ['list --output=json --color=never', 'json', 'never'],
    ['list --color always x', 'text', 'always'],
    ['list --foo --json', 'json', 'auto'],
    ['list -- --json', 'text', 'auto'],
    ['delete --color never -- vm -o json --color always', 'text', 'never'],
    ['-c --json list', 'text', 'auto'],
    ['list -c -ojson', 'text', 'auto'],
    ['list -o csv json', 'text', 'auto'],
    ['list --json-x', 'text', 'auto'],
    ['list -xojson', 'text', 'auto'],
    ['list --color', 'text', 'auto'],
    ['-o nagios', 'nagios', 'auto'],
    ['chekc -onagios --foo', 'nagios', 'auto'],
    ['check --json --output nagios', 'nagios', 'auto'],
    ['check -o nagios -o json', 'json', 'auto'],
    ['check -- -o nagios', 'text', 'auto'],
  ])('%j', async (line, format, color) => {
    const { spoken } = await createProgram(line.split(' '), async () => undefined);
    expect(errorStyleOf(spoken)).toEqual({ format, color });
  });
});

test.each([
  ['check -o nagios', true],
  ['check -onagios', true],
  ['check -vo nagios', true],
  ['check --output=nagios', true],
  ['--output nagios check', true],
  ['create-as web nagios', false],
  ['check nagios -o json', false],
])('%j asks for a plugin: %s', (line, expected) => {
  expect(speaksAsPlugin(line.split(' '))).toBe(expected);
});

describe('the commands', () => {
  test('that are for users', () => {
    const shown = SHOWN.map((command) => [command.name(), ...command.aliases()].join('|'));
    expect(shown).toEqual(
      expect.arrayContaining(['create', 'create-as', 'list|ls', 'current', 'revert', 'delete|rm', 'info']),
    );
  });

  test('no two share a name', () => {
    const names = VERBS.flatMap((verb) => [verb.name(), ...verb.aliases()]);
    expect(new Set(names).size).toBe(names.length);
  });

  test('no option of a command hides a global one', () => {
    const flagsOf = (options: readonly { readonly flags: string }[]) =>
      options.flatMap(({ flags }) => flags.match(/(?<![\w-])--?[\w-]+/g) ?? []);
    const globals = flagsOf(GLOBAL_OPTIONS);
    for (const verb of VERBS)
      expect([verb.name(), flagsOf(verb.options).filter((flag) => globals.includes(flag))]).toEqual([
        verb.name(),
        [],
      ]);
  });
});

describe('what is completed is what is parsed', () => {
  const offered = (words: readonly string[], current: string): string[] => {
    const completion = completionOf(WHOLE, words, current);
    return completion.kind === 'words' ? completion.candidates.map(({ text }) => text).sort() : [];
  };

  const flagsOf = ({ options }: AnyCommand): (string | undefined)[] =>
    options.flatMap(({ short, long }) => [short, long]);

  test.each(SHOWN.map((command) => [command.name(), command] as const))(
    'the options of %s',
    (name, command) => {
      const parsed = [...flagsOf(command), ...flagsOf(WHOLE), '-h', '--help'];
      expect(offered([name], '-')).toEqual(parsed.filter((flag) => flag !== undefined).sort());
    },
  );

  test('files where one is wanted', () => {
    expect(completionOf(WHOLE, ['create', 'vm', '--xml'], '')).toEqual({ kind: 'files' });
  });

  test('the commands', () => {
    const names = SHOWN.flatMap((command) => [command.name(), ...command.aliases()]);
    expect(offered([], '')).toEqual(names.sort());
    expect(offered(['help'], '')).toEqual(
      [...SHOWN.map((command) => command.name()), ...TOPICS.map(({ name }) => name)].sort(),
    );
  });

  test('values that may be repeated are kept, each of them checked', async () => {
    expect(await parse('prune', '--state', 'running', '--state=paused', 'vm')).toMatchObject({
      thrown: null,
      started: [{}],
    });
    expect(await parse('prune', '--state', 'running', '--state=off', 'vm')).toMatchObject({
      thrown: { code: 'usage' },
      started: [],
    });
    expect(offered(['prune', '--state', 'running'], '--state=')).toEqual([
      '--state=paused',
      '--state=shutoff',
    ]);
  });
});
