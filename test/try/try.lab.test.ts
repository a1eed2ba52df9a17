// `try`: a snapshot, a command, and the way back; judged by the bytes on the disks, virsh and the images.
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { kvmsnap, spawnKvmsnap } from '../lab/cli.ts';
import { fingerprint, paste } from '../lab/evidence.ts';
import { scratch, sendSignal, virsh, waitFor } from '../lab/lab.ts';
import { share } from '../lab/share.ts';
import { onTerminal } from '../lab/terminal.ts';
import { since } from '../lab/version.ts';
import { removeMounts, replaceCommand } from '../scene/mount.ts';
import { slowVirsh } from '../scene/saving.ts';
import { snapshotNames } from '../scene/snapshot.ts';
import { bytes, count, countTo, NOW, succeed, THEN, tagNames, take, write } from '../scene/steps.ts';
import { cleanUp, defineVm, pathOf, qemuPid, start, state, type Vm } from '../scene/vm.ts';

afterEach(async () => {
  removeMounts();
  await cleanUp();
});

const small = (name: string): Vm => {
  const vm = defineVm({ name, disks: [{ size: '8M' }] });
  write(vm, THEN);
  return vm;
};

/** A line of shell that writes NOW to the disks, as an upgrade of the guest would, and exits with this code. */
function changing(vms: readonly Vm[], code: number): string[] {
  const writes = vms.map((vm) => `qemu-io -f qcow2 -c 'write -q -P ${NOW} 1M 64k' '${pathOf(vm)}'`);
  return ['--', 'sh', '-c', `${writes.join(' && ')} && exit ${code}`];
}

describe('the command', () => {
  test('has its own output, exit code, input and environment; without a choice the snapshot is kept, and that is said', async () => {
    const vm = small('web');
    const line = 'cat; echo "$KVMSNAP_SNAPSHOT"; echo to-stderr >&2; exit 3';
    const run = await kvmsnap(['try', 'web', '--', 'sh', '-c', line], { stdin: 'given\n' });
    const [name = ''] = snapshotNames(vm);
    expect(name).toMatch(/^try-\d{8}T\d{6}Z$/);
    expect([run.code, run.stdout]).toEqual([3, `given\n${name}\n`]);
    expect(tagNames(vm)).toEqual([[name]]);
    expect(run.stderr).toContain('to-stderr\n');
    expect(run.stderr).toContain('failed with exit code 3');
    write(vm, NOW);
    const [revert, remove] = run.stderr.split('\n').filter((text) => text.startsWith('  kvmsnap '));
    expect(paste(revert ?? null).code).toBe(0);
    expect(bytes(vm)).toEqual([THEN]);
    expect(paste(remove ?? null).code).toBe(0);
    expect([snapshotNames(vm), tagNames(vm)]).toEqual([[], [[]]]);
  });

  test('may succeed: kept without a choice, deleted with --delete or --yes', async () => {
    const vm = small('web');
    expect(await kvmsnap(['try', 'web', '--name', 'kept', '--', 'true'])).toMatchObject({
      code: 0,
      stdout: '',
    });
    expect(snapshotNames(vm)).toEqual(['kept']);
    for (const choice of ['--delete', '--yes']) {
      const { code, stderr } = await kvmsnap(['try', 'web', choice, ...changing([vm], 0)]);
      expect([choice, code, snapshotNames(vm), bytes(vm)]).toEqual([choice, 0, ['kept'], [NOW]]);
      expect(stderr).toContain('deleted the snapshot try-');
    }
    await succeed('try', 'web', '--yes', '--keep', '--name', 'too', '--', 'true');
    expect(snapshotNames(vm)).toEqual(['kept', 'too']);
  });

  test('ended by a signal: 128 and its number', async () => {
    small('web');
    const { code, stderr } = await kvmsnap(['try', 'web', '--', 'sh', '-c', 'kill -KILL $$']);
    expect([code, stderr]).toEqual([137, expect.stringContaining('was ended by SIGKILL')]);
  });
});

describe('going back', () => {
  test.each([['--revert'], ['--yes']])(
    'with %s: all VMs have their bytes again, and the snapshots stay',
    async (choice) => {
      const vms = ['web', 'db'].map(small);
      const args = ['try', 'web', '--vm', 'db', '--name', 'before', choice, ...changing(vms, 7)];
      const { code, stderr } = await kvmsnap(args);
      expect([code, vms.map(bytes)]).toEqual([7, [[THEN], [THEN]]]);
      expect(vms.map(snapshotNames)).toEqual([['before'], ['before']]);
      expect(stderr).toMatch(/each VM: everything written since snapshot before will be lost/);
    },
  );

  test('a running guest goes on from the moment of the snapshot', async () => {
    const vm = defineVm({ name: 'web', boot: 'counter', disks: [{ size: '8M' }] });
    start(vm);
    await countTo(vm, 5);
    const [pid, go] = [qemuPid(vm), join(scratch, 'go')];
    const line = `while [ ! -e ${go} ]; do sleep 0.05; done; exit 1`;
    const run = spawnKvmsnap(['try', 'web', '--revert', '--', 'sh', '-c', line]);
    await waitFor(() => run.stderr.includes('now running'), { what: 'the command' });
    // more than passes between the revert and the look
    const then = count(vm) + 200;
    await countTo(vm, then);
    writeFileSync(go, '');
    expect([(await run.done).code, state(vm)]).toEqual([1, 'running']);
    expect(count(vm)).toBeLessThan(then);
    expect(qemuPid(vm) === pid).toBe(since({ '7.0': true, '9.0': false }));
  });

  test('none is reverted if one cannot be', async () => {
    const [web, db] = ['web', 'db'].map(small) as [Vm, Vm];
    const gone = `virsh snapshot-delete ${db.uuid} before`;
    const [dashes, sh, c, line] = changing([web, db], 1) as [string, string, string, string];
    const args = ['try', 'web', '--vm', 'db', '--name', 'before', '--revert'];
    const { code, stderr } = await kvmsnap([...args, dashes, sh, c, `${gone}; ${line}`]);
    expect([code, bytes(web), bytes(db)]).toEqual([125, [NOW], [NOW]]);
    expect(stderr).toContain('error: nothing was reverted or deleted: the VM db has no snapshot before');
    expect(stderr).not.toContain('was kept');
    expect(snapshotNames(web)).toEqual(['before']);
  });
});

test('a revert that fails after another says which VM went back', async () => {
  const [db, web] = ['db', 'web'].map(small) as [Vm, Vm];
  replaceCommand(
    '/usr/bin/virsh',
    (original) =>
      `#!/bin/sh\ncase "$*" in *snapshot-revert*${web.uuid}*) echo 'error: none today' >&2; exit 1 ;; esac\nexec '${original}' "$@"\n`,
  );
  const args = ['try', 'web', '--vm', 'db', '--name', 's1', '--revert', ...changing([web, db], 1)];
  const { code, stderr } = await kvmsnap(args);
  expect([code, bytes(db), bytes(web)]).toEqual([125, [THEN], [NOW]]);
  expect(stderr).toContain('error: only db was reverted; the revert of web to s1 failed: none today');
  removeMounts();
  expect(paste(stderr.trimEnd().split('\n').at(-1) ?? null).code).toBe(0);
  expect(bytes(web)).toEqual([THEN]);
});

describe('before the command', () => {
  const ran = join(scratch, 'ran');
  const touch = ['--', 'touch', ran];

  beforeEach(() => expect(existsSync(ran)).toBe(false));

  test.each<[string, string[], RegExp]>(
    share(4, [
      ['a VM that does not exist', ['web', '--vm', 'gone', ...touch], /nothing was done: no such VM: gone/],
      ['a pattern', ['w*', ...touch], /needs the names of the VMs, not a pattern/],
      [
        'a program that does not exist',
        ['web', '--', 'no-such-program'],
        /there is no program 'no-such-program'/,
      ],
      ['no command', ['web'], /<command> is missing/],
      ['an option without --', ['web', 'ls', '-l'], /unknown option '-l'/],
      ['a time limit', ['web', '--timeout', '5', ...touch], /--timeout cannot be combined with try/],
      ['JSON', ['web', '--json', ...touch], /try has no output format/],
      ['two choices', ['web', '--keep', '--delete', ...touch], /--keep cannot be combined with --delete/],
      [
        'a name that exists',
        ['db', '--vm', 'web', '--name', 'old', ...touch],
        /web already has a snapshot old/,
      ],
      ['a VM that cannot have one', ['web', '--vm', 'raw', ...touch], /cannot take a snapshot of raw/],
    ]),
  )('%s: exit 125, and nothing is done', async (_, args, says) => {
    const raw = defineVm({ name: 'raw', disks: [{ size: '4M', format: 'raw' }] });
    const vms = [...['web', 'db'].map(small), raw];
    take(vms[0] as Vm, 'old');
    const before = vms.map(fingerprint);
    const { code, stdout, stderr } = await kvmsnap(['try', ...args]);
    expect([code, stdout, existsSync(ran)]).toEqual([125, '', false]);
    expect(stderr).toMatch(says);
    expect(vms.map(fingerprint)).toEqual(before);
  });

  test('in JSON the failure has the exit code of the run', async () => {
    const { code, stderr } = await kvmsnap(['try', 'gone', '--json', '--', 'true']);
    expect([code, JSON.parse(stderr).error.exitCode]).toEqual([125, 125]);
  });

  test('a dry run prints the commands, and does nothing', async () => {
    const vm = small('web');
    const before = fingerprint(vm);
    const { stdout } = await succeed('try', 'web', '--name', 's1', '--dry-run', '--', 'touch', ran);
    expect(stdout).toMatch(/^virsh snapshot-create-as .*--name s1 .*# web\ntouch .*ran\n$/);
    expect([existsSync(ran), fingerprint(vm)]).toEqual([false, before]);
  });

  test('the second snapshot fails: the first is deleted again, and the command is not run', async () => {
    const [db, web] = ['db', 'web'].map(small) as [Vm, Vm];
    replaceCommand(
      '/usr/bin/virsh',
      (original) =>
        `#!/bin/sh\ncase "$*" in *snapshot-create-as*${web.uuid}*) echo 'error: none today' >&2; exit 1 ;; esac\nexec '${original}' "$@"\n`,
    );
    const { code, stderr } = await kvmsnap(['try', 'web', '--vm', 'db', ...touch]);
    expect([code, existsSync(ran)]).toEqual([125, false]);
    expect(stderr).toMatch(
      /the command was not run; the snapshot try-\S+ of db was deleted again; .*none today/,
    );
    expect([db, web].map((vm) => [snapshotNames(vm), tagNames(vm)])).toEqual([
      [[], [[]]],
      [[], [[]]],
    ]);
  });
});

describe('on a terminal', () => {
  test.each([
    ['y\r', [THEN]],
    ['n\r', [NOW]],
  ])('a failure asks whether to revert: %j', async (typed, after) => {
    const vm = small('web');
    const terminal = onTerminal(['try', 'web', '--name', 's1', ...changing([vm], 9)]);
    await terminal.waitForText(
      /failed with exit code 9[\s\S]*everything written since snapshot s1[\s\S]*Revert web to s1\? \[y\/N\] /,
    );
    terminal.type(typed);
    expect((await terminal.done).code).toBe(9);
    expect([bytes(vm), snapshotNames(vm)]).toEqual([after, ['s1']]);
  });

  test.each([
    ['y\r', []],
    ['n\r', ['s1']],
  ])('a success asks whether to delete: %j', async (typed, left) => {
    const vm = small('web');
    const terminal = onTerminal(['try', 'web', '--name', 's1', ...changing([vm], 0)]);
    await terminal.waitForText(/Delete the snapshot s1 of web\? \[y\/N\] /);
    terminal.type(typed);
    const { code, screen } = await terminal.done;
    expect([code, snapshotNames(vm), bytes(vm)]).toEqual([0, left, [NOW]]);
    expect(screen.includes('was kept')).toBe(left.length > 0);
  });

  test('Ctrl-C reaches the command, and is its failure', async () => {
    const vm = small('web');
    const line = "trap 'echo told; exit 4' INT; echo ready; while :; do sleep 0.1; done";
    const terminal = onTerminal(['try', 'web', '--name', 's1', '--', 'sh', '-c', line]);
    await terminal.waitForText(/^ready\s*$/m);
    terminal.type('\x03');
    await terminal.waitForText(/told[\s\S]*Revert web to s1\? \[y\/N\] /);
    expect(terminal.screen().match(/told\s*\n/g)).toHaveLength(1);
    terminal.type('y\r');
    expect((await terminal.done).code).toBe(4);
    expect(snapshotNames(vm)).toEqual(['s1']);
  });
});

describe('a signal', () => {
  const waiting = (then: string) => [
    '--',
    'sh',
    '-c',
    `trap '${then}' TERM; echo $$ > ${pid}; while :; do sleep 0.05; done`,
  ];
  const pid = join(scratch, 'pid');
  const commandRuns = () =>
    waitFor(() => existsSync(pid) && readFileSync(pid, 'utf8') !== '', { what: 'the command' });

  afterEach(() => writeFileSync(pid, ''));

  test('SIGTERM reaches the command; nothing is reverted or deleted, exit 143', async () => {
    const vm = small('web');
    const run = spawnKvmsnap(['try', 'web', '--revert', '--name', 's1', ...waiting('echo told; exit 0')]);
    await commandRuns();
    write(vm, NOW);
    run.kill('SIGTERM');
    const { code, stdout, stderr } = await run.done;
    expect([code, stdout, bytes(vm), snapshotNames(vm)]).toEqual([143, 'told\n', [NOW], ['s1']]);
    expect(stderr).toMatch(
      /took the snapshot s1 of web[\s\S]*the snapshot s1 of web was kept[\s\S]*ended by SIGTERM/,
    );
  });

  test('SIGTERM while the second snapshot is taken: the command is not run, and what is left is told', async () => {
    const [db, web] = ['db', 'web'].map(small) as [Vm, Vm];
    const gate = slowVirsh('snapshot-create-as');
    const args = ['try', 'web', '--vm', 'db', '--name', 's1', '--', 'touch', `${pid}-ran`];
    const run = spawnKvmsnap(args, { env: gate.env });
    await gate.waits();
    run.kill('SIGTERM');
    await waitFor(() => run.stderr.includes('SIGTERM: libvirt cannot cancel'), {
      what: 'a word on the signal',
    });
    gate.goOn();
    const { code, stderr } = await run.done;
    expect([code, existsSync(`${pid}-ran`)]).toEqual([143, false]);
    expect(stderr).toMatch(/the command was not run; the snapshot s1 of db still exists; ended by SIGTERM/);
    expect([snapshotNames(db), snapshotNames(web)]).toEqual([['s1'], []]);
  });

  test('SIGKILL: the snapshot is there, and its name was told before', async () => {
    const vm = small('web');
    const run = spawnKvmsnap(['try', 'web', '--revert', '--name', 's1', ...waiting('exit 0')]);
    await commandRuns();
    run.kill('SIGKILL');
    sendSignal(Number(readFileSync(pid, 'utf8')), 'SIGKILL');
    const { signal, stderr } = await run.done;
    expect([signal, snapshotNames(vm), tagNames(vm)]).toEqual(['SIGKILL', ['s1'], [['s1']]]);
    expect(stderr).toContain('took the snapshot s1 of web');
    expect(virsh('domstate', vm.uuid).trim()).toBe('shut off');
  });
});
