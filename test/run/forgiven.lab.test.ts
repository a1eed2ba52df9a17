import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { kvmsnap, kvmsnapInShell } from '../lab/cli.ts';
import { paste, pasteOk, refused } from '../lab/evidence.ts';
import { scratch, type ToolResult, tryTool, virsh } from '../lab/lab.ts';
import { share } from '../lab/share.ts';
import { currentSnapshot, snapshotNames } from '../scene/snapshot.ts';
import { asked, bytes, document, fail, NOW, succeed, THEN, tagNames, take, write } from '../scene/steps.ts';
import { cleanUp, defineVm, type Vm } from '../scene/vm.ts';

/** Command lines of people who are used to another tool, or hurry: understood, or answered with the line that they meant. */

let web: Vm;
let db: Vm;

beforeEach(() => {
  web = defineVm({ name: 'web-1', disks: [{ size: '4M' }] });
  db = defineVm({ name: 'db', disks: [{ size: '4M' }] });
  write(web, THEN);
  for (const name of ['old-1', 'old 2', 'good']) take(web, name);
  for (const name of ['old-1', 'good']) take(db, name);
  write(web, NOW);
});
afterEach(cleanUp);

/** A shell line in which `KVMSNAP` is the program. */
const shell = (line: string): ToolResult =>
  tryTool('bash', ['--norc', '-o', 'pipefail', '-c', line.replaceAll('KVMSNAP', kvmsnapInShell)]);

/** What both VMs have, by libvirt and in the images. */
const left = () => {
  const all = { web: snapshotNames(web).sort(), db: snapshotNames(db).sort() };
  const tags = (vm: Vm) => tagNames(vm).map((names) => names.sort());
  expect({ web: tags(web), db: tags(db) }).toEqual({ web: [all.web], db: [all.db] });
  return all;
};

const ALL = { web: ['good', 'old 2', 'old-1'], db: ['good', 'old-1'] };

describe('VM and snapshot have changed places', () => {
  test.each(
    share(4, [
      [['create-as', 'snapshot-2', 'web-1', '-d', 'before it'], "create-as web-1 snapshot-2 -d 'before it'"],
      [['revert', 'good', 'web-1', '--running'], 'revert web-1 good --running'],
      [['delete', 'old 2', 'web-1', '--yes'], "delete web-1 'old 2' --yes"],
      [['rm', 'old-1', 'old 2', 'web-1'], "rm web-1 old-1 'old 2'"],
      [['delete', 'old-1', 'w*', '--yes'], "delete 'w*' old-1 --yes"],
      [['info', 'good', 'web-1'], 'info web-1 good'],
      [['space', 'good', 'web-1'], 'space web-1 good'],
      [['hold', 'good', 'web-1'], 'hold web-1 good'],
      [['unhold', 'good', 'web-1'], 'unhold web-1 good'],
      [['describe', 'good', 'web-1', 'a text'], "describe web-1 good 'a text'"],
      [['current', 'good', '--set', 'web-1'], 'current --set=good web-1'],
    ]),
  )('%j is exit 4, and its line works', async (args, line) => {
    const { exitCode, command } = await refused(...args);
    expect([exitCode, command]).toEqual([4, `kvmsnap ${line} --json`]);
    expect(await fail(4, ...args)).toContain(`  kvmsnap ${line}\n`);
    expect(left()).toEqual(ALL);
    pasteOk(command);
  });

  test('create VM NAME and create NAME VM', async () => {
    for (const names of [
      ['web-1', 'new one'],
      ['new one', 'web-1'],
    ])
      expect(await refused('create', ...names, '-d', 'text')).toMatchObject({
        exitCode: 4,
        command: "kvmsnap create-as web-1 'new one' -d text --json",
      });
    expect(left()).toEqual(ALL);
    pasteOk("kvmsnap create-as web-1 'new one' -d text --json");
    expect(left().web).toEqual(['good', 'new one', 'old 2', 'old-1']);
  });

  test('a snapshot called as another VM is has not', async () => {
    take(web, 'db');
    await succeed('delete', 'web-1', 'db', '--yes');
    expect(await fail(4, 'delete', 'web-1', 'db')).not.toContain('comes first');
    expect(await fail(4, 'delete', 'nosuch', 'old-1')).not.toContain('comes first');
  });
});

describe('VM/NAME', () => {
  test('list, grep and xargs delete over several VMs', () => {
    const done = shell("KVMSNAP list --all -q | grep /old | xargs -d '\\n' KVMSNAP delete -y -q");
    expect(done).toMatchObject({ code: 0, stdout: 'db/old-1\nweb-1/old-1\nweb-1/old 2\n' });
    expect(left()).toEqual({ web: ['good'], db: ['good'] });
  });

  test('without --yes a script must consent to several VMs, and not to one', async () => {
    expect(await fail(10, 'delete', 'web-1/old-1', 'db/old-1')).toContain('--yes');
    expect(left()).toEqual(ALL);
    await succeed('delete', 'web-1/old-1', 'web-1/old 2');
    expect(left().web).toEqual(['good']);
  });

  test('on a terminal there is one question over all VMs', async () => {
    const terminal = await asked('delete', 'web-1/old-1', 'db/good');
    expect(terminal.screen()).toMatch(/db: good.*web-1: old-1.*Delete 2 snapshots of 2 VMs/s);
    terminal.type('n\r');
    expect((await terminal.done).code).toBe(10);
    expect(left()).toEqual(ALL);
  });

  test('each VM loses its own: no name is taken for that of another VM', async () => {
    await succeed('delete', 'web-1/old-1', 'db/good', '--yes');
    expect(left()).toEqual({ web: ['good', 'old 2'], db: ['old-1'] });
  });

  test('what is not there fails, and the rest is done', async () => {
    const partly = async (...words: string[]) => {
      const { code, stderr } = await kvmsnap(['delete', '-y', ...words]);
      expect(code).toBe(3);
      return stderr;
    };
    expect(await partly('web-1/old-1', 'db/nosuch')).toContain('db has no snapshot nosuch');
    expect(await partly('gone/x', 'web-1/old 2')).toContain('no such VM: gone');
    expect((await kvmsnap(['delete', '-y', 'web-1/nosuch', 'db/nosuch'])).code).toBe(4);
    expect(await fail(4, 'delete', '-y', 'gone/x')).toContain('no such VM: gone');
    expect(left()).toEqual({ web: ['good'], db: ALL.db });
  });

  test('what one VM refuses is told before anything of another is deleted, unless it was consented to', async () => {
    await succeed('hold', 'db/good');
    expect(await fail(5, 'delete', 'web-1/old-1', 'db/good')).toContain('unhold');
    expect(left()).toEqual(ALL);
    expect((await kvmsnap(['delete', '-y', 'web-1/old-1', 'db/good'])).code).toBe(3);
    expect(left()).toEqual({ ...ALL, web: ['good', 'old 2'] });
  });

  test('wherever a VM and a snapshot are named', async () => {
    await succeed('create-as', 'web-1/new', '-d', 'x/y');
    expect(left().web).toEqual(['good', 'new', 'old 2', 'old-1']);
    await succeed('describe', 'web-1/new', 'a/b c');
    expect(await document('current', 'hold', 'web-1/new')).toMatchObject({
      snapshot: { held: true, description: 'a/b c' },
    });
    await succeed('unhold', 'web-1/new');
    expect((await succeed('info', 'web-1/old 2', '-q')).stdout).toContain('old 2');
    expect((await succeed('space', 'web-1/good', 'web-1/old 2', '-o', 'csv')).stdout).toContain('old 2');
    await succeed('current', '--set', 'web-1/good');
    expect(currentSnapshot(web)).toBe('good');
    expect((await succeed('list', '--from', 'web-1/good', '-q')).stdout).toBe('new\n');
    await succeed('revert', 'web-1/good');
    expect(bytes(web)).toEqual([THEN]);
    await succeed('rm', 'web-1/new');
    expect(left()).toEqual(ALL);
  });

  test('words of both kinds are a usage error, and nothing is done', async () => {
    for (const words of [
      ['web-1/old-1', 'good'],
      ['web-1', 'db/good'],
      ['web-1', 'old-1', 'web-1/good'],
      ['good', 'web-1/old-1'],
    ])
      expect(await fail(2, 'delete', '-y', ...words)).toContain('cannot be mixed');
    expect(await refused('delete', '-y', 'web-1/old-1', 'old 2')).toMatchObject({
      exitCode: 2,
      command: "kvmsnap delete -y web-1 old-1 'old 2' --json",
    });
    await fail(2, 'delete', '-y', 'web-1/old-1', '--vm', 'db');
    await fail(2, 'create-as', 'web-1/new', '--vm', 'db');
    await fail(2, 'create-as', 'web-1/new', 'new');
    await fail(2, 'create-as', 'web-1/a/b');
    await fail(2, 'revert', 'web-1/good', 'db/good');
    await fail(2, 'revert', 'web-1/good', '--current');
    await fail(2, 'info', 'web-1/good', 'web-1/old-1');
    await fail(2, 'hold', 'web-1/');
    await fail(2, 'delete', '-y', 'web-*/good');
    expect(left()).toEqual(ALL);
  });

  test('of a command that takes VMs alone, it is no VM', async () => {
    for (const args of [['list'], ['check'], ['current'], ['prune', '--match', '*', '--keep-last', '0']])
      expect(await fail(4, ...args, 'web-1/good')).toMatch(
        /no such VM.*takes only the VM\n +kvmsnap .*web-1/s,
      );
    expect(await fail(4, 'create', 'web-1/good')).toContain('\n        kvmsnap create-as web-1 good\n');
    const { code, stdout, stderr } = await kvmsnap(['list', 'web-1', 'good']);
    expect([code, stdout + stderr]).toEqual([3, expect.stringContaining('kvmsnap info web-1 good\n')]);
    expect(left()).toEqual(ALL);
  });
});

describe("virsh's words", () => {
  test('its commands do what they do there', async () => {
    await succeed('snapshot-create-as', '--domain', 'web-1', '--name', 'n1', '--description', 'one');
    await succeed('snapshot-create-as', 'web-1', 'n2', 'two');
    expect(virsh('snapshot-dumpxml', '--domain', 'web-1', '--snapshotname', 'n2')).toContain(
      '<description>two</description>',
    );
    const names = virsh('snapshot-list', '--domain', 'web-1', '--name', '--topological').trim();
    const listed = (await succeed('snapshot-list', 'web-1', '--name', '--topological')).stdout.trim();
    expect(listed.split('\n').sort()).toEqual(names.split('\n').sort());
    expect((await succeed('snapshot-current', 'web-1', '--name')).stdout.trim()).toBe('n2');
    await succeed('snapshot-current', 'web-1', '--snapshotname', 'n1');
    expect(currentSnapshot(web)).toBe('n1');
    const xml = await succeed('snapshot-dumpxml', 'web-1', 'n1');
    const own = virsh('snapshot-dumpxml', '--domain', 'web-1', '--snapshotname', 'n1');
    expect(xml.stdout.trim()).toBe(own.trim());
    expect((await succeed('snapshot-info', '--domain', 'web-1', '--current')).stdout).toContain('n1');
    await succeed('snapshot-revert', '--domain', 'web-1', '--snapshotname', 'good');
    expect(bytes(web)).toEqual([THEN]);
    await succeed('snapshot-delete', '--snapshotname', 'n1', '--domain', 'web-1');
    await succeed('delete', '--domain', 'web-1', '--snapshotname', 'n2');
    expect(left()).toEqual(ALL);
    const file = join(scratch, 'forgiven.xml');
    writeFileSync(file, '<domainsnapshot><name>from file</name></domainsnapshot>');
    await succeed('snapshot-create', 'web-1', file);
    rmSync(file);
    expect(left().web).toEqual(['from file', ...ALL.web]);
  });

  test("--state 'shut off'", async () => {
    expect((await succeed('list', '--all', '--state', 'shut off', '-q')).stdout).toContain('db/good\n');
    expect((await succeed('list', 'web-*', '--state=shut off', '-q')).stdout).toContain('good\n');
  });
});

describe('other words for a command', () => {
  test('those that look are taken', async () => {
    expect((await succeed('snapshots', 'web-1', '-q')).stdout).toBe('old-1\nold 2\ngood\n');
    expect((await succeed('show', 'web-1', 'good')).stdout).toBe(
      (await succeed('info', 'web-1', 'good')).stdout,
    );
    expect((await succeed('status', '-q')).stdout).toBe('db\nweb-1\n');
    expect((await succeed('version')).stdout).toBe((await succeed('--version')).stdout);
    expect((await succeed('help', 'rollback')).stdout).toBe((await succeed('revert', '--help')).stdout);
    expect(await fail(2, 'help', 'revrt')).toContain('kvmsnap help revert');
  });

  test.each(
    share(2, [
      ['restore', ['web-1', 'good'], 'revert web-1 good'],
      ['rollback', ['web-1', 'old 2'], "revert web-1 'old 2'"],
      ['remove', ['web-1', 'old 2', '-y'], "delete web-1 'old 2' -y"],
      ['take', ['web-1', 'new'], 'create-as web-1 new'],
      ['snapshot-delet', ['web-1', 'old-1'], 'delete web-1 old-1'],
    ]),
  )('%s is answered with the line to paste', async (word, args, line) => {
    expect(await fail(2, word, ...args)).toContain(`  kvmsnap ${line}\n`);
    expect(left()).toEqual(ALL);
    expect(paste(`kvmsnap ${line}`).code).toBe(0);
  });
});

test("a unique beginning of a VM's name is suggested, and not taken", async () => {
  const { code, stderr } = await kvmsnap(['delete', 'we', 'good', '--yes']);
  expect([code, stderr]).toEqual([
    4,
    expect.stringMatching(/did you mean web-1\?\n +kvmsnap delete web-1 good\n/),
  ]);
  expect(left()).toEqual(ALL);
});

test.each(
  share(2, [
    ['current', []],
    ['list', []],
    ['check', []],
    ['prune', ['--match', 'nothing', '--keep-last', '1']],
  ]),
)('%s of VM/NAME is answered with the line for the VM', async (command, options) => {
  const refusal = await refused(command, 'web-1/good', ...options);
  expect(refusal.exitCode).toBe(4);
  expect(refusal.command).toContain(`kvmsnap ${command} web-1 `);
  expect(paste(refusal.command).code).toBe(0);
  expect(left()).toEqual(ALL);
});

test('create of VM/NAME is answered with the line for create-as', async () => {
  const refusal = await refused('create', 'web-1/new');
  expect(refusal.exitCode).toBe(4);
  expect(refusal.command).toMatch(/^kvmsnap create-as web-1 new( |$)/);
  expect(left()).toEqual(ALL);
});
