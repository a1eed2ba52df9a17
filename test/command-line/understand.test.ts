import { describe, expect, test } from 'vitest';
import { createProgram } from '../../src/cli.ts';
import { retyped } from '../../src/command-line/line.ts';
import { EVERYDAY_WORDS, VIRSH_COMMANDS, virshOptionsOf } from '../../src/command-line/other-words.ts';
import { isVirshOption } from '../../src/command-line/parts.ts';
import { understand } from '../../src/command-line/understand.ts';
import { KvmsnapError, lineWith, type ReplacedName } from '../../src/errors.ts';
import { VIRSH_OPTIONS } from '../create/virsh/options.ts';

const { program } = await createProgram([], async () => undefined);

/** What a line is understood as; or the failure, with its command. */
function understood(...words: string[]): readonly string[] | KvmsnapError {
  try {
    return understand(program, words);
  } catch (error) {
    if (error instanceof KvmsnapError) return error;
    throw error;
  }
}

describe('words that are taken', () => {
  test.each<[string, string]>([
    // virsh's commands
    ['snapshot-list web', 'list web'],
    ['snapshot-list --domain web --tree', 'list --tree web'],
    ['snapshot-list web --name --parent --topological --metadata', 'list -q web'],
    ['snapshot-info web s1', 'info web s1'],
    ['snapshot-info --snapshotname s1 web', 'info web s1'],
    ['snapshot-info --current --domain=web', 'info --current web'],
    ['snapshot-current web', 'current web'],
    ['snapshot-current web --name', 'current web'],
    ['snapshot-current web --snapshotname s1', 'current --set=s1 web'],
    ['snapshot-current web s1', 'current --set=s1 web'],
    ['snapshot-dumpxml web s1 --security-info', 'info --xml web s1 --security-info'],
    ['snapshot-parent web s1', 'info web s1'],
    ['snapshot-create web', 'create web'],
    ['snapshot-create web /tmp/s.xml --redefine', 'create --redefine --xml=/tmp/s.xml web'],
    ['snapshot-create --xmlfile /tmp/s.xml --domain web', 'create --xml=/tmp/s.xml web'],
    ['snapshot-create-as web', 'create web'],
    ['snapshot-create-as web s1', 'create-as web s1'],
    ['snapshot-create-as web s1 text --live', 'create-as --live --description=text web s1'],
    ['snapshot-create-as --domain web --name s1 --description x', 'create-as --description x web s1'],
    [
      'snapshot-create-as --name s1 web --diskspec vda,snapshot=no',
      'create-as --diskspec vda,snapshot=no web s1',
    ],
    ['snapshot-revert web s1 --running', 'revert web s1 --running'],
    ['snapshot-revert --domain web --snapshotname s1 --force', 'revert --force web s1'],
    ['snapshot-delete --snapshotname s1 --domain web --children', 'delete --children web s1'],
    ['snapshot-delete web s1 --metadata', 'delete web s1 --metadata'],
    ['-c qemu:///system snapshot-list web', '-c qemu:///system list web'],
    // its options with our commands
    ['revert --domain web --snapshotname s1', 'revert web s1'],
    ['delete --domain web s1 s2', 'delete web s1 s2'],
    ['delete s1 --domain web', 'delete web s1'],
    ['rm --domain web s1', 'rm web s1'],
    ['create-as --domain web --name s1', 'create-as web s1'],
    ['create web -d --name', 'create web -d --name'],
    ['create-as --domain web --name s1 -d --domain', 'create-as -d --domain web s1'],
    ['describe --domain web --snapshotname s1 text', 'describe web s1 text'],
    ['hold s1 --domain web', 'hold web s1'],
    ['prune --domain web --label n --keep-last 1', 'prune --label n --keep-last 1 web'],
    ['check --domain web', 'check web'],
    ['list --domain web --name', 'list -q web'],
    ['revert --domain -web --snapshotname -s1', 'revert -- -web -s1'],
    ['list -- --domain', 'list -- --domain'],
    ['delete web s1 --metadata', 'delete web s1 --metadata'],
    // a snapshot without a VM is taken for no VM
    ['revert --snapshotname s1', 'revert'],
    // everyday words that look
    ['show', 'list'],
    ['show web', 'info web'],
    ['show web s1 --json', 'info web s1 --json'],
    ['status', 'list'],
    ['status web', 'info web'],
    ['snapshots web', 'list web'],
    ['-q snapshots web', '-q list web'],
    ['version', '--version'],
    // help only looks, whatever it is about
    ['rollback --help', 'revert --help'],
    ['snapshot-edit -h', 'describe -h'],
    // ours stay as they are
    ['list web', 'list web'],
    ['create-as web s1 -d x', 'create-as web s1 -d x'],
    ['help remove', 'help remove'],
    ['--help remove', '--help remove'],
    ['complete zsh -- snapshot-list --domain', 'complete zsh -- snapshot-list --domain'],
  ])('%j is %j', (line, expected) => {
    expect(understood(...line.split(' '))).toEqual(expected.split(' ').filter((word) => word !== ''));
  });

  test('whatever is taken only looks, or is a command of virsh', () => {
    const writing = ['create', 'create-as', 'revert', 'delete', 'prune', 'hold', 'unhold', 'describe'];
    for (const { means, taken } of EVERYDAY_WORDS.values())
      for (const words of taken ? means : []) {
        expect(writing).not.toContain(words[0]);
        expect(words).not.toContain('--fix');
      }
  });

  test('each command of virsh has its own meaning, the same as in the table of the manual', () => {
    for (const [name, { command }] of Object.entries(VIRSH_OPTIONS)) {
      const meant = VIRSH_COMMANDS.get(`snapshot-${name}`)?.means.at(-1)?.join(' ');
      expect([name, meant]).toEqual([name, command]);
    }
    expect(VIRSH_COMMANDS.size).toBe(Object.keys(VIRSH_OPTIONS).length);
  });

  /** What the table does not explain away, an editor's options aside. */
  const options = Object.entries(VIRSH_OPTIONS).flatMap(([name, { command, options }]) =>
    Object.entries(options).flatMap(([option, here]) =>
      name === 'edit' || (typeof here === 'object' && 'why' in here) ? [] : [{ name, command, option, here }],
    ),
  );

  test.each(options)('snapshot-$name --$option', ({ name, command, option, here }) => {
    const verb = program.commands.find((each) => each.name() === command.split(' ')[0]);
    const words = understood(`snapshot-${name}`, `--${option}`, 'x');
    expect(words).not.toBeInstanceOf(KvmsnapError);
    if (here !== 'same') expect(words).not.toContain(`--${option}`);
    else expect(verb?.options.map(({ long }) => long)).toContain(`--${option}`);
  });
});

describe('words that are answered with the command', () => {
  test.each<[string, string]>([
    ['restore web s1', 'kvmsnap revert web s1'],
    ['rollback web s1 --running', 'kvmsnap revert web s1 --running'],
    ['remove web s1 s2 -y', 'kvmsnap delete web s1 s2 -y'],
    ['-c qemu:///system remove web s1', 'kvmsnap -c qemu:///system delete web s1'],
    ['take web', 'kvmsnap create web'],
    ['take web s1', 'kvmsnap create-as web s1'],
    ['snapshot web s1', 'kvmsnap create-as web s1'],
    ['snapshot create web', 'kvmsnap create web'],
    ['snapshot list web', 'kvmsnap list web'],
    ['snapshot delete web s1', 'kvmsnap delete web s1'],
    ['virsh snapshot-list web', 'kvmsnap list web'],
    ['repair web', 'kvmsnap check --fix web'],
    ['lock web s1', 'kvmsnap hold web s1'],
    ['loadvm web s1', 'kvmsnap revert web s1'],
    ['create web --name s1 -d x', 'kvmsnap create-as -d x web s1'],
    ['create --domain web --name=s1', 'kvmsnap create-as web s1'],
    ['snapshot-edit web s1', "kvmsnap describe web s1 'new description'"],
    ['snapshot-delet web s1', 'kvmsnap delete web s1'],
    ['snapshot-create_as web s1 text', 'kvmsnap create-as --description=text web s1'],
    ['snapshot-lst --domain web', 'kvmsnap list web'],
    ['snapshot-prune web', 'kvmsnap prune web'],
    ['delte web s1', 'kvmsnap delete web s1'],
    ['List web', 'kvmsnap list web'],
    ['createas web s1', 'kvmsnap create-as web s1'],
    ['restor web s1', 'kvmsnap revert web s1'],
    ['desc web s1 x', 'kvmsnap describe web s1 x'],
    ['web list', 'kvmsnap list web'],
    ['web-1 revert s1', 'kvmsnap revert web-1 s1'],
  ])('%j: %s', (line, command) => {
    expect(understood(...line.split(' '))).toMatchObject({ code: 'usage', exitCode: 2, command });
  });

  test('what was typed is quoted', () => {
    const words = ['remove', "it's", 'a b', '-d', '$HOME'];
    expect(understood(...words)).toMatchObject({ command: `kvmsnap delete 'it'\\''s' 'a b' -d '$HOME'` });
  });

  test.each(['dominfo', 'constructor', 'xyzzy', 'manua'])('nothing is near to %s', (word) => {
    expect(understood(word, 'web')).toMatchObject({ command: 'kvmsnap --help', hint: /all commands/ });
  });
});

describe('a line with other operands', () => {
  test.each<[string, string[], string]>([
    ['create-as s1 web', ['web', 's1'], 'kvmsnap create-as web s1'],
    [
      '-c x:///y create-as s1 -d text web --live',
      ['web', 's1'],
      'kvmsnap -c x:///y create-as web -d text s1 --live',
    ],
    ['delete s1 s2 web -y', ['web', 's1', 's2'], 'kvmsnap delete web s1 s2 -y'],
    ['delete web/s1 -y', ['web', 's1'], 'kvmsnap delete web s1 -y'],
    ['delete a b c', ['web/s1'], 'kvmsnap delete web/s1'],
    ['delete -y s1 web', ['web', '-s1'], 'kvmsnap delete -y -- web -s1'],
    ['delete -- s1 web', ['web', 's1'], 'kvmsnap delete web s1'],
  ])('%j', (line, operands, expected) => {
    expect(retyped(program, line.split(' '), { operands })).toBe(expected);
  });

  test.each<[line: string, kind: ReplacedName['kind'], expected: string | null]>([
    ['list wbe', 'vm', 'kvmsnap list web'],
    ['-c x:///y delete wbe s1 -y', 'vm', 'kvmsnap -c x:///y delete web s1'],
    ['-y delete wbe/s1', 'vm', 'kvmsnap delete web/s1'],
    ['revert wbe wbe', 'vm', 'kvmsnap revert web wbe'],
    ['revert wbe wbe', 'snapshot', 'kvmsnap revert wbe web'],
    ['info vm/wbe', 'snapshot', 'kvmsnap info vm/web'],
    ['create-as a s1 --vm wbe', 'vm', 'kvmsnap create-as a s1 --vm web'],
    ['create-as a s1 --vm=wbe --vm b -y', 'vm', 'kvmsnap create-as a s1 --vm=web --vm b'],
    ['try a --vm wbe -- ssh wbe reboot', 'vm', 'kvmsnap try a --vm web ssh wbe reboot'],
    ['try wbe -- ssh wbe reboot', 'vm', 'kvmsnap try web ssh wbe reboot'],
    ['prune --all --exclude wbe --label a', 'vm', 'kvmsnap prune --all --exclude web --label a'],
    ['create-as a s1 -d wbe', 'vm', null],
    ['current vm --set wbe', 'snapshot', 'kvmsnap current vm --set web'],
    ['list a --from wbe', 'snapshot', 'kvmsnap list a --from web'],
    ['list --from vm/wbe', 'snapshot', 'kvmsnap list --from vm/web'],
    ['revert --group wbe -y', 'snapshot', 'kvmsnap revert --group web'],
    ['create a --label wbe', 'snapshot', null],
    ['list wbe', 'snapshot', null],
    ['policy a --set wbe', 'policy', 'kvmsnap policy a --set web'],
    ['policy a --set=@wbe', 'policy', 'kvmsnap policy a --set=@web'],
    ['create --all @wbe', 'policy', 'kvmsnap create --all @web'],
    ['--host a,wbe list', 'host', 'kvmsnap --host a,web list'],
    ['list --host wbe --host b', 'host', 'kvmsnap list --host web --host b'],
  ])('%j with another %s', (line, kind, expected) => {
    expect(retyped(program, line.split(' '), lineWith({ kind, word: 'wbe', by: 'web' }))).toBe(expected);
  });

  test('another command, and an option more', () => {
    expect(
      retyped(program, ['create', 'web', 's1', '-q'], { command: 'create-as', operands: ['web', 's1'] }),
    ).toBe('kvmsnap create-as web s1 -q');
    expect(retyped(program, ['current', 'web', 's1'], { operands: ['web'], options: ['--set=s1'] })).toBe(
      'kvmsnap current --set=s1 web',
    );
  });
});

test('a line with an option of virsh is looked at, whichever it is, and no other line', () => {
  const ofVirsh = program.commands.flatMap((each) =>
    virshOptionsOf(each.name()).map(({ option }) => option.long ?? ''),
  );
  expect(ofVirsh.filter((long) => !isVirshOption(long))).toEqual([]);
  expect(['--json', '--names', '--domain-id'].filter(isVirshOption)).toEqual([]);
});
