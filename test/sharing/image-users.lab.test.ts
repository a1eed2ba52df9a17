// An image that another VM uses too: what is refused, what is done, and what is said, judged by the data.
import { existsSync, linkSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { afterAll, afterEach, describe, expect, test } from 'vitest';
import { kvmsnap } from '../lab/cli.ts';
import { fingerprint, refused } from '../lab/evidence.ts';
import { scratch, tool, virsh } from '../lab/lab.ts';
import type { Terminal } from '../lab/terminal.ts';
import { since } from '../lab/version.ts';
import { tags } from '../scene/disk.ts';
import { snapshotNames } from '../scene/snapshot.ts';
import { asked, byteIn, NOW, succeed, THEN, take, write } from '../scene/steps.ts';
import { cleanUp, defineVm, destroy, pathOf, start, undefine, type Vm } from '../scene/vm.ts';
import { leavesBoth } from './leaves-both.ts';

afterEach(cleanUp);
afterAll(cleanUp);

const small = { size: '4M' };

const tagNames = (path: string): string[] => tags(path).map(({ name }) => name);

test('the snapshot of another VM is no orphan of this one', async () => {
  const first = defineVm({ name: 'first', disks: [small] });
  const second = defineVm({ name: 'second', disks: [{ source: pathOf(first) }, { ...small }] });
  expect((await succeed('create-as', 'second', 'both')).stderr).toMatch(
    /warning: disk vda: .*VM first \(shut off\) uses it as disk vda/,
  );
  await succeed('create-as', 'first', 'precious');
  const before = [first, second].map(fingerprint);
  const { stdout } = await succeed('check', 'second', '--fix', '--yes', '--json');
  expect([first, second].map(fingerprint)).toEqual(before);
  expect(tagNames(pathOf(first))).toEqual(['both', 'precious']);
  const [{ findings, fixes }] = JSON.parse(stdout).domains;
  expect(fixes).toEqual([]);
  expect(findings).toMatchObject([
    {
      level: 'information',
      rule: 'used-by-others',
      what: expect.stringMatching(
        /VM first \(shut off\) uses it as disk vda and has its snapshot precious in it/,
      ),
    },
  ]);
});

test('the managed save of another VM, whose definition names the image no more', async () => {
  const first = defineVm({ name: 'first', disks: [small], boot: 'counter' });
  write(first, THEN);
  take(first, 's1');
  write(first, NOW);
  const second = defineVm({ name: 'second', disks: [{ source: pathOf(first) }] });
  start(second);
  virsh('managedsave', second.uuid);
  const other = defineVm({ name: 'other', disks: [small] });
  const file = join(dirname(pathOf(other)), 'second.xml');
  const xml = virsh('dumpxml', '--inactive', second.uuid).replace(pathOf(first), pathOf(other));
  undefine(other);
  writeFileSync(file, xml);
  virsh('define', file);
  const both = [first, second];
  const words = await leavesBoth(both, 'revert', 'first', 's1', '--force');
  expect(words).toMatch(
    /VM second \(shut off\) needs it for its managed save \(disk vda\)\n.*start second first/,
  );
  expect((await succeed('create-as', 'first', 's2')).stderr).toMatch(
    /second \(shut off\) needs it for its managed save/,
  );
  virsh('managedsave-remove', second.uuid);
  await succeed('revert', 'first', 's1');
  expect(byteIn(pathOf(first))).toBe(THEN);
});

test('the data file of an image of another VM, and what another VM boots', async () => {
  const data = join(scratch, 'data.raw');
  const kernel = join(scratch, 'kernel');
  const split = join(scratch, 'split.qcow2');
  tool('qemu-img', ['create', '-q', '-f', 'raw', kernel, '4M']);
  tool('qemu-img', ['create', '-q', '-f', 'qcow2', '-o', `data_file=${data},data_file_raw=on`, split, '4M']);
  const raw = { format: 'raw', driver: 'raw' } as const;
  const first = defineVm({
    name: 'first',
    disks: [
      { ...raw, source: data },
      { ...raw, source: kernel },
    ],
  });
  defineVm({
    name: 'second',
    disks: [{ source: split }],
    osXml: `<os><type arch='x86_64' machine='pc'>hvm</type><kernel>${kernel}</kernel></os>`,
  });
  const { stderr } = await succeed('create-as', 'first', 'e1', '--external', '--force');
  expect(stderr).toMatch(
    new RegExp(
      `disk vda: other VMs use ${data} too: VM second \\(shut off\\) has the data of its disk vda in it`,
    ),
  );
  expect(stderr).not.toMatch(/overlay on top of it/);
  const words = await leavesBoth([first], 'delete', 'first', 'e1');
  expect(words).toMatch(/write into \S+kernel, and VM second \(shut off\) has it in its definition/);
});

describe('a disk in two definitions', () => {
  function shared(): readonly [Vm, Vm] {
    const first = defineVm({ name: 'first', disks: [small], boot: 'counter' });
    write(first, THEN);
    take(first, 's1');
    write(first, NOW);
    // under another path
    const alias = join(dirname(pathOf(first)), 'alias.qcow2');
    linkSync(pathOf(first), alias);
    return [first, defineVm({ name: 'second', disks: [{ source: alias }] })];
  }

  test('is not reverted, though forced', async () => {
    const both = shared();
    const words = await leavesBoth(both, 'revert', 'first', 's1', '--force');
    expect(words).toMatch(/VM second \(shut off\) uses it as disk vda/);
    await leavesBoth(both, 'revert', 'first', 's1', '--backup', '--force');
    await leavesBoth(both, 'revert', 'first', 's1', '--dry-run');
    undefine(both[1]);
    await succeed('revert', 'first', 's1');
    expect(byteIn(pathOf(both[0]))).toBe(THEN);
  });

  test('takes no snapshot while the other VM runs, and loses none', async () => {
    const both = shared();
    const [first, second] = both;
    start(second);
    const words = await leavesBoth(both, 'create-as', 'first', 's2', '--force');
    expect(words).toMatch(/VM second \(running\) uses it as disk vda.*\n.*shut second down/);
    await leavesBoth(both, 'create-as', 'first', 'e2', '--external', '--disk-only', '--force');
    await leavesBoth(both, 'delete', 'first', 's1', '--yes');
    await kvmsnap(['prune', 'first', '--match', 's1', '--keep-last', '0', '--allow-empty']);
    expect([snapshotNames(first), tagNames(pathOf(first))]).toEqual([['s1'], ['s1']]);
    destroy(second);
    await succeed('create-as', 'first', 's2');
    await succeed('delete', 'first', 's1');
    expect([snapshotNames(first), tagNames(pathOf(first))]).toEqual([['s2'], ['s2']]);
  });

  test('defined twice, with the same snapshots: neither deletes what the other has', async () => {
    const both = shared();
    const [first, second] = both;
    const file = join(dirname(pathOf(first)), 's1.xml');
    const xml = virsh('snapshot-dumpxml', first.uuid, 's1').replaceAll(first.uuid, second.uuid);
    tool('sh', [
      '-c',
      `cat > ${file} <<'END'\n${xml.replaceAll("'first'", "'second'").replaceAll('<name>first<', '<name>second<')}\nEND`,
    ]);
    virsh('snapshot-create', second.uuid, file, '--redefine');
    const words = await leavesBoth(both, 'delete', 'first', 's1');
    expect(words).toMatch(/which would lose it: VM second \(shut off\) has its snapshot s1 in it/);
    const { code, stderr } = await kvmsnap([
      'prune',
      'first',
      '--match',
      's1',
      '--keep-last',
      '0',
      '--allow-empty',
    ]);
    expect([code, stderr]).toEqual([5, expect.stringContaining('VM second')]);
    expect(tagNames(pathOf(first))).toEqual(['s1']);
    await succeed('delete', 'first', 's1', '--metadata');
    await succeed('delete', 'second', 's1');
    expect(tagNames(pathOf(first))).toEqual([]);
  });
});

test('a disk that was handed to another VM is not rolled back by a snapshot of before', async () => {
  const first = defineVm({ name: 'first', disks: [small, small] });
  write(first, THEN);
  take(first, 's1');
  write(first, NOW);
  virsh('detach-disk', first.uuid, 'vdb', '--config');
  const second = defineVm({ name: 'second', disks: [{ source: pathOf(first, 1) }] });
  const both = [first, second];
  expect(await leavesBoth(both, 'revert', 'first', 's1', '--force')).toMatch(/VM second .* disk vda/);
  expect(byteIn(pathOf(second))).toBe(NOW);
});

test('a volume of a pool that is not active is the file that another VM has', async () => {
  const first = defineVm({ name: 'first', disks: [small], boot: 'counter' });
  write(first, THEN);
  take(first, 's1');
  write(first, NOW);
  const second = defineVm({ name: 'second', disks: [small] });
  const directory = dirname(pathOf(first));
  virsh('pool-define-as', 'images', 'dir', '--target', directory);
  const xml = join(directory, 'second.xml');
  writeFileSync(
    xml,
    virsh('dumpxml', '--inactive', '--domain', second.uuid)
      .replace("<disk type='file'", "<disk type='volume'")
      .replace(/<source file='[^']*'/, `<source pool='images' volume='${basename(pathOf(first))}'`),
  );
  virsh('define', xml);
  try {
    const words = await leavesBoth([first], 'revert', 'first', 's1', '--force');
    expect(words).toMatch(/VM second \(shut off\) uses it as disk vda/);
    expect((await succeed('create-as', 'first', 's2')).stderr).toContain('VM second (shut off) uses it');
  } finally {
    virsh('pool-undefine', 'images');
  }
});

test('what only a snapshot of another VM keeps is not changed', async () => {
  const first = defineVm({ name: 'first', disks: [small] });
  write(first, THEN);
  const second = defineVm({ name: 'second', disks: [{ source: pathOf(first) }] });
  take(first, 's1');
  write(first, NOW);
  // its state is the shared image, and its own disk another one since
  take(second, 'e1', '--disk-only');
  const before = [first, second].map(fingerprint);
  const { exitCode, message } = await refused('revert', 'first', 's1', '--force');
  expect([exitCode, [first, second].map(fingerprint)]).toEqual([5, before]);
  expect(message).toMatch(/VM second/);
});

test('a VM that only reads an image has it locked too while it runs', async () => {
  const first = defineVm({ name: 'first', disks: [small] });
  const reader = defineVm({
    name: 'reader',
    disks: [small, { source: pathOf(first), readonly: true }],
    boot: 'counter',
  });
  take(first, 's1');
  start(reader);
  const both = [first, reader];
  expect(await leavesBoth(both, 'create-as', 'first', 's2')).toMatch(
    /VM reader \(running\) uses it as disk vdb/,
  );
  await leavesBoth(both, 'delete', 'first', 's1');
  destroy(reader);
  await succeed('create-as', 'first', 's2');
  await leavesBoth(both, 'revert', 'first', 's1', '--force');
});

test('the memory of a snapshot that two VMs know is not removed', async () => {
  const first = defineVm({ name: 'first', disks: [small], boot: 'counter' });
  const memory = join(dirname(pathOf(first)), 'e1.mem');
  start(first);
  take(first, 'e1', '--memspec', memory, '--diskspec', 'vda,snapshot=external');
  const second = defineVm({ name: 'second', disks: [small] });
  const file = join(dirname(pathOf(first)), 'e1.xml');
  const xml = virsh('snapshot-dumpxml', '--security-info', first.uuid, 'e1')
    .replaceAll(first.uuid, second.uuid)
    .replaceAll('<name>first<', '<name>second<');
  tool('sh', ['-c', 'printf %s "$1" > "$2"', 'sh', xml, file]);
  virsh('snapshot-create', second.uuid, file, '--redefine');
  const { exitCode, message } = await refused('delete', 'first', 'e1', '--leftovers');
  expect([exitCode, existsSync(memory), snapshotNames(first)]).toEqual([5, true, ['e1']]);
  expect(message).toMatch(since({ '0.0': /before 9\.0/, '9.0': /VM second \(shut off\)/ }));
});

describe('while a question stands', () => {
  function alone(): Vm {
    const first = defineVm({ name: 'first', disks: [small] });
    write(first, THEN);
    take(first, 's1');
    write(first, NOW);
    return first;
  }

  const answerYes = async (terminal: Terminal, code: number, words: RegExp) => {
    terminal.type('y\r');
    expect(await terminal.done).toMatchObject({ code, screen: expect.stringMatching(words) });
  };

  test('a clone that comes is seen', async () => {
    const first = alone();
    const terminal = await asked('revert', 'first', 's1');
    const clone = defineVm({ name: 'clone', disks: [{ backing: pathOf(first) }] });
    await answerYes(terminal, 5, /VM\s+clone\s+\(shut\s+off\)\s+has\s+an\s+overlay/);
    expect([byteIn(pathOf(first)), byteIn(pathOf(clone))]).toEqual([NOW, NOW]);
  });

  test('a disk that is given to a VM is seen, and a VM that starts', async () => {
    const first = alone();
    const second = defineVm({ name: 'second', disks: [small], boot: 'counter' });
    const revert = await asked('revert', 'first', 's1');
    virsh('attach-disk', second.uuid, pathOf(first), 'vdb', '--subdriver', 'qcow2', '--config');
    await answerYes(revert, 5, /VM\s+second\s+\(shut\s+off\)\s+uses\s+it\s+as\s+disk\s+vdb/);
    const deletion = await asked('delete', 'first', 's1');
    start(second);
    await answerYes(deletion, 5, /VM\s+second\s+\(running\)/);
    expect([snapshotNames(first), tagNames(pathOf(first)), byteIn(pathOf(first))]).toEqual([
      ['s1'],
      ['s1'],
      NOW,
    ]);
  });

  test('a snapshot of another VM that comes is none to be deleted by a fix', async () => {
    const first = defineVm({ name: 'first', disks: [small, small] });
    take(first, 'old');
    // half a snapshot, of which nobody knows, of a later second
    await setTimeout(1100);
    tool('qemu-img', ['snapshot', '-c', 'half', pathOf(first)]);
    const terminal = await asked('check', 'first', '--fix');
    expect(terminal.screen()).toMatch(/delete half in disk vda/);
    const second = defineVm({ name: 'second', disks: [{ source: pathOf(first) }] });
    terminal.type('y\r');
    await terminal.done;
    expect([snapshotNames(second), tagNames(pathOf(first))]).toEqual([[], ['old', 'half']]);
  });
});
