// `open`: the disks of a snapshot on sockets; judged by what qemu-img, nbdcopy and debugfs read there, and by what is left.
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { kvmsnap, type RunningCli, spawnKvmsnap } from '../lab/cli.ts';
import { processes } from '../lab/daemon.ts';
import { fingerprint, refused } from '../lab/evidence.ts';
import { scratch, tool, tryTool, virsh, waitFor } from '../lab/lab.ts';
import { snapshotNames } from '../scene/snapshot.ts';
import {
  countTo,
  document,
  fitting,
  NOW,
  succeed,
  THEN,
  tagNames,
  take,
  write,
  writeAsGuest,
} from '../scene/steps.ts';
import { cleanUp, defineVm, pathOf, start, state, type Vm } from '../scene/vm.ts';

const RUNS = '/run/kvmsnap';
const running: RunningCli[] = [];

afterEach(async () => {
  for (const run of running.splice(0)) {
    run.kill('SIGTERM');
    await run.done;
  }
  await cleanUp();
});

const servers = (): string[] =>
  processes()
    .map(({ args }) => args.join(' '))
    .filter((line) => line.startsWith('qemu-nbd ') && line.includes(`${RUNS}/`));

const leftInRuns = (): string[] => (existsSync(RUNS) ? readdirSync(RUNS) : []);

const nothingLeft = (): void => expect([leftInRuns(), servers()]).toEqual([[], []]);

/** Opens it, and hands back what was printed as soon as it is complete. */
async function open(...args: string[]) {
  const run = spawnKvmsnap(['open', ...args, '--json']);
  running.push(run);
  const ended = run.done.then(({ code, stderr }) => Promise.reject(new Error(`exit ${code}: ${stderr}`)));
  ended.catch(() => undefined);
  await Promise.race([waitFor(() => run.stdout.endsWith('}\n'), { what: 'the sockets' }), ended]);
  const shown = fitting('open', JSON.parse(run.stdout));
  return { run, shown, uris: shown.disks.map(({ uri }) => uri) };
}

/** Ends it as a user does. */
async function end(run: RunningCli): Promise<number | null> {
  run.kill('SIGINT');
  return (await run.done).code;
}

let next = 0;
/** All that a socket shows, as a raw file. */
function contentOf(uri = ''): string {
  const path = join(scratch, `content-${next++}.raw`);
  if (tryTool('sh', ['-c', 'command -v nbdcopy']).code === 0) tool('nbdcopy', [uri, path]);
  else tool('qemu-img', ['convert', '-f', 'raw', '-O', 'raw', uri, path]);
  return path;
}

/** The byte at 1 MiB, where the tests write. */
const byteAt = (path: string): number | undefined => readFileSync(path)[2 ** 20];

// the Debians of the matrix have no e2fsprogs
const canFormat = tryTool('sh', ['-c', 'command -v mkfs.ext4']).code === 0;

test.runIf(canFormat)('a file of yesterday is read out of a snapshot of a running VM', async () => {
  const [tree, raw] = [join(scratch, 'tree'), join(scratch, 'disk.raw')];
  mkdirSync(join(tree, 'etc'), { recursive: true });
  writeFileSync(join(tree, 'etc/app.conf'), 'workers = 8\n');
  tool('mkfs.ext4', ['-q', '-d', tree, raw, '8M']);
  const vm = defineVm({ name: 'web', boot: 'counter', disks: [{ size: '8M' }, { size: '8M' }] });
  tool('qemu-img', ['convert', '-n', '-f', 'raw', '-O', 'qcow2', raw, pathOf(vm, 1)]);
  start(vm);
  await countTo(vm, 3);
  take(vm, 'yesterday');
  const line = 'qemu-io -d /machine/peripheral/virtio-disk1/virtio-backend "write -P 255 0 8M"';
  virsh('qemu-monitor-command', '--domain', vm.uuid, '--hmp', line);
  const { run, uris, shown } = await open('web', 'yesterday', '--disk', 'vdb');
  expect(tool('debugfs', ['-R', 'cat /etc/app.conf', contentOf(uris[0])])).toBe('workers = 8\n');
  expect(shown.commands.map((each) => each.split(' ')[0])).toEqual([
    'guestfish',
    'guestmount',
    'nbdcopy',
    'qemu-img',
  ]);
  expect([await end(run), state(vm)]).toEqual([0, 'running']);
  nothingLeft();
});

test('disks with memory, one made larger since: the old content and size, for several clients, which cannot write', async () => {
  const vm = defineVm({ name: 'web', boot: 'counter', disks: [{ size: '8M' }, { size: '8M' }] });
  write(vm, THEN);
  start(vm);
  await countTo(vm, 3);
  take(vm, 's1');
  writeAsGuest(vm, NOW);
  virsh('blockresize', '--domain', vm.uuid, 'vda', '600M');
  const { run, uris, shown } = await open('web/s1');
  expect(shown.disks.map(({ target, diskBytes }) => [target, diskBytes])).toEqual([
    ['vda', 2 ** 23],
    ['vdb', 2 ** 23],
  ]);
  for (const uri of [...uris, ...uris]) {
    const content = readFileSync(contentOf(uri));
    expect([content.length, content[2 ** 20]]).toEqual([2 ** 23, THEN]);
  }
  expect(tryTool('qemu-io', ['-f', 'raw', '-c', 'write -P 1 0 512', uris[0] ?? '']).code).not.toBe(0);
  expect(await end(run)).toBe(0);
  nothingLeft();
});

test('an external snapshot; the files of all external ones are one chain, and stay', async () => {
  const vm = defineVm({ name: 'web', boot: 'counter', disks: [{ size: '8M', format: 'raw' }] });
  write(vm, THEN);
  start(vm);
  take(vm, 'e1', '--disk-only');
  take(vm, 'e2', '--disk-only');
  writeAsGuest(vm, NOW);
  const { run, uris } = await open('web', 'e1');
  expect(byteAt(contentOf(uris[0]))).toBe(THEN);
  for (const name of ['e1', 'e2'])
    expect((await refused('delete', 'web', name)).message).toContain(
      `${name} is needed by kvmsnap open (process ${run.pid})`,
    );
  expect(await end(run)).toBe(0);
});

function twoSnapshots(): Vm {
  const vm = defineVm({ name: 'web', disks: [{ size: '8M' }] });
  write(vm, THEN);
  take(vm, 's1');
  take(vm, 's2');
  write(vm, NOW);
  return vm;
}

describe('the snapshot that is read', () => {
  test('is protected from delete and prune, which say who reads it; list and info show it, and no hold of the user', async () => {
    const vm = twoSnapshots();
    const { run } = await open('web', 's1');
    const by = `kvmsnap open (process ${run.pid})`;
    for (const options of [[], ['--metadata', '--yes'], ['--children', '--yes']]) {
      const { exitCode, message, hint } = await refused('delete', 'web', 's1', ...options);
      expect([exitCode, hint]).toEqual([5, 'wait until that has ended']);
      expect(message).toContain(`s1 is needed by ${by}`);
    }
    const pruned = await succeed('prune', 'web', '--match', '*', '--keep-last', '1', '--json');
    expect(pruned.stdout).toContain('read by kvmsnap open');
    expect([snapshotNames(vm), tagNames(vm)]).toEqual([['s1', 's2'], [['s1', 's2']]]);
    const { domains } = await document('list', 'list', 'web');
    expect(domains[0]?.snapshots[0]).toMatchObject({
      ...{ name: 's1', held: false, description: null },
      readers: [{ command: 'open', processId: run.pid }],
    });
    expect((await document('list', 'list', '--all')).domains[0]?.snapshots[0]?.readers).toHaveLength(1);
    expect((await succeed('list', 'web')).stdout).toMatch(/^R +s1 /m);
    expect((await succeed('info', 'web', 's1')).stdout).toContain(`by ${by}`);
    expect(await end(run)).toBe(0);
    await succeed('delete', 'web', 's1');
    expect(snapshotNames(vm)).toEqual(['s2']);
  });

  test('is not protected any more after a kill; the next run removes what is left', async () => {
    const vm = twoSnapshots();
    const { run } = await open('web', 's1');
    run.kill('SIGKILL');
    await run.done;
    await waitFor(() => servers().length === 0, {
      what: 'the end of the server, whose last client was kvmsnap',
    });
    expect(leftInRuns()).toHaveLength(1);
    await succeed('delete', 'web', 's1');
    expect(snapshotNames(vm)).toEqual(['s2']);
    const again = await open('web', 's2');
    expect(leftInRuns()).toHaveLength(1);
    expect(await end(again.run)).toBe(0);
    nothingLeft();
  });

  test('is deleted by virsh, which knows nothing of it: open says so and ends', async () => {
    const vm = twoSnapshots();
    const { run } = await open('web', 's1');
    virsh('snapshot-delete', '--domain', vm.uuid, 's1');
    const { code, stderr } = await run.done;
    expect([code, stderr]).toEqual([
      5,
      expect.stringContaining('does not contain the same snapshot s1 of web any more'),
    ]);
    nothingLeft();
  });
});

test('SIGTERM and --timeout end it too, each with its exit code; a dry run serves nothing', async () => {
  const vm = twoSnapshots();
  const before = fingerprint(vm);
  const { run } = await open('web', 's1');
  run.kill('SIGTERM');
  expect((await run.done).code).toBe(143);
  expect((await kvmsnap(['open', 'web', 's1', '--timeout', '4'])).code).toBe(124);
  const { stdout } = await succeed('open', 'web', 's1', '--dry-run');
  expect(stdout).toMatch(/^qemu-nbd -t -r --shared=8 -l snapshot\.id=1 .*force-share=on/);
  expect(fingerprint(vm)).toEqual(before);
  nothingLeft();
});

test('export and open, killed at random moments: no damage, no half file, and the next run leaves nothing', async () => {
  const vm = twoSnapshots();
  const before = fingerprint(vm);
  const to = join(scratch, 'killed');
  for (let round = 0; round < Number(process.env['KVMSNAP_ROUNDS'] ?? 4); round++) {
    const run = spawnKvmsnap(round % 2 === 0 ? ['open', 'web', 's1'] : ['export', 'web', 's1', to]);
    await Promise.race([run.done, new Promise((resolve) => setTimeout(resolve, 200 + Math.random() * 1800))]);
    run.kill('SIGKILL');
    await run.done;
    const path = join(to, 'web-vda.qcow2');
    if (existsSync(path)) {
      const raw = join(scratch, `content-${next++}.raw`);
      tool('qemu-img', ['convert', '-f', 'qcow2', '-O', 'raw', path, raw]);
      expect([round, byteAt(raw)]).toEqual([round, THEN]);
    }
    tool('find', [scratch, '-path', `${to}/web*`, '-delete']);
  }
  const { run } = await open('web', 's1');
  expect(await end(run)).toBe(0);
  expect(existsSync(to) ? readdirSync(to) : []).toEqual([]);
  expect(fingerprint(vm)).toEqual(before);
  nothingLeft();
});
