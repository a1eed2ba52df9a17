// Users who are not root, and hosts that are not this one: what libvirt knows must do (hazards 2 to 4 unchecked).
import { spawnSync } from 'node:child_process';
import { chmodSync, mkdtempSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterAll, afterEach, describe, expect, test } from 'vitest';
import { type CliOptions, kvmsnap } from '../lab/cli.ts';
import { processes } from '../lab/daemon.ts';
import { errorDocument } from '../lab/failure.ts';
import { scratch, tool, tryVirsh, virsh, waitFor } from '../lab/lab.ts';
import { share } from '../lab/share.ts';
import { MiB } from '../model.ts';
import { hasPattern, tags, writePattern } from '../scene/disk.ts';
import { currentSnapshot, snapshotNames } from '../scene/snapshot.ts';
import { cleanUp, type DiskSpec, defineVm, pathOf, start, state, type Vm, type VmSpec } from '../scene/vm.ts';

const NOBODY = 65534;

/** An ordinary user, and the same one as a member of the group that libvirtd lets in. */
const stranger: CliOptions = { uid: NOBODY, gid: NOBODY };
const member: CliOptions = { uid: NOBODY, gid: Number(tool('getent', ['group', 'libvirt']).split(':')[2]) };
const SYSTEM = ['-c', 'qemu:///system'];

afterEach(async () => {
  for (const name of virsh('pool-list', '--all', '--name').split(/\s+/).filter(Boolean)) {
    tryVirsh('pool-destroy', name);
    tryVirsh('pool-undefine', name);
  }
  await cleanUp();
});
afterAll(cleanUp);

/** A VM whose images only root may read. */
function lockedVm(spec: Partial<VmSpec> = {}): Vm {
  const vm = defineVm({ name: 'web', ...spec });
  for (const { path } of vm.disks) chmodSync(path, 0o600);
  return vm;
}

const tagNames = (vm: Vm): string[] => tags(pathOf(vm)).map(({ name }) => name);
const unseenLines = (stderr: string): number =>
  stderr.split('\n').filter((line) => / could not be inspected /.test(line)).length;

const PERMISSION =
  "note: disk vda could not be inspected (permission denied); kvmsnap relies on libvirt's information and cannot check that the snapshots are in the images\n";
const REMOTE = PERMISSION.replace('permission denied', 'it is on another host').replace(
  /\n$/,
  '. With --host localhost instead of -c qemu+ssh://localhost/system, kvmsnap inspects them there\n',
);

/** The whole life of a snapshot, each step judged by root. */
async function liveThrough(vm: Vm, run: (...args: string[]) => ReturnType<typeof kvmsnap>, note: string) {
  writePattern(pathOf(vm), 0x11, MiB, MiB);
  expect(await run('create-as', 'web', 's1', '-q')).toEqual({
    code: 0,
    signal: null,
    stdout: 's1\n',
    stderr: note,
  });
  expect([snapshotNames(vm), tagNames(vm)]).toEqual([['s1'], ['s1']]);
  writePattern(pathOf(vm), 0x22, MiB, MiB);

  const list = await run('list', 'web', '--json');
  expect(list).toMatchObject({ code: 0, stderr: note });
  expect(JSON.parse(list.stdout).domains[0].snapshots).toMatchObject([{ name: 's1', current: true }]);

  const revert = await run('revert', 'web', 's1', '--backup-name', 'kept', '-q');
  expect(revert).toMatchObject({ code: 0, stdout: 's1\n' });
  expect(unseenLines(revert.stderr)).toBe(1);
  expect(hasPattern(pathOf(vm), 0x11, MiB, MiB)).toBe(true);
  expect([tagNames(vm), currentSnapshot(vm)]).toEqual([['s1', 'kept'], 's1']);

  const info = await run('info', 'web', 's1', '--json');
  expect(info).toMatchObject({ code: 0, stderr: note });
  expect(JSON.parse(info.stdout).snapshot.disks).toMatchObject([{ target: 'vda', copies: null }]);

  const gone = await run('delete', 'web', 's1', 'kept', '-q');
  expect(gone).toMatchObject({ code: 0, stdout: 's1\nkept\n' });
  // and a line on each that is lost
  expect(
    gone.stderr.replace(/^note: snapshot (s1|kept) will be deleted permanently \(taken .*\n/gm, ''),
  ).toBe(note);
  expect([snapshotNames(vm), tagNames(vm)]).toEqual([[], []]);
}

describe('a member of the libvirt group, images of mode 0600', () => {
  const run = (...args: string[]) => kvmsnap([...SYSTEM, ...args], member);

  test('creates, lists, reverts and deletes, and is told in one line what is unchecked', async () => {
    await liveThrough(lockedVm(), run, PERMISSION);
  });

  test('takes and reverts a running VM too', async () => {
    const vm = lockedVm({ boot: 'counter' });
    start(vm);
    expect(await run('create-as', 'web', 's1', '-q')).toMatchObject({
      code: 0,
      stdout: 's1\n',
      stderr: PERMISSION,
    });
    expect(tags(pathOf(vm))).toMatchObject([{ name: 's1', vmStateSize: expect.any(Number) }]);
    const revert = await run('revert', 'web', 's1');
    expect({ code: revert.code, lines: unseenLines(revert.stderr) }).toEqual({ code: 0, lines: 1 });
    expect(state(vm)).toBe('running');
  });

  test('is warned of a name that may be an id in an image that cannot be looked at (hazard 31)', async () => {
    const vm = lockedVm();
    expect((await run('create-as', 'web', 's1')).stderr).toBe(PERMISSION);
    expect((await run('create-as', 'web', '7')).stderr).toMatch(/^warning: 7 is a number/m);
    const { code, stderr } = await run('revert', 'web', '7');
    expect({ code, stderr }).toMatchObject({
      code: 0,
      stderr: expect.stringContaining('warning: disk vda was not inspected, and 7 is a number'),
    });
    expect(currentSnapshot(vm)).toBe('7');
  });

  test('names all disks in the one line', async () => {
    lockedVm({ disks: [{}, { size: '8M' }] });
    const { code, stderr } = await run('create', 'web');
    expect({ code, stderr }).toEqual({ code: 0, stderr: PERMISSION.replace('disk vda', 'disks vda, vdb') });
  });

  test("is told of the disks by info, and of the VM's format by libvirt", async () => {
    lockedVm();
    const { code, stdout, stderr } = await run('info', 'web', '--json');
    expect({ code, stderr }).toEqual({ code: 0, stderr: PERMISSION });
    expect(JSON.parse(stdout).domain.disks).toMatchObject([
      { target: 'vda', chain: null, problem: expect.stringMatching(/permission.*qcow2/) },
    ]);
  });

  test('without qemu-img is exit 9 all the same', async () => {
    lockedVm();
    const PATH = mkdtempSync(join(scratch, 'bin-'));
    chmodSync(PATH, 0o755);
    tool('ln', ['-s', tool('which', ['virsh']).trim(), PATH]);
    const result = await kvmsnap([...SYSTEM, 'create', 'web', '--json'], { ...member, env: { PATH } });
    expect(errorDocument(result)).toMatchObject({ code: 'tool-missing', exitCode: 9 });
  });

  /** What the VM's XML says, what a pool knows, and what comes of it. */
  const FORMATS: readonly { disk: DiskSpec; pool: boolean; code: number; told: RegExp }[] = [
    { disk: { format: 'raw' }, pool: false, code: 5, told: /disk vda.*raw/ },
    { disk: { format: 'qcow2', driver: 'raw' }, pool: false, code: 5, told: /disk vda.*raw/ },
    { disk: { format: 'raw', driver: 'qcow2' }, pool: true, code: 5, told: /disk vda.*raw/ },
    { disk: { format: 'qcow2', driver: 'raw' }, pool: true, code: 5, told: /disk vda.*qcow2/ },
    { disk: { format: 'qcow2' }, pool: true, code: 0, told: /^note: disk vda could not be inspected.*\n$/ },
  ];

  test.each(share(5, FORMATS))('$disk, in a pool: $pool: exit $code', async ({ disk, pool, code, told }) => {
    const vm = lockedVm({ disks: [disk] });
    if (pool) {
      virsh('pool-define-as', 'images', 'dir', '--target', dirname(pathOf(vm)));
      virsh('pool-start', 'images');
    }
    const result = await run('create-as', 'web', 's1');
    expect(result.stderr).toMatch(told);
    expect(unseenLines(result.stderr)).toBe(1);
    expect(result.code).toBe(code);
    expect(snapshotNames(vm)).toEqual(code === 0 ? ['s1'] : []);
  });

  test('a disk that is a volume of a pool is found there', async () => {
    const vm = lockedVm();
    const pool = mkdtempSync(join(scratch, 'pool-'));
    virsh('pool-define-as', 'images', 'dir', '--target', pool);
    virsh('pool-start', 'images');
    virsh('vol-create-as', 'images', 'data.qcow2', '8M', '--format', 'qcow2');
    const xml = join(scratch, 'disk.xml');
    writeFileSync(
      xml,
      `<disk type='volume' device='disk'><driver name='qemu' type='qcow2'/>` +
        `<source pool='images' volume='data.qcow2'/><target dev='vdb' bus='virtio'/></disk>`,
    );
    virsh('attach-device', vm.uuid, xml, '--config');
    const { code, stderr } = await run('create-as', 'web', 's1');
    expect({ code, stderr }).toEqual({ code: 0, stderr: PERMISSION.replace('disk vda', 'disks vda, vdb') });
    expect(tags(join(pool, 'data.qcow2'))).toMatchObject([{ name: 's1' }]);
  });
});

describe('an ordinary user', () => {
  test('is told how to get in', async () => {
    lockedVm();
    const result = await kvmsnap([...SYSTEM, 'list', 'web'], stranger);
    expect(result).toMatchObject({ code: 8, stdout: '' });
    expect(result.stderr).toMatch(
      /Permission denied\nhint: run as root, or join the group libvirt and log in again\n {6} {2}sudo usermod -aG libvirt/,
    );
  });

  test('who looks among his own VMs for one of the host is told where that is', async () => {
    lockedVm();
    const sessions = () =>
      processes().filter(
        ({ args }) => /libvirtd$/.test(args[0] ?? '') && args.some((word) => word.startsWith('--timeout')),
      );
    try {
      const result = await kvmsnap(['list', 'web'], stranger);
      expect(result).toMatchObject({ code: 4, stdout: '' });
      expect(result.stderr).toMatch(/no such VM: web\nhint: .*--connect qemu:\/\/\/system/);
      const all = await kvmsnap(['list'], stranger);
      expect(all.code).toBe(0);
      expect(all.stderr).toMatch(/^there are no VMs: qemu:\/\/\/session .*--connect qemu:\/\/\/system\n$/);
      expect(await kvmsnap(['list', '--json'], stranger)).toMatchObject({ code: 0, stderr: '' });
    } finally {
      // it may be just about to fork into the background
      const isOver = () => {
        const daemons = sessions();
        for (const { pid } of daemons) spawnSync('kill', ['-9', String(pid)]);
        return daemons.length === 0;
      };
      await waitFor(isOver, { what: 'the end of the user session' });
    }
  });
});

describe('another host', () => {
  /** An ssh that is there at once: it runs on this host what it was to run on the other. */
  function shortSsh(): CliOptions {
    const directory = mkdtempSync(join(scratch, 'ssh-'));
    const script = '#!/bin/sh\nfor last; do :; done\nexec sh -c "$last"\n';
    writeFileSync(join(directory, 'ssh'), script, { mode: 0o755 });
    return { env: { PATH: `${directory}:${process.env['PATH']}` } };
  }

  test('over ssh: the life of a snapshot, and one line on what is unchecked', async () => {
    const vm = defineVm({ name: 'web' });
    const options = shortSsh();
    const run = (...args: string[]) => kvmsnap(['-c', 'qemu+ssh://localhost/system', ...args], options);
    await liveThrough(vm, run, REMOTE);
  });

  test('over ssh: the commands of a dry run have the connection in them', async () => {
    defineVm({ name: 'web' });
    const args = ['-c', 'qemu+ssh://localhost/system', 'create-as', 'web', 's1', '--dry-run'];
    const { stdout } = await kvmsnap(args, shortSsh());
    expect(stdout).toMatch(
      /^virsh -c qemu\+ssh:\/\/localhost\/system snapshot-create-as --domain \S+ --name s1 {2}# web\n$/,
    );
  });

  test.each(['qemu+ssh://host.invalid/system', 'qemu+ssh://user@host.invalid:2222/system?no_tty=1'])(
    '%s that is not there',
    async (uri) => {
      const result = await kvmsnap(['-c', uri, 'list', '--json']);
      expect(result.stdout).toBe('');
      expect(errorDocument(result)).toMatchObject({
        exitCode: 8,
        hint: expect.stringContaining('ssh needs a key'),
      });
    },
  );

  test.each(['qemu:///system', 'qemu+unix:///system'])(
    '%s is this host: the disks are looked at',
    async (uri) => {
      const vm = defineVm({ name: 'web' });
      expect(await kvmsnap(['-c', uri, 'create-as', 'web', 's1', '-q'])).toMatchObject({
        code: 0,
        stderr: '',
      });
      tool('qemu-img', ['snapshot', '-d', 's1', pathOf(vm)]);
      const { code, stderr } = await kvmsnap(['-c', uri, 'revert', 'web', 's1']);
      expect({ code, stderr }).toMatchObject({ code: 5, stderr: expect.stringContaining('disk vda') });
      // what fixes it is said for this connection
      const cure = `kvmsnap -c ${uri} delete web s1`;
      expect(stderr).toContain(`  ${cure}\n`);
      expect((await kvmsnap(['-c', uri, 'check', 'web'])).stdout).toContain(
        cure.replace('web', '--metadata web'),
      );
    },
  );
});
