import { expect, test } from 'vitest';
import { needKey } from '../../../src/libvirt/xml/need.ts';
import { neededThings } from '../../../src/libvirt/xml/needed-things.ts';
import { parseElement } from '../../../src/libvirt/xml/xml.ts';

/** What a definition of these elements needs, by key, without the emulator. */
const needs = (xml: string, differently: readonly string[] = []) =>
  neededThings(
    parseElement(`<domain xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>${xml}</domain>`),
    new Set(differently),
  ).map(needKey);

const devices = (xml: string) => `<devices>${xml}</devices>`;
const disk = (source: string, type = 'file') =>
  devices(`<disk type='${type}' device='cdrom'>${source}<target dev='sda'/></disk>`);
const nic = (type: string, rest: string) => devices(`<interface type='${type}'>${rest}</interface>`);
const hostdev = (type: string, source: string) =>
  devices(`<hostdev mode='subsystem' type='${type}'>${source}</hostdev>`);

test.each<[string, string, readonly string[]]>([
  ['nothing', '', []],
  [
    'CPUs',
    "<cputune><vcpupin vcpu='0' cpuset='2-3'/><emulatorpin cpuset='1'/></cputune>",
    ['cpus:/2-3', 'cpus:/1'],
  ],
  ['CPUs for all', "<vcpu cpuset='4'>1</vcpu>", ['cpus:/4']],
  [
    'an address',
    devices(
      "<graphics type='vnc' listen='192.0.2.7'><listen type='address' address='192.0.2.7'/></graphics>",
    ),
    ['address:/192.0.2.7'],
  ],
  [
    'any address',
    devices(
      "<graphics type='vnc' listen='0.0.0.0'/><graphics type='spice' listen='::1'/><graphics type='vnc' listen='127.0.0.1'/>",
    ),
    [],
  ],
  [
    'a serial console on an address',
    devices("<serial type='tcp'><source mode='bind' host='192.0.2.7' service='4555'/></serial>"),
    ['address:/192.0.2.7', 'port:/192.0.2.7 4555'],
  ],
  [
    'a log of a console',
    devices("<serial type='pty'><log file='/log/x.log'/></serial>"),
    ['output://log/x.log', 'file://log'],
  ],
  [
    'a display on a port',
    devices("<graphics type='vnc' port='5977' autoport='no' websocket='5700' listen='192.0.2.7'/>"),
    ['port:/192.0.2.7 5977', 'port:/192.0.2.7 5700', 'address:/192.0.2.7'],
  ],
  [
    'a display on a port that the start chooses',
    devices("<graphics type='vnc' port='5900' autoport='yes'/><graphics type='vnc' port='-1'/>"),
    [],
  ],
  [
    'file owners by name',
    "<seclabel type='static' model='dac' relabel='yes'><label>jo:staff</label></seclabel>",
    ['user:/jo', 'group:/staff'],
  ],
  [
    'file owners by number',
    "<seclabel type='static' model='dac'><label>+64055:+0</label></seclabel><seclabel type='dynamic' model='dac'><label>a:b</label></seclabel>",
    [],
  ],
  [
    'a model of security',
    "<seclabel type='dynamic' model='selinux' relabel='yes'/><seclabel type='none' model='apparmor'/>",
    ['security:/selinux'],
  ],
  [
    'the label of a disk',
    disk("<source file='/a'><seclabel model='dac' relabel='yes'><label>jo:jo</label></seclabel></source>"),
    ['file://a', 'user:/jo', 'group:/jo'],
  ],
  ['a cgroup partition', '<resource><partition>/a/b</partition></resource>', ['partition://a/b']],
  [
    'NUMA nodes of a cell',
    "<numatune><memnode cellid='0' mode='strict' nodeset='7'/><memnode cellid='1' mode='preferred' nodeset='8'/></numatune>",
    ['file://sys/devices/system/node/node7'],
  ],
  ['cache allocation', "<cputune><cachetune vcpus='0'/></cputune>", ['mount:/resctrl']],
  ['encrypted memory', "<launchSecurity type='sev-snp'/>", ['file://dev/sev']],
  [
    'the key of an SSH disk',
    disk("<source protocol='ssh' name='/x'><identity username='u' keyfile='/k'/></source>", 'network'),
    ['file://k'],
  ],
  [
    'the secret of a network disk',
    disk(
      "<auth username='a'><secret type='ceph' uuid='u'/></auth><source protocol='rbd' name='p/i'/>",
      'network',
    ),
    ['secret:/u'],
  ],
  [
    'a data file',
    disk("<source file='/a'><dataStore type='file'><source file='/d'/></dataStore></source>"),
    ['file://a', 'file://d'],
  ],
  [
    'the helper for reservations',
    disk(
      "<source dev='/dev/a'><reservations managed='no'><source type='unix' path='/s'/></reservations></source>",
      'block',
    ),
    ['file://dev/a', 'socket://s'],
  ],
  [
    'the secret of a TPM',
    devices("<tpm><backend type='emulator'><encryption secret='u'/></backend></tpm>"),
    ['program:/swtpm', 'secret:/u'],
  ],
  ['passt', nic('user', "<backend type='passt'/>"), ['program:/passt']],
  [
    'an interface that listens',
    nic('server', "<source address='192.0.2.9' port='5558'/>"),
    ['address:/192.0.2.9', 'port:/192.0.2.9 5558'],
  ],
  ['vhost-scsi', hostdev('scsi_host', "<source protocol='vhost' wwpn='naa.5'/>"), ['file://dev/vhost-scsi']],
  [
    'one that connects',
    devices("<serial type='tcp'><source mode='connect' host='192.0.2.7' service='4555'/></serial>"),
    ['server:/192.0.2.7 4555'],
  ],
  [
    'one that connects again and again',
    devices(
      "<serial type='tcp'><source mode='connect' host='a' service='1'><reconnect enabled='yes' timeout='1'/></source></serial>",
    ),
    [],
  ],
  ['a named pipe', devices("<console type='pipe'><source path='/p'/></console>"), ['pipe://p']],
  [
    'a socket that it connects to',
    devices("<channel type='unix'><source mode='connect' path='/s'/></channel>"),
    ['socket://s'],
  ],
  [
    'a socket that it makes',
    devices("<channel type='unix'><source mode='bind' path='/r/s'/></channel>"),
    ['output://r/s', 'file://r'],
  ],
  [
    'random numbers of a daemon',
    devices(
      "<rng model='virtio'><backend model='egd' type='tcp'><source mode='connect' host='a' service='1'/></backend></rng>",
    ),
    ['server:/a 1'],
  ],
  [
    'the server of a network disk, and of what is below it',
    disk(
      "<source protocol='iscsi' name='i'><host name='a'/></source><backingStore type='network'><source protocol='nbd'><host transport='unix' socket='/s'/></source></backingStore>",
      'network',
    ),
    ['server:/a 3260', 'socket://s'],
  ],
  [
    'one of several servers',
    disk(
      "<source protocol='gluster' name='v/i'><host name='a' port='1'/><host name='b'/></source>",
      'network',
    ),
    ['server:/a 1,b 24007'],
  ],
  [
    'monitors of Ceph that may listen on either port',
    disk("<source protocol='rbd' name='p/i'><host name='a'/></source>", 'network'),
    [],
  ],
  [
    'files of the command line',
    "<qemu:commandline><qemu:arg value='-drive'/><qemu:arg value='file=/a,format=raw'/><qemu:arg value='-blockdev'/><qemu:arg value='{\"driver\":\"file\",\"filename\":\"/b\"}'/><qemu:arg value='-fw_cfg'/><qemu:arg value='name=opt/x,file=/c'/><qemu:arg value='-cdrom'/><qemu:arg value='/d'/></qemu:commandline>",
    ['file://a', 'file://b', 'file://c', 'file://d'],
  ],
  [
    'none that QEMU makes',
    "<qemu:commandline><qemu:arg value='-D'/><qemu:arg value='/log'/><qemu:arg value='-object'/><qemu:arg value='filter-dump,id=f,netdev=n,file=/dump'/><qemu:arg value='-chardev'/><qemu:arg value='file,id=c,path=/out'/></qemu:commandline>",
    [],
  ],
  ['an image', disk("<source file='/a.iso'/>"), ['file://a.iso']],
  ['a device', disk("<source dev='/dev/vg/a'/>", 'block'), ['file://dev/vg/a']],
  ['an empty drive', disk(''), []],
  ['a drive on the network', disk("<source protocol='nbd' name='/x'/>", 'network'), []],
  ['a volume', disk("<source pool='p' volume='v'/>", 'volume'), ['pool:/p', 'volume:p/v']],
  ['an optional medium', disk("<source file='/a.iso' startupPolicy='optional'/>"), []],
  [
    'what an image lies on',
    disk(
      "<source file='/a'/><backingStore type='file'><source file='/b'/><backingStore type='file'><source file='/c'/></backingStore></backingStore>",
    ),
    ['file://a', 'file://b', 'file://c'],
  ],
  [
    'a secret',
    disk(
      "<source file='/a'><encryption format='luks'><secret type='passphrase' uuid='u'/></encryption></source>",
    ),
    ['file://a', 'secret:/u'],
  ],
  [
    'what is booted directly',
    '<os><kernel>/k</kernel><initrd>/i</initrd><dtb>/d</dtb></os>',
    ['file://k', 'file://i', 'file://d'],
  ],
  [
    'firmware and its NVRAM',
    "<os><loader type='pflash'>/f/CODE</loader><nvram template='/f/VARS'>/n/vm</nvram></os>",
    ['file://f/CODE', 'file://n/vm', 'file://n'],
  ],
  [
    'NVRAM by its source',
    "<os><nvram type='file'><source file='/n/vm'/></nvram></os>",
    ['file://n/vm', 'file://n'],
  ],
  ['an emulator', devices('<emulator>/usr/bin/q</emulator>'), ['file://usr/bin/q']],
  [
    'a share',
    devices("<filesystem type='mount'><source dir='/srv'/><target dir='x'/></filesystem>"),
    ['file://srv'],
  ],
  ['a network', nic('network', "<source network='lan'/>"), ['network:/lan']],
  ['a bridge', nic('bridge', "<source bridge='br0'/>"), ['file://sys/class/net/br0']],
  [
    'a bridge of Open vSwitch',
    nic('bridge', "<source bridge='br0'/><virtualport type='openvswitch'/>"),
    ['program:/ovs-vsctl'],
  ],
  ['macvtap', nic('direct', "<source dev='eth7' mode='bridge'/>"), ['file://sys/class/net/eth7']],
  [
    'a filter',
    nic('bridge', "<source bridge='b'/><filterref filter='f'/>"),
    ['file://sys/class/net/b', 'filter:/f'],
  ],
  ['a filter that does nothing', nic('user', "<filterref filter='f'/>"), []],
  ['no network', nic('user', ''), []],
  [
    'a PCI device',
    hostdev('pci', "<source><address domain='0x0000' bus='0x0a' slot='0x00' function='0x1'/></source>"),
    ['file://sys/bus/pci/devices/0000:0a:00.1'],
  ],
  [
    'a USB device by its kind',
    hostdev('usb', "<source><vendor id='0x1d6b'/><product id='0x2'/></source>"),
    ['usb:/1d6b:0002'],
  ],
  [
    'a USB device by its place',
    hostdev('usb', "<source><address bus='1' device='12'/></source>"),
    ['file://dev/bus/usb/001/012'],
  ],
  [
    'a mediated device',
    hostdev('mdev', "<source><address uuid='u-u'/></source>"),
    ['file://sys/bus/mdev/devices/u-u'],
  ],
  [
    'a host serial port',
    devices("<serial type='dev'><source path='/dev/ttyS0'/></serial>"),
    ['file://dev/ttyS0'],
  ],
  [
    'a log',
    devices("<serial type='file'><source path='/log/x'/></serial>"),
    ['output://log/x', 'file://log'],
  ],
  ['a pseudo terminal', devices("<serial type='pty'><source path='/dev/pts/3'/></serial>"), []],
  [
    'the channel that libvirt makes for the agent',
    devices(
      "<channel type='unix'><source mode='bind' path='/run/libvirt/qemu/channel/1-vm/org.qemu'/></channel>",
    ),
    [],
  ],
  ['a TPM', devices("<tpm model='tpm-tis'><backend type='emulator'/></tpm>"), ['program:/swtpm']],
  [
    'random numbers',
    devices("<rng model='virtio'><backend model='random'>/dev/hwrng</backend></rng>"),
    ['file://dev/hwrng'],
  ],
  [
    'huge pages',
    "<memoryBacking><hugepages><page size='1' unit='GiB'/></hugepages></memoryBacking>",
    ['mount:/hugetlbfs', 'file://sys/kernel/mm/hugepages/hugepages-1048576kB'],
  ],
  [
    'NUMA nodes',
    "<numatune><memory mode='strict' nodeset='0-2,^1'/></numatune>",
    ['file://sys/devices/system/node/node0', 'file://sys/devices/system/node/node2'],
  ],
  [
    'a display on a network',
    devices("<graphics type='vnc'><listen type='network' network='lan'/></graphics>"),
    ['network:/lan'],
  ],
])('%s', (_, xml, keys) => {
  expect(needs(xml)).toEqual(keys);
});

test('disks of the snapshot are looked at by what they hold', () => {
  const secret = "<encryption format='luks'><secret type='passphrase' uuid='u'/></encryption>";
  expect(needs(disk(`<source file='/a.iso'>${secret}</source>`), ['sda'])).toEqual(['secret:/u']);
});

test('what QEMU must be able to do', () => {
  const definition = parseElement(
    "<domain type='kvm'><os><type arch='x86_64' machine='pc-9'>hvm</type></os></domain>",
  );
  expect(neededThings(definition, new Set()).map(needKey)).toEqual(['emulator:/\nx86_64\npc-9\nkvm']);
});

test('what QEMU has in modules', () => {
  const definition = parseElement(
    "<domain type='kvm'><os><type arch='x86_64' machine='pc'>hvm</type></os><devices><graphics type='spice'/><graphics type='vnc'/><video><model type='qxl'/></video></devices></domain>",
  );
  expect(neededThings(definition, new Set()).map(({ kind, name }) => [kind, name])).toEqual([
    ['emulator', '\nx86_64\npc\nkvm'],
    ['feature', 'graphics type spice'],
    ['feature', 'video modelType qxl'],
  ]);
});
