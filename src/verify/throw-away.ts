import {
  changedAt,
  newElement,
  withAttributes,
  withoutAt,
  withoutFirmwareUuid,
} from '../libvirt/xml/change.ts';
import { attributeAt, type Element, elementsAt } from '../libvirt/xml/element.ts';

/** The definition of the throw-away VM: the guest finds its hardware, and nothing of it reaches out of the VM. */

export interface ThrowAway {
  readonly name: string;
  readonly uuid: string;
  /** By target, the overlays over the disks of the snapshot. */
  readonly overlays: ReadonlyMap<string, string>;
  /** Whether it resumes from saved memory: then it has to have the same devices. */
  readonly resumes: boolean;
  /** The security drivers of the host (`dac`, `apparmor`). */
  readonly securityModels: readonly string[];
}

type Change = (domain: Element, vm: ThrowAway) => Element;

/** The new definition. Pure. */
export const throwAwayDefinition = (stored: Element, vm: ThrowAway): Element =>
  CHANGES.reduce((domain, change) => change(domain, vm), stored);

/** Puts an element in the place of those of its name. */
const replaced = (domain: Element, element: Element): Element => {
  const rest = withoutAt(domain, element.name);
  return { ...rest, children: [...rest.children, element] };
};

/** Where it runs on the host, and what it is called. */
const DROPPED = [
  ...['title', 'description', 'metadata', 'memoryBacking', 'cputune', 'numatune', 'blkiotune', 'resource'],
  ...['seclabel', 'on_poweroff', 'on_reboot', 'on_crash', 'on_lockfailure', 'keywrap', 'memtune'],
  ...['devices/lease', 'devices/audio'],
];

/** Devices that reach out of the VM, or need something of the host. */
const OUTWARD = [
  'hostdev',
  'filesystem',
  'redirdev',
  'smartcard',
  'tpm',
  'shmem',
  'vsock',
  'crypto',
  'pstore',
];

/** What a guest can do without, if it does not resume. */
const OPTIONAL = [
  'genid',
  ...['redirfilter', 'hub', 'graphics', 'sound', 'parallel'].map((name) => `devices/${name}`),
];

/** The devices of a definition that a throw-away VM cannot have. */
export const outwardDevices = (stored: Element): string[] =>
  OUTWARD.filter((name) => elementsAt(stored, `devices/${name}`).length > 0);

const END = ['on_poweroff', 'on_reboot', 'on_crash'];

const CHANGES: readonly Change[] = [
  (domain) => DROPPED.reduce(withoutAt, domain),
  (domain) => OUTWARD.reduce((all, name) => withoutAt(all, `devices/${name}`), domain),
  (domain, { resumes }) => (resumes ? domain : OPTIONAL.reduce(withoutAt, domain)),
  (domain, { name, uuid }) =>
    replaced(
      replaced(withAttributes(domain, { id: null }), newElement('name', { text: name })),
      newElement('uuid', { text: uuid }),
    ),
  // a guest that resets itself, which a damaged one does for ever, ends the VM
  (domain) => END.reduce((all, event) => replaced(all, newElement(event, { text: 'destroy' })), domain),
  withoutFirmwareUuid,
  (domain) => changedAt(domain, 'vcpu', (vcpu) => withAttributes(vcpu, { cpuset: null, placement: null })),
  (domain, { overlays }) => changedAt(domain, 'devices/disk', (disk) => diskOver(disk, overlays)),
  (domain, { resumes }) => changedAt(domain, 'devices/interface', (nic) => unplugged(nic, resumes)),
  (domain) =>
    ['serial', 'console', 'parallel'].reduce(
      (all, kind) => changedAt(all, `devices/${kind}`, silent),
      domain,
    ),
  (domain, { resumes }) => changedAt(domain, 'devices/channel', (channel) => ownChannel(channel, resumes)),
  (domain) => changedAt(domain, 'devices/graphics', hidden),
  (domain) =>
    changedAt(domain, 'devices/rng', (rng) =>
      attributeAt(rng, 'backend', 'model') === 'random' ? rng : null,
    ),
  // without a display, QEMU may have no qxl
  (domain, { resumes }) =>
    changedAt(domain, 'devices/video', (video) =>
      !resumes && attributeAt(video, 'model', 'type') === 'qxl'
        ? newElement('video', { children: [newElement('model', { attributes: { type: 'vga' } })] })
        : video,
    ),
  (domain) =>
    changedAt(domain, 'devices/memballoon', (balloon) =>
      balloon.attributes['model'] === 'none'
        ? balloon
        : {
            ...withoutAt(balloon, 'stats'),
            children: [
              newElement('stats', { attributes: { period: String(BALLOON_SECONDS) } }),
              ...withoutAt(balloon, 'stats').children,
            ],
          },
    ),
  // files that it shares with other VMs, such as a kernel, keep their owners
  (domain, { securityModels }) => ({
    ...domain,
    children: [
      ...domain.children,
      ...securityModels.map((model) => newElement('seclabel', { attributes: { type: 'none', model } })),
    ],
  }),
];

/** Seconds between two questions to the balloon driver. */
const BALLOON_SECONDS = 2;

/** A disk on its overlay; a drive without its medium; null for a disk that is not part of the snapshot. */
function diskOver(disk: Element, overlays: ThrowAway['overlays']): Element | null {
  const overlay = overlays.get(attributeAt(disk, 'target', 'dev') ?? '');
  const bare = ['source', 'backingStore', 'mirror', 'encryption', 'shareable', 'transient'].reduce(
    withoutAt,
    disk,
  );
  if (overlay === undefined) {
    const isDrive = ['cdrom', 'floppy'].includes(disk.attributes['device'] ?? '');
    return isDrive ? withAttributes(withoutAt(bare, 'driver'), { type: 'file' }) : null;
  }
  // what it writes is thrown away, so nothing has to reach the disk of the host
  const driver = { name: 'qemu', type: 'qcow2', cache: 'unsafe' };
  const rest = withoutAt(bare, 'driver');
  return {
    ...withAttributes(rest, { type: 'file', snapshot: null }),
    children: [
      newElement('driver', { attributes: driver }),
      newElement('source', { attributes: { file: overlay } }),
      ...rest.children,
    ],
  };
}

/**
 * A network card without a cable: `type='null'` would crash libvirtd 9.0. The memory of a guest on a bridge contains that its card is
 * on a tap device, so it resumes on one, which is connected with nothing.
 */
function unplugged(nic: Element, resumes: boolean): Element {
  const kept = ['mac', 'model', 'address', 'boot', 'rom', 'driver'].filter(
    (name) => resumes || name !== 'driver',
  );
  const isUser = !resumes || nic.attributes['type'] === 'user';
  return newElement('interface', {
    attributes: { type: isUser ? 'user' : 'ethernet' },
    children: [
      ...nic.children.filter(({ name }) => kept.includes(name)),
      newElement('link', { attributes: { state: 'down' } }),
    ],
  });
}

/** A port that goes nowhere. */
const silent = (device: Element): Element => ({
  ...['source', 'log', 'protocol'].reduce(withoutAt, withAttributes(device, { type: 'null', tty: null })),
});

/** The channel of the guest agent, at a socket that libvirt chooses; one that the guest can do without is left out. */
function ownChannel(channel: Element, resumes: boolean): Element | null {
  const isAgent = elementsAt(channel, 'target').some(({ attributes }) => attributes['name'] === AGENT);
  const bare = ['source', 'log'].reduce(withoutAt, channel);
  if (isAgent) return withAttributes(bare, { type: 'unix' });
  if (!resumes) return null;
  return channel.attributes['type'] === 'spicevmc' ? channel : withAttributes(bare, { type: 'null' });
}

/** A display that nobody can connect to, which a graphics card may need. */
const hidden = (display: Element): Element | null =>
  display.attributes['type'] === 'spice'
    ? newElement('graphics', {
        attributes: { type: 'spice' },
        children: [newElement('listen', { attributes: { type: 'none' } })],
      })
    : null;

const AGENT = 'org.qemu.guest_agent.0';
