// External snapshots: where the files go, what is in them, and what is refused before anything is touched.
import {
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { afterAll, afterEach, describe, expect, test } from 'vitest';
import { kvmsnap } from '../lab/cli.ts';
import { fingerprint, pasteOk, refused } from '../lab/evidence.ts';
import { scratch, tool, virsh, waitFor } from '../lab/lab.ts';
import { MiB } from '../model.ts';
import { imageInfo, writePattern } from '../scene/disk.ts';
import { currentSnapshot } from '../scene/snapshot.ts';
import { byteIn, countTo, fitting } from '../scene/steps.ts';
import {
  cleanUp,
  type DiskSpec,
  defineVm,
  destroy,
  domainXml,
  pathOf,
  start,
  state,
  type Vm,
} from '../scene/vm.ts';
import { active, CANNOT, count, FORCE, SMALL, WARNING } from './external-vm.ts';

afterEach(cleanUp);

afterAll(cleanUp);

/** What it says of images of one name: where it can revert, it could not revert those. */
const SAME = CANNOT ?? 'the image names of disks vda, vdb differ only after the last dot';

/** A qcow2 image, a raw one and a cdrom; each disk has its byte. */
function twoKinds(names: readonly [string, string] = ['disk', 'disk']): Vm {
  const disks = ['qcow2', 'raw'].map((format, i): DiskSpec => {
    const source = join(scratch, `${names[i]}.${format}`);
    tool('qemu-img', ['create', '-q', '-f', format, '--', source, '4M']);
    return { source, format };
  });
  const cdrom: DiskSpec = { device: 'cdrom', format: 'raw', source: null };
  const vm = defineVm({ name: 'web-1', boot: 'counter', disks: [...disks, cdrom] });
  writePattern(pathOf(vm, 0), 0x11, MiB, 64 * 1024);
  writePattern(pathOf(vm, 1), 0x22, MiB, 64 * 1024);
  return vm;
}

const bytesOf = (paths: readonly string[]) => paths.map(byteIn);

describe.each(['shut off', 'running'])('of a %s VM', (wanted) => {
  const runs = wanted === 'running';
  const memory = join(scratch, 'web-1.s1.mem');
  const overlays = ['disk.vda.s1', 'disk.vdb.s1'].map((name) => join(scratch, name));
  const line = [
    runs ? `--memspec file=${memory},snapshot=external` : '--disk-only',
    ...['vda', 'vdb'].map((disk, i) => `--diskspec ${disk},snapshot=external,file=${overlays[i]}`),
  ].join(' ');

  async function vmThat(...names: [string, string]): Promise<Vm> {
    const vm = twoKinds(names);
    if (runs) start(vm);
    if (runs) await waitFor(() => count(vm) >= 5, { what: 'a count' });
    return vm;
  }

  test.runIf(!runs)('is refused where there is no way back', async () => {
    const vm = await vmThat('disk', 'disk');
    const before = fingerprint(vm);
    const refusal = await refused('create-as', 'web-1', 's1', '--external');
    expect(refusal).toMatchObject({ exitCode: 5, hint: expect.stringContaining('--force') });
    expect(refusal.message).toContain(SAME);
    expect(fingerprint(vm)).toEqual(before);
    expect([memory, ...overlays].filter((path) => existsSync(path))).toEqual([]);
  });

  test('the overlays are laid over the images, which change no more', async () => {
    const vm = await vmThat('disk', 'disk');
    const before = fingerprint(vm);
    const planned = await kvmsnap(['create-as', 'web-1', 's1', '--external', '--dry-run', '--force']);
    expect(planned.stdout).toMatch(/^virsh snapshot-create-as .*\n$/);
    expect(planned.stdout).toContain(` ${line}  # web-1\n`);
    expect(fingerprint(vm)).toEqual(before);

    const result = await kvmsnap(['-v', '--json', 'create-as', 'web-1', 's1', '--external', '--force']);
    expect(result.code).toBe(0);
    expect(result.stderr).toContain(`+ ${planned.stdout.replace(/ {2}#.*$/m, '')}`);
    expect(fitting('create', JSON.parse(result.stdout)).domains[0]?.snapshot).toMatchObject({
      state: runs ? 'running' : 'shutoff',
      location: 'external',
      disks: ['vda', 'vdb'].map((target, i) => ({ target, source: overlays[i], location: 'external' })),
    });
    expect([state(vm), currentSnapshot(vm)]).toEqual([wanted, 's1']);
    expect(active(vm)).toEqual(overlays);
    expect(existsSync(memory) && statSync(memory).size > 100_000).toBe(runs);

    const bases = [pathOf(vm, 0), pathOf(vm, 1)];
    expect(overlays.map((path) => imageInfo(path)['backing-filename'])).toEqual(bases);
    destroy(vm);
    // the definition is that of the overlays, too
    expect(active(vm)).toEqual(overlays);
    expect(bytesOf(overlays)).toEqual([0x11, 0x22]);
    for (const path of overlays) writePattern(path, 0x33, MiB, 64 * 1024);
    expect([bytesOf(overlays), bytesOf(bases)]).toEqual([
      [0x33, 0x33],
      [0x11, 0x22],
    ]);
  });

  test.runIf(!CANNOT)('virsh goes back to it', async () => {
    const vm = await vmThat('disk', 'data');
    if (runs) await countTo(vm, 40);
    const counted = runs ? count(vm) : 0;
    expect((await kvmsnap(['create-as', 'web-1', 's1', '--external'])).code).toBe(0);
    destroy(vm);
    for (const path of active(vm)) writePattern(path, 0x33, MiB, 64 * 1024);
    virsh('snapshot-revert', '--domain', vm.uuid, '--snapshotname', 's1');
    expect(state(vm)).toBe(wanted);
    // it goes on from where it was, and not from a boot
    if (runs) expect(count(vm)).toBeGreaterThanOrEqual(counted);
    destroy(vm);
    expect(bytesOf(active(vm))).toEqual([0x11, 0x22]);
  });
});

describe('a file that exists (hazard 14)', () => {
  test('the memory of another snapshot: raw virsh writes over it', async () => {
    const vm = defineVm({ name: 'web-1', disks: [SMALL], boot: 'idle' });
    start(vm);
    const memory = join(scratch, 'kept.mem');
    expect((await kvmsnap(['create-as', 'web-1', 's1', '--memspec', memory, ...FORCE])).code).toBe(0);
    const kept = readFileSync(memory);
    expect(kept.length).toBeGreaterThan(100_000);

    const before = fingerprint(vm);
    const refusal = await refused('create-as', 'web-1', 's2', '--memspec', memory, '--force');
    expect(refusal).toMatchObject({
      exitCode: 5,
      message: expect.stringContaining(`${memory} already exists`),
    });
    expect(fingerprint(vm)).toEqual(before);
    expect(readFileSync(memory).equals(kept)).toBe(true);

    virsh('snapshot-create-as', vm.uuid, 's2', '--memspec', memory);
    expect(readFileSync(memory).equals(kept)).toBe(false);
  });

  test('a link that leads to nothing: virsh writes to another directory, kvmsnap refuses', async () => {
    const [raw, vm] = ['by-virsh', 'web-1'].map((name) =>
      defineVm({ name, disks: [SMALL], boot: 'idle' }),
    ) as [Vm, Vm];
    for (const each of [raw, vm]) start(each);
    const elsewhere = mkdtempSync(join(scratch, 'elsewhere-'));
    const link = (of: Vm, name: string) => {
      const path = join(dirname(pathOf(of)), name);
      symlinkSync(join(elsewhere, name), path);
      return path;
    };
    virsh(
      'snapshot-create-as',
      raw.uuid,
      's1',
      '--disk-only',
      '--diskspec',
      `vda,file=${link(raw, 'raw.link')}`,
    );
    expect(readdirSync(elsewhere)).toEqual(['raw.link']);
    const [overlay, own, memory] = [link(vm, 'own.link'), link(vm, 'vda.s1'), link(vm, 'm.link')];
    const before = fingerprint(vm);
    for (const [path, ...options] of [
      [overlay, '--disk-only', '--diskspec', `vda,file=${overlay}`],
      [own, '--disk-only'],
      [memory, '--memspec', memory, '--diskspec', `vda,file=${join(scratch, 'o')}`],
    ] as const) {
      const { message, exitCode } = await refused('create-as', 'web-1', 's1', ...options, '--force');
      expect([exitCode, message]).toEqual([
        5,
        expect.stringContaining(`${path} is a symbolic link to a file that`),
      ]);
    }
    expect([readdirSync(elsewhere).sort(), fingerprint(vm)]).toEqual([['raw.link'], before]);
  });

  test('where an overlay or the memory would be placed', async () => {
    const vm = defineVm({ name: 'web-1', disks: [SMALL], boot: 'idle' });
    start(vm);
    const directory = dirname(pathOf(vm));
    for (const name of ['vda.s1', 'web-1.s1.mem']) {
      const path = join(directory, name);
      writeFileSync(path, 'mine');
      const { message } = await refused('create-as', 'web-1', 's1', '--external', '--force');
      expect(message).toContain(`${path} already exists`);
      expect(readFileSync(path, 'utf8')).toBe('mine');
      tool('rm', [path]);
    }
    expect(active(vm)).toEqual([pathOf(vm)]);
    expect((await kvmsnap(['create-as', 'web-1', 's1', '--external', ...FORCE])).code).toBe(0);
  });
});

test('over what an internal one refuses: a raw image, a floppy, an attribute in the XML; and a disk left out is named', async () => {
  const vm = defineVm({
    name: 'web-1',
    disks: [
      { ...SMALL, format: 'raw' },
      { ...SMALL, snapshot: 'external' },
      { ...SMALL, snapshot: 'no' },
      { device: 'floppy', format: 'raw', size: '1440K' },
    ],
  });
  const { message } = await refused('create-as', 'web-1', 's1');
  for (const part of [
    'disk vda',
    'is raw, and internal snapshots need qcow2',
    "disk vdb: the VM's XML says snapshot='external'",
  ])
    expect(message).toContain(part);
  const result = await kvmsnap(['create-as', 'web-1', 's1', '--external', ...FORCE]);
  expect(result).toMatchObject({
    code: 0,
    stderr: `${WARNING}warning: the snapshot leaves out disk vdc: a revert will not restore the content\n`,
  });
  const xml = domainXml(vm);
  for (const [target, name] of Object.entries({
    vda: 'vda.s1',
    vdb: 'vdb.s1',
    vdc: 'vdc.qcow2',
    fda: 'fda.s1',
  }))
    expect(xml).toMatch(
      new RegExp(`<source file='[^']*/${name}'[^>]*/>(?:(?!</disk>).)*<target dev='${target}'`, 's'),
    );
});

test('beside a managed save: raw virsh lets the guest write beneath the overlay', async () => {
  const saved = (name: string) => {
    const vm = defineVm({ name, disks: [SMALL] });
    start(vm);
    virsh('managedsave', vm.uuid);
    return vm;
  };
  const twin = saved('twin');
  virsh('snapshot-create-as', twin.uuid, 's1', '--disk-only');
  start(twin);
  expect(active(twin)).toEqual([pathOf(twin)]);

  const vm = saved('web-1');
  const refusal = await refused('create-as', 'web-1', 's1', '--external', '--force');
  expect(refusal.message).toContain('it writes to the present images, below the overlays');
  pasteOk(refusal.command);
  expect((await kvmsnap(['create-as', 'web-1', 's1', '--external', ...FORCE])).code).toBe(0);
  expect(active(vm)).toEqual([pathOf(vm).replace('.qcow2', '.s1')]);
});
