// Every kind of VM, on every libvirt: what works is taken, reverted to and deleted, judged by the data on its disks;
// what cannot work is refused before anything is touched. One table, two tests a row.
import { mkdtempSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, describe, expect, test } from 'vitest';
import { fingerprint, refused } from './lab/evidence.ts';
import { isSystemLab, scratch, tool, virsh } from './lab/lab.ts';
import { share } from './lab/share.ts';
import { since } from './lab/version.ts';
import { checkImage, tags, writePattern } from './scene/disk.ts';
import { encryptedDisk, hasEncryptedPattern, removeSecrets } from './scene/luks.ts';
import { snapshotNames } from './scene/snapshot.ts';
import { byteIn, succeed } from './scene/steps.ts';
import { nvramOf, uefi } from './scene/uefi.ts';
import { cleanUp, defineVm, destroy, start, state, type Vm, type VmSpec } from './scene/vm.ts';

/** What kvmsnap says when it refuses; null where it works. */
type Ending = string | null;

interface Kind {
  readonly what: string;
  readonly spec: () => Omit<VmSpec, 'name'> | Promise<Omit<VmSpec, 'name'>>;
  readonly off: Ending;
  readonly running: Ending;
  /** The disks that a snapshot is to hold, by number; the first alone unless told. */
  readonly holds?: readonly number[];
  /** Further images that it is to be in. */
  readonly beside?: (vm: Vm) => string;
  readonly encrypted?: true;
}

const SMALL = { size: '4M' };
const OFFSET = 1024 * 1024;
const LENGTH = 64 * 1024;
const THEN = 0x11;
const NOW = 0x22;

/** An image that no VM has; `below` is what it is over. */
function image(format: string, below?: string, options?: string): string {
  const path = join(mkdtempSync(join(scratch, 'kind-')), `image.${format}`);
  const more = [
    ...(below ? ['-b', below, '-F', below.split('.').at(-1) ?? ''] : []),
    ...(options ? ['-o', options] : []),
  ];
  tool('qemu-img', ['create', '-q', '-f', format, ...more, '--', path, ...(below ? [] : ['4M'])]);
  return path;
}

const OS = `<os><type arch='x86_64' machine='pc'>hvm</type></os>`;
const SHARED_MEMORY = `<memoryBacking><source type='memfd'/><access mode='shared'/></memoryBacking>`;
const shared = (driver: string) => `<filesystem type='mount' accessmode='passthrough'>${driver}
  <source dir='${scratch}'/><target dir='share'/></filesystem>`;
const BEFORE_10_9 = 'UEFI firmware, and this libvirtd (before 10.9) cannot take an internal snapshot';
const RAW = 'is raw, and internal snapshots need qcow2';

const KINDS: readonly Kind[] = [
  { what: 'two disks', spec: () => ({ disks: [SMALL, SMALL] }), off: null, running: null, holds: [0, 1] },
  {
    what: 'cdroms, with a medium and without',
    spec: () => ({
      disks: [
        SMALL,
        { device: 'cdrom', format: 'raw', size: '1M', readonly: true },
        { device: 'cdrom', source: null, format: 'raw' },
      ],
    }),
    off: null,
    running: null,
  },
  {
    what: 'a floppy drive that is empty',
    spec: () => ({ disks: [SMALL, { device: 'floppy', format: 'raw', source: null }] }),
    off: null,
    running: null,
  },
  {
    what: 'a floppy',
    spec: () => ({ disks: [SMALL, { device: 'floppy', format: 'raw', size: '1440K' }] }),
    off: RAW,
    running: RAW,
  },
  {
    what: 'a raw disk that is read-only',
    spec: () => ({ disks: [SMALL, { ...SMALL, format: 'raw', readonly: true }] }),
    off: since({ '7.0': 'disk vdb is raw', '9.0': null }),
    running: null,
  },
  {
    what: 'a raw disk',
    spec: () => ({ disks: [SMALL, { ...SMALL, format: 'raw' }] }),
    off: RAW,
    running: RAW,
  },
  {
    what: 'a qcow2 image on a block device',
    spec: () => ({ disks: [{ ...SMALL, backend: 'block' }] }),
    off: null,
    running: null,
  },
  {
    what: 'a raw block device',
    spec: () => ({ disks: [{ ...SMALL, backend: 'block', format: 'raw' }] }),
    off: RAW,
    running: RAW,
  },
  {
    what: 'a backing chain of four images, the lowest raw',
    spec: () => ({ disks: [{ backing: image('qcow2', image('qcow2', image('raw'))) }] }),
    off: null,
    running: null,
  },
  {
    what: 'an image in the format of 2008',
    spec: () => ({ disks: [{ source: image('qcow2', undefined, 'compat=0.10') }] }),
    off: null,
    running: null,
  },
  {
    what: 'an image with subclusters',
    spec: () => ({ disks: [{ source: image('qcow2', undefined, 'extended_l2=on') }] }),
    off: null,
    running: null,
  },
  {
    what: 'an image with its data in another file',
    spec: () => ({ disks: [{ source: image('qcow2', undefined, `data_file=${scratch}/data`) }] }),
    off: 'the image keeps its data in',
    running: 'the image keeps its data in',
  },
  {
    what: 'an encrypted image as its first disk',
    spec: async () => ({ disks: [await encryptedDisk()] }),
    off: 'libvirt does not pass the key to qemu-img',
    running: 'QEMU crashes when it saves the memory into an encrypted first disk',
  },
  {
    what: 'an encrypted image as its second disk',
    spec: async () => ({ disks: [SMALL, await encryptedDisk()] }),
    off: 'libvirt does not pass the key to qemu-img',
    running: null,
    holds: [0, 1],
    encrypted: true,
  },
  {
    what: 'UEFI with its NVRAM in raw format',
    spec: () => uefi('raw'),
    off: since({ '7.0': BEFORE_10_9, '11.3': null }),
    running: since({ '7.0': BEFORE_10_9, '11.3': 'NVRAM in raw format' }),
  },
  {
    what: 'UEFI with its NVRAM in qcow2 format',
    spec: () => uefi('qcow2'),
    off: since({ '7.0': BEFORE_10_9, '11.3': null }),
    running: since({ '7.0': BEFORE_10_9, '11.3': null }),
    beside: nvramOf,
  },
  {
    what: 'a share by 9p',
    spec: () => ({ disks: [SMALL], extraDevicesXml: shared('') }),
    off: null,
    running: null,
  },
  {
    what: 'a share by virtiofs',
    spec: () => ({
      disks: [SMALL],
      osXml: SHARED_MEMORY + OS,
      extraDevicesXml: shared("<driver type='virtiofs'/>"),
    }),
    off: null,
    running: since({ '7.0': 'shares a file system by virtiofs', '11.3': null }),
  },
  {
    what: 'a transient disk',
    spec: () => ({ disks: [SMALL, { ...SMALL, extraXml: '<transient/>' }] }),
    off: null,
    running: 'disk vdb is <transient/>',
  },
];

afterEach(async () => {
  removeSecrets();
  await cleanUp();
});
afterAll(cleanUp);

const held = (vm: Vm, { holds = [0] }: Kind) => holds.map((n) => vm.disks[n]?.path ?? '');

function write(vm: Vm, kind: Kind, byte: number): void {
  for (const path of held(vm, kind)) writePattern(path, byte, OFFSET, LENGTH);
}

/** Through the QEMU of the VM, as its guest would. */
function writeAsGuest(vm: Vm, { holds = [0] }: Kind, byte: number): void {
  for (const n of holds)
    for (const command of [`write -P ${byte} ${OFFSET} ${LENGTH}`, 'flush']) {
      const line = `qemu-io -d /machine/peripheral/virtio-disk${n}/virtio-backend "${command}"`;
      virsh('qemu-monitor-command', '--domain', vm.uuid, '--hmp', line);
    }
}

/** The byte on each disk that a snapshot is to hold, of a VM that is off. */
const content = (vm: Vm, kind: Kind) =>
  held(vm, kind).map((path, n) =>
    kind.encrypted && n > 0
      ? [THEN, NOW].find((byte) => hasEncryptedPattern(path, byte, OFFSET, LENGTH))
      : byteIn(path),
  );

const tagged = (vm: Vm, kind: Kind) =>
  [...held(vm, kind), ...(kind.beside ? [kind.beside(vm)] : [])].map((path) =>
    tags(path).map(({ name }) => name),
  );

async function define(kind: Kind): Promise<Vm> {
  return defineVm({ name: 'web-1', ...(await kind.spec()) });
}

async function isRefused(vm: Vm, words: string): Promise<void> {
  const before = fingerprint(vm);
  expect(await refused('create-as', 'web-1', 's1')).toMatchObject({
    exitCode: 5,
    message: expect.stringContaining(words),
  });
  expect(fingerprint(vm)).toEqual(before);
}

/** Takes a snapshot of THEN, writes NOW, and goes back; `through` writes. */
async function goThrough(vm: Vm, kind: Kind, through: typeof write): Promise<void> {
  const end = state(vm);
  through(vm, kind, THEN);
  await succeed('create-as', 'web-1', 's1');
  expect([snapshotNames(vm), new Set(tagged(vm, kind).flat())]).toEqual([['s1'], new Set(['s1'])]);
  through(vm, kind, NOW);
  await succeed('revert', 'web-1', 's1');
  expect(state(vm)).toBe(end);
  await succeed('delete', 'web-1', 's1');
  expect([snapshotNames(vm), tagged(vm, kind).flat()]).toEqual([[], []]);
  destroy(vm);
  expect(content(vm, kind)).toEqual(held(vm, kind).map(() => THEN));
  if (!kind.encrypted)
    expect(held(vm, kind).map((path) => checkImage(path).corruptions)).toEqual(held(vm, kind).map(() => 0));
}

describe.runIf(isSystemLab).each(
  share(
    10,
    KINDS.map((kind) => [kind.what, kind] as const),
  ),
)('%s', (_, kind) => {
  test(`off: ${kind.off ?? 'works'}`, async () => {
    const vm = await define(kind);
    if (kind.off !== null) await isRefused(vm, kind.off);
    else await goThrough(vm, kind, write);
  });

  test(`running: ${kind.running ?? 'works'}`, async () => {
    const vm = await define(kind);
    start(vm);
    if (kind.running !== null) await isRefused(vm, kind.running);
    else await goThrough(vm, kind, writeAsGuest);
  });
});
