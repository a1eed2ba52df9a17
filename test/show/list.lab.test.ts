import { chmodSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { cleanEnvironment, kvmsnap } from '../lab/cli.ts';
import { scratch, tool, virsh } from '../lab/lab.ts';
import { onTerminal } from '../lab/terminal.ts';
import { tags } from '../scene/disk.ts';
import { currentSnapshot, snapshotXml } from '../scene/snapshot.ts';
import { document, fail, hold, succeed, take, takeHalf, twoDisks } from '../scene/steps.ts';
import {
  cleanUp,
  continueQemu,
  defineVm,
  destroy,
  pathOf,
  start,
  state,
  stateAndReason,
  type Vm,
} from '../scene/vm.ts';

afterAll(cleanUp);

/** A description that a CSV field, a table cell and XML each have to escape. */
const DESCRIPTION = 'first, of "two";\nsecond <line> & 中文';

const secondsOf = (vm: Vm, name: string): number =>
  Number(/<creationTime>(\d+)</.exec(snapshotXml(vm, name))?.[1]);

/** RFC 4180. */
function parseCsv(text: string): Record<string, string>[] {
  const rows: string[][] = [];
  let row: string[] = [];
  for (const [, quoted, plain, end] of text.matchAll(/(?:"((?:[^"]|"")*)"|([^",\n]*))(,|\n)/g)) {
    row.push(quoted === undefined ? (plain ?? '') : quoted.replaceAll('""', '"'));
    if (end === '\n') {
      rows.push(row);
      row = [];
    }
  }
  const [head = [], ...body] = rows;
  return body.map((fields) => Object.fromEntries(head.map((key, i) => [key, fields[i] ?? 'none'])));
}

/** Runs kvmsnap and counts the processes that it really starts. */
async function processesOf(
  ...args: string[]
): Promise<{ virsh: number; 'qemu-img': number; stderr: string }> {
  const directory = join(scratch, 'counting');
  const log = join(directory, 'log');
  mkdirSync(directory);
  writeFileSync(log, '');
  for (const name of ['virsh', 'qemu-img']) {
    const real = tool('sh', ['-c', `command -v ${name}`]).trim();
    writeFileSync(join(directory, name), `#!/bin/sh\necho ${name} >>'${log}'\nexec ${real} "$@"\n`);
    chmodSync(join(directory, name), 0o755);
  }
  const { PATH } = cleanEnvironment();
  const { code, stderr } = await kvmsnap(args, { env: { PATH: `${directory}:${PATH}` } });
  expect(code).toBe(0);
  const started = readFileSync(log, 'utf8').split('\n');
  rmSync(directory, { recursive: true });
  const times = (name: string) => started.filter((line) => line === name).length;
  return { virsh: times('virsh'), 'qemu-img': times('qemu-img'), stderr };
}

/** The command lines that `-v` shows. */
const shownLines = (stderr: string, name: string): number =>
  stderr.split('\n').filter((line) => line.startsWith(`+ ${name} `)).length;

describe('list of one VM', () => {
  let vm: Vm;

  // s1 ─┬─ s2 ─── s3        s4 and s5 are of the running guest, s5 is the current one
  //     └─ s4 ─── s5
  beforeAll(() => {
    vm = twoDisks('tree', { boot: 'counter' });
    take(vm, 's1', '--description', DESCRIPTION);
    take(vm, 's2');
    take(vm, 's3');
    virsh('snapshot-revert', '--domain', vm.uuid, '--snapshotname', 's1');
    start(vm);
    take(vm, 's4');
    take(vm, 's5');
    destroy(vm);
  });

  const PARENTS = { s1: null, s2: 's1', s3: 's2', s4: 's1', s5: 's4' };
  const CHILDREN = { s1: ['s2', 's4'], s2: ['s3'], s3: [], s4: ['s5'], s5: [] };

  test('is, as JSON, what libvirt and the images hold', async () => {
    const { domains } = await document('list', 'list', 'tree');
    expect(domains).toMatchObject([{ name: 'tree', uuid: vm.uuid, state: 'shutoff', current: 's5' }]);
    const snapshots = domains[0]?.snapshots ?? [];
    expect(snapshots.map(({ name, parent }) => [name, parent])).toEqual(Object.entries(PARENTS));
    expect(Object.fromEntries(snapshots.map(({ name, children }) => [name, children]))).toEqual(CHILDREN);
    for (const snapshot of snapshots) {
      const ofRunning = ['s4', 's5'].includes(snapshot.name);
      const memory = tags(pathOf(vm)).find(({ name }) => name === snapshot.name)?.vmStateSize;
      expect(ofRunning).toBe((memory ?? 0) > 0);
      expect(Date.parse(snapshot.createdAt) / 1000).toBe(secondsOf(vm, snapshot.name));
      expect(snapshot).toMatchObject({
        state: ofRunning ? 'running' : 'shutoff',
        location: 'internal',
        current: snapshot.name === currentSnapshot(vm),
        underWay: false,
        description: snapshot.name === 's1' ? DESCRIPTION : null,
        vmStateBytes: memory,
        disks: vm.disks.map(({ target, path }) => ({ target, source: path, location: 'internal' })),
      });
    }
  });

  test('is the same document for the UUID, and under its alias', async () => {
    const [byName, byUuid] = [
      await succeed('--json', 'list', 'tree'),
      await succeed('ls', vm.uuid, '--json'),
    ];
    expect(byUuid.stdout).toBe(byName.stdout);
  });

  test('is a plain table in a pipe', async () => {
    const { stdout, stderr } = await succeed('list', 'tree');
    const lines = stdout.trimEnd().split('\n');
    expect(lines[0]?.trim().split(/ {2,}/)).toEqual([
      'NAME',
      'CREATED',
      'STATE',
      'KIND',
      'MEMORY',
      'PARENT',
      'DESCRIPTION',
    ]);
    expect(lines.slice(1).map((line) => line.slice(0, 5))).toEqual([
      '   s1',
      '   s2',
      '   s3',
      '   s4',
      '*  s5',
    ]);
    expect(lines[1]).toContain('first, of "two";\\nsecond <line> & 中文');
    expect(lines[5]).toMatch(/^\* +s5 +\d{4}-\S+ +running +internal +\d+ KiB +s4 +-$/);
    expect(stderr).toBe('');
  });

  test('draws the tree, with the current one marked', async () => {
    const { stdout } = await succeed('list', 'tree', '--tree');
    const drawn = stdout
      .trimEnd()
      .split('\n')
      .map((line) => /^(.*?\S) +\d{4}-\S+ +(\w+(?: off)?) /.exec(line)?.slice(1));
    expect(drawn.slice(1)).toEqual([
      ['   s1', 'shut off'],
      ['   ├─ s2', 'shut off'],
      ['   │  s3', 'shut off'],
      ['   s4', 'running'],
      ['*  s5', 'running'],
    ]);
  });

  test('draws the same tree on a terminal, in color and with ages', async () => {
    const { code, screen } = await onTerminal(['list', 'tree', '-t']).done;
    expect(code).toBe(0);
    expect(screen).toMatch(/\[38;5;28ms5/);
    expect(screen).toMatch(/├─ s2.*\d{4}-\d\d-\d\d \d\d:\d\d:\d\d \(\d+ (s|min)\)/);
  });

  test('is CSV that parses', async () => {
    const rows = parseCsv((await succeed('list', 'tree', '-o', 'csv')).stdout);
    expect(rows.map(({ name, parent, current }) => [name, parent || null, current])).toEqual(
      Object.entries(PARENTS).map(([name, parent]) => [name, parent, String(name === 's5')]),
    );
    expect(rows[0]).toMatchObject({ state: 'shutoff', vmStateBytes: '0', description: DESCRIPTION });
    expect(Number(rows[4]?.['vmStateBytes'])).toBe(tags(pathOf(vm)).at(-1)?.vmStateSize);
    expect(Date.parse(rows[0]?.['createdAt'] ?? '') / 1000).toBe(secondsOf(vm, 's1'));
  });

  test('is, with -q, the names', async () => {
    expect((await succeed('list', 'tree', '-q')).stdout).toBe('s1\ns2\ns3\ns4\ns5\n');
  });

  test('costs as many processes with 30 snapshots as with one', async () => {
    const many = defineVm({ name: 'many' });
    take(many, 'n1');
    const one = await processesOf('list', 'many', '-v');
    for (let n = 2; n <= 30; n++) take(many, `n${n}`);
    const thirty = await processesOf('list', 'many', '-v');
    expect(thirty).toMatchObject({ virsh: one.virsh, 'qemu-img': 1 });
    expect(thirty.virsh).toBeLessThanOrEqual(3);
    expect([shownLines(thirty.stderr, 'virsh'), shownLines(thirty.stderr, 'qemu-img')]).toEqual([
      thirty.virsh,
      thirty['qemu-img'],
    ]);
    expect((await succeed('list', 'many', '-q')).stdout.split('\n')).toHaveLength(31);
  });

  test('of a VM without snapshots is empty, and no failure', async () => {
    defineVm({ name: 'empty' });
    expect((await document('list', 'list', 'empty')).domains).toMatchObject([
      { current: null, snapshots: [] },
    ]);
    expect((await succeed('list', 'empty', '-q')).stdout).toBe('');
    expect(parseCsv((await succeed('list', 'empty', '-o', 'csv')).stdout)).toEqual([]);
    expect((await onTerminal(['list', 'empty']).done).screen).toContain('empty has no snapshots');
  });
});

describe('current', () => {
  test('is the name alone, or all facts as JSON', async () => {
    const vm = defineVm({ name: 'with' });
    take(vm, 'older');
    take(vm, 'newer');
    virsh('snapshot-revert', '--domain', vm.uuid, '--snapshotname', 'older');
    for (const option of [[], ['-q']])
      expect((await succeed('current', 'with', ...option)).stdout).toBe('older\n');
    expect(await document('current', 'current', 'with')).toMatchObject({
      domain: { name: 'with', uuid: vm.uuid, state: 'shutoff' },
      snapshot: { name: 'older', current: true, children: ['newer'] },
    });
  });

  test('where there is none is exit 4', async () => {
    const vm = defineVm({ name: 'without' });
    expect(await fail(4, 'current', 'without')).toContain('the VM without has no current snapshot');
    take(vm, 'only');
    virsh('snapshot-delete', '--domain', vm.uuid, '--snapshotname', 'only');
    await fail(4, 'current', 'without');
  });
});

describe('list of all VMs', () => {
  afterEach(cleanUp);

  test('says that there are none', async () => {
    await cleanUp();
    expect((await document('list', 'list')).domains).toEqual([]);
    expect((await onTerminal(['list']).done).screen).toContain('there are no VMs');
  });

  test('has state, number, current and newest of each, by name', async () => {
    const [off, running, paused] = ['c-off', 'b-running', 'a-paused'].map((name) =>
      defineVm({ name, boot: 'idle' }),
    ) as [Vm, Vm, Vm];
    take(off, 'first');
    take(off, 'second');
    virsh('snapshot-revert', '--domain', off.uuid, '--snapshotname', 'first');
    start(running);
    take(running, 'live');
    start(paused);
    virsh('suspend', '--domain', paused.uuid);

    const { domains } = await document('list', 'list');
    const seen = domains.map(({ name, uuid, state, current, snapshots }) => {
      return [name, uuid, state, current, snapshots.map((snapshot) => snapshot.name)];
    });
    expect(seen).toEqual([
      ['a-paused', paused.uuid, 'paused', null, []],
      ['b-running', running.uuid, 'running', 'live', ['live']],
      ['c-off', off.uuid, 'shutoff', 'first', ['first', 'second']],
    ]);
    expect(domains[1]?.snapshots[0]).toMatchObject({ vmStateBytes: null, underWay: false, state: 'running' });

    const newest = secondsOf(off, 'second') * 1000;
    const rows = parseCsv((await succeed('list', '-o', 'csv')).stdout);
    expect(rows.map(({ newest: _, error: _none, ...row }) => row)).toEqual([
      { name: 'a-paused', state: 'paused', snapshots: '0', current: '' },
      { name: 'b-running', state: 'running', snapshots: '1', current: 'live' },
      { name: 'c-off', state: 'shutoff', snapshots: '2', current: 'first' },
    ]);
    expect(Date.parse(rows[2]?.['newest'] ?? '')).toBe(newest);
    expect((await succeed('list')).stdout).toMatch(/^c-off +shut off +2 {2}first +\d{4}-\S+$/m);
    expect((await succeed('list', '-q')).stdout).toBe('a-paused\nb-running\nc-off\n');
  });

  test('costs three virsh and no qemu-img for 12 VMs', async () => {
    for (let n = 0; n < 12; n++) {
      const vm = defineVm({ name: `m${n}` });
      for (let s = 0; s < 3; s++) take(vm, `s${s}`);
    }
    const { stderr, ...started } = await processesOf('list', '-v');
    expect(started).toEqual({ virsh: 3, 'qemu-img': 0 });
    expect([shownLines(stderr, 'virsh'), shownLines(stderr, 'qemu-img')]).toEqual([3, 0]);
    const { domains } = await document('list', 'list');
    expect(domains.flatMap(({ snapshots }) => snapshots)).toHaveLength(36);
  });
});

describe('a snapshot under way', () => {
  afterEach(cleanUp);

  test('is shown as that, while libvirtd is busy with the VM, and as complete afterwards', async () => {
    const vm = twoDisks('held', { boot: 'counter' });
    take(vm, 'before');
    start(vm);
    const { done } = await takeHalf(vm, 'half');
    try {
      expect(stateAndReason(vm)).toBe('running (booted)');
      const [domain] = (await document('list', 'list', 'held')).domains;
      expect(domain).toMatchObject({ current: 'before' });
      expect(domain?.snapshots.map(({ name, underWay }) => [name, underWay])).toEqual([
        ['before', false],
        ['half', true],
      ]);
      expect((await succeed('list', 'held')).stdout).toMatch(
        /^ {3}half +\S+ +under way +internal +- +before/m,
      );
      const info = (await succeed('info', 'held', 'half')).stdout;
      expect(info).toMatch(/^state +under way$/m);
      expect(info).toMatch(/^memory +being saved$/m);
      expect(info).toMatch(/^vda +internal +not yet /m);
      expect((await succeed('list')).stdout).toMatch(/^held +running +2 {2}before/m);
      expect((await succeed('current', 'held')).stdout).toBe('before\n');
    } finally {
      continueQemu(vm);
    }
    await done;
    expect(state(vm)).toBe('running');
    const [domain] = (await document('list', 'list', 'held')).domains;
    expect(domain).toMatchObject({ current: 'half' });
    expect(domain?.snapshots.at(-1)).toMatchObject({
      name: 'half',
      underWay: false,
      vmStateBytes: tags(pathOf(vm)).at(-1)?.vmStateSize,
    });
  });

  test('is not seen where another job holds the VM', async () => {
    const vm = defineVm({ name: 'saving', boot: 'idle' });
    start(vm);
    take(vm, 'complete');
    const file = join(scratch, 'memory');
    const { done } = await hold(vm, 'save', '--file', file);
    try {
      for (const args of [[], ['saving']]) {
        const [domain] = (await document('list', 'list', ...args)).domains;
        expect(domain?.snapshots).toMatchObject([{ name: 'complete', underWay: false }]);
      }
    } finally {
      continueQemu(vm);
    }
    await done;
    expect(existsSync(file)).toBe(true);
  });
});
