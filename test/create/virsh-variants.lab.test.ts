// Ways to ask for a snapshot that virsh takes: by an XML, with files that are there already, over a file of another format;
// raw virsh beside kvmsnap.
import { rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterAll, afterEach, describe, expect, test } from 'vitest';
import { fingerprint, refused, writableImages } from '../lab/evidence.ts';
import { byteIn, succeed, write, writeAsGuest } from '../lab/scene.ts';
import { kvmsnap } from '../lab/cli.ts';
import { imageInfo } from '../lab/disk.ts';
import { tool, tryVirsh, virsh } from '../lab/lab.ts';
import {
  cleanUp,
  defineMachine,
  destroy,
  type Machine,
  type MachineSpec,
  pathOf,
  start,
  state,
} from '../lab/machine.ts';
import { snapshotNames, snapshotXml } from '../lab/snapshot.ts';
import { since } from '../lab/version.ts';

afterEach(cleanUp);
afterAll(cleanUp);

const SMALL = { size: '4M' };
const FORCE = since({ '7.0': true, '9.9': false }) ? ['--force'] : [];
const [THEN, NOW] = [0x11, 0x22];

const beside = (machine: Machine, name: string): string => join(dirname(pathOf(machine)), name);

function web(running: boolean, spec: Partial<MachineSpec> = {}): Machine {
  const machine = defineMachine({ name: 'web', disks: [SMALL], ...spec });
  if (running) start(machine);
  return machine;
}

function xmlFile(machine: Machine, text: string): string {
  const path = beside(machine, 's.xml');
  writeFileSync(path, `<domainsnapshot><name>s1</name>${text}</domainsnapshot>`);
  return path;
}

const overlay = (machine: Machine, backing: string | null): string => {
  const path = beside(machine, 'overlay');
  const below = backing === null ? [] : ['-F', 'qcow2', '-b', backing];
  tool('qemu-img', ['create', '-q', '-f', 'qcow2', ...below, path, '4M']);
  return path;
};

/** What the guest of a running VM sees of its first disk. */
function asGuest(machine: Machine): number | null {
  const copy = beside(machine, 'copy');
  rmSync(copy, { force: true });
  virsh('blockcopy', machine.uuid, 'vda', copy, '--format', 'qcow2', '--wait', '--finish', '--transient-job');
  return byteIn(copy);
}

describe('an option goes with what the XML says', () => {
  test.each([
    ['--live', (m: Machine) => `<memory snapshot='external' file='${beside(m, 'm')}'/>`],
    [
      '--live',
      (m: Machine) =>
        `<memory file='${beside(m, 'm')}'/><disks><disk name='vda' snapshot='external'/></disks>`,
    ],
    [
      '--live',
      (m: Machine) => `<memory file='${beside(m, 'm')}'/><disks><disk name='vda' snapshot='no'/></disks>`,
    ],
    [
      '--reuse-external',
      (m: Machine) =>
        `<memory file='${beside(m, 'm')}'/><disks><disk name='vda'><source file='${overlay(m, pathOf(m))}'/></disk></disks>`,
    ],
    [
      '--reuse-external',
      (m: Machine) =>
        `<memory file='${beside(m, 'm')}'/><disks><disk name='vda' snapshot='external'><source file='${overlay(m, pathOf(m))}'/></disk></disks>`,
    ],
  ])('%s %#', async (option, text) => {
    const machine = web(true);
    await succeed('create', 'web', '--xml', xmlFile(machine, text(machine)), option, ...FORCE);
    expect([snapshotNames(machine), state(machine)]).toEqual([['s1'], 'running']);
  });

  test.each([
    ['--live', "<disks><disk name='vda' snapshot='internal'/></disks>", /--live needs the memory in a file/],
    ['--live', "<memory snapshot='no'/>", /--live is about saving the memory/],
    ['--atomic', "<memory snapshot='no'/>", /libvirt does that only with --disk-only/],
    [
      '--atomic',
      "<memory snapshot='internal'/><disks><disk name='vda' snapshot='external'/></disks>",
      /only where all disks are internal/,
    ],
  ])('and not with what it does not: %s %s', async (option, text, says) => {
    const machine = web(true);
    const xml = xmlFile(machine, text);
    const before = fingerprint(machine);
    expect(tryVirsh('snapshot-create', machine.uuid, xml, option).code).toBe(1);
    const { exitCode, message } = await refused('create', 'web', '--xml', xml, option);
    expect([exitCode, message]).toEqual([2, expect.stringMatching(says)]);
    expect(fingerprint(machine)).toEqual(before);
  });

  test('memory inside, and none of a VM that is off; what is of no use there is ignored, as by virsh', async () => {
    const machine = web(true);
    await succeed(
      'create',
      'web',
      '--xml',
      xmlFile(machine, "<memory snapshot='internal'/>"),
      '--reuse-external',
    );
    expect(snapshotXml(machine, 's1')).toContain("<memory snapshot='internal'/>");
    virsh('snapshot-delete', machine.uuid, 's1');
    destroy(machine);
    await succeed('create', 'web', '--xml', xmlFile(machine, "<memory snapshot='no'/>"));
    expect(snapshotXml(machine, 's1')).toContain("<memory snapshot='no'/>");
  });
});

describe('--reuse-external with a file that names no backing file', () => {
  test.each([
    ['of the disks', ['--disk-only']],
    ['with the memory', ['--external']],
  ])('%s, running: the guest sees its disk, also after a restart, and that is said', async (_, options) => {
    const machine = web(true);
    writeAsGuest(machine, THEN);
    const file = overlay(machine, null);
    const spec = ['--reuse-external', '--diskspec', `vda,file=${file}`];
    const { stderr } = await succeed('create-as', 'web', 's1', ...options, ...spec, ...FORCE);
    expect(stderr).toContain(
      `${file}, to be reused, names no backing file. libvirt uses it over ${pathOf(machine)}`,
    );
    expect([asGuest(machine), imageInfo(file)['backing-filename']]).toEqual([THEN, undefined]);
    destroy(machine);
    start(machine);
    expect(asGuest(machine)).toBe(THEN);
  });

  test('off: the guest would see another disk, and it is refused', async () => {
    const [twin, machine] = ['twin', 'web'].map((name) => {
      const made = defineMachine({ name, disks: [SMALL] });
      write(made, THEN);
      return made;
    }) as [Machine, Machine];
    virsh(
      'snapshot-create-as',
      twin.uuid,
      's1',
      '--disk-only',
      '--reuse-external',
      '--diskspec',
      `vda,file=${overlay(twin, null)}`,
    );
    start(twin);
    expect(asGuest(twin)).toBe(0);
    const before = fingerprint(machine);
    const spec = `vda,file=${overlay(machine, null)}`;
    const { exitCode, message } = await refused(
      'create-as',
      'web',
      's1',
      '--disk-only',
      '--reuse-external',
      '--diskspec',
      spec,
    );
    expect([exitCode, message]).toEqual([5, expect.stringContaining('so the guest would see another disk')]);
    expect(fingerprint(machine)).toEqual(before);
  });

  test('one that names another file, running: what is said of it is so', async () => {
    const machine = web(true);
    writeAsGuest(machine, THEN);
    const other = beside(machine, 'other');
    tool('qemu-img', ['create', '-q', '-f', 'qcow2', other, '4M']);
    tool('qemu-io', ['-f', 'qcow2', '-c', `write -P ${NOW} 0 4M`, other]);
    const file = overlay(machine, other);
    const args = [
      'create-as',
      'web',
      's1',
      '--disk-only',
      '--reuse-external',
      '--diskspec',
      `vda,file=${file}`,
    ];
    const { exitCode, message } = await refused(...args);
    expect([exitCode, message]).toEqual([
      5,
      expect.stringContaining('every other program will see another disk'),
    ]);
    await succeed(...args, '--force');
    expect([asGuest(machine), byteIn(file)]).toEqual([THEN, NOW]);
  });
});

describe('a qcow2 file that the XML calls raw', () => {
  const LIE = { ...SMALL, driver: 'raw' };

  test('an external snapshot is taken over it, as the VM uses it', async () => {
    const machine = web(true, { disks: [LIE] });
    const { stderr } = await succeed('create-as', 'web', 's1', '--disk-only', ...FORCE);
    expect(stderr).not.toContain('virsh edit');
    const [top = ''] = writableImages(machine);
    expect(imageInfo(top)).toMatchObject({
      'backing-filename': pathOf(machine),
      'backing-filename-format': 'raw',
    });
  });

  test('and one that leaves that disk out', async () => {
    const machine = web(false, { disks: [LIE, SMALL] });
    await succeed('create-as', 'web', 's1', '--disk-only', '--diskspec', 'vda,snapshot=no', ...FORCE);
    expect(writableImages(machine)).toEqual([pathOf(machine), beside(machine, 'vdb.s1')]);
  });
});

describe('--print-xml', () => {
  test.each([
    ['tt', '--description', 'hello'],
    [
      'tt',
      '--disk-only',
      '--diskspec',
      'vda,snapshot=internal,driver=raw,file=/p',
      '--memspec',
      'snapshot=external,file=/m',
    ],
    ['a/b'],
    ['tt', '--diskspec', 'nosuch'],
    ['tt', '--diskspec', 'vda,snapshot=manual', '--diskspec', 'vda'],
    [
      'tt',
      '--memspec',
      'snapshot=no',
      '--live',
      '--quiesce',
      '--halt',
      '--atomic',
      '--no-metadata',
      '--reuse-external',
    ],
  ])('prints what virsh prints: %s %s', async (name, ...options) => {
    const machine = web(false);
    const raw = virsh(
      'snapshot-create-as',
      '--domain',
      machine.uuid,
      '--name',
      name,
      ...options,
      '--print-xml',
    );
    const { stdout } = await succeed('create-as', 'web', name, ...options, '--print-xml');
    expect(stdout.trimEnd()).toBe(raw.trimEnd());
    expect(snapshotNames(machine)).toEqual([]);
  });

  test('of create, without a name', async () => {
    const machine = web(false);
    const raw = virsh('snapshot-create-as', '--domain', machine.uuid, '--print-xml');
    expect((await succeed('create', 'web', '--print-xml')).stdout.trimEnd()).toBe(raw.trimEnd());
  });
});

test('a description without -d', async () => {
  web(false);
  const { code, stderr } = await kvmsnap(['create-as', 'web', 's1', 'old', 'state']);
  expect([code, stderr]).toEqual([2, expect.stringContaining("kvmsnap create-as -d 'old state' web s1")]);
});
