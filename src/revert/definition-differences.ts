import { attributeAt, type Element, elementsAt, textAt } from '../libvirt/xml/element.ts';

/**
 * What a revert changes in the definition of a VM, in words: compares two definitions (libvirt's domain XML), except for
 * the parts that libvirt itself generates at each start.
 */

/** Elements that libvirt generates at each start or definition, or that are no part of the hardware. */
const OWN_ELEMENTS: ReadonlySet<string> = new Set([
  ...['alias', 'address', 'seclabel', 'backingStore', 'metadata', 'resource', 'privateData', 'mirror'],
  ...['name', 'uuid', 'title', 'description', 'currentMemory'],
]);
/** Attributes of that kind, as `element@attribute`. */
const OWN_ATTRIBUTES: ReadonlySet<string> = new Set([
  ...['domain@id', 'source@index', 'source@portid', 'source@bridge', 'console@tty', 'target@state'],
  ...['graphics@port', 'graphics@websocket', 'graphics@tlsPort', 'listen@address', 'model@heads'],
]);

/** The disks in a snapshot, by their targets. */
export interface SnapshotDisks {
  /** Disks whose content is rolled back inside their images. */
  readonly rolledBack: ReadonlySet<string>;
  /** Disks that get a new overlay, which is printed elsewhere. */
  readonly overlaid: ReadonlySet<string>;
}

/** The differences from the present definition to the stored one, one line each. */
export function definitionDifferences(now: Element, then: Element, disks: SnapshotDisks): string[] {
  const [before, after] = [devicesOf(now), devicesOf(then)];
  const changed = [...before].flatMap(([key, device]) => {
    const other = after.get(key);
    const isOverlaid = device.name === 'disk' && disks.overlaid.has(identity(device));
    return other && !isOverlaid ? flatDifferences(`${labelOf(device)}: `, device, other) : [];
  });
  return [...mainDifferences(now, then), ...comingAndGoing(now, then, disks), ...changed];
}

/** The devices that are added and removed. A disk that only gets another target is not among them. */
export function comingAndGoing(now: Element, then: Element, { rolledBack }: SnapshotDisks): string[] {
  const [before, after] = [devicesOf(now), devicesOf(then)];
  const missingIn = (others: ReadonlyMap<string, Element>, devices: ReadonlyMap<string, Element>) => {
    const sources = new Set([...others.values()].map(sourceOf));
    return [...devices]
      .filter(
        ([key, device]) => !others.has(key) && (sourceOf(device) === null || !sources.has(sourceOf(device))),
      )
      .map(([, device]) => device);
  };
  return [
    ...missingIn(after, before).map(removal),
    ...missingIn(before, after).map((device) => comingBack(device, rolledBack)),
  ];
}

/** The image of a disk. */
const sourceOf = (device: Element): string | null =>
  device.name === 'disk'
    ? (attributeAt(device, 'source', 'file') ?? attributeAt(device, 'source', 'dev'))
    : null;

function removal(device: Element): string {
  const source = sourceOf(device);
  return `${labelOf(device)} is removed from the VM${source === null ? '' : ` (the file stays: ${source})`}`;
}

function comingBack(device: Element, rolledBack: ReadonlySet<string>): string {
  const source = sourceOf(device);
  const content =
    device.name === 'disk' && rolledBack.has(attributeAt(device, 'target', 'dev') ?? '')
      ? ' and its content is rolled back'
      : '';
  return `${labelOf(device)} comes back${content}${source === null ? '' : ` (${source})`}`;
}

/** The devices by what distinguishes each from the others of its kind, or by its position among them. */
function devicesOf(domain: Element): ReadonlyMap<string, Element> {
  const found = new Map<string, Element>();
  for (const device of elementsAt(domain, 'devices').flatMap(({ children }) => children)) {
    const base = `${device.name}:${identity(device)}`;
    let key = base;
    for (let n = 1; found.has(key); n++) key = `${base}:${n}`;
    found.set(key, device);
  }
  return found;
}

const IDENTITIES: Readonly<Record<string, (device: Element) => string | null>> = {
  disk: (device) => attributeAt(device, 'target', 'dev'),
  interface: (device) => attributeAt(device, 'mac', 'address'),
  filesystem: (device) => attributeAt(device, 'target', 'dir'),
  channel: (device) => attributeAt(device, 'target', 'name'),
  controller: ({ attributes: { type = '', index = '' } }) => `${type} ${index}`.trim(),
  graphics: ({ attributes: { type = '' } }) => type,
  input: ({ attributes: { type = '', bus = '' } }) => `${type} ${bus}`.trim(),
  hostdev: (device) => [...flat(device)].map(([key, value]) => `${key}=${value}`).join(' '),
};

const identity = (device: Element): string => IDENTITIES[device.name]?.(device) ?? '';

function labelOf(device: Element): string {
  if (device.name === 'hostdev') return `host device (${device.attributes['type'] ?? 'unknown'})`;
  if (device.name === 'interface') {
    const source = elementsAt(device, 'source')[0]?.attributes ?? {};
    const to = source['network'] ?? source['bridge'] ?? source['dev'] ?? device.attributes['type'];
    return `network interface ${identity(device)} (${to})`;
  }
  return `${device.name} ${identity(device)}`.trim();
}

/** The main properties by their names, and everything else by its place in the XML. */
function mainDifferences(now: Element, then: Element): string[] {
  const named = MAIN.flatMap(({ title, value }) => {
    const [from, to] = [value(now), value(then)];
    return from === to ? [] : [`${title} ${from} -> ${to}`];
  });
  return [...named, ...flatDifferences('', withoutNamed(now), withoutNamed(then))];
}

const MAIN: readonly { readonly title: string; readonly value: (domain: Element) => string }[] = [
  { title: 'memory', value: (domain) => memoryOf(elementsAt(domain, 'memory')[0]) },
  { title: 'vcpus', value: vcpusOf },
  { title: 'machine type', value: (domain) => attributeAt(domain, 'os/type', 'machine') ?? 'none' },
  {
    title: 'boot order',
    value: (domain) =>
      elementsAt(domain, 'os/boot')
        .map(({ attributes: { dev } }) => dev)
        .join(', ') || 'none',
  },
];

/** The maximum number of vcpus, and how many of them the VM starts with. */
function vcpusOf(domain: Element): string {
  const count = textAt(domain, 'vcpu') ?? '1';
  const current = attributeAt(domain, 'vcpu', 'current');
  return current === null || current === count ? count : `${current} of ${count}`;
}

function withoutNamed(domain: Element): Element {
  const keep = ({ name }: Element) => !['memory', 'vcpu', 'devices'].includes(name);
  const os = (element: Element): Element => ({
    ...element,
    children: element.children
      .filter(({ name }) => name !== 'boot')
      .map((child) => (child.name === 'type' ? { ...child, attributes: withoutMachineType(child) } : child)),
  });
  return {
    ...domain,
    children: domain.children.filter(keep).map((child) => (child.name === 'os' ? os(child) : child)),
  };
}

const withoutMachineType = ({ attributes: { machine: _, ...others } }: Element) => others;

const UNITS: Readonly<Record<string, number>> = { b: 1, k: 1024, m: 1024 ** 2, g: 1024 ** 3, t: 1024 ** 4 };

function memoryOf(memory: Element | undefined): string {
  const unit = memory?.attributes['unit']?.[0]?.toLowerCase() ?? 'k';
  const mib = (Number(memory?.text ?? 0) * (UNITS[unit] ?? 1024)) / 1024 ** 2;
  return mib >= 1024 && mib % 512 === 0 ? `${mib / 1024} GiB` : `${mib} MiB`;
}

function flatDifferences(before: string, now: Element, then: Element): string[] {
  const [from, to] = [flat(now), flat(then)];
  return [...new Set([...from.keys(), ...to.keys()])]
    .filter((key) => from.get(key) !== to.get(key))
    .map((key) => `${before}${key} ${shown(from.get(key))} -> ${shown(to.get(key))}`);
}

const shown = (value: string | undefined): string =>
  value === undefined ? 'none' : value === '' ? 'present' : value;

/** Every attribute and text by its place in the XML; an empty element has the empty text. */
function flat(element: Element, place = '', found = new Map<string, string>()): Map<string, string> {
  const attributes = Object.entries(element.attributes).filter(
    ([name, value]) => !isOwn(element, name, value),
  );
  for (const [name, value] of attributes) found.set(`${place} ${name}`.trim(), value);
  const children = element.children.filter(({ name }) => !OWN_ELEMENTS.has(name));
  const isFlag = place !== '' && Object.keys(element.attributes).length + element.children.length === 0;
  if (element.text !== '' || isFlag) found.set(place || element.name, element.text);
  const seen = new Map<string, number>();
  for (const child of children) {
    const n = (seen.get(child.name) ?? 0) + 1;
    seen.set(child.name, n);
    const name = n === 1 ? child.name : `${child.name} ${n}`;
    flat(child, place === '' ? name : `${place}/${name}`, found);
  }
  return found;
}

const isOwn = (element: Element, name: string, value: string): boolean =>
  OWN_ATTRIBUTES.has(`${element.name}@${name}`) ||
  (element.name === 'source' && name === 'path' && value.startsWith('/dev/pts/'));
