import {
  changedAt,
  newElement,
  withAttributes,
  withoutAt,
  withoutFirmwareUuid,
} from '../libvirt/xml/change.ts';
import { attributeAt, type Element, elementsAt } from '../libvirt/xml/element.ts';
import { POLICY_NAMESPACE } from '../model/policy.ts';

/** The definition of a clone: that of the snapshot, with all that a second VM cannot share. */

export interface CloneIdentity {
  /** The name of the VM of the snapshot. */
  readonly from: string;
  readonly name: string;
  readonly uuid: string;
  /** Of what it is a clone, in words. */
  readonly title: string;
  /** By target, the new files. */
  readonly disks: ReadonlyMap<string, { readonly path: string; readonly format: string }>;
  /** The copy of the NVRAM; null: there was none to copy, and libvirt makes it anew. */
  readonly nvram: string | null;
}

type Change = (domain: Element, identity: CloneIdentity) => Element;

/** The new definition. libvirt chooses what is left out: MAC addresses, ports, sockets of channels. Pure. */
export const clonedDefinition = (stored: Element, identity: CloneIdentity): Element =>
  CHANGES.reduce((domain, change) => change(domain, identity), stored);

const setText = (domain: Element, name: string, text: string): Element => ({
  ...domain,
  children: domain.children.map((child) => (child.name === name ? { ...child, text } : child)),
});

const CHANGES: readonly Change[] = [
  (domain, { name, uuid, title }) => {
    const named = setText(setText(setText(domain, 'name', name), 'uuid', uuid), 'title', title);
    return withAttributes(named, { id: null });
  },
  // libvirt gives it a new one
  (domain) => changedAt(domain, 'genid', () => newElement('genid')),
  withoutFirmwareUuid,
  // it would take part in the nightly runs of the VM, and prune its snapshots
  (domain) =>
    changedAt(domain, 'metadata', (metadata) => ({
      ...metadata,
      children: metadata.children.filter(
        ({ attributes }) => !Object.values(attributes).some((value) => isOurs(value)),
      ),
    })),
  (domain, { nvram }) =>
    changedAt(domain, 'os/nvram', (element) => {
      const { template, templateFormat, format } = element.attributes;
      const attributes = Object.fromEntries(
        Object.entries({ template, templateFormat, format }).filter(([, value]) => value !== undefined),
      ) as Record<string, string>;
      // without a template libvirt knows it by the loader
      return nvram === null && template === undefined
        ? null
        : newElement('nvram', { attributes, text: nvram ?? '' });
    }),
  // its variables are in no image that can be copied; libvirt makes it anew, at a path of its own, from the template
  (domain) => changedAt(domain, 'os/varstore', (element) => withAttributes(element, { path: null })),
  (domain, { disks }) => changedAt(domain, 'devices/disk', (disk) => ownDisk(disk, disks)),
  (domain) =>
    changedAt(domain, 'devices/interface', (nic) => {
      const plain = withoutAt(withoutAt(nic, 'mac'), 'target');
      return changedAt(plain, 'source', (source) => withAttributes(source, { portid: null }));
    }),
  (domain, { from, name }) =>
    CHARACTER_DEVICES.reduce(
      (all, kind) => changedAt(all, `devices/${kind}`, (device) => ownCharacterDevice(device, from, name)),
      domain,
    ),
  (domain, { from, name }) => changedAt(domain, 'devices/graphics', (each) => ownDisplay(each, from, name)),
  (domain) =>
    changedAt(domain, 'devices/vsock', (vsock) =>
      changedAt(vsock, 'cid', (cid) => withAttributes(cid, { auto: 'yes', address: null })),
    ),
  (domain) =>
    changedAt(domain, 'seclabel', (label) =>
      label.attributes['type'] === 'dynamic' ? withoutAt(withoutAt(label, 'label'), 'imagelabel') : label,
    ),
];

const isOurs = (value: string): boolean => value === POLICY_NAMESPACE || value.startsWith('urn:kvmsnap:');

function ownDisk(disk: Element, files: CloneIdentity['disks']): Element {
  const file = files.get(attributeAt(disk, 'target', 'dev') ?? '');
  const plain = withoutAt(withoutAt(disk, 'backingStore'), 'mirror');
  if (!file) return plain;
  const driver = newElement('driver', { attributes: { name: 'qemu' } });
  const own = newElement('source', { attributes: { file: file.path } });
  const rest = ['driver', 'source', 'encryption', 'shareable'].reduce(withoutAt, plain);
  const had = elementsAt(plain, 'driver')[0] ?? driver;
  const children = [withAttributes(had, { type: file.format }), own, ...rest.children];
  return { ...withAttributes(rest, { type: 'file' }), children };
}

const CHARACTER_DEVICES = ['serial', 'parallel', 'console', 'channel'];

/** libvirt's own path for the socket of a channel, which it makes anew from the name of the VM. */
const OF_LIBVIRT = /\/qemu\/channel\//;

function ownCharacterDevice(device: Element, from: string, name: string): Element {
  const type = device.attributes['type'] ?? '';
  const own = (path: string | undefined) => (path === undefined ? null : ownPath(path, from, name));
  const logged = changedAt(withAttributes(device, { tty: null }), 'log', (log) =>
    withAttributes(log, { file: own(log.attributes['file']) }),
  );
  return changedAt(logged, 'source', (source) => {
    const { path, mode = 'bind' } = source.attributes;
    if (type === 'pty') return null;
    if (path === undefined || !OWN_PATHS.includes(type)) return source;
    if (OF_LIBVIRT.test(path)) return null;
    return type === 'unix' && mode !== 'bind' ? source : withAttributes(source, { path: own(path) });
  });
}

const OWN_PATHS = ['unix', 'file', 'pipe'];

/** The same path, with the name of the clone in that of the file. */
export function ownPath(path: string, from: string, name: string): string {
  const [, directory = '', file = ''] = /^(.*\/)?([^/]*)$/.exec(path) ?? [];
  return `${directory}${file.startsWith(from) ? `${name}${file.slice(from.length)}` : `${name}-${file}`}`;
}

/** A display at a free port, or at a socket of its own. */
function ownDisplay(display: Element, from: string, name: string): Element {
  const { socket, port } = display.attributes;
  const own = socket === undefined ? null : OWN_DISPLAY.test(socket) ? null : ownPath(socket, from, name);
  const ports = { port: null, tlsPort: null, websocket: null, autoport: port === undefined ? null : 'yes' };
  return changedAt(withAttributes(display, { ...ports, socket: own }), 'listen', (listen) => {
    const path = listen.attributes['socket'];
    return path === undefined
      ? listen
      : withAttributes(listen, { socket: OWN_DISPLAY.test(path) ? null : ownPath(path, from, name) });
  });
}

/** libvirt's own path for the socket of a display. */
const OWN_DISPLAY = /\/qemu\/(?:domain-)?[^/]*\/(?:spice|vnc)\.sock$/;

/** The disks of a definition that have a medium, by target. */
export const disksOf = (domain: Element): { readonly target: string; readonly disk: Element }[] =>
  elementsAt(domain, 'devices/disk').flatMap((disk) => {
    const target = attributeAt(disk, 'target', 'dev');
    const hasMedium = elementsAt(disk, 'source').length > 0;
    return target === null || !hasMedium ? [] : [{ target, disk }];
  });
