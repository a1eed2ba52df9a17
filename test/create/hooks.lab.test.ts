// The programs of --before and --after: what they are told, what follows when they fail, and that --after is always run.
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeEach, expect, test } from 'vitest';
import { kvmsnap, spawnKvmsnap } from '../lab/cli.ts';
import { processes } from '../lab/daemon.ts';
import { scratch, virsh, waitFor } from '../lab/lab.ts';
import { share } from '../lab/share.ts';
import { snapshotNames } from '../scene/snapshot.ts';
import { cleanUp, defineVm, type Vm } from '../scene/vm.ts';

let here: string;
let vm: Vm;

beforeEach(() => {
  here = mkdtempSync(join(scratch, 'hooks-'));
  vm = defineVm({ name: 'web', memoryMiB: 16, disks: [{ size: '8M' }] });
});
afterEach(cleanUp);
afterAll(cleanUp);

/** A program that notes how it was called, and then does more. */
function program(name: string, more = ''): string {
  const path = join(here, name);
  const lines = [
    '#!/bin/sh',
    `echo "${name} $# $KVMSNAP_ACTION $KVMSNAP_VM $KVMSNAP_SNAPSHOT [$KVMSNAP_RESULT]" >> ${here}/log`,
    more,
  ];
  writeFileSync(path, lines.join('\n'));
  chmodSync(path, 0o755);
  return path;
}

/** How the programs were called, since the last time. */
function called(): string[] {
  const log = join(here, 'log');
  const lines = existsSync(log) ? readFileSync(log, 'utf8').trim().split('\n') : [];
  rmSync(log, { force: true });
  return lines;
}

const around = (before: string, after: string, ...words: string[]) => [
  ...words,
  ...['--before', before, '--after', after],
];

test('both are told about each VM, and what they print is in the report', async () => {
  const other = defineVm({ name: 'db $(x)', disks: [{ size: '8M' }] });
  const line = around(
    program('b', 'echo "stopped <$KVMSNAP_VM>"'),
    program('a'),
    'create',
    '--all',
    '--label',
    'n',
  );
  const { code, stdout } = await kvmsnap([...line, '-o', 'json']);
  const [[db = ''], [web = '']] = [snapshotNames(other), snapshotNames(vm)];
  expect(code).toBe(0);
  expect(called()).toEqual([
    `b 0 create db $(x) ${db} []`,
    `a 0 create db $(x) ${db} [done]`,
    `b 0 create web ${web} []`,
    `a 0 create web ${web} [done]`,
  ]);
  expect(JSON.parse(stdout).domains[0].hooks).toEqual([
    {
      hook: 'before',
      program: join(here, 'b'),
      exitCode: 0,
      signal: null,
      why: null,
      output: 'stopped <db $(x)>\n',
    },
    { hook: 'after', program: join(here, 'a'), exitCode: 0, signal: null, why: null, output: '' },
  ]);
  expect((await kvmsnap([...line, '--dry-run'])).code).toBe(0);
  expect(called()).toEqual([]);
});

test('--before fails: no snapshot of that VM, but --after is run, and the other VMs follow', async () => {
  defineVm({ name: 'zoo', disks: [{ size: '8M' }] });
  const fails = program('b', 'echo no room; [ "$KVMSNAP_VM" = zoo ] || exit 3');
  const one = await kvmsnap(around(fails, program('a', 'echo cleaned up'), 'create-as', 'web', 's1'));
  expect([one.code, one.stderr]).toEqual([
    5,
    `note: --after: cleaned up\nerror: cannot take a snapshot of web: the program of --before, ${fails}, failed with exit code 3\nhint: it printed: no room\n`,
  ]);
  expect([snapshotNames(vm), called()]).toEqual([[], ['b 0 create web s1 []', 'a 0 create web s1 [failed]']]);
  const all = await kvmsnap(around(fails, program('a'), 'create', '--all', '-q'));
  expect([all.code, all.stdout]).toEqual([3, expect.stringMatching(/^zoo\//)]);
  expect(called().map((line) => line.replace(/ \S+ \[/, ' ['))).toEqual([
    'b 0 create web []',
    'a 0 create web [failed]',
    'b 0 create zoo []',
    'a 0 create zoo [done]',
  ]);
});

test('a refusal comes before --before; a failure of virsh, and of --after itself, is told', async () => {
  virsh('snapshot-create-as', vm.uuid, 's1');
  expect((await kvmsnap(around(program('b'), program('a'), 'create-as', 'web', 's1'))).code).toBe(6);
  expect(called()).toEqual([]);
  // the VM that --before has changed is read and checked again
  const meddles = program('b', `virsh snapshot-create-as ${vm.uuid} s2`);
  expect((await kvmsnap(around(meddles, program('a'), 'create-as', 'web', 's2'))).code).toBe(6);
  expect(called()).toEqual(['b 0 create web s2 []', 'a 0 create web s2 [failed]']);
  const after = await kvmsnap(
    around(program('b'), program('a', 'echo oh; exit 1'), 'create-as', 'web', 's3'),
  );
  expect(after.code).toBe(3);
  expect(after.stdout + after.stderr).toMatch(
    /the program of --after, \S+, failed with exit code 1\n.*it printed: oh/s,
  );
  expect(snapshotNames(vm).sort()).toEqual(['s1', 's2', 's3']);
});

test.each(
  share(2, [
    ['Ctrl-C during --before', { signal: 'SIGINT', slow: 'b' }, [130, 'failed']],
    ['SIGTERM during --after', { signal: 'SIGTERM', slow: 'a' }, [143, 'done']],
    [
      '--timeout during --before',
      { options: ['--timeout', '12s'], slow: 'b', hangs: true },
      [124, 'unknown'],
    ],
    ['--hook-timeout', { options: ['--hook-timeout', '1s'], slow: 'b', hangs: true }, [5, 'failed']],
  ] as const),
)('%s: --after is run', async (_, { slow, ...how }, [code, result]) => {
  // until a file is there; and what hangs also leaves a process that must not stay
  const wait = 'hangs' in how ? 'sleep 987 & sleep 987' : `while ! [ -e ${here}/go ]; do sleep 0.1; done`;
  const [b, a] = [program('b', slow === 'b' ? wait : ''), program('a', slow === 'a' ? wait : '')];
  const running = spawnKvmsnap(
    around(b, a, 'create-as', 'web', 's1', ...('options' in how ? how.options : [])),
  );
  if ('signal' in how) {
    const log = join(here, 'log');
    await waitFor(() => existsSync(log) && readFileSync(log, 'utf8').includes(`${slow} 0`), {
      what: `the start of ${slow}`,
    });
    running.kill(how.signal);
    await waitFor(() => running.stderr.includes('before kvmsnap ends'), { what: 'the note' });
    writeFileSync(join(here, 'go'), '');
  }
  const ended = await running.done;
  expect([ended.code, called().at(-1)]).toEqual([code, `a 0 create web s1 [${result}]`]);
  expect(snapshotNames(vm)).toEqual(result === 'done' ? ['s1'] : []);
  expect(processes().map(({ args }) => args.join(' '))).not.toContain('sleep 987');
});

test('a program that others may write to, or that cannot be run, is refused', async () => {
  const path = program('b');
  const refused = async (says: RegExp) => {
    const { code, stderr } = await kvmsnap(['create-as', 'web', 's1', '--before', path]);
    expect([code, stderr]).toEqual([2, expect.stringMatching(says)]);
  };
  chmodSync(path, 0o775);
  await refused(/others may write to .*\/b \(mode 0775\)\n.*\n {6} {2}chmod go-w /s);
  chmodSync(path, 0o755);
  chmodSync(here, 0o777);
  await refused(/others may write to .*hooks-\S+ \(mode 0777\)/);
  chmodSync(here, 0o755);
  chownSync(path, 65534, 65534);
  await refused(/belongs to another user\n.*use a copy that belongs to you/s);
  chownSync(path, 0, 0);
  chmodSync(path, 0o644);
  await refused(/it is not executable/);
  rmSync(path);
  mkdirSync(path);
  await refused(/it is not a file/);
  rmSync(path, { recursive: true });
  await refused(/no such file/);
  expect([snapshotNames(vm), called()]).toEqual([[], []]);
});
