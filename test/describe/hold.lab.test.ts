// hold, unhold and describe on a real libvirtd: of all that libvirt keeps of a snapshot, only the description changes.
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { kvmsnap } from '../lab/cli.ts';
import { killLibvirtd, startLibvirtd } from '../lab/daemon.ts';
import { fingerprint, pasteOk } from '../lab/evidence.ts';
import { scratch, tool, tryTool, virsh } from '../lab/lab.ts';
import { currentSnapshot, snapshotNames } from '../scene/snapshot.ts';
import {
  count,
  countTo,
  document,
  fail,
  failure,
  succeed,
  take,
  takeHalf,
  twoDisks,
  write,
} from '../scene/steps.ts';
import { cleanUp, continueQemu, defineVm, pathOf, start, state, type Vm } from '../scene/vm.ts';

// copies of what is redefined are no business of this user's home
process.env['XDG_STATE_HOME'] = join(scratch, 'state');

afterEach(cleanUp);

/** All that libvirt stores of it, passwords too. */
const wholeXml = (vm: Vm, name: string): string =>
  virsh('snapshot-dumpxml', '--domain', vm.uuid, '--snapshotname', name, '--security-info');

const described = (xml: string): string | null =>
  /^ {2}<description>([^<]*)<\/description>$/m
    .exec(xml)?.[1]
    ?.replaceAll('&lt;', '<')
    .replaceAll('&gt;', '>')
    .replaceAll('&quot;', '"')
    .replaceAll('&apos;', "'")
    .replaceAll('&amp;', '&') ?? null;

const undescribed = (xml: string): string => xml.replace(/\n {2}<description>[^<]*<\/description>/, '');

/** Every snapshot without its description, the tree, the current one, and the images to the last byte. */
function facts(vm: Vm) {
  const { images, definition, state: now } = fingerprint(vm);
  return {
    images,
    definition,
    now,
    snapshots: snapshotNames(vm).map((name) => [name, undescribed(wholeXml(vm, name))]),
    tree: virsh('snapshot-list', '--domain', vm.uuid, '--tree'),
    current: currentSnapshot(vm),
  };
}

/** root -> middle (current) -> leaf, and a second branch. */
function family(name: string): Vm {
  const vm = twoDisks(name);
  write(vm, 0x11);
  take(vm, 'root', '--description', 'the first');
  take(vm, 'middle');
  take(vm, 'leaf', '--description', 'the last');
  virsh('snapshot-revert', '--domain', vm.uuid, '--snapshotname', 'middle');
  take(vm, 'branch');
  virsh('snapshot-revert', '--domain', vm.uuid, '--snapshotname', 'middle');
  return vm;
}

const HOLD = 'Kvmsnap-Hold: yes';

const TEXTS: readonly string[] = [
  'before the upgrade',
  `it's "quoted"`,
  '<b>bold</b> & <description>&lt;</description> ]]>',
  '升级之前的快照 😀',
  'two\nlines\n',
  '  spaces  ',
  '$(touch touched) `x` %s \\n',
  '-d',
  '--',
  'tab\there',
];

describe('describe', () => {
  test('any text, of the current one and those beside it, and nothing else changes', async () => {
    const vm = family('described');
    const before = facts(vm);
    const wanted = new Map<string, string | null>(snapshotNames(vm).map((name) => [name, null]));
    for (const [n, text] of TEXTS.entries()) {
      const name = ['root', 'middle', 'leaf'][n % 3] ?? '';
      wanted.set(name, text);
      const { snapshot } = await document('current', 'describe', 'described', '--', name, text);
      expect(snapshot).toMatchObject({ name, description: text, held: false, current: name === 'middle' });
      expect(described(wholeXml(vm, name))).toBe(text);
    }
    expect(facts(vm)).toEqual(before);
    const { domains } = await document('list', 'list', 'described');
    expect(new Map(domains[0]?.snapshots.map(({ name, description }) => [name, description]))).toEqual(
      wanted,
    );
  });

  test('an empty text takes it away; a carriage return becomes a line feed', async () => {
    const vm = family('emptied');
    const before = facts(vm);
    await succeed('describe', 'emptied', 'root', '');
    expect(wholeXml(vm, 'root')).not.toContain('<description');
    await succeed('describe', 'emptied', 'root', 'a\r\nb\rc');
    expect(described(wholeXml(vm, 'root'))).toBe('a\nb\nc');
    expect(facts(vm)).toEqual(before);
  });

  test('what XML cannot hold, and what would be a hold, is refused and changes nothing', async () => {
    const vm = family('refused');
    const before = [facts(vm), wholeXml(vm, 'root')];
    await fail(1, 'describe', 'refused', 'root', 'bell \x07');
    await fail(2, 'describe', 'refused', 'root', `sneaky\n${HOLD}`);
    expect(await fail(4, 'describe', 'refused', 'rot', 'x')).toContain('did you mean root?');
    await fail(4, 'hold', 'refusd', 'root');
    expect([facts(vm), wholeXml(vm, 'root')]).toEqual(before);
  });

  test.each(['two words', '007', "it's", '--all', '<a&b>', '测试'])('a snapshot called %j', async (name) => {
    const vm = twoDisks('named');
    virsh('snapshot-create-as', '--domain', vm.uuid, `--name=${name}`);
    await succeed('describe', 'named', '--', name, 'text');
    await succeed('hold', 'named', '--', name);
    expect(snapshotNames(vm)).toEqual([name]);
    const xml = virsh('snapshot-dumpxml', '--domain', vm.uuid, `--snapshotname=${name}`);
    expect(described(xml)).toBe(`text\n\n${HOLD}`);
    expect(currentSnapshot(vm)).toBe(name);
  });
});

describe('hold and unhold', () => {
  test('of each in a tree: a last line of its description, and gone again', async () => {
    const vm = family('held');
    const before = facts(vm);
    const xmls = snapshotNames(vm).map((name) => wholeXml(vm, name));
    for (const name of snapshotNames(vm)) {
      const { snapshot } = await document('current', 'hold', 'held', name);
      expect(snapshot.held).toBe(true);
    }
    expect(snapshotNames(vm).map((name) => described(wholeXml(vm, name)))).toEqual([
      HOLD,
      `the last\n\n${HOLD}`,
      HOLD,
      `the first\n\n${HOLD}`,
    ]);
    expect(facts(vm)).toEqual(before);
    await succeed('describe', 'held', 'root', 'another');
    expect(described(wholeXml(vm, 'root'))).toBe(`another\n\n${HOLD}`);
    await succeed('describe', 'held', 'root', 'the first');
    const { domains } = await document('list', 'list', 'held');
    expect(domains[0]?.snapshots.map(({ held }) => held)).toEqual([true, true, true, true]);
    for (const name of snapshotNames(vm)) await succeed('unhold', 'held', name);
    expect(snapshotNames(vm).map((name) => wholeXml(vm, name))).toEqual(xmls);
    expect(facts(vm)).toEqual(before);
  });

  test('twice is once, and does nothing the second time', async () => {
    const vm = twoDisks('twice');
    take(vm, 'one');
    await succeed('hold', 'twice', 'one');
    const { stderr } = await succeed('-v', 'hold', 'twice', 'one');
    expect(stderr).not.toContain('snapshot-create');
    expect(described(wholeXml(vm, 'one'))).toBe(HOLD);
    expect((await document('dry-run', 'hold', 'twice', 'one', '--dry-run')).commands).toEqual([]);
    expect((await succeed('info', 'twice', 'one')).stdout).toMatch(
      /^held +yes: neither delete nor prune removes it$/m,
    );
    await succeed('unhold', 'twice', 'one');
    expect((await succeed('info', 'twice', 'one')).stdout).not.toContain('held');
    expect((await succeed('-v', 'unhold', 'twice', 'one')).stderr).not.toContain('snapshot-create');
    expect(wholeXml(vm, 'one')).not.toContain('<description');
  });

  test('a password in the stored definition stays', async () => {
    const vm = defineVm({
      name: 'secret',
      extraDevicesXml: "<graphics type='vnc' port='-1' autoport='yes' passwd='s3cr3t&amp;'/>",
    });
    take(vm, 'one');
    const before = wholeXml(vm, 'one');
    expect(before).toContain("passwd='s3cr3t&amp;'");
    await succeed('hold', 'secret', 'one');
    expect(undescribed(wholeXml(vm, 'one'))).toBe(before);
    virsh('snapshot-revert', '--domain', vm.uuid, '--snapshotname', 'one');
    expect(virsh('dumpxml', '--domain', vm.uuid, '--inactive', '--security-info')).toContain(
      "passwd='s3cr3t&amp;'",
    );
  });

  test('of a VM that runs on: its memory is still there to go back to', async () => {
    const vm = twoDisks('running', { boot: 'counter' });
    start(vm);
    await countTo(vm, 20);
    take(vm, 'then');
    const then = count(vm);
    const before = [snapshotNames(vm).map((name) => wholeXml(vm, name)), currentSnapshot(vm)];
    await succeed('describe', 'running', 'then', 'with "memory"');
    await succeed('hold', 'running', 'then');
    expect(state(vm)).toBe('running');
    expect([[undescribed(wholeXml(vm, 'then'))], currentSnapshot(vm)]).toEqual(before);
    await countTo(vm, then + 60);
    await succeed('revert', 'running', 'then');
    expect(count(vm)).toBeLessThan(then + 55);
    expect(state(vm)).toBe('running');
    expect(described(wholeXml(vm, 'then'))).toBe(`with "memory"\n\n${HOLD}`);
    await succeed('unhold', 'running', 'then');
    await succeed('delete', 'running', 'then');
    expect(snapshotNames(vm)).toEqual([]);
  });

  test('is still there when libvirtd was started anew', async () => {
    const vm = family('kept');
    await succeed('hold', 'kept', 'middle');
    const before = [facts(vm), wholeXml(vm, 'middle')];
    await killLibvirtd('SIGTERM');
    await startLibvirtd();
    expect([facts(vm), wholeXml(vm, 'middle')]).toEqual(before);
  });

  test('one that is still being taken is busy, and is left alone', async () => {
    const vm = twoDisks('busy', { boot: 'counter' });
    start(vm);
    await countTo(vm, 1);
    const { done } = await takeHalf(vm, 'half');
    try {
      expect((await failure(7, 'hold', 'busy', 'half')).code).toBe('busy');
      expect((await failure(7, 'describe', 'busy', 'half', 'text')).code).toBe('busy');
    } finally {
      continueQemu(vm);
    }
    await done;
    expect(wholeXml(vm, 'half')).not.toContain('<description');
    await succeed('hold', 'busy', 'half');
    expect(described(wholeXml(vm, 'half'))).toBe(HOLD);
  });
});

describe('the copy of before', () => {
  const room = () => mkdtempSync(join(scratch, 'state-'));

  /** The copies in a state directory, oldest first. */
  function copies(directory: string): string[] {
    const kept = join(directory, 'kvmsnap');
    if (!existsSync(kept)) return [];
    const names = readdirSync(kept).sort();
    for (const name of names) expect(statSync(join(kept, name)).mode & 0o777).toBe(0o600);
    expect(statSync(kept).mode & 0o777).toBe(0o700);
    return names
      .filter((name) => !name.endsWith('.new.xml'))
      .map((name) => readFileSync(join(kept, name), 'utf8').trimEnd());
  }

  test('is in XDG_STATE_HOME, one of each change, and brings it back', async () => {
    const vm = family('copied');
    const directory = room();
    const before = wholeXml(vm, 'middle');
    const env = { XDG_STATE_HOME: directory };
    const runs = await Promise.all(
      ['root', 'middle', 'leaf', 'branch'].map((name) =>
        kvmsnap(['describe', 'copied', name, 'new'], { env }),
      ),
    );
    expect(runs.map(({ code, stderr }) => [code, stderr])).toEqual(runs.map(() => [0, '']));
    const kept = copies(directory);
    expect(kept).toHaveLength(4);
    expect(kept).toContain(before.trimEnd());
    const file = readdirSync(join(directory, 'kvmsnap')).find(
      (name) => readFileSync(join(directory, 'kvmsnap', name), 'utf8').trimEnd() === before.trimEnd(),
    );
    const path = join(directory, 'kvmsnap', file ?? '');
    virsh('snapshot-create', '--domain', vm.uuid, '--xmlfile', path, '--redefine', '--current');
    expect(wholeXml(vm, 'middle')).toBe(before);
    expect(currentSnapshot(vm)).toBe('middle');
  });

  test('is in ~/.local/state otherwise, and without HOME in the home of the user', async () => {
    const vm = twoDisks('homes');
    take(vm, 'one');
    const home = room();
    const run = await kvmsnap(['hold', 'homes', 'one'], { env: { HOME: home, XDG_STATE_HOME: undefined } });
    expect(run).toMatchObject({ code: 0, stderr: '' });
    expect(copies(join(home, '.local', 'state'))).toHaveLength(1);
    const bare = await kvmsnap(['unhold', 'homes', 'one'], {
      env: {
        PATH: process.env['PATH'],
        XDG_RUNTIME_DIR: process.env['XDG_RUNTIME_DIR'],
        XDG_CONFIG_HOME: process.env['XDG_CONFIG_HOME'],
      },
      replaceEnv: true,
    });
    const own = userInfo().homedir;
    if (tryTool('test', ['-w', own]).code !== 0) {
      // such as that of nobody
      expect(bare).toMatchObject({ code: 5, stderr: expect.stringContaining(`${own}/.local/state/kvmsnap`) });
      return;
    }
    expect(bare).toMatchObject({ code: 0, stderr: '' });
    expect(wholeXml(vm, 'one')).not.toContain('<description');
    const kept = join(own, '.local', 'state', 'kvmsnap');
    const [file = '', ...more] = readdirSync(kept).filter((name) => name.startsWith(vm.uuid));
    expect(more).toEqual([]);
    rmSync(join(kept, file));
  });

  test('where it cannot be written nothing is changed', async () => {
    const vm = twoDisks('nowhere');
    take(vm, 'one');
    const before = wholeXml(vm, 'one');
    const { code, stderr } = await kvmsnap(['hold', 'nowhere', 'one'], {
      env: { XDG_STATE_HOME: '/dev/null' },
    });
    expect({ code, stderr }).toEqual({ code: 5, stderr: expect.stringContaining('/dev/null/kvmsnap') });
    expect(wholeXml(vm, 'one')).toBe(before);
  });

  test('a dry run changes nothing, and its line does it when pasted', async () => {
    const vm = family('dry');
    const before = facts(vm);
    const xml = wholeXml(vm, 'middle');
    const { commands } = await document('dry-run', '--dry-run', 'hold', 'dry', 'middle');
    expect([facts(vm), wholeXml(vm, 'middle')]).toEqual([before, xml]);
    expect(commands).toHaveLength(1);
    pasteOk(commands[0] ?? null);
    expect(described(wholeXml(vm, 'middle'))).toBe(HOLD);
    expect(facts(vm)).toEqual(before);
  });

  test('a dry run writes no file, and prints no password; its line keeps it, and changes nothing but the text', async () => {
    const vm = defineVm({
      name: 'dry-secret',
      extraDevicesXml: "<graphics type='vnc' port='-1' autoport='yes' passwd='s3cr3t&amp;'/>",
    });
    take(vm, 'one', '--description', 'of several\nlines & <more>');
    const before = undescribed(wholeXml(vm, 'one'));
    const directory = room();
    for (const text of [...TEXTS, '', 'back\\slash / &amp; \\n $1', 'last']) {
      const args = ['--dry-run', 'describe', 'dry-secret', '--', 'one', text];
      const { code, stdout, stderr } = await kvmsnap(args, { env: { XDG_STATE_HOME: directory } });
      expect({ text, code, stderr }).toEqual({ text, code: 0, stderr: '' });
      expect(stdout).not.toContain('s3cr3t');
      pasteOk(stdout);
      expect(described(wholeXml(vm, 'one')) ?? '').toBe(text);
      expect(undescribed(wholeXml(vm, 'one'))).toBe(before);
    }
    expect(readdirSync(directory)).toEqual([]);
  });

  test('of ten changes the copies of the last five are left, and nothing else', async () => {
    const vm = twoDisks('often');
    take(vm, 'one');
    const directory = room();
    const env = { XDG_STATE_HOME: directory };
    for (let n = 0; n < 10; n++)
      expect((await kvmsnap(['describe', 'often', 'one', `${n}`], { env })).code).toBe(0);
    expect(copies(directory).map(described)).toEqual(['4', '5', '6', '7', '8']);
    expect(readdirSync(join(directory, 'kvmsnap'))).toHaveLength(5);
  });
});

describe('what is held is not deleted', () => {
  const OPTIONS = [[], ['--yes'], ['--metadata'], ['--yes', '--metadata']];

  test.each(OPTIONS)('delete %j: exit 5, and the hint lets it go', async (...options) => {
    const vm = family('kept');
    await succeed('hold', 'kept', 'leaf');
    const before = facts(vm);
    const { message, hint, command } = await failure(5, 'delete', 'kept', 'leaf', ...options);
    expect(message).toBe('cannot delete leaf of kept: leaf is held');
    expect(hint).toContain(command);
    expect(facts(vm)).toEqual(before);
    pasteOk(command);
    await succeed('delete', 'kept', 'leaf', ...options);
    expect(snapshotNames(vm)).not.toContain('leaf');
  });

  test('delete has no --force that could', async () => {
    family('kept');
    await succeed('hold', 'kept', 'leaf');
    await fail(2, 'delete', 'kept', 'leaf', '--force');
  });

  test.each([
    ['root', '--children'],
    ['root', '--children-only'],
    ['middle', '--children', '--metadata'],
  ])('delete %s %s names each that is held, and deletes none', async (name, ...options) => {
    const vm = family('kept');
    for (const held of ['leaf', 'branch']) await succeed('hold', 'kept', held);
    const before = facts(vm);
    for (const extra of [['--dry-run'], ['--yes'], []]) {
      const { message } = await failure(5, 'delete', 'kept', name, ...options, ...extra);
      expect(message).toContain('leaf is held');
      expect(message).toContain('branch is held');
    }
    expect(facts(vm)).toEqual(before);
  });

  test('of several names the others go, and of several VMs too', async () => {
    const vm = family('kept');
    const other = defineVm({ name: 'kept-2', disks: [{ size: '8M' }] });
    take(other, 'leaf');
    await succeed('hold', 'kept', 'leaf');
    expect((await kvmsnap(['delete', 'kept', 'leaf', 'branch'])).code).toBe(3);
    expect(snapshotNames(vm)).toEqual(['leaf', 'middle', 'root']);
    const many = await kvmsnap(['delete', 'kept*', 'leaf', '--yes']);
    expect(many).toMatchObject({ code: 3, stderr: expect.stringContaining('leaf is held') });
    expect([snapshotNames(vm), snapshotNames(other)]).toEqual([['leaf', 'middle', 'root'], []]);
  });

  test('in a script without --yes, what is held is told of before the missing consent', async () => {
    const vm = family('kept');
    await succeed('hold', 'kept', 'leaf');
    const before = facts(vm);
    for (const args of [
      ['kept', 'branch', 'leaf', '--children'],
      ['kep*', 'branch', 'leaf'],
    ])
      expect((await failure(5, 'delete', ...args)).message).toContain('leaf is held');
    expect(facts(vm)).toEqual(before);
  });

  test('what exists already and is held: the advice of create works when pasted', async () => {
    const vm = family('kept');
    await succeed('hold', 'kept', 'leaf');
    const { findings } = await failure(6, 'create-as', 'kept', 'leaf');
    const commands = findings.flatMap((finding) => finding.commands);
    expect(commands).toEqual(['kvmsnap unhold kept leaf', 'kvmsnap delete kept leaf']);
    for (const command of commands) pasteOk(command);
    expect(snapshotNames(vm)).not.toContain('leaf');
  });

  test('check --fix unregisters no snapshot on hold', async () => {
    const vm = defineVm({ name: 'kept', disks: [{ size: '8M' }] });
    take(vm, 'gone');
    await succeed('hold', 'kept', 'gone');
    tool('qemu-img', ['snapshot', '-d', 'gone', pathOf(vm)]);
    expect((await kvmsnap(['check', 'kept', '--fix', '--yes'])).code).toBe(5);
    expect(snapshotNames(vm)).toEqual(['gone']);
    const { domains } = JSON.parse((await kvmsnap(['check', 'kept', '--json'])).stdout);
    const found = domains[0]?.findings.find(({ rule }: { rule: string }) => rule === 'no-data');
    expect(found?.command).toBe('kvmsnap unhold kept gone');
    pasteOk(found?.command);
    await kvmsnap(['check', 'kept', '--fix', '--yes']);
    expect(snapshotNames(vm)).toEqual([]);
  });
});
