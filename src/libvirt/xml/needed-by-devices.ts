import { attributeAt, type Element, elementsAt } from './element.ts';
import {
  address,
  directoryOf,
  file,
  hex,
  type Need,
  named,
  output,
  pciAddresses,
  port,
  server,
  socket,
} from './need.ts';

/** What interfaces, host devices, serial devices and displays need on the host (formatdomain, devices). */

/** Devices are found by their entries in /sys and /dev. */
export function ofHostDevice(hostdev: Element): (Need | null)[] {
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
    scsi_host: () => [file('/dev/vhost-scsi', role)],
  };
  const needs = of[hostdev.attributes['type'] ?? '']?.() ?? [];
  return needs.map((need) => need && { ...need, ...policy });
}

function usbDevices(source: Element, role: string): (Need | null)[] {
  const [vendor, product] = ['vendor', 'product'].map((name) => attributeAt(source, name, 'id'));
  if (vendor && product) return [named('usb', `${hex(vendor, 4)}:${hex(product, 4)}`, role)];
  const { bus, device } = elementsAt(source, 'address')[0]?.attributes ?? {};
  const three = (text: string | undefined) => String(Number(text)).padStart(3, '0');
  return [file(bus && device ? `/dev/bus/usb/${three(bus)}/${three(device)}` : null, role)];
}

/** What a network interface needs. */
export function ofInterface(nic: Element): (Need | null)[] {
  const type = nic.attributes['type'] ?? '';
  const source = elementsAt(nic, 'source')[0]?.attributes ?? {};
  const mac = attributeAt(nic, 'mac', 'address');
  const role = `network interface${mac === null ? '' : ` ${mac}`}`;
  const device = (name: string | undefined) => file(name ? `/sys/class/net/${name}` : null, role);
  const isOpenVswitch = attributeAt(nic, 'virtualport', 'type') === 'openvswitch';
  const of: Readonly<Record<string, () => (Need | null)[]>> = {
    network: () => [named('network', source['network'] ?? null, role)],
    bridge: () => [isOpenVswitch ? named('program', 'ovs-vsctl', role) : device(source['bridge'])],
    direct: () => [device(source['dev'])],
    hostdev: () => elementsAt(nic, 'source').flatMap((each) => pciAddresses(each, role)),
    vhostuser: () => [
      source['mode'] === 'server'
        ? directoryOf(source['path'] ?? null, role)
        : socket(source['path'] ?? null, role),
    ],
    user: () => [attributeAt(nic, 'backend', 'type') === 'passt' ? named('program', 'passt', role) : null],
    server: () => [
      address(source['address'] ?? '', role),
      port(source['address'] ?? null, source['port'], role),
    ],
    udp: () => [address(attributeAt(nic, 'source/local', 'address') ?? '', role)],
    vdpa: () => [file(source['dev'] ?? null, role)],
    ethernet: () => [
      attributeAt(nic, 'target', 'managed') === 'no' ? device(attributeAt(nic, 'target', 'dev') ?? '') : null,
    ],
  };
  const isFiltered = ['network', 'bridge', 'ethernet'].includes(type);
  return [
    ...(of[type]?.() ?? []),
    file(attributeAt(nic, 'backend', 'tap'), `backend of the ${role}`),
    file(attributeAt(nic, 'backend', 'vhost'), `backend of the ${role}`),
    file(attributeAt(nic, 'script', 'path'), `script of the ${role}`, 'content'),
    file(attributeAt(nic, 'rom', 'file'), `ROM of the ${role}`, 'rom'),
    isFiltered ? named('filter', attributeAt(nic, 'filterref', 'filter'), `filter of the ${role}`) : null,
  ];
}

/** The needs of a serial device and similar ones: a device, a pipe, a file that will be made, a socket, or a server. */
export function ofCharacterDevice(element: Element, role: string): (Need | null)[] {
  const type = element.attributes['type'] ?? '';
  return [
    ...elementsAt(element, 'source').flatMap((source) => ofCharacterSource(type, source, role)),
    ...output(attributeAt(element, 'log', 'file'), `log of the ${role}`),
  ];
}

/** The same for one `<source>` of a device of that type. */
export function ofCharacterSource(type: string, source: Element, role: string): (Need | null)[] {
  const { path = null, mode, host, service } = source.attributes;
  // then QEMU starts without the other side, and tries again later
  if (mode === 'connect' && attributeAt(source, 'reconnect', 'enabled') === 'yes') return [];
  const of: Readonly<Record<string, () => (Need | null)[]>> = {
    dev: () => [file(path, role, role.startsWith('parallel') ? 'port' : 'stream')],
    pipe: () => [named('pipe', path, role)],
    file: () => output(path, role),
    unix: () => (mode === 'connect' ? [socket(path, role)] : output(path, role)),
    tcp: () =>
      mode === 'connect'
        ? [server([{ host, port: service }], role)]
        : host === undefined
          ? []
          : [address(host, role), port(host, service, role)],
    udp: () => [mode === 'bind' && host !== undefined ? address(host, role) : null],
  };
  return of[type]?.() ?? [];
}

/** What a graphical console needs. */
export function ofGraphics(graphics: Element): (Need | null)[] {
  const listens = elementsAt(graphics, 'listen');
  const { autoport, port: fixed, tlsPort, websocket, listen = null } = graphics.attributes;
  const ip = listens.find(({ attributes }) => attributes['address'])?.attributes['address'] ?? listen;
  return [
    ...(autoport === 'yes' ? [websocket] : [fixed, tlsPort, websocket]).map((number) =>
      port(ip, number, 'display'),
    ),
    ...listens.map(({ attributes: { type, network = null, address: ip = '' } }) =>
      type === 'network' ? named('network', network, 'display') : address(ip, 'display'),
    ),
    address(listens.length === 0 ? (graphics.attributes['listen'] ?? '') : '', 'display'),
    ...[graphics.attributes['socket'], ...listens.map(({ attributes }) => attributes['socket'])].flatMap(
      (path) => output(path ?? null, 'display'),
    ),
  ];
}
