import { closeSync, openSync, renameSync, statSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { scratch, tool, virsh } from '../lab/lab.ts';
import { onTerminal } from '../lab/terminal.ts';
import { imageInfo, tags } from '../scene/disk.ts';
import { document, fail, succeed, take, twoDisks } from '../scene/steps.ts';
import { cleanUp, defineVm, destroy, pathOf, start, type Vm } from '../scene/vm.ts';

afterAll(cleanUp);

/** Sets the corrupt bit of a qcow2 header (incompatible_features, bit 1). */
function markCorrupt(path: string): void {
  const file = openSync(path, 'r+');
  writeSync(file, Buffer.of(0x02), 0, 1, 79);
  closeSync(file);
}

describe('info of a VM', () => {
  let vm: Vm;
  let base: string;

  beforeAll(() => {
    base = pathOf(defineVm({ name: 'base', disks: [{ size: '16M' }] }));
    vm = defineVm({
      name: 'full',
      boot: 'counter',
      memoryMiB: 48,
      disks: [{ backing: base }, { size: '8M' }, { device: 'cdrom', source: null, format: 'raw' }],
    });
    take(vm, 's1');
    // later, for libvirt 7.0 takes no snapshot beside it
    const raw = join(scratch, 'read-only.raw');
    tool('qemu-img', ['create', '-q', '-f', 'raw', raw, '1M']);
    const kind = ['--driver', 'qemu', '--subdriver', 'raw', '--mode', 'readonly'];
    virsh('attach-disk', vm.uuid, raw, 'vdc', '--config', ...kind);
    vm = { ...vm, disks: [...vm.disks.slice(0, 2), { target: 'vdc', path: raw }] };
  });

  test('shows each disk as qemu-img sees it, with its backing chain', async () => {
    const { domain } = await document('info', 'info', 'full');
    expect(domain).toMatchObject({ name: 'full', uuid: vm.uuid, state: 'shutoff', current: 's1' });
    const link = (path: string) => ({
      path,
      format: imageInfo(path).format,
      virtualBytes: imageInfo(path)['virtual-size'],
      allocatedBytes: statSync(path).blocks * 512,
      flags: [],
    });
    const [vda, vdb, vdc] = [0, 1, 2].map((n) => pathOf(vm, n)) as [string, string, string];
    const snapshots = [{ id: '1', name: 's1', vmStateBytes: 0 }];
    expect(domain.disks).toMatchObject([
      {
        target: 'vda',
        source: vda,
        driver: 'qcow2',
        takesPart: true,
        problem: null,
        chain: [link(vda), link(base)],
        snapshots,
      },
      {
        target: 'vdb',
        source: vdb,
        driver: 'qcow2',
        takesPart: true,
        problem: null,
        chain: [link(vdb)],
        snapshots,
      },
      {
        target: 'vdc',
        source: vdc,
        driver: 'raw',
        takesPart: false,
        problem: null,
        chain: [link(vdc)],
        snapshots: [],
      },
      {
        target: 'hda',
        device: 'cdrom',
        source: null,
        takesPart: false,
        problem: 'no medium',
        chain: null,
        snapshots: [],
      },
    ]);
  });

  test('is a table of disks, facts and snapshots', async () => {
    const { stdout, stderr } = await succeed('info', 'full');
    expect(stdout).toMatch(new RegExp(`^vda +disk +qcow2 +16\\.0 MiB +\\S+ KiB +- +${pathOf(vm)}$`, 'm'));
    expect(stdout).toMatch(new RegExp(`^vda \\^1 +disk +qcow2 +16\\.0 MiB +\\S+ KiB +- +${base}$`, 'm'));
    expect(stdout).toMatch(/^vdc +disk +raw +1\.0 MiB .* not part of snapshots +\//m);
    expect(stdout).toMatch(/^hda +cdrom +- .* no medium, not part of snapshots +-$/m);
    expect(stdout).toMatch(new RegExp(`^uuid +${vm.uuid}$`, 'm'));
    expect(stdout).toMatch(/^memory +48\.0 MiB$/m);
    expect(stdout).toMatch(/^snapshots +1$/m);
    expect(stdout).toMatch(/^vdb +1 +s1 +\d{4}-\S+ +-$/m);
    expect(stderr).toBe('');
    expect((await succeed('info', 'full', '-q')).stdout).toBe('full\n');
    const [head, ...rows] = (await succeed('info', 'full', '-o', 'csv')).stdout.trimEnd().split('\n');
    expect(head).toMatch(
      /^target,device,format,virtualBytes,allocatedBytes,flags,path,depth,driver,snapshotId,/,
    );
    expect(rows.map((row) => row.replace(/,.*/, ''))).toEqual([
      'vda',
      'vda',
      'vdb',
      'vdc',
      'hda',
      'vda',
      'vdb',
    ]);
    for (const row of rows) expect(row).toContain(`,full,${vm.uuid},shutoff,`);
  });

  test('says on a terminal what MEMORY means', async () => {
    const { screen } = await onTerminal(['info', 'full'], { columns: 200 }).done;
    expect(screen).toMatch(
      /MEMORY is the guest memory saved with a snapshot.*Only one disk contains it, and none if the VM was off/,
    );
  });

  test('has the memory of a snapshot of the running guest, also while it runs', async () => {
    start(vm);
    take(vm, 'live');
    const { domain } = await document('info', 'info', 'full');
    const size = tags(pathOf(vm)).find(({ name }) => name === 'live')?.vmStateSize ?? 0;
    expect(size).toBeGreaterThan(0);
    expect(domain).toMatchObject({ state: 'running', stateReason: 'unpaused', current: 'live' });
    expect(domain.disks[0]?.snapshots).toMatchObject([
      { vmStateBytes: 0 },
      { name: 'live', vmStateBytes: size },
    ]);
    expect(domain.disks[1]?.snapshots).toMatchObject([
      { vmStateBytes: 0 },
      { name: 'live', vmStateBytes: 0 },
    ]);
    expect((await succeed('info', 'full')).stdout).toMatch(/^state +running \(unpaused\)$/m);
    destroy(vm);
  });

  test('names what is wrong with an image, and what the XML says otherwise', async () => {
    const odd = defineVm({
      name: 'odd',
      disks: [{}, { driver: 'raw' }, { driver: null }, {}, { backing: base }],
    });
    markCorrupt(pathOf(odd, 0));
    renameSync(pathOf(odd, 3), `${pathOf(odd, 3)}.away`);
    renameSync(base, `${base}.away`);
    const { domain } = await document('info', 'info', 'odd');
    const { stdout } = await succeed('info', 'odd');
    renameSync(`${base}.away`, base);
    expect(domain.disks.map(({ problem, chain }) => problem ?? chain?.[0]?.flags)).toEqual([
      ['corrupt'],
      ['looks like qcow2'],
      ['looks like qcow2'],
      `missing: ${pathOf(odd, 3)}`,
      `missing: ${base}`,
    ]);
    expect(stdout).toMatch(/^vda .* corrupt +\//m);
    // libvirt itself writes raw where the XML names nothing
    for (const target of ['vdb', 'vdc'])
      expect(stdout).toMatch(new RegExp(`^${target} .* raw .* looks like qcow2 +/`, 'm'));
    expect(stdout).toMatch(new RegExp(`^vdd .* missing: ${pathOf(odd, 3)} `, 'm'));
  });

  test('shows what is in the images only', async () => {
    const orphaned = twoDisks('orphaned');
    tool('qemu-img', ['snapshot', '-c', 'no metadata', pathOf(orphaned, 1)]);
    const { domain } = await document('info', 'info', 'orphaned');
    expect(domain.disks.map(({ snapshots }) => snapshots.map(({ name }) => name))).toEqual([
      [],
      ['no metadata'],
    ]);
    expect((await succeed('info', 'orphaned')).stdout).toMatch(/^vdb +1 +no metadata /m);
    expect(await fail(4, 'info', 'orphaned', 'no metadata')).toContain("has no snapshot 'no metadata'");
  });
});

describe('info of a snapshot', () => {
  let vm: Vm;

  beforeAll(() => {
    vm = twoDisks('parts', { boot: 'counter' });
    take(vm, 'root');
    start(vm);
    take(vm, 's1', '--description', 'before, "the" upgrade');
    take(vm, 'leaf');
    virsh('snapshot-revert', '--domain', vm.uuid, '--snapshotname', 's1');
    destroy(vm);
  });

  test('has all that libvirt and the images know', async () => {
    const vmStateBytes = tags(pathOf(vm)).find(({ name }) => name === 's1')?.vmStateSize ?? 0;
    expect(vmStateBytes).toBeGreaterThan(0);
    expect(await document('info-snapshot', 'info', 'parts', 's1')).toMatchObject({
      domain: { name: 'parts', state: 'shutoff' },
      snapshot: {
        name: 's1',
        state: 'running',
        location: 'internal',
        parent: 'root',
        children: ['leaf'],
        current: true,
        description: 'before, "the" upgrade',
        vmStateBytes,
        memory: { location: 'internal', file: null },
        disks: vm.disks.map(({ target, path }) => ({
          target,
          source: path,
          location: 'internal',
          copies: 1,
        })),
      },
    });
    const { stdout } = await succeed('info', 'parts', 's1');
    for (const [fact, value] of [
      ['snapshot', 's1'],
      ['VM', 'parts'],
      ['current', 'yes'],
      ['state', 'running'],
      ['parent', 'root'],
      ['children', 'leaf'],
      ['memory', 'saved, \\d+ KiB, in the image'],
      ['description', 'before, "the" upgrade'],
    ])
      expect(stdout).toMatch(new RegExp(`^${fact} +${value}$`, 'm'));
    expect((await succeed('info', 'parts', 'root')).stdout).toMatch(/^memory +not saved/m);
  });

  test('counts its copies in each image: 1, 0, 2', async () => {
    tool('qemu-img', ['snapshot', '-d', 'leaf', pathOf(vm, 0)]);
    tool('qemu-img', ['snapshot', '-c', 'leaf', pathOf(vm, 1)]);
    const copies = async (name: string) =>
      (await document('info-snapshot', 'info', 'parts', name)).snapshot.disks.map((disk) => disk.copies);
    expect([await copies('s1'), await copies('leaf')]).toEqual([
      [1, 1],
      [0, 2],
    ]);
    const { stdout } = await succeed('info', 'parts', 'leaf');
    expect(stdout).toMatch(new RegExp(`^vda +internal +missing +${pathOf(vm, 0)}$`, 'm'));
    expect(stdout).toMatch(new RegExp(`^vdb +internal +duplicate \\(2\\) +${pathOf(vm, 1)}$`, 'm'));
  });

  test('cannot count them in an image that is missing', async () => {
    renameSync(pathOf(vm, 1), `${pathOf(vm, 1)}.away`);
    const { snapshot } = await document('info-snapshot', 'info', 'parts', 's1');
    const { stdout } = await succeed('info', 'parts', 's1');
    renameSync(`${pathOf(vm, 1)}.away`, pathOf(vm, 1));
    expect(snapshot).toMatchObject({ vmStateBytes: null, disks: [{ copies: 1 }, { copies: null }] });
    expect(stdout).toMatch(/^vdb +internal +not inspected /m);
  });
});
