import { describe, expect, test } from 'vitest';
import { Argument, Command, Option } from '../../src/command-line/commander.ts';
import { MeantArgument, MeantOption } from '../../src/command-line/meaning.ts';
import { repeated, repeatedChoice } from '../../src/command-line/values.ts';
import { completionOf, nameCandidates, type WantedNames } from '../../src/completion/grammar.ts';

const vm = () => new MeantArgument('<vm>', 'vm', '');

/** A small program: every kind of place once. */
const PROGRAM = new Command('small')
  .helpOption(false)
  .helpCommand(false)
  .addOption(new MeantOption('-c, --connect <uri>', 'uri', 'where'))
  .addOption(new Option('-o, --output <format>', 'form').choices(['table', 'json']))
  .option('-y, --yes', 'no questions')
  .addCommand(
    new Command('delete')
      .alias('rm')
      .summary('delete some')
      .addArgument(vm())
      .addArgument(new MeantArgument('[names...]', 'snapshot', ''))
      .option('-d, --description <text>', 'why')
      .addOption(repeated('--vm <vm>', 'vm', 'another one'))
      .option('--children', 'too'),
  )
  .addCommand(
    new Command('prune')
      .summary('tidy up')
      .addArgument(new MeantArgument('[vms...]', 'vm', ''))
      .addOption(repeated('--exclude <pattern>', 'vm-pattern', 'not this'))
      .addOption(repeated('--keep <pattern>', 'snapshot-pattern', 'nor that'))
      .addOption(repeatedChoice('--state <state>', ['running', 'paused'], 'in it'))
      .addOption(new MeantOption('--label <label>', 'label', 'of these'))
      .addOption(new MeantOption('--rules <file>', 'file', 'a file')),
  )
  .addCommand(
    new Command('describe')
      .summary('say more')
      .addArgument(vm())
      .addArgument(new MeantArgument('<name>', 'snapshot', ''))
      .addArgument(new MeantArgument('<new-name>', 'name', ''))
      .addArgument(new Argument('<text>')),
  );

/** Of a line that ends where the cursor is, words parted by single spaces. */
function complete(line: string) {
  const words = line.split(' ');
  return completionOf(PROGRAM, words.slice(0, -1), words.at(-1) ?? '');
}

function offered(line: string): string[] {
  const completion = complete(line);
  if (completion.kind !== 'words') throw new Error(`${completion.kind} are offered`);
  return completion.candidates.map(({ text }) => text);
}

function wantedNames(line: string): WantedNames {
  const completion = complete(line);
  if (completion.kind !== 'names') throw new Error(`${completion.kind} are offered`);
  return completion.wantedNames;
}

describe('commands', () => {
  test.each(['', 'de', '-y ', '-o json ', '--output=json ', '-yo json ', '-yojson ', '-c -y ', '-- '])(
    'behind %j, by both names',
    (line) => {
      expect(offered(line)).toEqual(['delete', 'rm', 'prune', 'describe']);
    },
  );

  test('say what they do', () => {
    expect(complete('')).toMatchObject({
      candidates: [{ help: 'delete some' }, { help: 'delete some' }, {}, {}],
    });
  });

  test.each(['nosuch ', 'nosuch web '])('only once: %j', (line) => {
    expect(complete(line)).toEqual({ kind: 'words', candidates: [] });
  });

  test.each(['delete web', 'rm web'])('only once: %j', (line) => {
    expect(complete(line)).toMatchObject({ kind: 'names', wantedNames: { what: 'vm' } });
  });
});

describe('options', () => {
  const globals = ['-c', '--connect', '-o', '--output', '-y', '--yes'];

  test.each([
    ['-', globals],
    ['nosuch -', globals],
    ['delete -', ['-d', '--description', '--vm', '--children', ...globals]],
    ['rm web --', ['-d', '--description', '--vm', '--children', ...globals]],
    ['rm web --chi', ['-d', '--description', '--vm', '--children', ...globals]],
    ['rm --children --yes web -', ['-d', '--description', '--vm', '-c', '--connect', '-o', '--output']],
    ['rm -yojson -dwhy -', ['--vm', '--children', '-c', '--connect']],
    ['rm --vm a --vm=b -', ['-d', '--description', '--vm', '--children', ...globals]],
    ['rm --nosuch=', ['-d', '--description', '--vm', '--children', ...globals]],
    ['rm -o', ['-d', '--description', '--vm', '--children', ...globals]],
    ['rm -c -y -', ['-d', '--description', '--vm', '--children', '-o', '--output', '-y', '--yes']],
  ])('at %j', (line, flags) => {
    expect(offered(line)).toEqual(flags);
  });

  test('not behind --', () => {
    expect(wantedNames('rm -- -')).toMatchObject({ what: 'vm' });
  });
});

describe('values of options', () => {
  test.each([
    ['-o ', ['table', 'json']],
    ['rm web --output ', ['table', 'json']],
    ['rm web --output=', ['--output=table', '--output=json']],
    ['rm web --output=j', ['--output=table', '--output=json']],
    ['rm web -oj', ['-otable', '-ojson']],
    ['rm web -yoj', ['-yotable', '-yojson']],
    ['prune --state ', ['running', 'paused']],
    ['prune --state running --state ', ['paused']],
    ['prune --state running --state=', ['--state=paused']],
    ['rm -d ', []],
    ['rm --description=', []],
    ['-c ', []],
  ])('%j', (line, words) => {
    expect(offered(line)).toEqual(words);
  });

  test('that are files', () => {
    expect(complete('prune --rules ')).toEqual({ kind: 'files' });
    expect(complete('prune --rules=x')).toEqual({ kind: 'files' });
  });

  test('that are VMs, or patterns', () => {
    expect(wantedNames('prune --exclude ')).toMatchObject({
      what: 'vm',
      asPattern: true,
      place: { before: '' },
    });
    expect(wantedNames('prune --exclude=w')).toMatchObject({ place: { before: '--exclude=', dash: 'fine' } });
    expect(wantedNames('rm --vm ')).toMatchObject({ what: 'vm', asPattern: false, place: { dash: 'never' } });
    expect(wantedNames('prune --exclude a --exclude=b --exclude ').place.given).toEqual(['a', 'b']);
  });

  test('that are snapshots, of the VMs on the line', () => {
    expect(wantedNames('prune web mail --keep ')).toMatchObject({
      what: 'snapshot',
      asPattern: true,
      vms: ['web', 'mail'],
    });
  });
});

describe('arguments', () => {
  test('a VM first', () => {
    expect(wantedNames('rm ')).toEqual({
      what: 'vm',
      vms: [],
      uri: null,
      hosts: null,
      policies: null,
      asPattern: false,
      place: { before: '', given: [], dash: 'later' },
    });
  });

  test.each([
    'rm web ',
    'rm --children web ',
    '-o json rm -d why web ',
    'rm -- web ',
    '-- rm web ',
    'describe web ',
  ])('then its snapshots: %j', (line) => {
    expect(wantedNames(line)).toMatchObject({ what: 'snapshot', vms: ['web'], place: { given: [] } });
  });

  test('each once where there may be several', () => {
    expect(wantedNames('rm web a -y b ').place.given).toEqual(['a', 'b']);
    expect(wantedNames('prune web mail ').place.given).toEqual(['web', 'mail']);
    expect(wantedNames('prune --exclude x web ').place.given).toEqual(['web']);
  });

  test.each(['describe web a ', 'describe web a b ', 'describe web a b c '])(
    'none that is new, text or too much: %j',
    (line) => {
      expect(offered(line)).toEqual([]);
    },
  );

  test('and a policy, for the commands that take one', () => {
    const program = new Command('small').addCommand(
      new Command('create')
        .addArgument(new MeantArgument('[vms...]', 'vm', ''))
        .addOption(repeated('--exclude <pattern>', 'vm-pattern', 'not this'))
        .addOption(new MeantOption('--policy <name>', 'policy', 'by it'))
        .addOption(new MeantOption('--set <name>', 'policy-choice', 'or none')),
    );
    const wanted = (...words: string[]) => completionOf(program, ['create', ...words], '');
    expect(wanted('web')).toMatchObject({ wantedNames: { what: 'vm', policies: 'at' } });
    expect(wanted('@nightly')).toMatchObject({ wantedNames: { policies: null } });
    expect(wanted('--exclude')).toMatchObject({ wantedNames: { policies: null } });
    expect(wanted('--policy')).toMatchObject({ wantedNames: { what: 'policy', policies: 'plain' } });
    expect(wanted('--set')).toMatchObject({ wantedNames: { what: 'policy', policies: 'or none' } });
    expect(wantedNames('prune ').policies).toBe(null);
  });

  test('a VM named by an option has snapshots too', () => {
    expect(wantedNames('rm web --vm mail ')).toMatchObject({ what: 'snapshot', vms: ['web', 'mail'] });
    expect(wantedNames('rm --vm=mail ')).toMatchObject({ what: 'vm' });
    expect(wantedNames('rm --vm=mail web a ')).toMatchObject({
      vms: ['web', 'mail'],
      place: { given: ['a'] },
    });
  });

  test.each([
    ['-c qemu:///session rm ', 'qemu:///session'],
    ['rm --connect=a -c b web ', 'b'],
    ['rm -ca web ', 'a'],
    ['rm -d -c web ', null],
  ])('are looked up where %j says', (line, uri) => {
    expect(wantedNames(line).uri).toBe(uri);
  });
});

test('labels are those of the VMs on the line', () => {
  expect(wantedNames('prune web --label ')).toMatchObject({ what: 'label', vms: ['web'], asPattern: false });
  expect(wantedNames('prune --label=n')).toMatchObject({
    what: 'label',
    vms: [],
    place: { before: '--label=' },
  });
});

describe('names that were found', () => {
  test('have beside them what is known of them', () => {
    const place = { before: '', given: [], dash: 'fine' } as const;
    const wanted = {
      ...({ what: 'snapshot', vms: [], uri: null, hosts: null, policies: null } as const),
      ...{ asPattern: false, place },
    };
    expect(nameCandidates(wanted, new Map([['s1', 'of today']]))).toEqual([{ text: 's1', help: 'of today' }]);
  });

  const NAMES = ['web', '-lead', 'a*', 'tab\there', 'line\nfeed', 'esc\x1b', 'c1\u009b', '快照', 'web', ''];
  const candidates = (place: Partial<WantedNames['place']>, asPattern = false) =>
    nameCandidates(
      {
        what: 'vm',
        vms: [],
        uri: null,
        hosts: null,
        policies: null,
        asPattern,
        place: { before: '', given: [], dash: 'fine', ...place },
      },
      new Map(NAMES.map((name) => [name, ''])),
    ).map(({ text }) => text);

  test.each([
    ['all that can be typed', candidates({}), ['web', '-lead', 'a*', '快照']],
    ['none given before', candidates({ given: ['web'] }), ['-lead', 'a*', '快照']],
    ['no dash where it makes an option', candidates({ dash: 'never' }), ['web', 'a*', '快照']],
    ['-- where it helps', candidates({ dash: 'later' }), ['web', 'a*', '快照', '--']],
    ['no -- where it does not', candidates({ dash: 'later', given: ['-lead'] }), ['web', 'a*', '快照']],
    ['no pattern that would not mean itself', candidates({}, true), ['web', '-lead', '快照']],
    ['whole words', candidates({ before: '--vm=' }), ['--vm=web', '--vm=-lead', '--vm=a*', '--vm=快照']],
  ])('%s', (_, texts, expected) => {
    expect(texts).toEqual(expected);
  });
});

describe('VM/NAME', () => {
  test.each([
    ['rm web/', 'web', 'web/', []],
    ['rm web/s', 'web', 'web/', []],
    ['rm web/s1 web/', 'web', 'web/', ['s1']],
    ['rm web/s1 db/s2 db/', 'db', 'db/', ['s2']],
    ['rm -- web/', 'web', 'web/', []],
    ['describe web/', 'web', 'web/', []],
  ])('%j: the snapshots of the VM', (line, vm, before, given) => {
    expect(wantedNames(line)).toEqual({
      what: 'snapshot',
      vms: [vm],
      uri: null,
      hosts: null,
      policies: null,
      asPattern: false,
      place: { before, given, dash: 'fine' },
    });
  });

  test.each(['prune web/', 'rm w*/', 'rm /', 'rm web'])('%j is a VM', (line) => {
    expect(wantedNames(line)).toMatchObject({ what: 'vm' });
  });

  test('after a VM without a slash, a word is the name of a snapshot', () => {
    expect(wantedNames('rm web db/')).toMatchObject({
      what: 'snapshot',
      vms: ['web'],
      place: { before: '' },
    });
  });

  test('candidates are whole words, without those on the line', () => {
    const names = new Map([
      ['s1', ''],
      ['s2', '2026-11-23 22:52'],
    ]);
    expect(nameCandidates(wantedNames('rm web/s1 web/'), names)).toEqual([
      { text: 'web/s2', help: '2026-11-23 22:52' },
    ]);
  });
});
