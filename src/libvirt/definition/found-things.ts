import { inText } from '../../model/text.ts';
import type { Need } from '../xml/need.ts';

/** What was found on the host for the things that a definition needs. */
export type Found =
  | { readonly is: 'there' }
  | { readonly is: 'inactive' }
  /** libvirt would make it from its template, so its content would be lost. */
  | { readonly is: 'template' }
  /**
   * `detail`: the end of the sentence that says why, if the thing is not simply missing. `onlyNow`: it prevents a start now, but
   * perhaps not the next one.
   */
  | { readonly is: 'missing'; readonly detail?: string; readonly onlyNow?: true }
  /** It could not be looked for. */
  | { readonly is: 'unknown' };

/** By `needKey`. */
export type HostThings = ReadonlyMap<string, Found>;

/** A thing that is missing or not ready. */
export interface Lack {
  readonly need: Need;
  readonly found: Extract<Found, { is: 'inactive' | 'template' | 'missing' }>;
}

/** How a sentence names the thing. */
export function lackingThing({ need: { kind, name, role, within } }: Lack): string {
  const device = /^\/sys\/(?:.*\/)?([^/]+)$/.exec(name)?.[1];
  const shown: Readonly<Record<Need['kind'], string>> = {
    file: device === undefined ? name : `device ${device}`,
    output: name,
    pipe: `pipe ${name}`,
    socket: `socket ${name}`,
    server: serverText(name),
    network: `network ${inText(name)}`,
    pool: `storage pool ${inText(name)}`,
    volume: `volume ${inText(name)} of the storage pool ${inText(within ?? '')}`,
    secret: `secret ${name}`,
    filter: `network filter ${inText(name)}`,
    emulator: 'this host',
    program: `program ${name}`,
    usb: `USB device ${name}`,
    mount: `file system ${name}`,
    address: `the address ${name}`,
    port: serverText(name),
    cpus: `one of the CPUs ${name}`,
    user: `user ${inText(name)}`,
    group: `group ${inText(name)}`,
    security: `security model ${inText(name)}`,
    partition: `partition ${name}`,
    feature: `${name.split(' ')[2]} (${name.split(' ')[0]})`,
  };
  return kind === 'emulator' || kind === 'feature' ? shown[kind] : `${shown[kind]} (${role})`;
}

/** `a 1,b 2` -> `port 1 of a or port 2 of b` */
const serverText = (name: string): string =>
  name
    .split(',')
    .map((each) => `port ${each.split(' ')[1]} of ${each.split(' ')[0]}`)
    .join(' or ');

const UNDEFINED = 'is not defined in libvirt';

/** The end of the sentence for kinds that are not simply missing. */
const STATES: Readonly<Partial<Record<Need['kind'], string>>> = {
  network: UNDEFINED,
  pool: UNDEFINED,
  secret: UNDEFINED,
  filter: UNDEFINED,
  mount: 'is not mounted',
  program: 'is not installed',
  address: 'does not belong to this host',
  server: 'no program listens on',
  port: 'another program already listens on',
  cpus: 'this host does not have',
  user: 'this host does not know',
  group: 'this host does not know',
  security: 'libvirt does not offer on this host',
  feature: 'the QEMU of this host does not offer',
};

/** The end of the sentence. */
export function lackingState({ found, need }: Lack): string {
  if (found.is === 'missing' && found.detail !== undefined) return found.detail;
  if (found.is === 'inactive') return 'is not active';
  return STATES[need.kind] ?? 'does not exist';
}

/** What to do about a missing thing, with the command if there is one. */
export function lackingCure({ found, need: { kind, name, within = '' } }: Lack): {
  readonly hint: string;
  readonly command?: readonly string[];
} {
  if (found.is === 'inactive') {
    const hint = `start the ${kind === 'pool' ? 'storage pool' : kind} first`;
    return { hint, command: ['virsh', kind === 'pool' ? 'pool-start' : 'net-start', name] };
  }
  const hints: Readonly<Record<Need['kind'], string>> = {
    file:
      name.startsWith('/sys/') || name.startsWith('/dev/')
        ? 'make the device available again'
        : `put ${name} back`,
    output: `move ${name} away`,
    pipe: 'create the pipe again, with both its ends',
    socket: `start the program that listens on ${name}`,
    server: 'start the server',
    network: `define the network ${inText(name)} again (virsh net-define FILE), and start it`,
    pool: `define the storage pool ${inText(name)} again (virsh pool-define FILE), and start it`,
    volume: 'put the volume back, and then refresh the pool',
    secret: 'define the secret again (virsh secret-define FILE), and set its value',
    filter: 'define the network filter again (virsh nwfilter-define FILE)',
    emulator: 'install the emulator that the VM was run with, or revert on the host that has it',
    program: `install ${name}`,
    usb: 'plug the device in',
    mount: `mount ${name}`,
    address: `give this host the address ${name} again`,
    port: 'stop the program that listens there; this command shows it',
    user: `add the user ${inText(name)} to this host again, or change the label in the definition that the snapshot stores`,
    group: `add the group ${inText(name)} to this host again, or change the label in the definition that the snapshot stores`,
    security: `turn on ${name} for libvirt again, or change the label in the definition that the snapshot stores`,
    partition: 'create the partition again',
    feature: 'install the modules of QEMU for it, which may be a package of their own',
    cpus: 'bring one of these CPUs online, or revert on the host that has them',
  };
  const commands: Readonly<Partial<Record<Need['kind'], readonly string[]>>> = {
    pipe: ['mkfifo', `${name}.in`, `${name}.out`],
    volume: ['virsh', 'pool-refresh', within],
    port: ['ss', '-ltnp', `sport = :${name.split(' ')[1]}`],
  };
  return { hint: hints[kind], ...(commands[kind] && { command: commands[kind] }) };
}
