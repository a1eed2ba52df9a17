// `verify`: a throw-away VM boots from a snapshot; judged by virsh, the images and the processes of the host.
import { closeSync, existsSync, openSync, readFileSync, statSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { kvmsnap, spawnKvmsnap } from '../lab/cli.ts';
import { fingerprint, refused } from '../lab/evidence.ts';
import { scratch, tool, virsh, waitFor } from '../lab/lab.ts';
import { formatOf } from '../scene/disk.ts';
import { startLinux } from '../scene/linux-guest.ts';
import { removeMounts, smallFilesystem } from '../scene/mount.ts';
import { count, countTo, document, fail, fitting, take } from '../scene/steps.ts';
import { cleanUp, defineVm, destroy, pathOf, start, state, type Vm } from '../scene/vm.ts';
import { nothingLeft, unproven, vms } from './throw-away.ts';

const hasApt = existsSync('/usr/bin/apt-get');

afterEach(async () => {
  removeMounts();
  await cleanUp();
});

/** Resets the machine: cli; mov al, 0xfe; out 0x64, al; hlt. */
const RESETS = 'fab0fee664f4';
/** cli; hlt; jmp -3. */
const IDLES = 'faf4ebfd';

/** Writes a boot sector to the first disk of a VM that is off, or to this file. */
function boot(vm: Vm, code: string, path = pathOf(vm)): void {
  const sector = Buffer.alloc(512);
  Buffer.from(code, 'hex').copy(sector);
  if (code !== '') sector.writeUInt16LE(0xaa55, 510);
  const file = join(scratch, 'sector');
  writeFileSync(file, sector);
  tool('qemu-io', ['-f', formatOf(path), '-c', `write -s ${file} 0 512`, path]);
}

describe('an internal snapshot', () => {
  test('that boots nothing, resets itself, or is damaged: exit 5, and the running VM is not touched', async () => {
    const vm = defineVm({
      name: 'web',
      disks: [{ size: '8M' }],
      extraDevicesXml: `<interface type='user'><model type='virtio'/></interface><video><model type='vga'/></video>
        <serial type='unix'><source mode='bind' path='${scratch}/web.sock'/></serial><graphics type='vnc' port='5977'/>`,
    });
    for (const [name, code] of [
      ['empty', ''],
      ['resets', RESETS],
      ['damaged', IDLES],
    ] as const) {
      boot(vm, code);
      take(vm, name);
    }
    boot(vm, COUNTS);
    start(vm);
    await countTo(vm, 3);
    const before = fingerprint(vm);
    const screen = join(scratch, 'screen.ppm');
    const empty = await unproven('web', 'empty', '--within', '3s', '--screenshot', screen);
    expect(empty).toMatchObject({ outcome: 'not proven', screenshot: screen });
    expect([empty.seen, statSync(screen).size > 1000]).toEqual([
      expect.stringMatching(/^no kernel started/),
      true,
    ]);
    const resets = await unproven('web/resets', '--within', '60s');
    const { stdout } = await kvmsnap(['--json', 'list', 'web']);
    const listed = fitting('list', JSON.parse(stdout)).domains[0]?.snapshots ?? [];
    expect(listed.map(({ name, verified }) => [name, verified?.outcome])).toEqual([
      ['empty', 'not proven'],
      ['resets', 'failed'],
      ['damaged', undefined],
    ]);
    const checked = await kvmsnap(['check', 'web', '--json']);
    expect(checked.code).toBe(5);
    expect(fitting('check', JSON.parse(checked.stdout)).domains[0]?.findings).toContainEqual(
      expect.objectContaining({ rule: 'failed-verification', level: 'warning', snapshot: 'resets' }),
    );
    expect([resets.outcome, resets.seen, resets.seconds < 50]).toEqual([
      'failed',
      expect.stringContaining('the guest has stopped'),
      true,
    ]);
    expect(fingerprint(vm)).toEqual(before);
    const counted = count(vm);
    await countTo(vm, counted + 2);
    await nothingLeft(vm);

    destroy(vm);
    breakTables(pathOf(vm), 2);
    const now = fingerprint(vm);
    expect(await fail(5, 'verify', 'web', 'damaged', '--dry-run')).toMatch(/disk vda: .* is damaged/);
    const damaged = await unproven('web', 'damaged');
    expect(damaged).toMatchObject({
      outcome: 'failed',
      seen: expect.stringMatching(/disk vda: .* is damaged/),
    });
    const { domains } = await document('list', 'list', 'web');
    expect(domains[0]?.snapshots.map(({ verified }) => verified?.outcome)).toEqual([
      'not proven',
      'failed',
      'failed',
    ]);
    expect(fingerprint(vm)).toEqual(now);
    await nothingLeft(vm);
    // an image of which QEMU would use clusters of the snapshot for something else
    const lost = defineVm({ name: 'lost', disks: [{ size: '8M' }] });
    boot(lost, IDLES);
    take(lost, 's1');
    loseCounts(pathOf(lost));
    expect((await unproven('lost', 's1')).seen).toMatch(/is damaged: qemu-img check finds \d+ errors/);
  });

  test('killed while the throw-away VM runs: it ends, and nothing is left', async () => {
    const vm = defineVm({ name: 'web', disks: [{ size: '8M' }] });
    boot(vm, IDLES);
    take(vm, 's1');
    const before = fingerprint(vm);
    const run = spawnKvmsnap(['verify', 'web', 's1']);
    await waitFor(() => vms().length === 2 && virsh('list', '--name').trim() !== '', {
      what: 'the throw-away VM',
    });
    // a nightly run leaves it alone
    const all = fitting('list', JSON.parse((await kvmsnap(['--json', 'list', '--all'])).stdout));
    expect(all.domains.map(({ name }) => name)).toEqual(['web']);
    run.kill('SIGKILL');
    await run.done;
    await waitFor(() => vms().length === 1, { what: 'the end of the throw-away VM' });
    expect((await unproven('web', 's1', '--within', '1s')).outcome).toBe('not proven');
    expect(fingerprint(vm)).toEqual(before);
    await nothingLeft(vm);
  });

  test('resumed from its memory: the guest runs on, and a memory that QEMU does not load is found', async () => {
    const vm = defineVm({ name: 'web', boot: 'counter', disks: [{ size: '8M' }], extraDevicesXml: NIC });
    start(vm);
    await countTo(vm, 3);
    take(vm, 's1');
    const before = fingerprint(vm);
    const found = await document('verify', 'verify', 'web', 's1', '--memory', '--within', '3s');
    expect(found).toMatchObject({ outcome: 'proven', seen: 'the guest keeps running from its saved memory' });
    expect(fingerprint(vm)).toEqual(before);
    const counted = count(vm);
    await countTo(vm, counted + 2);
    await nothingLeft(vm);
    destroy(vm);
    breakMemory(pathOf(vm));
    const broken = await unproven('web', 's1', '--memory');
    expect([broken.outcome, broken.seen]).toEqual([
      'failed',
      expect.stringContaining('libvirt could not start'),
    ]);
    await nothingLeft(vm);

    start(vm);
    await countTo(vm, 3);
    const file = join(scratch, 'e1.mem');
    take(vm, 'e1', '--memspec', `file=${file}`, '--diskspec', 'vda,snapshot=external');
    const external = await document('verify', 'verify', 'web', 'e1', '--memory', '--within', '3s');
    expect(external.seen).toBe('the guest keeps running from its saved memory');
    await countTo(vm, count(vm) + 2);
    destroy(vm);
    overwrite(file, 92 + readFileSync(file).readUInt32LE(20), Buffer.alloc(64, 7));
    expect((await unproven('web', 'e1', '--memory')).seen).toContain('libvirt could not start');
    await nothingLeft(vm);
  });

  test('--label takes the newest of each VM, and check --verified knows the proof', async () => {
    const vm = defineVm({ name: 'web', boot: 'counter', disks: [{ size: '8M' }], extraDevicesXml: NIC });
    const other = defineVm({ name: 'db', disks: [{ size: '8M' }] });
    start(vm);
    await countTo(vm, 3);
    const [older, newer] = ['n-20261127T023000Z', 'n-20261128T023000Z'] as const;
    for (const name of [older, newer]) take(vm, name);
    const { domains } = await document(
      'verify-label',
      'verify',
      '--label',
      'n',
      '--memory',
      '--within',
      '3s',
    );
    expect(domains.map(({ name, outcome, verified }) => [name, outcome, verified?.snapshot])).toEqual([
      ['db', 'skipped', undefined],
      ['web', 'done', newer],
    ]);
    const { domains: listed } = await document('list', 'list', 'web');
    expect(listed[0]?.snapshots.map(({ verified }) => verified?.outcome)).toEqual([undefined, 'proven']);
    take(other, older);
    for (const [name, isProven] of [
      ['web', true],
      ['db', false],
    ] as const) {
      const { stdout } = await kvmsnap(['check', name, '--label', 'n', '--verified', '8d', '--json']);
      const found = fitting('check', JSON.parse(stdout)).domains[0]?.findings ?? [];
      expect(found.some(({ rule }) => rule === 'not-proven-lately')).toBe(!isProven);
    }
    // one of two has no memory: its failure is told, also by a dry run, which does what it can for the other
    for (const option of ['--dry-run', '--json']) {
      const half = await kvmsnap(['verify', '--label', 'n', '--memory', '--within', '1s', option]);
      expect([half.code, half.stderr]).toEqual([3, expect.stringContaining('1 of 2 VMs failed')]);
    }
    const none = await kvmsnap(['verify', '--label', 'n', '--within', '1s', '--json']);
    expect([none.code, fitting('verify-label', JSON.parse(none.stdout)).domains]).toEqual([
      5,
      ['db', 'web'].map((name) =>
        expect.objectContaining({
          name,
          outcome: 'failed',
          verified: expect.objectContaining({ outcome: 'not proven' }),
        }),
      ),
    ]);
  });

  test.runIf(hasApt)('whose guest boots: its agent, or its balloon driver, proves it', async () => {
    const guest = await startLinux('web');
    destroy(guest);
    const xml = virsh('dumpxml', '--inactive', '--domain', 'web');
    const definitions = {
      agent: xml,
      balloon: xml
        .replace(/<channel.*<\/channel>/s, '')
        .replace("<memballoon model='none'/>", "<memballoon model='virtio'/>"),
    };
    for (const [name, definition] of Object.entries(definitions)) {
      const file = join(scratch, `${name}.xml`);
      writeFileSync(file, definition);
      virsh('define', file);
      take(guest, name);
    }
    const before = fingerprint({ ...guest, disks: [{ target: 'vda', path: imageOf(guest) }] });
    const found = await Promise.all(
      Object.keys(definitions).map((name) => document('verify', 'verify', 'web', name, '--within', '200s')),
    );
    expect(found.map(({ outcome, seen }) => [outcome, seen])).toEqual([
      ['proven', 'the guest agent answers'],
      ['proven', 'the balloon driver of the guest answers'],
    ]);
    expect(fingerprint({ ...guest, disks: [{ target: 'vda', path: imageOf(guest) }] })).toEqual(before);
    expect([vms(), state(guest)]).toEqual([['web'], 'shut off']);
  });
});

test('an external snapshot: the disk of that time, and without room or with options for QEMU: exit 5', async () => {
  const vm = defineVm({ name: 'web', disks: [{ size: '8M' }] });
  boot(vm, RESETS);
  take(vm, 'e1', '--disk-only');
  boot(vm, IDLES, imageOf(vm));
  expect((await unproven('web', 'e1', '--within', '60s')).outcome).toBe('failed');
  await nothingLeft(vm);

  const small = smallFilesystem(10);
  const image = join(small, 'a.qcow2');
  tool('qemu-img', ['create', '-q', '-f', 'qcow2', image, '8M']);
  const other = defineVm({ name: 'other', disks: [{ source: image }] });
  take(other, 's1');
  const { exitCode, message } = await refused('verify', 'other', 's1');
  expect([exitCode, message]).toEqual([
    5,
    expect.stringContaining('of free space for what the guest writes'),
  ]);
});

const COUNTS = '6631c08ed866a30006fbf466ff060006ebf8';

/** The file that the VM writes to. */
const imageOf = (vm: Vm): string =>
  /<source file='([^']*)'/.exec(virsh('dumpxml', '--inactive', '--domain', vm.uuid))?.[1] ?? '';

const NIC = "<interface type='user'><model type='virtio'/></interface>";

const entryAt = (image: Buffer, at: number): number =>
  Number(image.readBigUInt64BE(at) & 0xff_ffff_ffff_fe00n);

/** Overwrites the beginning of the memory of the only snapshot, of a disk of less than 512 MiB. */
function breakMemory(path: string): void {
  const image = readFileSync(path);
  const l1 = Number(image.readBigUInt64BE(Number(image.readBigUInt64BE(64))));
  overwrite(path, entryAt(image, entryAt(image, l1 + 8)), Buffer.alloc(64, 7));
}

function overwrite(path: string, at: number, bytes: Buffer): void {
  const file = openSync(path, 'r+');
  writeSync(file, bytes, 0, bytes.length, at);
  closeSync(file);
}

/** Has an image count no reference to what lies behind its first five clusters. */
function loseCounts(path: string): void {
  const image = readFileSync(path);
  const block = Number(image.readBigUInt64BE(Number(image.readBigUInt64BE(48))));
  overwrite(path, block + 10, Buffer.alloc(512));
}

/** Makes the first table of a snapshot refer to data beyond the end of the file. */
function breakTables(path: string, place: number): void {
  const image = readFileSync(path);
  let at = Number(image.readBigUInt64BE(64));
  for (let i = 0; i < place; i++) {
    const length =
      40 + image.readUInt32BE(at + 36) + image.readUInt16BE(at + 12) + image.readUInt16BE(at + 14);
    at = Math.ceil((at + length) / 8) * 8;
  }
  const entry = Buffer.alloc(8);
  entry.writeBigUInt64BE(0x8000_0000_7fff_0000n);
  overwrite(path, entryAt(image, Number(image.readBigUInt64BE(at))), entry);
}
