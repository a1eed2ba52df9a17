// Several VMs in one run, judged by virsh and by the tags in the images: which ones, what each came to, how it is told.
import { renameSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { stripVTControlCharacters } from 'node:util';
import { afterEach, describe, expect, test } from 'vitest';
import * as z from 'zod/mini';
import { DOCUMENTS } from '../../src/output/contract.ts';
import { kvmsnap } from '../lab/cli.ts';
import { pasteOk } from '../lab/evidence.ts';
import { errorDocument } from '../lab/failure.ts';
import { isSystemLab, scratch, tool, virsh } from '../lab/lab.ts';
import { onTerminal } from '../lab/terminal.ts';
import { smallFilesystem } from '../scene/mount.ts';
import { snapshotNames } from '../scene/snapshot.ts';
import { asked, document, fail, failure, succeed, tagNames, take } from '../scene/steps.ts';
import { cleanUp, defineVm, pathOf, start, type Vm } from '../scene/vm.ts';

process.env['XDG_STATE_HOME'] = join(scratch, 'state');

afterEach(cleanUp);

const small = (name: string): Vm => defineVm({ name, disks: [{ size: '8M' }] });
const raw = (name: string): Vm => defineVm({ name, disks: [{ size: '8M', format: 'raw' }] });

/** The snapshots of each VM by its name: what libvirt lists, which must be what the image holds. */
function present(...vms: readonly Vm[]): Record<string, string[]> {
  return Object.fromEntries(
    vms.map((vm) => {
      const names = snapshotNames(vm).sort();
      const format = JSON.parse(tool('qemu-img', ['info', '-U', '--output=json', '--', pathOf(vm)])).format;
      if (format === 'qcow2') expect([...(tagNames(vm)[0] ?? [])].sort()).toEqual(names);
      return [vm.name, names];
    }),
  );
}

const fleet = (...names: string[]): Vm[] => names.map(small);

/** Names that mean something to a shell, to virsh, to kvmsnap's patterns, or to a terminal. */
const NAMES = ['with space', '机器', 'web-*', 'web-[1]', '-dash', '--all', "it's", '7', 'a;b'];

describe('which VMs', () => {
  test('names, patterns and UUIDs together, each VM once, in the order of the names', async () => {
    const vms = fleet('web-2', 'web-1', 'db', 'mail');
    const { stdout } = await succeed('create', 'web-*', vms[3]?.uuid ?? '', 'web-1', '--label', 'l', '-q');
    expect(stdout).toMatch(/^mail\/l-\w+\nweb-1\/l-\w+\nweb-2\/l-\w+\n$/);
    const [first] = stdout.split('\n');
    expect(snapshotNames(vms[3] as Vm)).toEqual([first?.split('/')[1]]);
    expect(vms.map((vm) => present(vm)[vm.name]?.length)).toEqual([1, 1, 0, 1]);
  });

  test('--vm for more, --exclude for fewer', async () => {
    const vms = fleet('web-1', 'web-2', 'db', 'mail');
    await succeed('create-as', 'web-*', 's1', '--vm', 'd?', '--vm', 'mail', '--exclude', '*-2');
    expect(present(...vms)).toEqual({ 'web-1': ['s1'], 'web-2': [], db: ['s1'], mail: ['s1'] });
    await succeed('--yes', 'delete', 'web-1', 's1', '--vm', 'db');
    expect(present(...vms)).toEqual({ 'web-1': [], 'web-2': [], db: [], mail: ['s1'] });
  });

  test('--all, by state', async () => {
    const vms = fleet('off', 'on', 'paused');
    for (const vm of vms.slice(1)) start(vm);
    virsh('suspend', '--domain', vms[2]?.uuid ?? '');
    await succeed('create', '--all', '--state', 'running', '--label', 'r');
    await succeed('create', '--all', '--state', 'paused', '--state', 'shutoff', '--label', 'p');
    expect(vms.map((vm) => present(vm)[vm.name]?.map((name) => name[0]))).toEqual([['p'], ['r'], ['p']]);
    const { domains } = await document('list', 'list', '--all', '--state', 'paused');
    expect(domains.map(({ name }) => name)).toEqual(['paused']);
  });

  test('an exact name wins over the pattern that it is, and an exclusion means both', async () => {
    const vms = fleet('web-*', 'web-1', 'web-[1]', 'web-2');
    await succeed('create-as', 'web-*', 'exact');
    expect(present(...vms)).toEqual({ 'web-*': ['exact'], 'web-1': [], 'web-[1]': [], 'web-2': [] });
    await succeed('create-as', 'web-?', 'pattern', '--vm', 'web-[1]', '--exclude', 'web-2');
    expect(present(...vms)).toEqual({
      'web-*': ['exact', 'pattern'],
      'web-1': ['pattern'],
      'web-[1]': ['pattern'],
      'web-2': [],
    });
    await succeed('create-as', '*', 'rest', '--exclude', 'web-[1]', '--exclude', 'web-\\*');
    expect(present(...vms)).toMatchObject({
      'web-1': ['pattern'],
      'web-[1]': ['pattern'],
      'web-2': ['rest'],
    });
  });

  test('of any name: each alone, then all at once', async () => {
    const vms = fleet(...NAMES);
    for (const { name } of vms) await succeed('create-as', '-q', '--', name, 'alone');
    await succeed('create', '-q', '--label', 'l', '--', ...NAMES);
    const { stdout } = await succeed('list', '--all', '-q');
    const listed = stdout.trimEnd().split('\n');
    for (const vm of vms) {
      const [label = '', alone] = present(vm)[vm.name]?.sort().reverse() ?? [];
      expect([label.slice(0, 2), alone]).toEqual(['l-', 'alone']);
      expect(listed).toContain(`${vm.name}/${label}`);
    }
    await succeed('--yes', 'delete', '*', 'alone');
    expect(vms.map((vm) => present(vm)[vm.name]?.length)).toEqual(NAMES.map(() => 1));
    await succeed('prune', '--label', 'l', '--keep', 'none', '--allow-empty', '--', ...NAMES);
    expect(vms.map((vm) => present(vm)[vm.name])).toEqual(NAMES.map(() => []));
  });

  test.each([
    [['create', 'db-*', '--label', 'n'], "no VM matches 'db-*'"],
    [['create', 'wbe-2'], 'no such VM: wbe-2\nhint: did you mean web-2?'],
    [['create-as', 'db-?', 's1'], "no VM matches 'db-?'"],
    [['--yes', 'delete', 'db', 'old'], 'no such VM: db'],
    [['--yes', 'delete', 'web-*', 'old', '--exclude', 'wbe-1'], '--exclude wbe-1 matches no VM'],
    [['prune', 'db', '--match', '*', '--keep-last', '0', '--allow-empty'], 'no such VM: db'],
    [['list', 'db-*'], "no VM matches 'db-*'"],
    [['create', 'web-1', 'old'], 'kvmsnap create-as web-1 old'],
    [['create', 'web-1', 'wbe-2'], 'did you mean web-2? Or, '],
    [['list', 'web-1', '--state', 'running'], 'the selected VM is not running'],
    [['list', 'web-1', '--exclude', 'web-1'], 'all selected VMs are excluded'],
    [['check', 'web-1', '--state', 'running'], 'the selected VM is not running'],
    [
      ['prune', 'web-1', '--match', '*', '--keep-last', '0', '--state', 'running'],
      'the selected VM is not running',
    ],
    [['delete', 'web-1', 'old', '--state', 'running'], 'the selected VM is not running'],
    [['create-as', 'web-1', 's1', '--state', 'running'], 'the selected VM is not running'],
    [['create', '--all', '--exclude', '*'], 'all selected VMs are excluded'],
    [['create', '--all', '--state', 'running'], 'none of the 2 selected VMs is running'],
    [
      ['create', 'web-1', '--state', 'running', '--state', 'paused'],
      'the selected VM is not running or paused',
    ],
    [['list', '--all', '--state', 'running'], 'none of the 2 selected VMs is running'],
  ])('%j means nothing: exit 4, and nothing is done to any VM', async (args, said) => {
    const vms = fleet('web-1', 'web-2');
    for (const vm of vms) take(vm, 'old');
    expect(await fail(4, ...args)).toContain(said);
    expect(present(...vms)).toEqual({ 'web-1': ['old'], 'web-2': ['old'] });
  });

  test('an exclusion that leaves out nothing is said, and a delete refuses it: it may be a slip', async () => {
    const vms = fleet('web-1', 'web-2');
    for (const vm of vms) take(vm, 'old');
    const slips = ['--exclude', 'wbe-2', '--exclude', 'x*'];
    expect(await fail(4, '--yes', 'delete', 'web-*', 'old', ...slips)).toBe(
      'error: --exclude wbe-2 matches no VM\nhint: did you mean web-2?\n',
    );
    expect(present(...vms)).toEqual({ 'web-1': ['old'], 'web-2': ['old'] });
    const { stderr } = await succeed('create-as', 'web-*', 'new', ...slips);
    expect(stderr).toBe(
      'note: --exclude wbe-2 matches no VM; did you mean web-2?\n' + "note: --exclude 'x*' matches no VM\n",
    );
    expect(await succeed('create', '--all', '--silent', ...slips)).toMatchObject({ stdout: '', stderr: '' });
    await succeed('--yes', 'delete', 'web-*', 'old', '--exclude', 'web-2');
    expect(present(...vms)['web-1']).not.toContain('old');
    expect(present(...vms)['web-2']).toContain('old');
  });

  test('on a host without VMs', async () => {
    expect(await fail(4, 'create', '--all')).toContain('this connection has no VMs');
    expect((await succeed('list')).stdout).not.toContain('\n\n');
  });

  test('a running id is no word for a VM, also among others', async () => {
    const vms = fleet('web-1', 'web-2');
    start(vms[0] as Vm);
    const id = virsh('domid', '--domain', vms[0]?.uuid ?? '').trim();
    expect(await fail(4, 'create', 'web-2', id)).toContain(`kvmsnap create-as web-2 ${id}`);
    const said = `${id} is the id of the running VM web-1`;
    expect((await kvmsnap(['create', 'web-2', id, '--label', 'n'])).stderr).toContain(said);
    expect(await fail(4, 'create', id)).toContain(said);
    expect(present(...vms)).toMatchObject({ 'web-1': [], 'web-2': [expect.stringMatching(/^n-/)] });
  });

  test.each([
    [['create']],
    [['create', '--all', 'web-1']],
    [['create', 'web-1', '--jobs', '0']],
    [['create', 'web-1', '--jobs', 'many']],
    [['create', 'web-1', '--state', 'on']],
    [['prune', '--match', '*', '--keep-last', '0', '--allow-empty']],
  ])('%j is wrong usage: exit 2, and nothing is done', async (args) => {
    const vm = small('web-1');
    take(vm, 'old');
    await fail(2, ...args);
    expect(present(vm)).toEqual({ 'web-1': ['old'] });
  });
});

describe('a word that means no VM stops no other', () => {
  const withMissing = async (args: readonly string[], kind: keyof typeof DOCUMENTS) => {
    const result = await kvmsnap(['--json', ...args]);
    expect(result).toMatchObject({ code: 3 });
    return z.parse(DOCUMENTS[kind], JSON.parse(result.stdout)) as {
      domains: { name: string; uuid: string | null; errors: { code: string; hint: string | null }[] }[];
    };
  };

  test.each([
    ['create', ['create', 'web-1', 'web-2', 'wbe-2', 'db-*', '--label', 'n'], ['old', 'n'], ['old', 'n']],
    ['create', ['create-as', 'web-*', 's1', '--vm', 'wbe-2', '--vm', 'db-*'], ['old', 's1'], ['old', 's1']],
    ['list', ['list', 'web-1', 'wbe-2', 'web-2', 'db-*'], ['old'], ['old']],
    ['check', ['check', 'db-*', 'web-1', 'web-2', 'wbe-2'], ['old'], ['old']],
    ['prune', [...'prune wbe-2 db-* web-* --match * --keep-last 0 --allow-empty'.split(' ')], [], []],
    ['delete', [...'delete web-1 old --vm wbe-2 --vm db-* --vm web-2 --yes'.split(' ')], [], []],
  ] as const)('%s: %j', async (kind, args, first, second) => {
    const vms = fleet('web-1', 'web-2');
    for (const vm of vms) take(vm, 'old');
    const { domains } = await withMissing(args, kind);
    expect(domains.map(({ name, uuid, errors }) => [name, uuid, errors.map(({ code }) => code)])).toEqual([
      ['db-*', null, ['not-found']],
      ['wbe-2', null, ['not-found']],
      ['web-1', vms[0]?.uuid, []],
      ['web-2', vms[1]?.uuid, []],
    ]);
    expect(domains[1]?.errors[0]?.hint).toBe('did you mean web-2?');
    const left = present(...vms);
    const shown = (names: readonly string[] = []) => names.map((name) => name.replace(/^n-.*/, 'n')).sort();
    expect([shown(left['web-1']), shown(left['web-2'])]).toEqual([[...first].sort(), [...second].sort()]);
  });

  test('a table has a row of it, and stderr says it once', async () => {
    fleet('web-1');
    for (const args of [
      ['create', 'web-1', 'gone', 'lost', '--label', 'n'],
      ['list', 'web-1', 'gone', 'lost'],
      ['check', 'web-1', 'gone', 'lost'],
    ]) {
      const { code, stdout, stderr } = await kvmsnap(args);
      expect({ args, code }).toEqual({ args, code: 3 });
      expect(stdout).toMatch(/^gone .*no such VM: gone$/m);
      expect(stdout).toMatch(/^web-1 /m);
      expect(stderr.match(/no such VM: gone/g)).toHaveLength(1);
    }
  });

  test('where all words mean none, the exit code is 4', async () => {
    for (const args of [
      ['create', 'gone', 'lost', '--label', 'n'],
      ['list', 'gone', 'lost'],
    ])
      expect(await kvmsnap(args)).toMatchObject({
        code: 4,
        stdout: expect.stringContaining('no such VM: lost'),
        stderr: expect.stringContaining('2 of 2 VMs failed'),
      });
  });

  test('in a dry run too, and nothing is done', async () => {
    const [vm] = fleet('web-1');
    const result = await kvmsnap(['--dry-run', 'create', 'web-1', 'gone', '--label', 'n']);
    expect(result).toMatchObject({ code: 3, stderr: expect.stringContaining('no such VM: gone') });
    expect(result.stdout).toContain('virsh snapshot-create-as');
    expect(present(vm as Vm)).toEqual({ 'web-1': [] });
  });

  test('each VM of a list without words has its tree', async () => {
    const vms = fleet('web-1', 'web-2');
    for (const vm of vms) for (const name of ['s1', 's2']) take(vm, name);
    const { stdout } = await succeed('list', '--tree');
    expect(stdout.match(/^web-[12]$|^\*? +s2/gm)?.map((line) => line.trim())).toEqual([
      'web-1',
      '*  s2',
      'web-2',
      '*  s2',
    ]);
    expect((await succeed('list', '--tree', '-q')).stdout).toBe('web-1/s1\nweb-1/s2\nweb-2/s1\nweb-2/s2\n');
  });
});

describe('what fails with one VM stops no other', () => {
  /** Six VMs, of which three fail and one is skipped; they end as `afterwards`. */
  function troubled(): Vm[] {
    const vms = [
      small('a-fine'),
      small('b-has-it'),
      small('c-lost'),
      small('d-destroyed'),
      raw('e-raw'),
      small('f-fine'),
    ];
    take(vms[1] as Vm, 's1');
    renameSync(pathOf(vms[2] as Vm), `${pathOf(vms[2] as Vm)}.away`);
    truncateSync(pathOf(vms[3] as Vm), 0);
    writeFileSync(pathOf(vms[3] as Vm), Buffer.alloc(8 * 1024 * 1024));
    return vms;
  }

  /** Those that are still to be looked at by qemu-img. */
  const wellEnough = (vms: readonly Vm[]) => [0, 1, 4, 5].map((n) => vms[n] as Vm);
  const AFTERWARDS = { 'a-fine': ['s1'], 'b-has-it': ['s1'], 'e-raw': [], 'f-fine': ['s1'] };

  test('exit 3, and each with its cause and its cure on stderr, then how many', async () => {
    const vms = troubled();
    const { code, stdout, stderr } = await kvmsnap(['create-as', '*', 's1']);
    expect({ code, stderr }).toMatchObject({ code: 3 });
    expect(present(...wellEnough(vms))).toEqual(AFTERWARDS);
    expect(stderr).toMatch(
      new RegExp(
        [
          'error: VM b-has-it already has a snapshot s1\nhint: choose another name',
          'error: cannot take a snapshot of c-lost: .* is missing\nhint: restore the file',
          "error: cannot take a snapshot of d-destroyed: .* the file is raw, but the VM's XML says qcow2\nhint: ",
          'skipped e-raw: .* is raw, and internal',
          'error: 3 of 6 VMs failed, 1 skipped\n$',
        ].join('.*'),
        's',
      ),
    );
    const rows = stdout.trimEnd().split('\n').slice(1);
    expect(rows.map((row) => [row.split(/ +/)[0], /(taken|failed: |skipped: )/.exec(row)?.[1]])).toEqual([
      ['a-fine', 'taken'],
      ['b-has-it', 'failed: '],
      ['c-lost', 'failed: '],
      ['d-destroyed', 'failed: '],
      ['e-raw', 'skipped: '],
      ['f-fine', 'taken'],
    ]);
  });

  test('json: one document on stdout, and the end of it as the last line of stderr', async () => {
    const vms = troubled();
    const result = await kvmsnap(['--json', 'create-as', '*', 's1']);
    expect(result.code).toBe(3);
    const { domains } = z.parse(DOCUMENTS.create, JSON.parse(result.stdout));
    expect(
      domains.map(({ name, outcome, snapshot, errors }) => [name, outcome, snapshot?.name, errors[0]?.code]),
    ).toEqual([
      ['a-fine', 'done', 's1', undefined],
      ['b-has-it', 'failed', undefined, 'exists'],
      ['c-lost', 'failed', undefined, 'check'],
      ['d-destroyed', 'failed', undefined, 'check'],
      ['e-raw', 'skipped', undefined, 'check'],
      ['f-fine', 'done', 's1', undefined],
    ]);
    expect(domains[2]?.errors[0]?.hint).toContain('restore the file');
    expect(errorDocument(result)).toMatchObject({
      code: 'partial',
      exitCode: 3,
      message: '3 of 6 VMs failed, 1 skipped',
    });
    expect(present(...wellEnough(vms))).toEqual(AFTERWARDS);
  });

  test('csv and names hold the good ones, csv the others too', async () => {
    troubled();
    const csv = await kvmsnap(['-o', 'csv', 'create-as', '*', 's2']);
    expect(csv.code).toBe(3);
    expect(
      csv.stdout
        .trimEnd()
        .split(/\r?\n/)
        .map((row) => [row.split(',')[0], row.split(',')[5]]),
    ).toEqual([
      ['machine', 'outcome'],
      ['a-fine', 'done'],
      ['b-has-it', 'done'],
      ['c-lost', 'failed'],
      ['d-destroyed', 'failed'],
      ['e-raw', 'skipped'],
      ['f-fine', 'done'],
    ]);
    const names = await kvmsnap(['-q', 'create-as', '*', 's3']);
    expect([names.code, names.stdout]).toEqual([3, 'a-fine/s3\nb-has-it/s3\nf-fine/s3\n']);
  });

  test('a dry run tells the same, and touches nothing', async () => {
    const vms = troubled();
    const result = await kvmsnap(['--json', '--dry-run', 'create-as', '*', 's1']);
    expect(result.code).toBe(3);
    const { domains = [], commands } = z.parse(DOCUMENTS['dry-run'], JSON.parse(result.stdout));
    expect(domains.map(({ outcome }) => outcome)).toEqual([
      'planned',
      'failed',
      'failed',
      'failed',
      'skipped',
      'planned',
    ]);
    expect(commands).toHaveLength(2);
    expect(present(...wellEnough(vms))).toEqual({ ...AFTERWARDS, 'a-fine': [], 'f-fine': [] });
    for (const command of commands) pasteOk(command);
    expect(present(...wellEnough(vms))).toEqual(AFTERWARDS);
  });

  test('all for one cause: its exit code; for several: 3', async () => {
    const vms = fleet('web-1', 'web-2');
    for (const vm of vms) take(vm, 's1');
    expect(await failure(6, 'create-as', 'web-*', 's1')).toMatchObject({
      code: 'exists',
      message: '2 of 2 VMs failed',
    });
    take(vms[0] as Vm, 's2');
    renameSync(pathOf(vms[1] as Vm), `${pathOf(vms[1] as Vm)}.away`);
    expect(await failure(3, 'create-as', 'web-*', 's2')).toMatchObject({ code: 'partial' });
  });

  test('delete: the others go', async () => {
    const vms = fleet('web-1', 'web-2', 'web-3');
    for (const vm of vms) take(vm, 's1');
    tool('qemu-img', ['snapshot', '-c', 's1', pathOf(vms[1] as Vm)]);
    const result = await kvmsnap(['--json', '--yes', 'delete', 'web-*', 's1']);
    expect(result.code).toBe(3);
    const { domains } = z.parse(DOCUMENTS.delete, JSON.parse(result.stdout));
    expect(
      domains.map(({ outcome, deleted, failed }) => [outcome, deleted, failed.map(({ code }) => code)]),
    ).toEqual([
      ['done', ['s1'], []],
      ['failed', [], ['check']],
      ['done', ['s1'], []],
    ]);
    expect(vms.map(snapshotNames)).toEqual([[], ['s1'], []]);
    const { stderr } = await kvmsnap(['delete', 'web-2', 's1']);
    expect(stderr.match(/error: /g)).toHaveLength(1);
    // in a run over several VMs, whose it is
    take(vms[0] as Vm, 's1');
    const both = await kvmsnap(['--yes', 'delete', 'web-1', 's1', '--vm', 'web-2']);
    expect(both.stderr).toMatch(
      /^error: cannot delete s1 of web-2: disk vda contains 2 .*\nhint: .*\n +qemu-img snapshot -d/m,
    );
    pasteOk(domains[1]?.errors[0]?.command ?? null);
    await succeed('delete', 'web-2', 's1');
    expect(present(...vms)).toEqual({ 'web-1': [], 'web-2': [], 'web-3': [] });
  });

  test.runIf(isSystemLab)('a full disk (root mounts it) is a failure, and no skip', async () => {
    const source = join(smallFilesystem(16), 'disk.qcow2');
    tool('qemu-img', ['create', '-q', '-f', 'qcow2', '--', source, '8M']);
    const crowded = defineVm({ name: 'crowded', disks: [{ source }] });
    start(crowded);
    const fine = small('fine');
    const { code, stderr } = await kvmsnap(['create-as', '*', 's1']);
    expect(code).toBe(3);
    expect(stderr).toMatch(/error: cannot take a snapshot of crowded: .*free.*\nhint: free some space/);
    expect(present(crowded, fine)).toEqual({ crowded: [], fine: ['s1'] });
  });
});

describe('a VM that is not suited', () => {
  test('is skipped and said so, with exit 0; with --strict exit 3', async () => {
    const vms = [small('fine'), raw('raw')];
    const lenient = await succeed('create-as', '*', 's1');
    expect(lenient.stderr).toMatch(
      /^skipped raw: cannot take a snapshot of raw: .* is raw, and internal snapshots need qcow2\n$/,
    );
    const strict = await kvmsnap(['create-as', '*', 's2', '--strict']);
    expect(strict.code).toBe(3);
    expect(strict.stderr).toMatch(
      /^error: .*raw.*\nhint: convert it.*\n +1\. qemu-img convert .*\n +2\. virsh edit raw\nerror: 1 of 2 VMs skipped\n$/,
    );
    expect(present(...vms)).toEqual({ fine: ['s1', 's2'], raw: [] });
  });

  test('called by its own name or UUID is a failure', async () => {
    const [fine, bad] = [small('fine'), raw('raw')];
    for (const word of ['raw', bad.uuid]) {
      const { code, stderr } = await kvmsnap(['create', 'fine', word]);
      expect({ code, stderr }).toMatchObject({ code: 3 });
      expect(stderr).not.toContain('skipped');
    }
    // by a pattern as well as by its name
    expect((await kvmsnap(['create', '*', 'raw'])).code).toBe(3);
    expect(snapshotNames(fine).length).toBeGreaterThan(0);
  });

  test('and no other: never exit 0', async () => {
    raw('raw-1');
    raw('raw-2');
    const alone = await kvmsnap(['create', 'raw-1*']);
    expect([alone.code, alone.stderr.match(/^error: |^hint: convert it/gm)]).toEqual([
      5,
      ['error: ', 'hint: convert it'],
    ]);
    const { code, stderr } = await kvmsnap(['create', '--all']);
    expect(code).toBe(5);
    expect(stderr.match(/hint: convert it/g)).toHaveLength(2);
    expect(stderr).toMatch(/error: 2 of 2 VMs skipped\n$/);
  });

  test('a state that may pass is a failure: an image marked corrupt', async () => {
    const vms = [small('fine'), small('hurt')];
    // the incompatible feature bit 1 of the header: corrupt
    tool('qemu-io', ['-f', 'raw', '-c', 'write -P 2 79 1', pathOf(vms[1] as Vm)]);
    const { code, stderr } = await kvmsnap(['create', '--all']);
    expect({ code, stderr }).toMatchObject({ code: 3 });
    expect(stderr).toMatch(
      /error: cannot take a snapshot of hurt: .*corrupt.*\nhint: .*\n +qemu-img convert -f qcow2 -O qcow2 /,
    );
  });
});

describe('delete over several VMs', () => {
  const left = (vms: readonly Vm[]) => Object.values(present(...vms)).map((names) => names.length);

  /** Three VMs, of which the last lacks the snapshot. */
  function family(): Vm[] {
    const vms = fleet('web-1', 'web-2', 'web-3');
    for (const vm of vms.slice(0, 2)) take(vm, 's1');
    return vms;
  }

  test.each([
    [['web-*']],
    [['web-[1]']],
    [['web-1', '--vm', 'web-2']],
    [['web-1', '--vm', 'web-*', '--exclude', 'web-2']],
  ])('%j in a script: exit 10 without --yes, saying what it would have asked', async (words) => {
    const vms = family();
    const [pattern = '', ...more] = words;
    const said = await fail(10, 'delete', pattern, 's1', ...more);
    expect(said).toMatch(
      /confirmation is needed for "Delete .* of .*web-1.* permanently\?", but this is not a terminal; nothing was changed\nhint: run the command again with --yes/,
    );
    expect(left(vms)).toEqual([1, 1, 0]);
  });

  test('with --yes: a VM that lacks it is skipped', async () => {
    const vms = family();
    const { stdout, stderr } = await succeed('--yes', 'delete', 'web-*', 's1', '-q');
    expect(stdout).toBe('web-1/s1\nweb-2/s1\n');
    // what is lost is told of each
    expect(stderr).toMatch(
      /^(web-[12]: note: snapshot s1 will be deleted permanently \(taken .*\n){2}skipped web-3: (the )?VM web-3 has no snapshot s1\n$/,
    );
    expect(left(vms)).toEqual([0, 0, 0]);
  });

  test('with --strict, or called by its own name, that is a failure', async () => {
    const vms = family();
    expect((await kvmsnap(['--yes', 'delete', 'web-*', 's1', '--strict'])).code).toBe(3);
    expect(left(vms)).toEqual([0, 0, 0]);
    take(vms[0] as Vm, 's2');
    expect((await kvmsnap(['--yes', 'delete', 'web-1', 's2', '--vm', 'web-3'])).code).toBe(3);
    expect(left(vms)).toEqual([0, 0, 0]);
  });

  test('none has it: exit 4, and nobody is asked', async () => {
    const vms = family();
    const { code, stderr } = await kvmsnap(['delete', 'web-*', 'sx']);
    expect(code).toBe(4);
    expect(stderr).toMatch(/^error: none of the VMs has a snapshot sx: web-1, web-2, web-3\n/);
    const { code: onTty, screen } = await onTerminal(['delete', 'web-*', 'sx']).done;
    expect([onTty, screen.includes('[y/N]')]).toEqual([4, false]);
    expect(left(vms)).toEqual([1, 1, 0]);
  });

  test('of several names each VM loses those that it has; one that none has is exit 4', async () => {
    const vms = family();
    take(vms[1] as Vm, 's2');
    const before = left(vms);
    expect(await fail(4, '--yes', 'delete', 'web-*', 's1', 's3')).toContain('did you mean s1?');
    expect(left(vms)).toEqual(before);
    const strict = await kvmsnap(['--yes', '--dry-run', 'delete', 'web-[12]', 's1', 's2', '--strict']);
    expect(strict.code).toBe(3);
    const dry = await document('dry-run', '--yes', '--dry-run', 'delete', 'web-[12]', 's1', 's2');
    expect(dry.domains?.map(({ snapshots }) => snapshots?.map(({ name }) => name))).toEqual([
      ['s1'],
      ['s1', 's2'],
    ]);
    const names = await succeed('--yes', 'delete', 'web-[12]', 's1', 's2', '-q', '--dry-run');
    const { stdout, stderr } = await succeed('--yes', 'delete', 'web-[12]', 's1', 's2', '-q');
    expect(names.stdout).toBe(stdout);
    expect(stdout).toBe('web-1/s1\nweb-2/s1\nweb-2/s2\n');
    expect(stderr).toMatch(
      /^(web-[12]: note: snapshot s[12] will be deleted permanently \(taken .*\n){3}skipped s2: VM web-1 has no such snapshot\n$/,
    );
    expect(left(vms)).toEqual([0, 0, 0]);
  });

  test('on a terminal it asks once, naming the snapshots and the VMs that have them', async () => {
    const vms = family();
    take(vms[1] as Vm, 's2');
    const declined = await asked('delete', 'web-*', 's1', 's2');
    expect(declined.screen()).toContain('Delete 3 snapshots of 2 VMs (web-1, web-2) permanently? [y/N]');
    declined.type('n\r');
    expect((await declined.done).code).toBe(10);
    expect(left(vms)).toEqual([1, 2, 0]);
    const accepted = await asked('delete', 'web-*', 's1');
    accepted.type('y\r');
    const { code, screen } = await accepted.done;
    expect([code, screen.match(/\[y\/N\]/g)?.length]).toEqual([0, 1]);
    expect(screen).toMatch(/\nfreed \d.*B/);
    expect(left(vms)).toEqual([0, 1, 0]);
  });

  test('--current and --children are of each VM', async () => {
    const vms = family();
    take(vms[1] as Vm, 's2');
    await succeed('--yes', 'delete', 'web-*', '--current');
    expect(present(...vms)).toEqual({ 'web-1': [], 'web-2': ['s1'], 'web-3': [] });
    take(vms[0] as Vm, 's1');
    take(vms[1] as Vm, 's3');
    expect(await fail(10, 'delete', 'web-*', 's1', '--children')).toContain('Delete 3 snapshots of 2 VMs');
    const { stdout } = await succeed('--yes', 'delete', 'web-*', 's1', '--children', '-q');
    expect(stdout.trimEnd().split('\n').sort()).toEqual(['web-1/s1', 'web-2/s1', 'web-2/s3']);
    expect(left(vms)).toEqual([0, 0, 0]);
  });

  test('a name with a line feed is asked for, and found, as any other', async () => {
    const vms = fleet('web-1', 'web-2');
    for (const vm of vms) take(vm, 'two\nlines');
    await fail(10, 'delete', 'web-*', 'two\nlines');
    const { stdout } = await succeed('--yes', 'delete', 'web-*', 'two\nlines', '-q');
    expect(stdout).toBe('web-1/two\nlines\nweb-2/two\nlines\n');
    expect(left(vms)).toEqual([0, 0]);
  });
});

describe('--silent', () => {
  test('prints nothing at all when all went well, warnings and skips included', async () => {
    const saved = small('saved');
    raw('raw');
    start(saved);
    virsh('managedsave', '--domain', saved.uuid);
    expect((await succeed('create-as', '*', 's1')).stderr).toMatch(/warning: .*managed save.*skipped raw/s);
    for (const args of [
      ['create-as', '*', 's2'],
      ['--verbose', 'create-as', '*', 's3'],
      ['--json', 'create-as', '*', 's4'],
      ['prune', '--all', '--match', '*', '--keep-last', '2'],
      ['--yes', 'delete', '*', 's3'],
      ['list', '--all'],
    ])
      expect(await kvmsnap(['--silent', ...args])).toMatchObject({ code: 0, stdout: '', stderr: '' });
    expect(present(saved)).toEqual({ saved: ['s4'] });
    const { code, screen } = await onTerminal(['--silent', 'create-as', '*', 's5']).done;
    expect([code, screen]).toEqual([0, '']);
  });

  test('prints all, in order, when not', async () => {
    const vms = [small('fine'), raw('raw'), small('was')];
    take(vms[2] as Vm, 's1');
    const silent = await kvmsnap(['--silent', 'create-as', '*', 's1']);
    expect(silent.code).toBe(3);
    expect(silent.stdout).toMatch(/fine +s1 .* taken\n/);
    expect(silent.stderr).toMatch(/^error: .*was.*skipped raw.*\nerror: 1 of 3 VMs failed, 1 skipped\n$/s);
    await succeed('delete', 'fine', 's1');
    // as a mail of cron has it: both in one
    const { screen } = await onTerminal(['--silent', 'create-as', '*', 's1']).done;
    expect(stripVTControlCharacters(screen)).toMatch(/^VM .*skipped: .*failed: .*error: 1 of 3 VMs failed/s);
  });
});

describe('processes', () => {
  test('reading 35 VMs takes three of virsh', async () => {
    const vms = Array.from({ length: 35 }, (_, n) => small(`many-${n}`));
    for (const vm of vms) take(vm, 'l-20201122T030000Z');
    const count = async (...args: string[]) => {
      const { stderr } = await succeed('-v', ...args);
      return stderr.split('\n').filter((line) => line.startsWith('+ virsh ')).length;
    };
    expect(await count('list', '--all')).toBe(3);
    expect(await count('list')).toBe(3);
    expect(
      await count('--dry-run', 'prune', '--all', '--label', 'l', '--keep-last', '0', '--allow-empty'),
      // what would go is judged by the rules: who else uses their images, and libvirt's version, once for all
    ).toBe(5);
    // and one for who else uses their images, once for all
    expect(await count('--dry-run', 'create', '--all')).toBe(3);
    expect(await count('prune', 'many-*', '--label', 'l', '--keep-last', '1')).toBe(3);
  });
});
