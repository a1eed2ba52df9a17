// `export`: the disks of a snapshot as images of their own; judged by qemu-io, qemu-img, virsh and the directory.
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { kvmsnap, spawnKvmsnap } from '../lab/cli.ts';
import { processes } from '../lab/daemon.ts';
import { fingerprint, pasteOk, refused } from '../lab/evidence.ts';
import { scratch, tool, tryTool, virsh, waitFor } from '../lab/lab.ts';
import { hasPattern, imageInfo, writePattern } from '../scene/disk.ts';
import { encryptedDisk, removeSecrets } from '../scene/luks.ts';
import { removeMounts, replaceCommand, smallFilesystem } from '../scene/mount.ts';
import {
  byteIn,
  bytes,
  countTo,
  document,
  NOW,
  succeed,
  THEN,
  take,
  write,
  writeAsGuest,
} from '../scene/steps.ts';
import { cleanUp, defineVm, destroy, domainXml, pathOf, start, state, type Vm } from '../scene/vm.ts';

let next = 0;
/** A directory that does not exist. */
const fresh = (): string => join(scratch, `out-${next++}`);
const RUNS = '/run/kvmsnap';

afterEach(async () => {
  removeMounts();
  await cleanUp();
  removeSecrets();
});

/** Off, two disks with the snapshot `s1` of THEN, and NOW on both. */
function movedOn(): Vm {
  const vm = defineVm({ name: 'web', disks: [{ size: '8M' }, { size: '8M' }] });
  write(vm, THEN);
  take(vm, 's1');
  write(vm, NOW);
  return vm;
}

/** Nothing of a run is left: no unfinished file, no record, no server. */
function nothingLeft(directory: string): void {
  expect(existsSync(directory) ? readdirSync(directory).filter((name) => name.startsWith('.')) : []).toEqual(
    [],
  );
  expect(existsSync(RUNS) ? readdirSync(RUNS) : []).toEqual([]);
  expect(servers()).toEqual([]);
}

/** The command lines of the tools that a run has started. */
const servers = (): string[] =>
  processes()
    .map(({ args }) => args.join(' '))
    .filter((line) => /^qemu-(nbd|img) /.test(line) && line.includes(`${RUNS}/`));

/** The tool waits before this subcommand, until the returned function is called. */
function slowQemuImg(subcommand: string, instead = ''): { readonly reached: () => boolean; go(): void } {
  const [reached, go] = ['reached', 'go'].map((name) => join(scratch, `${name}-${next++}`)) as [
    string,
    string,
  ];
  const wait = `touch ${reached}; while [ ! -e ${go} ]; do sleep 0.05; done; ${instead}`;
  replaceCommand(
    '/usr/bin/qemu-img',
    (original) => `#!/bin/sh\ncase "$1" in ${subcommand}) ${wait} ;; esac\nexec '${original}' "$@"\n`,
  );
  return { reached: () => existsSync(reached), go: () => writeFileSync(go, '') };
}

describe('an internal snapshot', () => {
  test('of a VM that is off: images that need no other file, and the definition of that time', async () => {
    const vm = movedOn();
    const before = fingerprint(vm);
    const to = join(fresh(), 'a,b c');
    const found = await document('export', 'export', 'web', 's1', to);
    expect(readdirSync(to).sort()).toEqual(['web-vda.qcow2', 'web-vdb.qcow2', 'web.xml']);
    expect(found.disks.map(({ path, diskBytes }) => [byteIn(path), diskBytes])).toEqual([
      [THEN, 8 * 2 ** 20],
      [THEN, 8 * 2 ** 20],
    ]);
    for (const { path, occupiedBytes } of found.disks) {
      expect(imageInfo(path)).toMatchObject({ format: 'qcow2', 'virtual-size': 8 * 2 ** 20 });
      expect(imageInfo(path)['backing-filename'] ?? imageInfo(path).snapshots).toBeUndefined();
      expect(occupiedBytes).toBeLessThan(2 ** 20);
      expect(statSync(path).mode & 0o777).toBe(0o600);
    }
    expect(fingerprint(vm)).toEqual(before);
    nothingLeft(to);
    virsh('undefine', '--domain', vm.uuid, '--snapshots-metadata');
    virsh('define', join(to, 'web.xml'));
    expect(domainXml(vm)).toContain(pathOf(vm, 1));
  });

  test('of a running VM with memory, whose disk was made larger since: the old size, and nothing of the memory', async () => {
    const vm = defineVm({ name: 'web', boot: 'counter', disks: [{ size: '8M' }] });
    write(vm, THEN);
    start(vm);
    await countTo(vm, 5);
    take(vm, 's1');
    const then = join(scratch, 'then.raw');
    tool('qemu-img', ['convert', '-U', '-l', 's1', '-f', 'qcow2', '-O', 'raw', pathOf(vm), then]);
    writeAsGuest(vm, NOW);
    virsh('blockresize', '--domain', vm.uuid, 'vda', '600M');
    const to = fresh();
    const raw = (await document('export', 'export', 'web/s1', to, '--format', 'raw')).disks[0];
    expect([raw?.diskBytes, raw?.path]).toEqual([8 * 2 ** 20, join(to, 'web-vda.raw')]);
    expect(readFileSync(raw?.path ?? '').equals(readFileSync(then))).toBe(true);
    const { stdout } = await succeed(
      'export',
      'web',
      's1',
      to,
      '--compress',
      '-q',
      '--disk',
      'vda',
      '--force',
    ).catch(() => succeed('export', 'web', 's1', `${to}-2`, '--compress', '-q', '--disk', 'vda'));
    const path = stdout.trim();
    expect(imageInfo(path)['virtual-size']).toBe(8 * 2 ** 20);
    expect(tool('qemu-img', ['compare', '-f', 'qcow2', '-F', 'raw', path, then])).toContain('identical');
    expect(state(vm)).toBe('running');
    nothingLeft(to);
  });

  test('whose name is the id of another one, in an image with a backing file', async () => {
    const base = join(scratch, `base-${next++}.raw`);
    tool('qemu-img', ['create', '-q', '-f', 'raw', base, '8M']);
    writePattern(base, 7, 4 * 2 ** 20, 65536);
    const vm = defineVm({ name: 'web', disks: [{ backing: base }] });
    write(vm, NOW);
    take(vm, 'x1');
    write(vm, THEN);
    take(vm, '1');
    write(vm, NOW);
    const to = fresh();
    await succeed('export', 'web', '1', to);
    const path = join(to, 'web-vda.qcow2');
    expect([byteIn(path), hasPattern(path, 7, 4 * 2 ** 20, 65536)]).toEqual([THEN, true]);
    expect(imageInfo(path)['backing-filename']).toBeUndefined();
  });
});

test('an external snapshot: from the chain, also while the VM runs; not if its file was written to since', async () => {
  const vm = defineVm({
    name: 'web',
    boot: 'counter',
    disks: [{ size: '8M' }, { size: '8M', format: 'raw' }],
  });
  write(vm, THEN);
  start(vm);
  take(vm, 'e1', '--disk-only');
  writeAsGuest(vm, 0x33);
  take(vm, 'e2', '--disk-only');
  writeAsGuest(vm, NOW);
  const [one, two] = [fresh(), fresh()];
  await succeed('export', 'web', 'e1', one);
  await succeed('export', 'web', 'e2', two, '--format', 'raw');
  expect(['vda', 'vdb'].map((disk) => byteIn(join(one, `web-${disk}.qcow2`)))).toEqual([THEN, THEN]);
  expect(['vda', 'vdb'].map((disk) => byteIn(join(two, `web-${disk}.raw`)))).toEqual([0x33, 0x33]);
  tool('dd', ['if=/dev/urandom', `of=${pathOf(vm, 1)}`, 'conv=notrunc', 'bs=512', 'count=1', 'status=none']);
  // later than libvirt's own last write, as an unnoticed change would be
  tool('touch', ['-d', '+1 hour', pathOf(vm, 1)]);
  const { exitCode, message } = await refused('export', 'web', 'e1', fresh());
  expect([exitCode, message]).toEqual([5, expect.stringContaining('was written to later')]);
  await succeed('export', 'web', 'e1', fresh(), '--disk', 'vda');
});

test('of one disk after the other into one directory, the definition is written once', async () => {
  movedOn();
  const to = fresh();
  await succeed('export', 'web', 's1', to, '--disk', 'vda');
  const xml = readFileSync(join(to, 'web.xml'), 'utf8');
  await succeed('export', 'web', 's1', to, '--disk', 'vdb');
  expect(readdirSync(to).sort()).toEqual(['web-vda.qcow2', 'web-vdb.qcow2', 'web.xml']);
  expect(readFileSync(join(to, 'web.xml'), 'utf8')).toBe(xml);
});

describe('nothing is exported', () => {
  test('where a file exists: exit 6', async () => {
    const vm = movedOn();
    const to = fresh();
    mkdirSync(to);
    writeFileSync(join(to, 'web.xml'), 'mine');
    const before = fingerprint(vm);
    const { exitCode, message } = await refused('export', 'web', 's1', to);
    expect([exitCode, message]).toEqual([
      6,
      expect.stringContaining(`${join(to, 'web.xml')} exists already`),
    ]);
    expect([readdirSync(to), readFileSync(join(to, 'web.xml'), 'utf8')]).toEqual([['web.xml'], 'mine']);
    expect(fingerprint(vm)).toEqual(before);
    nothingLeft(to);
  });

  test('where a file comes to exist in the middle: exit 6, and that file stays', async () => {
    movedOn();
    const to = fresh();
    slowQemuImg('compare', `echo other > ${to}/web-vdb.qcow2`).go();
    expect((await refused('export', 'web', 's1', to)).exitCode).toBe(6);
    expect([readdirSync(to), readFileSync(join(to, 'web-vdb.qcow2'), 'utf8')]).toEqual([
      ['web-vdb.qcow2'],
      'other\n',
    ]);
  });

  test('without enough space: exit 5; with --force as far as it goes, and nothing of it stays', async () => {
    const vm = defineVm({ name: 'web', disks: [{ size: '8M' }] });
    writePattern(pathOf(vm), THEN, 0, 4 * 2 ** 20);
    take(vm, 's1');
    const to = join(smallFilesystem(3), 'new');
    const { exitCode, message } = await refused('export', 'web', 's1', to);
    expect([exitCode, message]).toEqual([
      5,
      expect.stringMatching(/3 MiB of free space, and the copy needs 5 MiB/),
    ]);
    expect(existsSync(to)).toBe(false);
    expect((await refused('export', 'web', 's1', to, '--force')).exitCode).toBe(1);
    expect(existsSync(to)).toBe(false);
    nothingLeft(to);
  });

  test('of a snapshot that is deleted in the middle, and taken again with the same name, id and place', async () => {
    const vm = movedOn();
    const tags = () => JSON.stringify(imageInfo(pathOf(vm)).snapshots?.map(({ id, name }) => [id, name]));
    const before = tags();
    const again = `virsh snapshot-delete ${vm.uuid} s1 >&2; virsh snapshot-create-as ${vm.uuid} s1 >&2`;
    slowQemuImg('compare', `[ -e ${scratch}/once ] || { : > ${scratch}/once; ${again}; }`).go();
    const to = fresh();
    const { exitCode, message } = await refused('export', 'web', 's1', to);
    expect(message).toMatch(
      /does not contain the same snapshot s1 of web any more|differs from the snapshot/,
    );
    expect([[1, 5].includes(exitCode), existsSync(to), tags()]).toEqual([true, false, before]);
  });

  test('if the copy differs from the snapshot: exit 1', async () => {
    movedOn();
    const to = fresh();
    slowQemuImg('compare', `qemu-io -f qcow2 -c 'write -P 9 5M 512' ${to}/.kvmsnap-*vda.unfinished >&2`).go();
    const { exitCode, message } = await refused('export', 'web', 's1', to);
    expect([exitCode, message]).toEqual([
      1,
      expect.stringContaining('the copy of disk vda differs from the snapshot'),
    ]);
    expect(existsSync(to)).toBe(false);
    nothingLeft(to);
  });

  test('of an encrypted disk, of a disk that is missing, and of a snapshot that is not in its image', async () => {
    const vm = defineVm({ name: 'web', disks: [{ size: '8M' }, await encryptedDisk()] });
    start(vm); // qemu-img, which libvirt uses otherwise, has no key; QEMU 7.2 dies when memory goes into the encrypted image
    take(vm, 's1');
    destroy(vm);
    const [to, out] = [fresh(), fresh()];
    expect((await refused('export', 'web', 's1', to)).message).toContain(
      'is encrypted, and kvmsnap does not use its key',
    );
    await succeed('export', 'web', 's1', out, '--disk', 'vda');
    const missing = await refused('export', 'web', 's1', to, '--disk', 'vdz');
    expect([missing.exitCode, missing.hint]).toEqual([4, 'its disks are vda, vdb']);
    tool('qemu-img', ['snapshot', '-d', 's1', pathOf(vm)]);
    expect((await refused('export', 'web', 's1', to, '--disk', 'vda')).message).toContain(
      'does not contain snapshot s1',
    );
    expect(existsSync(to)).toBe(false);
  });

  test.each([
    ['raw that is compressed', ['--format', 'raw', '--compress'], 2],
    ['another format', ['--format', 'vmdk'], 2],
  ])('%s', async (_, args, code) => {
    movedOn();
    const to = fresh();
    expect([(await kvmsnap(['export', 'web', 's1', to, ...args])).code, existsSync(to)]).toEqual([
      code,
      false,
    ]);
    expect((await kvmsnap(['export', 'web', 's1'])).code).toBe(2);
  });
});

test('a dry run writes nothing, and its commands do the same', async () => {
  movedOn();
  const to = fresh();
  const { stdout } = await succeed('export', 'web', 's1', to, '--dry-run', '--disk', 'vdb');
  expect(existsSync(to)).toBe(false);
  nothingLeft(to);
  for (const line of stdout.trim().split('\n')) pasteOk(line);
  expect(byteIn(join(to, 'web-vdb.qcow2'))).toBe(THEN);
});

describe('ended in the middle', () => {
  test.each([
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const)('by %s: nothing is left', async (signal, code) => {
    const vm = movedOn();
    const before = fingerprint(vm);
    const to = fresh();
    const slow = slowQemuImg('convert');
    const run = spawnKvmsnap(['export', 'web', 's1', to]);
    await waitFor(slow.reached, { what: 'the copy' });
    run.kill(signal);
    expect((await run.done).code).toBe(code);
    expect(existsSync(to)).toBe(false);
    expect(fingerprint(vm)).toEqual(before);
    await waitFor(() => servers().length === 0, { what: 'the end of the tools' });
    nothingLeft(to);
    slow.go();
  });

  test('by SIGKILL: the next run removes what is left', async () => {
    const vm = movedOn();
    const to = fresh();
    const slow = slowQemuImg('convert');
    const run = spawnKvmsnap(['export', 'web', 's1', to]);
    await waitFor(slow.reached, { what: 'the copy' });
    run.kill('SIGKILL');
    await run.done;
    expect(readdirSync(to)).toEqual([expect.stringMatching(/^\.kvmsnap-.*-vda\.unfinished$/)]);
    slow.go();
    await succeed('export', 'web', 's1', to);
    expect(readdirSync(to).sort()).toEqual(['web-vda.qcow2', 'web-vdb.qcow2', 'web.xml']);
    expect(bytes(vm)).toEqual([NOW, NOW]);
    await waitFor(() => servers().length === 0, { what: 'the end of the tools' });
    nothingLeft(to);
  });
});

test('without qemu-nbd: exit 9', async () => {
  movedOn();
  const empty = join(scratch, 'bin');
  mkdirSync(empty);
  for (const name of ['virsh', 'qemu-img', 'node', 'stat']) {
    const path = tryTool('sh', ['-c', `command -v ${name}`]).stdout.trim();
    if (path !== '') tool('ln', ['-s', path, join(empty, name)]);
  }
  chmodSync(empty, 0o755);
  const { code, stderr } = await kvmsnap(['export', 'web', 's1', fresh()], { env: { PATH: empty } });
  expect([code, stderr]).toEqual([9, expect.stringContaining('qemu-nbd is not installed')]);
});
