// Disks that are elsewhere, or another target, than when their snapshots were taken; and chains that leave the host.
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, describe, expect, test } from 'vitest';
import { kvmsnap } from '../lab/cli.ts';
import { pasteOk } from '../lab/evidence.ts';
import { scratch, tool, virsh, waitFor } from '../lab/lab.ts';
import { since } from '../lab/version.ts';
import { MiB } from '../model.ts';
import { hasPattern, tags, writePattern } from '../scene/disk.ts';
import { currentSnapshot, snapshotNames, snapshotXml } from '../scene/snapshot.ts';
import { cleanUp, defineVm, destroy, domainXml, pathOf, start, type Vm } from '../scene/vm.ts';

afterEach(cleanUp);
afterAll(cleanUp);

const run = async (...args: string[]) => {
  const { code, stdout, stderr } = await kvmsnap(args, { env: { XDG_STATE_HOME: join(scratch, 'state') } });
  return { code, said: stdout + stderr };
};
const names = (path: string) => tags(path).map(({ name }) => name);
const write = (path: string, byte: number) => writePattern(path, byte, MiB, MiB);
const holds = (path: string, byte: number) => hasPattern(path, byte, MiB, MiB);

/** Changes the definition as text. */
function redefine(vm: Vm, change: (xml: string) => string): void {
  const file = join(scratch, 'changed.xml');
  writeFileSync(file, change(virsh('dumpxml', '--inactive', '--domain', vm.uuid)));
  virsh('define', file);
}

describe('check --fix of a VM that was moved to another directory', () => {
  /** Two disks, of which one lies on a base; s1 off, s2 running below it, s3 off beside that. */
  function movedVm(): { vm: Vm; from: string; to: string } {
    const base = pathOf(defineVm({ name: 'base', disks: [{ size: '8M' }] }));
    const made = defineVm({ name: 'web-1', disks: [{ size: '8M' }, { backing: base }] });
    const from = join(pathOf(made), '..');
    const to = mkdtempSync(join(scratch, "it's & new-"));
    write(pathOf(made), 0x11);
    const create = (name: string, ...more: string[]) =>
      virsh('snapshot-create-as', '--domain', made.uuid, '--name', name, ...more);
    create('s1', '--description', 'two\n<lines> & more');
    start(made);
    create('s2');
    destroy(made);
    virsh('snapshot-revert', '--domain', made.uuid, '--snapshotname', 's1');
    create('s3');
    for (const { path } of made.disks) renameSync(path, path.replace(from, to));
    const named = to.replace('&', '&amp;').replace("'", '&apos;');
    redefine(made, (xml) => xml.replaceAll(from, () => named));
    return {
      vm: {
        ...made,
        disks: made.disks.map(({ target, path }) => ({ target, path: path.replace(from, to) })),
      },
      from,
      to,
    };
  }

  test('each snapshot is registered with the new paths, and all else of it stays', async () => {
    const { vm, from } = movedVm();
    expect((await run('hold', 'web-1', 's1')).code).toBe(0);
    const kept = (name: string) =>
      snapshotXml(vm, name)
        .split('\n')
        .filter((line) => !line.includes('<source file='));
    const before = ['s1', 's2', 's3'].map(kept);
    expect((await run('check', 'web-1')).code).toBe(5);

    expect((await run('check', 'web-1', '--fix', '--yes')).code).toBe(0);
    expect(['s1', 's2', 's3'].map(kept)).toEqual(before);
    expect(['s1', 's2', 's3'].filter((name) => snapshotXml(vm, name).includes(`'${from}/vd`))).toEqual([]);
    expect(currentSnapshot(vm)).toBe('s3');

    expect((await run('revert', 'web-1', 's2')).code).toBe(0);
    destroy(vm);
    expect(holds(pathOf(vm), 0x11)).toBe(true);
    expect((await run('delete', 'web-1', 's2')).code).toBe(0);
    expect(vm.disks.map(({ path }) => names(path))).toEqual([
      ['s1', 's3'],
      ['s1', 's3'],
    ]);
  });

  test('the line of a dry run does the same when it is pasted', async () => {
    const { vm, from } = movedVm();
    const { code, stdout } = await kvmsnap(['check', 'web-1', '--fix', '--dry-run']);
    expect({ code, files: existsSync(join(scratch, 'state')) }).toEqual({ code: 0, files: false });
    for (const line of stdout.trim().split('\n')) pasteOk(line);
    expect(snapshotNames(vm).filter((name) => snapshotXml(vm, name).includes(`'${from}/vd`))).toEqual([]);
    expect((await run('check', 'web-1')).code).toBe(0);
  });
});

test('an image in use that holds another snapshot of the name is not taken for it', async () => {
  const vm = defineVm({ name: 'web-1', disks: [{ size: '8M' }] });
  virsh('snapshot-create-as', '--domain', vm.uuid, '--name', 's1');
  const other = `${pathOf(vm)}.other`;
  tool('qemu-img', ['create', '-q', '-f', 'qcow2', other, '8M']);
  await waitFor(
    () => Math.floor(Date.now() / 1000) > Number(/<creationTime>(\d+)/.exec(snapshotXml(vm, 's1'))?.[1]) + 1,
    { what: 'another second' },
  );
  tool('qemu-img', ['snapshot', '-c', 's1', other]);
  redefine(vm, (xml) => xml.replaceAll(pathOf(vm), other));
  expect((await run('check', 'web-1', '--fix', '--yes')).said).not.toContain('register');
  // libvirt deletes where the snapshot was taken, and only there
  expect((await run('delete', 'web-1', 's1')).code).toBe(0);
  expect([names(pathOf(vm)), names(other)]).toEqual([[], ['s1']]);
});

test('a disk that is another target now: no finding; a delete while it runs is refused, off it is done', async () => {
  const vm = defineVm({ name: 'web-1', disks: [{ size: '8M' }] });
  virsh('snapshot-create-as', '--domain', vm.uuid, '--name', 's1');
  redefine(vm, (xml) =>
    xml
      .replace("<target dev='vda' bus='virtio'/>", "<target dev='sda' bus='sata'/>")
      .replace(/(<target dev='sda'.*?)<address type='pci'[^>]*>/s, '$1'),
  );
  expect((await run('check', 'web-1')).code).toBe(0);
  start(vm);
  expect(await run('delete', 'web-1', 's1')).toMatchObject({
    code: 5,
    said: expect.stringContaining('no such disk'),
  });
  destroy(vm);
  const { code: reverted, said } = await run('revert', 'web-1', 's1');
  expect({ reverted, says: said.includes('disk sda will be vda again') }).toEqual({
    reverted: 0,
    says: true,
  });
  expect(domainXml(vm)).toContain("<target dev='vda'");
  expect((await run('delete', 'web-1', 's1')).code).toBe(0);
  expect(names(pathOf(vm))).toEqual([]);
});

test('a network disk whose server takes one client is never asked by us', async () => {
  const base = pathOf(defineVm({ name: 'base', disks: [{ size: '8M' }] }));
  const socket = join(scratch, 'nbd.sock');
  const server = spawn('qemu-nbd', ['-x', 'disk', '-f', 'qcow2', '-k', socket, '-e', '1', '-t', base], {
    stdio: 'ignore',
  });
  try {
    await waitFor(() => existsSync(socket), { what: 'the server' });
    const source = `<source protocol='nbd' name='disk'><host transport='unix' socket='${socket}'/></source>`;
    const xml = `<disk type='network' device='disk'><driver name='qemu' type='raw'/>${source}<target dev='vda' bus='virtio'/></disk>`;
    const vm = defineVm({ name: 'web-1', disks: [], extraDevicesXml: xml });
    start(vm);
    const overlay = join(scratch, 'overlay');
    const create = [
      'create-as',
      'web-1',
      'e1',
      '--disk-only',
      '--diskspec',
      `vda,file=${overlay}`,
      '--force',
    ];
    expect((await run(...create)).code).toBe(0);
    expect(snapshotNames(vm)).toEqual(['e1']);
    const looks = [await run('list', 'web-1'), await run('info', 'web-1'), await run('check', 'web-1')];
    expect(looks.map(({ code }) => code).slice(0, 2)).toEqual([0, 0]);
    for (const { code, said } of looks) {
      expect(code).not.toBe(124);
      expect(said).toMatch(
        /disk vda has the backing file .*nbd.*, which is not a file of this host; it was not inspected/,
      );
      // what it holds is beneath the overlay, where nobody looks: no copy of the overlay is a copy of it
      expect(said).not.toContain('qemu-img convert');
    }
    const { code } = await run('delete', 'web-1', 'e1');
    expect(code).toBe(since({ '7.0': 5, '9.0': 0 }));
  } finally {
    server.kill('SIGKILL');
  }
});
