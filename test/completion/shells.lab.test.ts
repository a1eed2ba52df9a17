// TAB in each shell, as it is typed.
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { kvmsnap, kvmsnapPath } from '../lab/cli.ts';
import { scratch, tool } from '../lab/lab.ts';
import { share } from '../lab/share.ts';
import { type ShellName, type ShellSession, startShell } from '../lab/shells.ts';
import { succeed, take } from '../scene/steps.ts';
import { cleanUp, defineVm, type Vm } from '../scene/vm.ts';

/** Names that a shell would take for something else, wherever they are not quoted. */
const NAMES: readonly string[] = [
  'two words',
  ' leading',
  'trailing ',
  "it's",
  "'",
  '"quoted"',
  `say "it's"`,
  'a;touch touched',
  '$HOME',
  '$(touch touched)',
  '`touch touched`',
  'a|b>c<d&',
  '*',
  'what?[x]',
  '{a,b}',
  '~',
  '~root',
  '#hash',
  'wow!',
  '!!',
  'back\\slash',
  '\\',
  'web:1:2',
  ':x',
  'a=b',
  'user@host',
  '^x^y',
  '%1',
  '=ls',
  '(x)',
  '升级前 快照',
  '😀 emoji',
  '-lead',
  '--all',
  '--',
];

/** The beginning of a word as a person may type it. */
const bare = (begun: string): string => begun.replace(/[^\w\u{80}-\u{10ffff}]/gu, '\\$&');
const single = (begun: string): string => `'${begun.replaceAll("'", "'\\''")}`;
const double = (begun: string): string => `"${begun.replace(/["\\$`]/g, '\\$&')}`;
/** fish knows a backslash in single quotes too. */
const singleOfFish = (begun: string): string => `'${begun.replace(/['\\]/g, '\\$&')}`;

const firstHalf = (name: string): string => {
  const chars = [...name];
  return chars.slice(0, Math.ceil(chars.length / 2)).join('');
};

/** Ways to begin a name, from which TAB is to come to its end. Each name is tried in one of them, in each shell. */
const BEGINNINGS = {
  // in double quotes an interactive bash takes ! for its history
  bash: (name: string) => [
    ...[bare, single, double].map((type) => type(firstHalf(name))).filter((begun) => !/^".*!/.test(begun)),
    '',
  ],
  zsh: (name: string) => ['', single(firstHalf(name))],
  // fish would set a home directory in the place of a ~, and closes no quote behind some characters
  fish: (name: string) => [
    ...(name.startsWith('~') ? [] : ['']),
    ...(/[/=@:.,-]$/.test(name) ? [] : [singleOfFish(firstHalf(name))]),
  ],
};

describe('in a shell', () => {
  /** A VM for each name, with that one snapshot. */
  let vms: readonly Vm[] = [];
  const vmOf = (snapshot: string) => vms[NAMES.indexOf(snapshot)] as Vm;
  beforeAll(() => {
    vms = NAMES.map((name, i) => {
      const vm = defineVm({ name: `m${i}`, disks: [{ size: '1M' }] });
      take(vm, name);
      return vm;
    });
    for (const name of ['web:1', 'web:2', 'db one', "db'two"])
      take(defineVm({ name, disks: [{ size: '1M' }] }), `of ${name}`);
  });
  afterAll(cleanUp);

  const SHELLS: readonly ShellName[] = ['bash', 'bash with bash-completion', 'zsh', 'fish'];

  describe.each(SHELLS)('%s', (name) => {
    let shell: ShellSession;
    beforeAll(async () => {
      shell = await startShell(name);
    });
    afterAll(() => shell.close());

    if (name in BEGINNINGS)
      test.each(
        share(
          6,
          NAMES.flatMap((snapshot, i) => {
            const ways = BEGINNINGS[name as keyof typeof BEGINNINGS](snapshot);
            return ways.length > 0 ? [[snapshot, ways[i % ways.length] ?? '']] : [];
          }),
        ),
      )('a snapshot called %j, from %j on', async (snapshot, begun) => {
        const { name: vm } = vmOf(snapshot);
        expect(await shell.run(`kvmsnap info -- ${vm} ${begun}\t`)).toEqual(['info', '--', vm, snapshot]);
        expect([scratch, '/'].some((directory) => existsSync(join(directory, 'touched')))).toBe(false);
      });

    test.each(
      share(7, [
        ['kvmsnap comp\t', ['completion']],
        ['kvmsnap completion z\t', ['completion', 'zsh']],
        ['kvmsnap cr\t-a\t', ['create-as']],
        ['kvmsnap list -o j\t', ['list', '-o', 'json']],
        ['kvmsnap list --output=j\t', ['list', '--output=json']],
        ['kvmsnap -oj\tlist', ['-ojson', 'list']],
        ['kvmsnap list --dr\t', ['list', '--dry-run']],
        ['kvmsnap prune --state pau\t--state run\t', ['prune', '--state', 'paused', '--state', 'running']],
        ['kvmsnap list web\t2', ['list', 'web:2']],
        ['kvmsnap list web:1\t', ['list', 'web:1']],
        ['kvmsnap info web:1 \t', ['info', 'web:1', 'of web:1']],
        ['kvmsnap prune --exclude=web:\t2', ['prune', '--exclude=web:2']],
        ["kvmsnap info 'db o\t \t", ['info', 'db one', 'of db one']],
        ['kvmsnap info db\\ one \t', ['info', 'db one', 'of db one']],
        ['kvmsnap info "db\'t\t \t', ['info', "db'two", "of db'two"]],
        ['kvmsnap info web:1/\t', ['info', 'web:1/of web:1']],
        ["kvmsnap info 'db one/o\t", ['info', 'db one/of db one']],
        ['kvmsnap create-as m0 n\t', ['create-as', 'm0', 'n']],
        ['kvmsnap nosuch m\t', ['nosuch', 'm']],
      ]),
    )('%j', async (typed, words) => {
      expect(await shell.run(typed)).toEqual(words);
    });

    test('a name with a leading dash, behind the -- that comes first', async () => {
      const { name: vm } = vmOf('-lead');
      const words = await shell.run(`kvmsnap -q info ${vm} \t \t`);
      expect(words).toEqual(['-q', 'info', vm, '--', '-lead']);
      await succeed(...words);
    });

    test('says nothing where there is no libvirt', async () => {
      const before = shell.screen().length;
      expect(await shell.run('kvmsnap -c nosuch:///system list m\t')).toEqual([
        '-c',
        'nosuch:///system',
        'list',
        'm',
      ]);
      expect(shell.screen().slice(before)).not.toContain('error');
    });
  });

  test.each(['bash', 'zsh', 'fish'] as const)('%s completes files where they are wanted', async (name) => {
    const shell = await startShell(name);
    // zsh takes the slash away again
    const typed = async (line: string) => (await shell.run(line)).map((word) => word.replace(/\/$/, ''));
    expect(await typed('kvmsnap create --xml ./b\t')).toEqual(['create', '--xml', './bin']);
    expect(await typed('kvmsnap create --xml=./b\t')).toEqual(['create', '--xml=./bin']);
    shell.close();
  });

  test('zsh may source it too', async () => {
    const shell = await startShell('zsh that sources it');
    expect(await shell.run("kvmsnap info 'db o\t \t")).toEqual(['info', 'db one', 'of db one']);
    shell.close();
  });

  test('bash-completion finds the command behind sudo', async () => {
    const shell = await startShell('bash with bash-completion');
    expect(await shell.run('sudo kvmsnap info web:1 \t')).toEqual(['info', 'web:1', 'of web:1']);
    expect(await shell.run("sudo kvmsnap info 'db o\t 'of\t")).toEqual(['info', 'db one', 'of db one']);
    expect(await shell.run('sudo kvmsnap info web:\t1 \t')).toEqual(['info', 'web:1', 'of web:1']);
    shell.close();
  });

  test('fish, which would make it a home directory, is told of no ~ before a quote', async () => {
    const { name: vm } = vmOf('~root');
    const shell = await startShell('fish');
    expect(await shell.run(`kvmsnap info ${vm} \t`)).toEqual(['info', vm]);
    shell.close();
  });

  test('fish shows what commands and options mean', async () => {
    const { stdout } = await kvmsnap(['completion', 'fish']);
    const bin = join(scratch, 'bin');
    const script = join(scratch, 'kvmsnap.fish');
    writeFileSync(script, stdout);
    tool('mkdir', ['-p', bin]);
    tool('ln', ['-sfn', kvmsnapPath, join(bin, 'kvmsnap')]);
    const ask = `set -x PATH ${bin} $PATH; source ${script}; complete -C 'kvmsnap li'; complete -C 'kvmsnap list --tr'`;
    expect(tool('fish', ['--no-config', '-c', ask])).toBe(
      'list\tlist the snapshots of a VM; without a VM, list all VMs\n--tree\tdraw parents and children as a tree\n',
    );
  });
});
