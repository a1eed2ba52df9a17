import { describe, expect, test } from 'vitest';
import pkg from '../package.json' with { type: 'json' };
import { createProgram } from '../src/cli.ts';
import { type AnyCommand, CommanderError } from '../src/command-line/commander.ts';
import { errorStyleOf, speaksAsPlugin } from '../src/command-line/spoken.ts';
import { usageError } from '../src/command-line/usage-error.ts';
import { parseDuration } from '../src/command-line/values.ts';
import { Verb } from '../src/command-line/verb.ts';
import { completionOf } from '../src/completion/grammar.ts';
import { FAILURES, KvmsnapError } from '../src/errors.ts';
import { TOPICS } from '../src/help/topics.ts';
import type { Settings } from '../src/run/context.ts';

interface Parsed {
  readonly started: readonly Settings[];
  readonly help: string;
  readonly thrown: unknown;
}

/** Parses a command line; what it would run is not run. */
async function parse(...words: string[]): Promise<Parsed> {
  const started: Settings[] = [];
  let help = '';
  const { program, spoken, run } = await createProgram(words, async (settings) => {
    started.push(settings);
  });
  const everyone: AnyCommand[] = [program, ...program.commands];
  for (const command of everyone)
    command.configureOutput({ writeOut: (text) => (help += text), writeErr: (text) => (help += text) });
  try {
    await run();
    return { started, help, thrown: null };
  } catch (thrown) {
    const isCommanders = thrown instanceof CommanderError;
    if (isCommanders && thrown.exitCode === 0) return { started, help, thrown: null };
    return { started, help, thrown: isCommanders ? usageError(thrown, program, spoken) : thrown };
  }
}

const { program: WHOLE } = await createProgram([], async () => undefined);
const VERBS = WHOLE.commands.map((command) => {
  if (!(command instanceof Verb)) throw new Error(`${command.name()} is a command of another kind`);
  return command;
});
const SHOWN = WHOLE.createHelp().visibleCommands(WHOLE);
const GLOBAL_OPTIONS = WHOLE.options.filter(({ long }) => long !== '--version');

/** The verbs that an option's text begins with, and what may stand before one. */
const IMPERATIVES = (
  'add allow check choose connect consider continue delete do draw exclude fail fix freeze include keep leave let list make ' +
  'name override pause print proceed recreate register remove retry revert save select set show shut sort start stop take ' +
  'unregister use work write'
).split(' ');
const ADVERBS = ['also', 'first'];

const DEFAULTS: Settings = {
  connect: null,
  output: 'table',
  color: 'auto',
  yes: false,
  dryRun: false,
  verbose: false,
  readonly: false,
  timeout: null,
  wait: 0,
  silent: false,
  metrics: null,
};

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

describe('what cannot be meant', () => {
  test.each([
    [['snapshot-delet', 'vm', 'x'], /no command 'snapshot-delet'/, /^did you mean$/],
    [['lsit'], /no command 'lsit'/, /^did you mean$/],
    [['dominfo'], /no command 'dominfo'/, /kvmsnap --help/],
    // names that every object of JavaScript has
    [['constructor'], /no command 'constructor'/, /^kvmsnap --help lists the commands$/],
    [['manua'], /no command 'manua'/, /kvmsnap --help/],
    [[], /no command given/, /kvmsnap --help/],
    [['--json'], /no command given/, /kvmsnap --help/],
    [['create-as'], /missing required argument 'vm'/, /kvmsnap create-as --help/],
    [['create-as', 'vm'], /missing required argument 'name'/, /kvmsnap create-as --help/],
    [['hold', 'vm'], /missing required argument 'name'/, /kvmsnap hold --help/],
    [['describe', 'vm', 's1'], /missing required argument 'text'/, /kvmsnap describe --help/],
    [['describe', 'vm/s1'], /missing required argument 'text'/, /kvmsnap describe --help/],
    [['current'], /missing required argument 'vm'/, /kvmsnap current --help/],
    [['current', '--set', 's1'], /missing required argument 'vm'/, /kvmsnap current --help/],
    [['current', 'vm', 'x'], /too many arguments/, /^to make it the current snapshot$/],
    [['info', 'vm', 'a', 'b'], /too many arguments/, /kvmsnap info --help/],
    [['list', '--jsn'], /unknown option '--jsn'/, /did you mean --json/],
    [['list', '--desc'], /unknown option '--desc'/, /did you mean --descendants/],
    [['create', 'vm', '--desc', 'text'], /unknown option '--desc'/, /did you mean --description/],
    [['create-as', 'vm', '--zzzzzz'], /unknown option/, /kvmsnap create-as --help.* after --$/],
    [['info', 'create', '--foo'], /unknown option '--foo'/, /kvmsnap info --help/],
    [['list', 'info', 'delete', '--zzzzzz'], /unknown option/, /kvmsnap list --help/],
    [['--yes', '-c', 'create', 'info', 'delete', '--foo'], /unknown option '--foo'/, /kvmsnap info --help/],
    [['revert', 'create', '--descr'], /unknown option '--descr'/, /kvmsnap revert --help/],
    [['-c', 'create', 'list', '-o', 'xml'], /argument 'xml' is invalid/, /kvmsnap list --help/],
    [['rm', 'vm', '-x'], /unknown option '-x'/, /kvmsnap delete --help.* after --$/],
    [['--nosuch'], /unknown option/, /kvmsnap COMMAND --help shows its arguments and options$/],
    [['list', '--colour'], /unknown option '--colour'/, /did you mean --color/],
    [
      ['list', '-o', 'xml'],
      /argument 'xml' is invalid. Allowed choices are table, json, csv, name/,
      /kvmsnap list --help/,
    ],
    [['list', '--color', 'blue'], /argument 'blue' is invalid/, /kvmsnap list --help/],
    [['list', '-o', 'table', '--json'], /conflicting output formats: table and json/, undefined],
    [['list', '-q', '--json'], /formats: json and name/, undefined],
    [['list', '--connect'], /argument missing/, /kvmsnap list --help/],
    [
      ['prune', '--state', 'off', 'vm'],
      /Allowed choices are running, shutoff, paused/,
      /kvmsnap prune --help/,
    ],
    [['completion', 'tcsh'], /Allowed choices are bash, zsh, fish/, /kvmsnap completion --help/],
    [
      ['prune', 'vm', '--keep-within', '5x'],
      /'5x' is invalid. Expected a time span.$/,
      /^such as 90min, 36h/,
    ],
    [['prune', 'vm', '--keep-within', '5\n(x'], /Expected a time span.$/, /^such as 90min, 36h/],
    [
      ['prune', 'vm', '--free-min', '20'],
      /Expected an amount of space.$/,
      /^a part of the file system, such as 20%/,
    ],
    [
      ['prune', 'vm', '--label', 'a b'],
      /'a b' is invalid. It cannot be used as a label: use only letters/,
      /prune --help/,
    ],
    [['check', '--max-age', '90m'], /minutes or months/, /^write min or mo/],
    [['list', '-o', 'nagios'], /'list' has no output format nagios/, /only check has it/],
    [['create', '--all', '-o', 'nagios'], /'create' has no output format nagios/, /only check has it/],
    [['create-as', 'a', 'b', '-o', 'prometheus'], /'create-as' has no metrics/, /^only check, create and/],
    [['list', '--metrics', 'f'], /'list' has no metrics/, /^only check, create and/],
    [['check', '--most', '5:3'], /must not be larger than that of the error/, /^did you mean 3:5/],
    [['check', '--oldest', '26h:90m'], /minutes or months/, /^write min or mo/],
    [['check', '--oldest', '26h:'], /Expected CRIT or WARN:CRIT/, /check --help/],
    [['check', '--depth', '1:2:3'], /Expected CRIT or WARN:CRIT/, /check --help/],
    [['check', '--holds', '50'], /Expected an amount of space/, /^bytes with their unit/],
    [['check', '--label', 'a b', '--max-age', '1d'], /cannot be used as a label/, /check --help/],
    [['create', 'vm', '--diskspec', 'vda,x'], /It has the wrong form.$/, /^expected DISK/],
    [['create', 'vm', '--memspec', '/a,/b'], /It has the wrong form.$/, /^expected \[file=\]\/PATH/],
    [['list', ''], /empty name/, undefined],
    [['delete', 'vm', 'a', ''], /empty name/, undefined],
  ])('%j', async (words, message, hint) => {
    const { thrown, started } = await parse(...words);
    expect(started).toEqual([]);
    expect(thrown).toBeInstanceOf(KvmsnapError);
    expect(thrown).toMatchObject({ code: 'usage', exitCode: 2, message: expect.stringMatching(message) });
    if (hint) expect(thrown).toMatchObject({ hint: expect.stringMatching(hint) });
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

describe('help', () => {
  test.each([['--version'], ['-V']])('%s', async (flag) => {
    expect(await parse(flag)).toEqual({ started: [], help: `${pkg.version}\n`, thrown: null });
  });

  test('of the program names every command that is for users', async () => {
    const { help, thrown } = await parse('--help');
    expect(thrown).toBeNull();
    for (const verb of VERBS) {
      if (SHOWN.includes(verb)) expect(help).toMatch(new RegExp(`^  ${verb.name()}\\b`, 'm'));
      else expect(help).not.toContain(verb.summary());
    }
    expect(VERBS.length - SHOWN.length).toBe(2);
  });

  describe.each(VERBS.map((verb) => [verb.name(), verb] as const))('of %s', (name, verb) => {
    test('has its exit codes in order, its examples and options, on a screen of 80 columns and 60 lines', async () => {
      const { help, thrown, started } = await parse(name, '--help');
      expect([thrown, started]).toEqual([null, []]);
      const codes = verb.failures.map((code) => FAILURES[code].exitCode);
      const [, listed = ''] =
        /explain the exit codes \(here: ([^)]*)\)/.exec(help.replace(/\s+/g, ' ')) ?? [];
      const listedCodes = listed.split(', ').flatMap((range) => {
        const [first = Number.NaN, last = first] = range.split('-').map(Number);
        return Array.from({ length: last - first + 1 }, (_, i) => first + i);
      });
      if (verb.ownFailuresExit === null) expect(listedCodes).toEqual([0, ...codes]);
      else expect(listed).toBe(`that of COMMAND; ${verb.ownFailuresExit} if kvmsnap fails`);
      expect(codes).toEqual([...codes].sort((a, b) => a - b));
      expect(help.replace(/\s+/g, ' ')).toContain(`${verb.description()} `);
      for (const example of verb.examples) expect(help).toContain(`  ${example}\n`);
      for (const { flags } of verb.options) expect(help).toContain(`  ${flags}`);
      expect(help).toContain('kvmsnap help options');
      for (const line of help.split('\n')) expect(line.length).toBeLessThanOrEqual(80);
      expect(help.trimEnd().split('\n').length).toBeLessThanOrEqual(60);
    });

    test('has examples that are no usage errors', async () => {
      for (const example of verb.examples) {
        const [, line = ''] = /kvmsnap ([^)>|]*)/.exec(example) ?? [];
        const words = [...line.matchAll(/"([^"]*)"|'([^']*)'|(\S+)/g)].map(
          ([, ...forms]) => forms.find((form) => form !== undefined) ?? '',
        );
        expect(await parse(...words)).toMatchObject({ thrown: null, started: [{}] });
      }
    });

    test('is found under its other name too', async () => {
      const names = [name, ...verb.aliases()];
      for (const word of names) {
        const { program } = await createProgram([word], async () => undefined);
        // the list in cli.ts has that name, so that no other command is loaded
        expect(program.commands.map((each) => each.name())).toEqual([name]);
        expect((await parse(word, '--help')).help).toContain(`kvmsnap ${names.join('|')}`);
      }
    });
  });

  test('before a command it is that of the program', async () => {
    const { help } = await parse('--help');
    expect((await parse('--help', 'create')).help).toBe(help);
    expect((await parse('-yh', 'create')).help).toBe(help);
    expect((await parse('create', '-h')).help).toBe((await parse('create', '--help')).help);
  });

  test('options of one purpose stand beneath one heading', async () => {
    const { help } = await parse('create', '--help');
    expect([...help.matchAll(/^([A-Z][\w ]+):$/gm)].map(([, heading]) => heading)).toEqual([
      'Examples',
      'Arguments',
      'What is taken',
      'External snapshots',
      'Retention',
      'Which VMs',
      'See also',
      'As in virsh',
    ]);
    expect(help).toMatch(/^Which VMs:\n(?: .*\n)* {2}--strict /m);
  });

  test.each([60, 80, 120])('is wrapped at %d columns', async (width) => {
    const { program } = await createProgram([], async () => undefined, width);
    for (const command of [program, ...program.commands])
      for (const line of command.helpInformation().split('\n'))
        expect(line.length).toBeLessThanOrEqual(width);
  });

  test('of the program has its commands first, then four examples, then the options', async () => {
    const { help } = await parse('--help');
    expect([...help.matchAll(/^([A-Z][\w ]+):$/gm)].map(([, heading]) => heading)).toEqual([
      'Take and go back',
      'Look',
      'Keep and clean',
      'Repair',
      'More',
      'Examples',
      'Options of every command',
      'See also',
    ]);
    const [, examples = ''] = /^Examples:\n((?: {2}.*\n)+)\n/m.exec(help) ?? [];
    expect(examples.match(/^ {2}kvmsnap /gm)).toHaveLength(4);
  });

  test('an option says what it does: a verb in the imperative first, at most 70 characters, no full stop', () => {
    for (const verb of [WHOLE, ...SHOWN])
      for (const { flags, description } of verb.options) {
        const said = `${verb.name()} ${flags}: ${description}`;
        expect(description.length, said).toBeLessThanOrEqual(70);
        expect(description, said).not.toMatch(/[.]$/);
        expect(IMPERATIVES, said).toContain(
          description.match(/\w+/g)?.find((word) => !ADVERBS.includes(word)),
        );
      }
  });

  test('every command can end with what any command can', () => {
    const common = [
      'refused',
      'usage',
      'not-found',
      'unreachable',
      'tool-missing',
      'timed-out',
      'interrupted',
    ];
    for (const { failures } of VERBS) expect(failures).toEqual(expect.arrayContaining(common));
  });
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
