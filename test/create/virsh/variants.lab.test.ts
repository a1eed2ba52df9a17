// Ways to ask for a snapshot that virsh takes: by an XML, with files that are there already, over a file of another format;
// raw virsh beside kvmsnap.
import { rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterAll, afterEach, describe, expect, test } from 'vitest';
import { kvmsnap } from '../../lab/cli.ts';
import { fingerprint, refused, writableImages } from '../../lab/evidence.ts';
import { tool, tryVirsh, virsh } from '../../lab/lab.ts';
import { share } from '../../lab/share.ts';
import { since } from '../../lab/version.ts';
import { imageInfo } from '../../scene/disk.ts';
import { snapshotNames, snapshotXml } from '../../scene/snapshot.ts';
import { byteIn, succeed, write, writeAsGuest } from '../../scene/steps.ts';
import { cleanUp, defineVm, destroy, pathOf, start, state, type Vm, type VmSpec } from '../../scene/vm.ts';

afterEach(cleanUp);
afterAll(cleanUp);

const SMALL = { size: '4M' };
const FORCE = since({ '7.0': true, '9.9': false }) ? ['--force'] : [];
const [THEN, NOW] = [0x11, 0x22];

const beside = (vm: Vm, name: string): string => join(dirname(pathOf(vm)), name);

function web(running: boolean, spec: Partial<VmSpec> = {}): Vm {
  const vm = defineVm({ name: 'web', disks: [SMALL], ...spec });
  if (running) start(vm);
  return vm;
}

function xmlFile(vm: Vm, text: string): string {
  const path = beside(vm, 's.xml');
  writeFileSync(path, `<domainsnapshot><name>s1</name>${text}</domainsnapshot>`);
  return path;
}

const overlay = (vm: Vm, backing: string | null): string => {
  const path = beside(vm, 'overlay');
  const below = backing === null ? [] : ['-F', 'qcow2', '-b', backing];
  tool('qemu-img', ['create', '-q', '-f', 'qcow2', ...below, path, '4M']);
  return path;
};

/** What the guest of a running VM sees of its first disk. */
function asGuest(vm: Vm): number | null {
  const copy = beside(vm, 'copy');
  rmSync(copy, { force: true });
  virsh('blockcopy', vm.uuid, 'vda', copy, '--format', 'qcow2', '--wait', '--finish', '--transient-job');
  return byteIn(copy);
}

describe('an option goes with what the XML says', () => {
  test.each(
    share(2, [
      ['--live', (m: Vm) => `<memory snapshot='external' file='${beside(m, 'm')}'/>`],
      [
        '--live',
        (m: Vm) => `<memory file='${beside(m, 'm')}'/><disks><disk name='vda' snapshot='external'/></disks>`,
      ],
      [
        '--live',
        (m: Vm) => `<memory file='${beside(m, 'm')}'/><disks><disk name='vda' snapshot='no'/></disks>`,
      ],
      [
        '--reuse-external',
        (m: Vm) =>
          `<memory file='${beside(m, 'm')}'/><disks><disk name='vda'><source file='${overlay(m, pathOf(m))}'/></disk></disks>`,
      ],
      [
        '--reuse-external',
        (m: Vm) =>
          `<memory file='${beside(m, 'm')}'/><disks><disk name='vda' snapshot='external'><source file='${overlay(m, pathOf(m))}'/></disk></disks>`,
      ],
    ]),
  )('%s %#', async (option, text) => {
    const vm = web(true);
    await succeed('create', 'web', '--xml', xmlFile(vm, text(vm)), option, ...FORCE);
    expect([snapshotNames(vm), state(vm)]).toEqual([['s1'], 'running']);
  });

  test.each(
    share(2, [
      [
        '--live',
        "<disks><disk name='vda' snapshot='internal'/></disks>",
        /--live needs the memory in a file/,
      ],
      ['--live', "<memory snapshot='no'/>", /--live needs a snapshot with memory/],
      ['--atomic', "<memory snapshot='no'/>", /out only with --disk-only/],
      [
        '--atomic',
        "<memory snapshot='internal'/><disks><disk name='vda' snapshot='external'/></disks>",
        /only if all disks are internal/,
      ],
    ]),
  )('and not with what it does not: %s %s', async (option, text, says) => {
    const vm = web(true);
    const xml = xmlFile(vm, text);
    const before = fingerprint(vm);
    expect(tryVirsh('snapshot-create', vm.uuid, xml, option).code).toBe(1);
    const { exitCode, message } = await refused('create', 'web', '--xml', xml, option);
    expect([exitCode, message]).toEqual([2, expect.stringMatching(says)]);
    expect(fingerprint(vm)).toEqual(before);
  });

  test('memory inside, and none of a VM that is off; what is of no use there is ignored, as by virsh', async () => {
    const vm = web(true);
    await succeed('create', 'web', '--xml', xmlFile(vm, "<memory snapshot='internal'/>"), '--reuse-external');
    expect(snapshotXml(vm, 's1')).toContain("<memory snapshot='internal'/>");
    virsh('snapshot-delete', vm.uuid, 's1');
    destroy(vm);
    await succeed('create', 'web', '--xml', xmlFile(vm, "<memory snapshot='no'/>"));
    expect(snapshotXml(vm, 's1')).toContain("<memory snapshot='no'/>");
  });
});

describe('--reuse-external with a file that names no backing file', () => {
  test.each([
    ['of the disks', ['--disk-only']],
    ['with the memory', ['--external']],
  ])('%s, running: the guest sees its disk, also after a restart, and that is said', async (_, options) => {
    const vm = web(true);
    writeAsGuest(vm, THEN);
    const file = overlay(vm, null);
    const spec = ['--reuse-external', '--diskspec', `vda,file=${file}`];
    const { stderr } = await succeed('create-as', 'web', 's1', ...options, ...spec, ...FORCE);
    expect(stderr).toContain(`${file}, has no backing file. libvirt puts it on top of ${pathOf(vm)}`);
    expect([asGuest(vm), imageInfo(file)['backing-filename']]).toEqual([THEN, undefined]);
    destroy(vm);
    start(vm);
    expect(asGuest(vm)).toBe(THEN);
  });

  test('off: the guest would see another disk, and it is refused', async () => {
    const [twin, vm] = ['twin', 'web'].map((name) => {
      const made = defineVm({ name, disks: [SMALL] });
      write(made, THEN);
      return made;
    }) as [Vm, Vm];
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
    const before = fingerprint(vm);
    const spec = `vda,file=${overlay(vm, null)}`;
    const { exitCode, message } = await refused(
      'create-as',
      'web',
      's1',
      '--disk-only',
      '--reuse-external',
      '--diskspec',
      spec,
    );
    expect([exitCode, message]).toEqual([
      5,
      expect.stringContaining('so the guest would see a different disk'),
    ]);
    expect(fingerprint(vm)).toEqual(before);
  });

  test('one that names another file, running: what is said of it is so', async () => {
    const vm = web(true);
    writeAsGuest(vm, THEN);
    const other = beside(vm, 'other');
    tool('qemu-img', ['create', '-q', '-f', 'qcow2', other, '4M']);
    tool('qemu-io', ['-f', 'qcow2', '-c', `write -P ${NOW} 0 4M`, other]);
    const file = overlay(vm, other);
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
      expect.stringContaining('every other program will see a different disk'),
    ]);
    await succeed(...args, '--force');
    expect([asGuest(vm), byteIn(file)]).toEqual([THEN, NOW]);
  });
});

describe('a qcow2 file that the XML calls raw', () => {
  const LIE = { ...SMALL, driver: 'raw' };

  test('an external snapshot is taken over it, as the VM uses it', async () => {
    const vm = web(true, { disks: [LIE] });
    const { stderr } = await succeed('create-as', 'web', 's1', '--disk-only', ...FORCE);
    expect(stderr).not.toContain('virsh edit');
    const [top = ''] = writableImages(vm);
    expect(imageInfo(top)).toMatchObject({
      'backing-filename': pathOf(vm),
      'backing-filename-format': 'raw',
    });
  });

  test('and one that leaves that disk out', async () => {
    const vm = web(false, { disks: [LIE, SMALL] });
    await succeed('create-as', 'web', 's1', '--disk-only', '--diskspec', 'vda,snapshot=no', ...FORCE);
    expect(writableImages(vm)).toEqual([pathOf(vm), beside(vm, 'vdb.s1')]);
  });
});

describe('--print-xml', () => {
  test.each(
    share(2, [
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
    ]),
  )('prints what virsh prints: %s %s', async (name, ...options) => {
    const vm = web(false);
    const raw = virsh('snapshot-create-as', '--domain', vm.uuid, '--name', name, ...options, '--print-xml');
    const { stdout } = await succeed('create-as', 'web', name, ...options, '--print-xml');
    expect(stdout.trimEnd()).toBe(raw.trimEnd());
    expect(snapshotNames(vm)).toEqual([]);
  });

  test('of create, without a name', async () => {
    const vm = web(false);
    const raw = virsh('snapshot-create-as', '--domain', vm.uuid, '--print-xml');
    expect((await succeed('create', 'web', '--print-xml')).stdout.trimEnd()).toBe(raw.trimEnd());
  });
});

test('a description without -d', async () => {
  web(false);
  const { code, stderr } = await kvmsnap(['create-as', 'web', 's1', 'old', 'state']);
  expect([code, stderr]).toEqual([
    2,
    expect.stringContaining("kvmsnap create-as '--description=old state' web s1"),
  ]);
});
