import { describe, expect, test } from 'vitest';
import { parseDisks, parseDomain } from '../../../src/libvirt/xml/domain.ts';
import { type Disk, formatOf, takesPart } from '../../../src/model/domain.ts';
import { capture, storedDefinition, VERSIONS } from '../../captures.ts';
import { disk, MiB } from '../../model.ts';

const CDROM = { device: 'cdrom', driver: 'raw', readonly: true } as const;

/** In the first file, which lies on the others; a base of its own is known only while it runs. */
const diskOn = (target: string, endings: readonly string[]) => {
  const [source = '', ...backing] = endings.map((ending) => `/vm/b-fix-${target}.${ending}`);
  return disk({
    target,
    source,
    backing: expect.arrayContaining(backing),
    backingFormats: expect.toSatisfy((formats: ReadonlyMap<string, string>) =>
      backing.every((path) => formats.get(path) === 'qcow2'),
    ),
  });
};

const vmOn = (endings: readonly string[], driverOfEmptyDrive: string | null = 'raw') => ({
  name: 'b-fix',
  uuid: expect.stringMatching(/^[0-9a-f-]{36}$/),
  memoryBytes: 64 * MiB,
  disks: [
    diskOn('vda', endings),
    diskOn('vdb', endings),
    disk({ ...CDROM, target: 'hdc', source: '/vm/iso.iso' }),
    disk({ ...CDROM, target: 'hdd', driver: driverOfEmptyDrive, source: null, hasSource: false }),
  ],
  pflash: null,
  hostDevices: [],
  sharedFilesystems: [],
  agentChannel: 'none',
  tpms: [],
  policy: null,
  commandLineDrives: [],
});

describe.each(VERSIONS)('libvirt %s', (version) => {
  test('a running VM on overlays', () => {
    const driver = version === '12.8.0' ? 'raw' : null;
    const live = parseDomain(capture(version, 'dom-dumpxml-live.out'));
    expect(live).toEqual({ ...vmOn(['extmem1', 'ext1', 'qcow2'], driver), id: expect.any(String) });
  });

  test('its inactive definition', () => {
    expect(parseDomain(capture(version, 'dom-dumpxml-inactive.out'))).toEqual(
      vmOn(['extmem1', 'ext1', 'qcow2']),
    );
  });

  test('the definition stored with a snapshot', () => {
    expect(parseDomain(storedDefinition(version))).toEqual(vmOn(['qcow2']));
  });
});

describe('the devices of a VM', () => {
  const having = (devices: string) =>
    parseDomain(
      `<domain><name>a</name><uuid>u</uuid><memory unit='KiB'>1</memory><devices>${devices}</devices></domain>`,
    );
  const channel = (name: string, state = '') =>
    `<channel type='unix'><target type='virtio' name='${name}'${state}/></channel>`;

  test.each([
    ['', 'none'],
    [channel('com.redhat.spice.0', " state='connected'"), 'none'],
    [channel('org.qemu.guest_agent.0'), 'disconnected'],
    [channel('org.qemu.guest_agent.0', " state='disconnected'"), 'disconnected'],
    [channel('com.redhat.spice.0') + channel('org.qemu.guest_agent.0', " state='connected'"), 'connected'],
  ])('whose channels are %s', (devices, agentChannel) => {
    expect(having(devices).agentChannel).toBe(agentChannel);
  });

  test.each([
    ['', false],
    ["<encryption format='luks'><secret type='passphrase' uuid='u'/></encryption>", true],
  ])('whose raw disk has %j', (element, encrypted) => {
    const xml = `<disk type='file'><driver type='raw'/><source file='/a'/><target dev='vda'/>${element}</disk>`;
    const [found] = having(xml).disks;
    expect(found?.encrypted).toBe(encrypted);
    expect(found && formatOf(found)).toBe(encrypted ? 'luks' : 'raw');
  });

  test('with TPMs', () => {
    const tpm = (type: string) => `<tpm model='tpm-crb'><backend type='${type}' version='2.0'/></tpm>`;
    expect(having(tpm('emulator') + tpm('passthrough')).tpms).toEqual(['emulator', 'passthrough']);
  });

  test('with a disk that others may have too', () => {
    const disks = having("<disk type='file'><target dev='vda'/><shareable/></disk>").disks;
    expect(disks.map(({ shareable }) => shareable)).toEqual([true]);
  });
});

/** One disk element of libvirt's formatdomain documentation. */
const one = (attributes: string, inner: string) =>
  parseDisks(`<disk ${attributes}>${inner}<target dev='vda' bus='virtio'/></disk>`)[0];

describe('a disk', () => {
  test.each<{ says: string; attributes: string; inner: string; is: Partial<Disk> }>([
    {
      says: 'on a block device',
      attributes: "type='block' device='lun'",
      inner: "<driver name='qemu' type='raw'/><source dev='/dev/vg0/web'/>",
      is: { storage: 'block', device: 'lun', source: '/dev/vg0/web', driver: 'raw' },
    },
    {
      says: 'in a storage pool',
      attributes: "type='volume' device='disk'",
      inner: "<driver name='qemu' type='qcow2'/><source pool='default' volume='web 1.qcow2'/>",
      is: { storage: 'volume', source: null, pool: { name: 'default', volume: 'web 1.qcow2' } },
    },
    {
      says: 'on the network',
      attributes: "type='network' device='disk'",
      inner:
        "<driver name='qemu' type='qcow2'/><source protocol='nbd' name='x'><host name='h' port='1'/></source>",
      is: { storage: 'network', source: null, address: 'nbd://h:1/x' },
    },
    {
      says: 'without a driver',
      attributes: "type='file'",
      inner: "<source file='/vm/vda.qcow2'/>",
      is: { driver: null },
    },
    {
      says: 'whose driver names no type',
      attributes: "type='file'",
      inner: "<driver name='qemu'/><source file='/vm/vda.qcow2'/>",
      is: { driver: null },
    },
    {
      says: 'with an empty driver',
      attributes: "type='file'",
      inner: "<driver/><source file='/vm/vda.qcow2'/>",
      is: { driver: null },
    },
    {
      says: 'transient, excluded, read-only',
      attributes: "type='file' device='disk' snapshot='no'",
      inner: "<driver type='qcow2'/><source file='/vm/vda.qcow2'/><readonly/><transient/>",
      is: { snapshot: 'no', readonly: true, transient: true },
    },
    {
      says: 'being copied',
      attributes: "type='file' device='disk'",
      inner:
        "<driver type='qcow2'/><source file='/vm/vda.qcow2'/><mirror type='file' job='copy'><source file='/vm/c'/></mirror>",
      is: { mirrored: true, mirror: { job: 'copy', path: '/vm/c', ready: false } },
    },
    {
      says: 'whose overlay is merged, up to the last step',
      attributes: "type='file' device='disk'",
      inner:
        "<driver type='qcow2'/><source file='/vm/vda.b1'/><mirror type='file' job='active-commit' ready='yes'><format type='qcow2'/><source file='/vm/vda.qcow2' index='1'/></mirror>",
      is: {
        source: '/vm/vda.b1',
        mirrored: true,
        mirror: { job: 'active-commit', path: '/vm/vda.qcow2', ready: true },
      },
    },
    {
      says: 'with a path of odd characters',
      attributes: "type='file' device='disk'",
      inner: "<driver type='qcow2'/><source file='/vm/007 &amp; &apos;x&apos; 快.qcow2'/>",
      is: { source: "/vm/007 & 'x' 快.qcow2" },
    },
  ])('$says', ({ attributes, inner, is }) => {
    expect(one(attributes, inner)).toEqual(disk(is));
  });

  test.each([
    ['no source', ''],
    ['a source that is only numbered, as 12.8 has it while the VM runs', "<source index='1'/>"],
    ['a source that is only a policy', "<source startupPolicy='optional'/>"],
  ])('a floppy drive with %s has no medium, and takes no part', (_, source) => {
    const drive = one("type='file' device='floppy'", `<driver name='qemu' type='raw'/>${source}`);
    expect(drive).toMatchObject({ source: null, hasSource: false });
    expect(drive && takesPart(drive)).toBe(false);
  });

  test.each(['', '\n  '])('no disks: %j', (xml) => {
    expect(parseDisks(xml)).toEqual([]);
  });
});

const vm = (
  inner: string,
  { memory = "<memory unit='KiB'>1024</memory>", devices = '<devices>\n</devices>' } = {},
) =>
  parseDomain(`<domain type='kvm' id='3'><name>007</name><uuid>u</uuid>${memory}${inner}${devices}</domain>`);

describe('a VM', () => {
  test('its name stays text, and its devices may be none', () => {
    expect(vm('')).toMatchObject({ name: '007', disks: [] });
    expect(vm('', { devices: '<devices/>' })).toMatchObject({ disks: [] });
  });

  test.each([
    ["<memory unit='KiB'>1024</memory>", MiB],
    ["<memory unit='MiB'>2</memory>", 2 * MiB],
    ["<memory unit='b'>4096</memory>", 4096],
    ["<memory unit='bytes'>4096</memory>", 4096],
    ["<memory unit='KB'>4</memory>", 4000],
    ["<memory unit='k'>4</memory>", 4096],
    ["<memory unit='GiB' dumpCore='off'>1</memory>", 1024 * MiB],
  ])('%s', (memory, bytes) => {
    expect(vm('', { memory }).memoryBytes).toBe(bytes);
  });

  test.each([
    ['BIOS', '<os><type>hvm</type></os>', null],
    ['no os element', '', null],
    ['a ROM loader', "<os><loader readonly='yes' type='rom'>/bios.bin</loader></os>", null],
    ['a loader without a type', '<os><loader>/hvmloader</loader></os>', null],
    [
      'NVRAM as a path',
      "<os><loader readonly='yes' type='pflash'>/OVMF.fd</loader><nvram>/nv.fd</nvram></os>",
      { nvramFormat: 'raw', nvramPath: '/nv.fd' },
    ],
    [
      'NVRAM from a template',
      "<os firmware='efi'><loader type='pflash'>/OVMF.fd</loader><nvram template='/t.fd'>/nv.fd</nvram></os>",
      { nvramFormat: 'raw', nvramPath: '/nv.fd' },
    ],
    [
      'NVRAM in qcow2',
      "<os><loader type='pflash' format='qcow2'>/OVMF.fd</loader><nvram format='qcow2'>/nv.qcow2</nvram></os>",
      { nvramFormat: 'qcow2', nvramPath: '/nv.qcow2' },
    ],
    [
      'NVRAM with a source',
      "<os><loader type='pflash'>/OVMF.fd</loader><nvram type='file' format='qcow2'><source file='/nv'/></nvram></os>",
      { nvramFormat: 'qcow2', nvramPath: '/nv' },
    ],
    [
      'variables in a file of their own',
      "<os firmware='efi'><loader type='rom'>/OVMF.fd</loader><varstore template='/t.json' path='/v.json'/></os>",
      { nvramFormat: 'json', nvramPath: '/v.json' },
    ],
    [
      'such variables, the path chosen by libvirt',
      "<os><loader type='rom'>/OVMF.fd</loader><varstore/></os>",
      { nvramFormat: 'json', nvramPath: null },
    ],
    [
      'chosen by libvirt',
      "<os firmware='efi'><type>hvm</type></os>",
      { nvramFormat: 'raw', nvramPath: null },
    ],
  ])('firmware: %s', (_, os, pflash) => {
    expect(vm(os).pflash).toEqual(pflash);
  });

  test('host devices and shared file systems', () => {
    const devices = `<devices>
      <hostdev mode='subsystem' type='pci'/><hostdev mode='subsystem' type='usb'><source/></hostdev>
      <filesystem type='mount'><driver type='virtiofs'/></filesystem>
      <filesystem type='mount'><driver/></filesystem><filesystem type='mount'><source dir='/x'/></filesystem>
    </devices>`;
    expect(vm('', { devices })).toMatchObject({
      hostDevices: ['pci', 'usb'],
      sharedFilesystems: ['virtiofs', 'path', 'path'],
    });
  });

  const spice =
    "<channel type='spicevmc'><target type='virtio' name='com.redhat.spice.0' state='connected'/></channel>";
  const agent = (state: string) =>
    `<channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0' ${state}/></channel>`;
  test.each([
    ['none', '', 'none'],
    ['another', spice, 'none'],
    ['of a VM that is off', agent(''), 'disconnected'],
    ['that no guest has open', spice + agent("state='disconnected'"), 'disconnected'],
    ['in use', agent("state='connected'") + spice, 'connected'],
    ['without a target', "<channel type='pty'/>", 'none'],
  ])('the channel of the guest agent: %s', (_, channels, agentChannel) => {
    expect(vm('', { devices: `<devices>${channels}</devices>` }).agentChannel).toBe(agentChannel);
  });

  test.each(['', '<domainsnapshot/>', '<domain><name>x</name></domain>'])('%j is no VM', (xml) => {
    expect(() => parseDomain(xml)).toThrow(expect.objectContaining({ code: 'refused' }));
  });
});

test('drives that QEMU is given past libvirt, and nothing else of its arguments', () => {
  const words = [
    '-drive',
    'file=/a&amp;b.qcow2,if=virtio',
    '-device',
    'edu',
    '-hda',
    '/c',
    '-blockdev',
    '{"node-name":"x"}',
  ];
  const xml = `<domain type='qemu' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'><name>a</name><uuid>u</uuid><memory unit='KiB'>1</memory><devices/>
    <qemu:commandline>${words.map((word) => `<qemu:arg value='${word}'/>`).join('')}</qemu:commandline></domain>`;
  expect(parseDomain(xml).commandLineDrives).toEqual([
    'file=/a&b.qcow2,if=virtio',
    '/c',
    '{"node-name":"x"}',
  ]);
});
