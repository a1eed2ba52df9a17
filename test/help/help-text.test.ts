import { describe, expect, test } from 'vitest';
import pkg from '../../package.json' with { type: 'json' };
import { createProgram } from '../../src/cli.ts';
import { FAILURES } from '../../src/errors.ts';
import { TOPICS } from '../../src/help/topics.ts';
import { parse, SHOWN, VERBS, WHOLE } from '../command-line/program.ts';

/** The verbs that an option's text begins with, and what may stand before one. */
const IMPERATIVES = (
  'add allow check choose connect consider continue delete do draw exclude fail fix freeze include keep leave let limit list make merge ' +
  'name override pause print proceed read recreate register remove retry revert run save select set show shut sort start stop take ' +
  'unregister use work write'
).split(' ');

const ADVERBS = ['also', 'first'];

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
    expect(VERBS.length - SHOWN.length).toBe(3);
  });

  describe.each(VERBS.map((verb) => [verb.name(), verb] as const))('of %s', (name, verb) => {
    test('has its exit codes in order, its examples and options, on a screen of 80 columns and 60 lines', async () => {
      const { help, thrown, started } = await parse(name, '--help');
      expect([thrown, started]).toEqual([null, []]);
      const codes = verb.failures.map((code) => FAILURES[code].exitCode);
      const [, listed = ''] =
        /exit codes, here (.*?)(?: As in virsh:.*)?$/.exec(help.trim().replace(/\s+/g, ' ')) ?? [];
      const listedCodes = listed.split(', ').flatMap((range) => {
        const [first = Number.NaN, last = first] = range.split('-').map(Number);
        return Array.from({ length: last - first + 1 }, (_, i) => first + i);
      });
      const [, pages = ''] = /^See also: kvmsnap help (.*?)\)?$/m.exec(help) ?? [];
      expect(pages.split(/, | \(or /).filter((page) => page !== '')).toEqual(verb.topics);
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

    test('names pages that the manual has', () => {
      expect(TOPICS.map((topic) => topic.name)).toEqual(expect.arrayContaining([...verb.topics]));
      if (SHOWN.includes(verb) && name !== 'help') expect(verb.topics).not.toEqual([]);
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

  test('what may stand in place of the arguments is a second line of usage', async () => {
    const { help } = await parse('revert', '--help');
    expect(help).toContain(
      'Usage: kvmsnap revert [options] <vm> [name]\n       kvmsnap revert [options] --group <name>\n\n',
    );
  });

  test('options of one purpose stand beneath one heading', async () => {
    const { help } = await parse('create', '--help');
    expect([...help.matchAll(/^([A-Z][\w, ]+)(?: \(.*\))?:$/gm)].map(([, heading]) => heading)).toEqual([
      'Examples',
      'The snapshot',
      'External snapshots',
      'Afterwards, delete old snapshots with this label',
      'Which VMs',
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
      'Take and revert',
      'Look',
      'Read data',
      'Keep and clean',
      'Check and fix',
      'More',
      'Examples',
      'Common options',
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
