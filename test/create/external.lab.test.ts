// External snapshots: where the files go, what is in them, and what is refused before anything is touched.
import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterAll, afterEach, describe, expect, test } from 'vitest';
import { kvmsnap, spawnKvmsnap } from '../lab/cli.ts';
import { killLibvirtd, startLibvirtd } from '../lab/daemon.ts';
import { fingerprint, pasteOk, refused } from '../lab/evidence.ts';
import { errorDocument } from '../lab/failure.ts';
import { isSystemLab, scratch, tool, tryVirsh, virsh, waitFor } from '../lab/lab.ts';
import { since } from '../lab/version.ts';
import { MiB } from '../model.ts';
import { MARK_ADDRESS } from '../scene/boot.ts';
import { imageInfo, tags, writePattern } from '../scene/disk.ts';
import { blockDevice, smallFilesystem } from '../scene/mount.ts';
import { fullVm } from '../scene/saving.ts';
import { currentSnapshot, snapshotNames, snapshotXml } from '../scene/snapshot.ts';
import { byteIn, fitting } from '../scene/steps.ts';
import {
  cleanUp,
  continueQemu,
  type DiskSpec,
  defineVm,
  destroy,
  domainXml,
  guestWord,
  pathOf,
  start,
  state,
  stopQemu,
  type Vm,
} from '../scene/vm.ts';

const SMALL = { size: '4M' };

afterEach(cleanUp);
afterAll(cleanUp);

/** What this libvirtd cannot do with external snapshots, in kvmsnap's words; null where it can all. */
const CANNOT = since<string | null>({
  '7.0': 'neither revert to external snapshots (9.9 can) nor delete them (9.0 can)',
  '9.0': '(before 9.9) cannot revert to external snapshots',
  '11.3': null,
});
/** What an older one must be told, and then warns of. */
const FORCE = CANNOT === null ? [] : ['--force'];
const WARNING =
  CANNOT === null ? '' : `warning: this libvirtd ${CANNOT.replace(/^neither/, 'can neither')}\n`;

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

/** The images that the VM writes to now. */
const active = (vm: Vm): string[] =>
  virsh('domblklist', '--domain', vm.uuid)
    .split('\n')
    .flatMap((line) => /^ vd\w +(\S.*)$/.exec(line)?.[1] ?? []);

const count = (vm: Vm) => guestWord(vm, MARK_ADDRESS);

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
    expect((await kvmsnap(['create-as', 'web-1', 's1', '--external'])).code).toBe(0);
    const counted = runs ? count(vm) : 0;
    destroy(vm);
    for (const path of active(vm)) writePattern(path, 0x33, MiB, 64 * 1024);
    virsh('snapshot-revert', '--domain', vm.uuid, '--snapshotname', 's1');
    expect(state(vm)).toBe(wanted);
    // it goes on from where it was, and not from a boot
    if (runs) expect(count(vm)).toBeGreaterThanOrEqual(5);
    if (runs) expect(count(vm)).toBeLessThan(counted + 18);
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

describe('options of virsh', () => {
  async function one(running: boolean): Promise<Vm> {
    const vm = defineVm({ name: 'web-1', disks: [SMALL], boot: 'counter' });
    if (running) start(vm);
    return vm;
  }

  test('--disk-only --atomic, and --live --halt: each ends as it says', async () => {
    const vm = await one(true);
    const disks = await kvmsnap(['create-as', 'web-1', 'disks', '--disk-only', '--atomic', ...FORCE]);
    expect(disks).toMatchObject({ code: 0, stderr: WARNING });
    expect(snapshotXml(vm, 'disks')).toContain('<state>disk-snapshot</state>');
    expect(state(vm)).toBe('running');
    const all = await kvmsnap(['create-as', 'web-1', 'all', '--external', '--live', '--halt', ...FORCE]);
    expect(all).toMatchObject({ code: 0, stderr: WARNING });
    expect(state(vm)).toBe('shut off');
    const memory = join(dirname(pathOf(vm)), 'web-1.all.mem');
    expect(snapshotXml(vm, 'all')).toContain(`<memory snapshot='external' file='${memory}'/>`);
    expect(statSync(memory).size).toBeGreaterThan(100_000);
  });

  test('--halt of an internal one', async () => {
    const vm = await one(true);
    expect((await kvmsnap(['create-as', 'web-1', 's1', '--halt'])).code).toBe(0);
    expect(state(vm)).toBe('shut off');
    expect(tags(pathOf(vm)).map(({ name }) => name)).toEqual(['s1']);
  });

  test('--no-metadata leaves no trace in libvirt, and says so', async () => {
    const vm = await one(false);
    for (const [options, what] of [
      [[], 'in the images it counts as an orphan'],
      [['--disk-only'], 'continues in overlays that belong to no snapshot'],
    ] as const) {
      const name = options[0] ?? 'inside';
      const result = await kvmsnap(['create-as', 'web-1', `x${name}`, '--no-metadata', ...options]);
      expect(result).toMatchObject({ code: 0, stderr: expect.stringContaining(what) });
    }
    expect(snapshotNames(vm)).toEqual([]);
    expect(tags(pathOf(vm)).map(({ name }) => name)).toEqual(['xinside']);
    expect(active(vm)).toEqual([pathOf(vm).replace('.qcow2', '.x--disk-only')]);
  });

  test('--reuse-external takes an overlay that was made for the image, and no other', async () => {
    const vm = await one(false);
    const base = pathOf(vm);
    const overlay = join(scratch, 'made.qcow2');
    const args = [
      'create-as',
      'web-1',
      's1',
      '--disk-only',
      '--reuse-external',
      '--diskspec',
      `vda,file=${overlay}`,
    ];
    const missing = await refused(...args);
    expect(missing.message).toContain('does not exist');
    tool('qemu-img', ['create', '-q', '-f', 'qcow2', overlay, '4M']);
    expect((await refused(...args)).message).toContain('has no backing file instead of');
    tool('rm', [overlay]);
    pasteOk(missing.command);
    expect(await kvmsnap([...args, ...FORCE])).toMatchObject({ code: 0, stderr: WARNING });
    expect(active(vm)).toEqual([overlay]);
    expect(imageInfo(overlay)['backing-filename']).toBe(base);
  });

  test('--print-xml is what virsh would hand over, and does nothing', async () => {
    const vm = await one(false);
    const before = fingerprint(vm);
    const { code, stdout } = await kvmsnap(['create-as', 'web-1', 's1', '--external', '--print-xml']);
    expect(code).toBe(0);
    expect(stdout).toContain('<name>s1</name>');
    expect(stdout).toContain(`<source file='${pathOf(vm).replace('.qcow2', '.s1')}'/>`);
    expect(fingerprint(vm)).toEqual(before);
  });

  test('--validate', async () => {
    await one(false);
    const { code, stderr } = await kvmsnap(['create-as', 'web-1', 's1', '--validate']);
    expect({ code, stderr }).toEqual(
      since({
        '7.0': { code: 5, stderr: expect.stringContaining('this virsh does not have the option --validate') },
        '9.0': { code: 0, stderr: '' },
      }),
    );
  });

  test('--quiesce without an agent that answers fails before anything is touched', async () => {
    const channel = `<channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>`;
    for (const [extraDevicesXml, says] of [
      ['', 'no channel for a guest agent'],
      [channel, 'no guest agent is connected'],
    ] as const) {
      const vm = defineVm({ name: 'web-1', disks: [SMALL], extraDevicesXml });
      start(vm);
      const { message } = await refused('create-as', 'web-1', 's1', '--disk-only', '--quiesce', '--force');
      expect(message).toContain(says);
      expect(active(vm)).toEqual([pathOf(vm)]);
      await cleanUp();
    }
  });

  test('a label, for a prune that cannot delete them', async () => {
    const vm = await one(false);
    const { code, stderr } = await kvmsnap([
      'create',
      'web-1',
      '--external',
      '--label',
      'nightly',
      '--force',
    ]);
    const refuses = since({ '7.0': true, '9.0': false });
    expect(code).toBe(refuses ? 5 : 0);
    if (refuses) expect(stderr).toContain('this libvirtd (before 9.0) cannot delete external snapshots');
    expect(snapshotNames(vm).map((name) => name.startsWith('nightly-'))).toEqual(refuses ? [] : [true]);
  });
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

describe.runIf(isSystemLab)('where there is no place (root mounts it)', () => {
  test('for the memory: refused; forced, libvirt fails, and nothing is left but what is said', async () => {
    const directory = smallFilesystem(48);
    const vm = defineVm({ name: 'web-1', memoryMiB: 80, disks: [{}], boot: { fill: 64 } });
    start(vm);
    await waitFor(() => count(vm) === 0xf111ed, { what: 'a full memory' });
    const args = ['create-as', 'web-1', 's1', '--memspec', join(directory, 'm')];
    expect((await refused(...args)).message).toMatch(
      /memory takes up to \d+ MiB, but the file system of \S+\/m has only 48 MiB/,
    );
    const result = await kvmsnap([...args, '--force', '--json']);
    expect(result.code).toBe(1);
    expect(errorDocument(result).message).toContain('snapshot s1 of web-1 was not taken');
    expect(state(vm)).toBe('running');
    expect(active(vm)).toEqual([pathOf(vm)]);
    expect(errorDocument(result).hint).toBeNull();
    expect([join(directory, 'm'), pathOf(vm).replace('.qcow2', '.s1')].filter(existsSync)).toEqual([]);
  });

  test('beside a block device: a file or another device is to be named', async () => {
    const vm = defineVm({ name: 'web-1', disks: [{ ...SMALL, backend: 'block' }] });
    const { hint } = await refused('create-as', 'web-1', 's1', '--external');
    expect(hint).toContain('--diskspec vda,file=/');
    const file = join(scratch, 'o');
    const named = await kvmsnap(['create-as', 'web-1', 's1', '--diskspec', `vda,file=${file}`, '--force']);
    const warning = CANNOT ?? 'is not a file, and libvirt cannot revert such a disk';
    expect(named).toMatchObject({ code: 0, stderr: expect.stringContaining(warning) });
    expect(active(vm)).toEqual([file]);
    tool('truncate', ['--size=8M', join(scratch, 'device')]);
    const device = blockDevice(join(scratch, 'device'));
    const spec = `vda,stype=block,file=${device}`;
    const { message } = await refused('create-as', 'web-1', 's2', '--diskspec', spec);
    expect(message).toContain(`the overlay will overwrite everything on ${device}`);
    expect((await kvmsnap(['create-as', 'web-1', 's2', '--diskspec', spec, '--force'])).code).toBe(0);
    expect(active(vm)).toEqual([device]);
  });

  test("for libvirt's own record: what it has left is told, and the advice takes it back", async () => {
    const vm = defineVm({ name: 'web-1', disks: [SMALL], boot: 'idle' });
    start(vm);
    virsh('snapshot-create-as', vm.uuid, 'first', '--disk-only');
    const first = active(vm);
    const records = smallFilesystem(1, '/var/lib/libvirt/qemu/snapshot');
    tool('dd', ['if=/dev/zero', `of=${records}/fill`, 'bs=1M', 'count=1']);
    const result = await kvmsnap(['create-as', 'web-1', 's1', '--external', '--force', '--json']);
    expect(result.code).toBe(1);
    const { message, findings } = errorDocument(result);
    expect(message).toContain('unable to save metadata');
    expect(message).toContain('which belongs to no snapshot');
    expect(active(vm)).toEqual([pathOf(vm).replace('.qcow2', '.s1')]);
    for (const line of findings.flatMap(({ hint, commands }) => [hint ?? '', ...commands]))
      if (/^(rm|virsh blockcommit) /.test(line)) pasteOk(line);
    expect(active(vm)).toEqual(first);
    const made = ['vda.s1', 'web-1.s1.mem'].map((name) => join(dirname(pathOf(vm)), name));
    expect(made.filter(existsSync)).toEqual([]);
    expect(tryVirsh('domstate', vm.uuid).stdout).toContain('running');
  });
});

describe('--xml', () => {
  const file = (text: string): string => {
    const path = join(scratch, 'snapshot.xml');
    writeFileSync(path, text);
    return path;
  };

  test('takes what the file says: name, files and all, checked before', async () => {
    const vm = defineVm({
      name: 'web-1',
      disks: [SMALL, { ...SMALL, format: 'raw' }],
      boot: 'idle',
    });
    start(vm);
    const [memory, overlay] = [join(scratch, 'm'), join(scratch, 'o')];
    const xml = file(`<domainsnapshot><name>of a file</name><description>d</description>
      <memory snapshot='external' file='${memory}'/>
      <disks><disk name='vda' snapshot='external'><source file='${overlay}'/></disk></disks></domainsnapshot>`);
    writeFileSync(memory, 'mine');
    const refusal = await refused('create', 'web-1', '--xml', xml, '--force');
    expect(refusal.message).toContain(`${memory} already exists`);
    tool('rm', [memory]);
    expect(await kvmsnap(['create', 'web-1', '-q', '--xml', xml, ...FORCE])).toMatchObject({
      code: 0,
      stdout: 'of a file\n',
      stderr: WARNING,
    });
    expect(active(vm)).toEqual([overlay, pathOf(vm, 1).replace('.raw', '.of a file')]);
    expect(statSync(memory).size).toBeGreaterThan(100_000);
    expect(snapshotXml(vm, 'of a file')).toContain('<description>d</description>');
  });

  test('without a name in it, one is given', async () => {
    const vm = defineVm({ name: 'web-1', disks: [SMALL] });
    const args = ['create', 'web-1', '-q', '--xml', file('<domainsnapshot/>')];
    const { code, stdout } = await kvmsnap(args, { env: { XDG_STATE_HOME: join(scratch, 'state') } });
    expect({ code, stdout }).toEqual({ code: 0, stdout: expect.stringMatching(/^\d{10}\n$/) });
    expect(snapshotNames(vm)).toEqual([stdout.trim()]);
    expect(tags(pathOf(vm)).map(({ name }) => name)).toEqual([stdout.trim()]);
  });

  test('--redefine registers again what was unregistered, and no more than the images hold', async () => {
    const vm = defineVm({ name: 'web-1', disks: [SMALL] });
    const state = { env: { XDG_STATE_HOME: join(scratch, 'state') } };
    const xmls = ['s1', 's2'].map((name) => {
      virsh('snapshot-create-as', vm.uuid, name);
      return snapshotXml(vm, name);
    });
    for (const name of ['s1', 's2']) virsh('snapshot-delete', vm.uuid, name, '--metadata');
    const redefine = (n: number, ...options: string[]) =>
      kvmsnap(['create', 'web-1', '--redefine', '--xml', file(xmls[n] ?? ''), ...options], state);

    expect(await redefine(1)).toMatchObject({
      code: 5,
      stderr: expect.stringContaining('parent s1 is not a snapshot of the VM'),
    });
    expect((await redefine(0)).code).toBe(0);
    expect(currentSnapshot(vm)).toBeNull();
    expect((await redefine(1, '--current')).code).toBe(0);
    expect([snapshotNames(vm), currentSnapshot(vm)]).toEqual([['s1', 's2'], 's2']);
    expect(snapshotXml(vm, 's2')).toBe(xmls[1]);
    virsh('snapshot-revert', vm.uuid, 's1');

    // what it knew is kept, and the current one stays
    const described = (xmls[0] ?? '').replace('</name>', '</name><description>new</description>');
    const again = await kvmsnap(['create', 'web-1', '--redefine', '--xml', file(described), '--json'], state);
    expect(fitting('create', JSON.parse(again.stdout)).domains[0]?.snapshot?.children).toEqual(['s2']);
    const [, kept = ''] = /is saved in (\S+)/.exec(again.stderr) ?? [];
    expect(readFileSync(kept, 'utf8').trim()).toBe((xmls[0] ?? '').trim());
    expect(snapshotXml(vm, 's1')).toContain('<description>new</description>');
    expect(currentSnapshot(vm)).toBe('s1');

    tool('qemu-img', ['snapshot', '-d', 's2', pathOf(vm)]);
    virsh('snapshot-delete', vm.uuid, 's2', '--metadata');
    expect(await redefine(1)).toMatchObject({
      code: 5,
      stderr: expect.stringContaining('disk vda holds no snapshot of that name'),
    });
  });
});

describe('ended in the middle of saving the memory', () => {
  /** A save to a file, held in the middle; `continueQemu` lets it come to its end. */
  async function heldSave() {
    const vm = await fullVm('web-1');
    const memory = join(dirname(pathOf(vm)), 'web-1.s1.mem');
    const run = spawnKvmsnap(['create-as', 'web-1', 's1', '--external', '--force']);
    const begun = () => existsSync(memory) && statSync(memory).size > MiB;
    await waitFor(begun, { what: 'a save', intervalMs: 1 });
    stopQemu(vm);
    return { vm, memory, run };
  }

  test('a signal: kvmsnap waits for the true end, and the snapshot is whole', async () => {
    const { vm, memory, run } = await heldSave();
    run.kill('SIGTERM');
    await waitFor(() => run.stderr.includes('Waiting for it to finish'), { what: 'the note' });
    continueQemu(vm);
    expect(await run.done).toMatchObject({ code: 143, stdout: expect.stringContaining('taken') });
    expect([state(vm), currentSnapshot(vm)]).toEqual(['running', 's1']);
    expect(statSync(memory).size).toBeGreaterThan(96 * MiB);
    expect(active(vm)).toEqual([pathOf(vm).replace('.qcow2', '.s1')]);
  });

  test('libvirtd dies: what is left is told, the advice clears it away, and the same works then', async () => {
    const { vm, memory, run } = await heldSave();
    await killLibvirtd();
    continueQemu(vm);
    await startLibvirtd();
    const { code, stderr } = await run.done;
    expect(code).toBe(1);
    expect(stderr).toContain('snapshot s1 of web-1 was not taken');
    expect(stderr).toContain(`${memory} was created, and nothing uses it`);
    expect(snapshotNames(vm)).toEqual([]);
    expect(active(vm)).toEqual([pathOf(vm)]);
    for (const [line] of stderr.matchAll(/(?<=^(hint: | *))(rm|virsh resume) .*/gm)) pasteOk(line);
    expect(state(vm)).toBe('running');
    expect((await kvmsnap(['create-as', 'web-1', 's1', '--external', ...FORCE])).code).toBe(0);
  });
});
