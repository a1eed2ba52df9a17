import { filesRead } from '../../model/domain-files.ts';
import { attributeAt, type Element, elementsAt, numbersIn, textAt } from './element.ts';

/**
 * What the host must have so that a definition can be started. Each row of the table is one place in libvirt's domain
 * XML (formatdomain). It was tried on libvirt 7.0, 9.0, 11.3 and 12.8: if the thing is missing, the start fails on all
 * of them.
 */

/** One thing that libvirt or QEMU looks for when a VM is started. */
export interface Need {
  readonly kind:
    | 'file'
    | 'network'
    | 'pool'
    | 'volume'
    | 'secret'
    | 'filter'
    | 'emulator'
    | 'program'
    | 'usb'
    | 'mount'
    | 'address'
    | 'cpus';
  /**
   * A path, a name, a UUID, `VENDOR:PRODUCT`, an address, or CPUs of which one must exist; for an emulator see
   * `emulatorNeed`.
   */
  readonly name: string;
  /** The pool that the volume is in. */
  readonly within?: string;
  /** Its role in the VM, such as `medium of hdc`. */
  readonly role: string;
  /** True if libvirt does not need it when it loads the memory of a snapshot, but at every other start. */
  readonly onlyCold?: true;
  /** The loader of a firmware from whose template libvirt may be able to make it. */
  readonly madeFor?: string;
}

/** The key of a thing: equal only for the same thing. */
export const needKey = ({ kind, within = '', name }: Need): string => `${kind}:${within}/${name}`;

interface Row {
  readonly path: string;
  readonly needs: (element: Element) => readonly (Need | null)[];
}

/** Paths that libvirt itself makes for each start, such as for the agent's channel or a display (qemu_domain.c). */
const IS_LIBVIRTS_OWN = /\/libvirt\/qemu\//;

/** A file or device that must exist; null if the definition names none. */
function file(path: string | null, role: string): Need | null {
  return path?.startsWith('/') && !IS_LIBVIRTS_OWN.test(path) ? { kind: 'file', name: path, role } : null;
}

/** The directory in which a file will be made. */
function directoryOf(path: string | null, role: string): Need | null {
  if (!path?.startsWith('/')) return null;
  return file(path.slice(0, path.lastIndexOf('/')) || '/', `directory of ${role}`);
}

const named = (kind: Need['kind'], name: string | null, role: string): Need | null =>
  name === null || name === '' ? null : { kind, name, role };

const attribute = (path: string, name: string, role: string): Row => ({
  path,
  needs: (element) => [file(element.attributes[name] ?? null, role)],
});

const content = (path: string, role: string): Row => ({
  path,
  needs: (element) => [file(element.text, role)],
});

const NEEDS: readonly Row[] = [
  { path: 'devices/disk', needs: ofDisk },
  content('os/kernel', 'kernel'),
  content('os/initrd', 'initrd'),
  content('os/dtb', 'device tree'),
  content('os/shim', 'shim'),
  content('os/loader', 'firmware'),
  content('os/acpi/table', 'ACPI table'),
  attribute('sysinfo/entry', 'file', 'firmware configuration'),
  { path: 'os', needs: ofNvram },
  content('devices/emulator', 'emulator'),
  { path: 'devices/filesystem', needs: ofFilesystem },
  { path: 'devices/hostdev', needs: ofHostDevice },
  { path: 'devices/interface', needs: ofInterface },
  ...['serial', 'parallel', 'console', 'channel', 'redirdev', 'smartcard'].map((name) => ({
    path: `devices/${name}`,
    needs: (element: Element) => ofCharacterDevice(element, `${name} device`),
  })),
  content('devices/smartcard/database', 'database of the smart card'),
  { path: 'devices/tpm/backend', needs: ofTpm },
  { path: 'devices/rng/backend', needs: ofRng },
  attribute('devices/input/source', 'evdev', 'input device'),
  attribute('devices/input/source', 'dev', 'input device'),
  attribute('devices/shmem/server', 'path', 'server of the shared memory'),
  { path: 'devices/memory/source/path', needs: ({ text }) => [ofMemoryFile(text)] },
  { path: 'devices/graphics', needs: ofGraphics },
  attribute('devices/graphics/gl', 'rendernode', 'render node'),
  attribute('devices/video/driver/acceleration', 'rendernode', 'render node'),
  attribute('devices/video/acceleration', 'rendernode', 'render node'),
  { path: 'devices/vsock', needs: () => [file('/dev/vhost-vsock', 'vsock')] },
  { path: 'memoryBacking/hugepages', needs: ofHugePages },
  ...['vcpu', 'cputune/vcpupin', 'cputune/emulatorpin', 'cputune/iothreadpin'].map((path) => ({
    path,
    needs: ({ attributes }: Element) => [named('cpus', attributes['cpuset'] ?? null, 'CPU pinning')],
  })),
  { path: 'qemu:commandline', needs: ofCommandLine },
  {
    path: 'numatune/memory',
    needs: (memory) =>
      memory.attributes['mode'] === 'strict' || memory.attributes['mode'] === undefined
        ? numbersIn(memory.attributes['nodeset'] ?? '').map((node) =>
            file(`/sys/devices/system/node/node${node}`, `NUMA node ${node}`),
          )
        : [],
  },
];

/** Everything that a definition needs, each thing once. `differently` are disks that other checks inspect. */
export function neededThings(domain: Element, differently: ReadonlySet<string>): Need[] {
  const others = {
    ...domain,
    children: domain.children.map((child) =>
      child.name === 'devices'
        ? {
            ...child,
            children: child.children.filter(
              (device) =>
                device.name !== 'disk' || !differently.has(attributeAt(device, 'target', 'dev') ?? ''),
            ),
          }
        : child,
    ),
  };
  const found = NEEDS.flatMap(({ path, needs }) => elementsAt(others, path).flatMap(needs));
  const needs = [...found, emulatorNeed(domain)].filter((need) => need !== null);
  return [...new Map(needs.map((need) => [needKey(need), need])).values()];
}

/** What the emulator must support: the words, one a line, with which `virsh domcapabilities` is asked. */
function emulatorNeed(domain: Element): Need | null {
  const type = elementsAt(domain, 'os/type')[0]?.attributes ?? {};
  const words = [
    textAt(domain, 'devices/emulator'),
    type['arch'],
    type['machine'],
    domain.attributes['type'],
  ].map((word) => word ?? '');
  return type['machine'] === undefined ? null : { kind: 'emulator', name: words.join('\n'), role: 'QEMU' };
}

/** Floppies and CD-ROMs may be optional (`startupPolicy`), at every start or only when memory is loaded. */
function ofDisk(disk: Element): (Need | null)[] {
  const target = attributeAt(disk, 'target', 'dev') ?? 'a disk';
  const [source] = elementsAt(disk, 'source');
  if (!source || disk.attributes['type'] === 'network') return [];
  const { attributes } = source;
  const policy = attributes['startupPolicy'];
  if (policy === 'optional') return [];
  const role = `${disk.attributes['device'] === 'cdrom' || disk.attributes['device'] === 'floppy' ? 'medium' : 'image'} of ${target}`;
  const pool = attributes['pool'] ?? null;
  const volume = attributes['volume'];
  const needs = [
    file(attributes['file'] ?? attributes['dev'] ?? attributes['dir'] ?? attributes['path'] ?? null, role),
    named('pool', pool, `pool of ${target}`),
    pool === null || volume === undefined
      ? null
      : ({ kind: 'volume', name: volume, within: pool, role } as const),
    ...pciAddresses(source, `device of ${target}`),
    ...backingFiles(disk, target),
    ...[...secretsOf(disk), ...secretsOf(source)].map((uuid) => named('secret', uuid, `secret of ${target}`)),
  ];
  return policy === 'requisite' ? needs.map((need) => need && { ...need, onlyCold: true as const }) : needs;
}

function backingFiles(disk: Element, target: string): (Need | null)[] {
  return elementsAt(disk, 'backingStore').flatMap((below) => [
    ...elementsAt(below, 'source').map(({ attributes }) =>
      file(attributes['file'] ?? attributes['dev'] ?? null, `backing file of ${target}`),
    ),
    ...backingFiles(below, target),
  ]);
}

const secretsOf = (element: Element): string[] =>
  ['auth/secret', 'encryption/secret', 'reservations/secret'].flatMap((path) =>
    elementsAt(element, path).flatMap(({ attributes }) => attributes['uuid'] ?? []),
  );

/**
 * If the NVRAM is missing, libvirt makes it from a template: the one that is named, or the one that it knows for the
 * loader.
 */
function ofNvram(os: Element): (Need | null)[] {
  return [...elementsAt(os, 'nvram'), ...elementsAt(os, 'varstore')].flatMap((nvram) => {
    const path = attributeAt(nvram, 'source', 'file') ?? nvram.attributes['path'] ?? (nvram.text || null);
    const template = nvram.attributes['template'];
    const need = file(path, 'NVRAM');
    const madeFor = template ?? textAt(os, 'loader');
    return [need && (madeFor === null ? need : { ...need, madeFor }), directoryOf(path, 'the NVRAM')];
  });
}

function ofFilesystem(share: Element): (Need | null)[] {
  const tag = attributeAt(share, 'target', 'dir') ?? '';
  const [source] = elementsAt(share, 'source');
  return [
    file(source?.attributes['dir'] ?? source?.attributes['socket'] ?? null, `share ${tag}`),
    file(attributeAt(share, 'binary', 'path'), `program of the share ${tag}`),
  ];
}

/** Devices are found by their entries in /sys and /dev. */
function ofHostDevice(hostdev: Element): (Need | null)[] {
  const [source] = elementsAt(hostdev, 'source');
  if (!source || source.attributes['startupPolicy'] === 'optional') return [];
  const address = elementsAt(source, 'address')[0]?.attributes ?? {};
  const policy = source.attributes['startupPolicy'] === 'requisite' ? { onlyCold: true as const } : {};
  const role = 'host device';
  const of: Readonly<Record<string, () => (Need | null)[]>> = {
    pci: () => pciAddresses(source, role),
    mdev: () => [file(address['uuid'] ? `/sys/bus/mdev/devices/${address['uuid']}` : null, role)],
    usb: () => usbDevices(source, role),
    scsi: () => {
      const host = /^scsi_host(\d+)$/.exec(attributeAt(source, 'adapter', 'name') ?? '')?.[1];
      const place = [host, address['bus'], address['target'], address['unit']].join(':');
      return [file(host === undefined ? null : `/sys/bus/scsi/devices/${place}`, role)];
    },
  };
  const needs = of[hostdev.attributes['type'] ?? '']?.() ?? [];
  return needs.map((need) => need && { ...need, ...policy });
}

const hex = (value: string | undefined, digits: number): string =>
  Number(value ?? 0)
    .toString(16)
    .padStart(digits, '0');

const pciAddresses = (source: Element, role: string): (Need | null)[] =>
  elementsAt(source, 'address')
    .filter(({ attributes }) => attributes['slot'] !== undefined)
    .map(({ attributes: { domain, bus, slot, function: part } }) =>
      file(`/sys/bus/pci/devices/${hex(domain, 4)}:${hex(bus, 2)}:${hex(slot, 2)}.${hex(part, 1)}`, role),
    );

function usbDevices(source: Element, role: string): (Need | null)[] {
  const [vendor, product] = ['vendor', 'product'].map((name) => attributeAt(source, name, 'id'));
  if (vendor && product) return [named('usb', `${hex(vendor, 4)}:${hex(product, 4)}`, role)];
  const { bus, device } = elementsAt(source, 'address')[0]?.attributes ?? {};
  const three = (text: string | undefined) => String(Number(text)).padStart(3, '0');
  return [file(bus && device ? `/dev/bus/usb/${three(bus)}/${three(device)}` : null, role)];
}

function ofInterface(nic: Element): (Need | null)[] {
  const type = nic.attributes['type'] ?? '';
  const source = elementsAt(nic, 'source')[0]?.attributes ?? {};
  const address = attributeAt(nic, 'mac', 'address');
  const role = `network interface${address === null ? '' : ` ${address}`}`;
  const device = (name: string | undefined) => file(name ? `/sys/class/net/${name}` : null, role);
  const isOpenVswitch = attributeAt(nic, 'virtualport', 'type') === 'openvswitch';
  const of: Readonly<Record<string, () => (Need | null)[]>> = {
    network: () => [named('network', source['network'] ?? null, role)],
    bridge: () => [isOpenVswitch ? null : device(source['bridge'])],
    direct: () => [device(source['dev'])],
    hostdev: () => elementsAt(nic, 'source').flatMap((each) => pciAddresses(each, role)),
    vhostuser: () => [
      source['mode'] === 'server'
        ? directoryOf(source['path'] ?? null, role)
        : file(source['path'] ?? null, `${role}: socket`),
    ],
    vdpa: () => [file(source['dev'] ?? null, role)],
    ethernet: () => [
      attributeAt(nic, 'target', 'managed') === 'no' ? device(attributeAt(nic, 'target', 'dev') ?? '') : null,
    ],
  };
  const isFiltered = ['network', 'bridge', 'ethernet'].includes(type);
  return [
    ...(of[type]?.() ?? []),
    file(attributeAt(nic, 'script', 'path'), `script of the ${role}`),
    file(attributeAt(nic, 'rom', 'file'), `ROM of the ${role}`),
    isFiltered ? named('filter', attributeAt(nic, 'filterref', 'filter'), `filter of the ${role}`) : null,
  ];
}

/** The needs of a serial device and similar ones: a device, a file that will be made, or a socket. */
function ofCharacterDevice(element: Element, role: string): (Need | null)[] {
  const type = element.attributes['type'] ?? '';
  return elementsAt(element, 'source').map(({ attributes: { path = null, mode, host } }) => {
    if (mode === 'bind' && host !== undefined) return address(host, role);
    if (path === null || IS_LIBVIRTS_OWN.test(path)) return null;
    if (type === 'dev' || (type === 'unix' && mode === 'connect')) return file(path, role);
    return type === 'file' || type === 'unix' ? directoryOf(path, `the ${role}`) : null;
  });
}

function ofTpm(backend: Element): (Need | null)[] {
  const { type } = backend.attributes;
  if (type === 'emulator') return [named('program', 'swtpm', 'TPM')];
  return [
    file(attributeAt(backend, 'device', 'path'), 'TPM'),
    file(type === 'external' ? attributeAt(backend, 'source', 'path') : null, 'TPM'),
  ];
}

function ofRng(backend: Element): (Need | null)[] {
  if (backend.attributes['model'] === 'random') return [file(backend.text, 'random number generator')];
  return elementsAt(backend, 'source').map(({ attributes: { mode, path = null } }) =>
    mode === 'connect' ? file(path, 'random number generator') : null,
  );
}

/** QEMU makes a regular file if it is missing, but cannot make a device. */
const ofMemoryFile = (path: string): Need | null =>
  path.startsWith('/dev/') ? file(path, 'memory device') : directoryOf(path, 'the memory device');

function ofGraphics(graphics: Element): (Need | null)[] {
  const listens = elementsAt(graphics, 'listen');
  return [
    ...listens.map(({ attributes: { type, network = null, address: ip = '' } }) =>
      type === 'network' ? named('network', network, 'display') : address(ip, 'display'),
    ),
    address(listens.length === 0 ? (graphics.attributes['listen'] ?? '') : '', 'display'),
    ...[graphics.attributes['socket'], ...listens.map(({ attributes: { socket } }) => socket)].map(
      (socket) =>
        socket === undefined || IS_LIBVIRTS_OWN.test(socket) ? null : directoryOf(socket, 'the display'),
    ),
  ];
}

/** An address of this host to listen on; a host name or the any-address needs no check. */
const address = (ip: string, role: string): Need | null =>
  /^[\d.]+$|:/.test(ip) && !/^(?:0\.0\.0\.0|127\.[\d.]+|::1?)$/.test(ip)
    ? { kind: 'address', name: ip, role }
    : null;

function ofCommandLine(commandLine: Element): (Need | null)[] {
  const words = elementsAt(commandLine, 'qemu:arg').map(({ attributes: { value = '' } }) => value);
  return filesRead(words).map(({ path, option }) => file(path, `${option} in <qemu:commandline>`));
}

function ofHugePages(element: Element): (Need | null)[] {
  return [
    named('mount', 'hugetlbfs', 'huge pages'),
    ...elementsAt(element, 'page').map(({ attributes: { size, unit = 'KiB' } }) => {
      const power = 'kmgt'.indexOf(unit[0]?.toLowerCase() ?? 'k');
      return file(
        size && power >= 0 ? `/sys/kernel/mm/hugepages/hugepages-${Number(size) * 1024 ** power}kB` : null,
        'huge pages',
      );
    }),
  ];
}
