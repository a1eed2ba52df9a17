import type { FileKind } from '../../host/files.ts';
import { type Element, elementsAt } from './element.ts';

/** The things that a definition needs on the host, and how the tables of such things create one. */

/** One thing that libvirt or QEMU looks for when a VM is started. */
export interface Need {
  readonly kind:
    | 'file'
    | 'output'
    | 'pipe'
    | 'socket'
    | 'server'
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
    | 'port'
    | 'cpus'
    | 'user'
    | 'group'
    | 'security'
    | 'partition'
    | 'feature';
  /**
   * A path, a name, a UUID, `VENDOR:PRODUCT`, an address, `ADDRESS PORT`, or CPUs of which one must exist; for a server
   * `HOST PORT`, several separated by commas if one of them is enough; for an emulator and its features see `ofEmulator`.
   */
  readonly name: string;
  /** What kind of file is opened there; absent: any. */
  readonly opens?: Opened;
  /** The pool that the volume is in. */
  readonly within?: string;
  /** Its role in the VM, such as `medium of hdc`. */
  readonly role: string;
  /** True if libvirt does not need it when it loads the memory of a snapshot, but at every other start. */
  readonly onlyCold?: true;
  /** True if it prevents a start now, but perhaps not the next one. */
  readonly onlyNow?: true;
  /** An NVRAM: the template from which libvirt makes it, or the loader, for which libvirt may know a template. */
  readonly madeFrom?: { readonly template: string } | { readonly loader: string };
}

/** The key for whether libvirt can make an NVRAM anew. */
export const templateKey = (need: Need): string => `template of ${needKey(need)}`;

/** The key of a thing: equal only for the same thing. */
export const needKey = ({ kind, within = '', name }: Need): string => `${kind}:${within}/${name}`;

/** Paths that libvirt itself makes for each start, such as for the agent's channel or a display (qemu_domain.c). */
export const IS_LIBVIRTS_OWN = /\/libvirt\/qemu\//;

/** How libvirt or QEMU opens a file. */
export type Opened = 'content' | 'rom' | 'device' | 'port' | 'stream' | 'directory';

/**
 * The kinds of files with which that works; with any other, the start fails, and with a pipe as `content` it never ends. Each
 * was tried on libvirt 9.0 and 12.8.
 */
export const FITTING_KINDS: Readonly<Record<Opened, readonly FileKind[]>> = {
  // the image of a disk, a kernel, firmware
  content: ['file', 'block-device'],
  rom: ['file'],
  device: ['block-device', 'character-device'],
  // a parallel port
  port: ['character-device'],
  // a serial port, either end of a pipe
  stream: ['file', 'block-device', 'character-device', 'pipe'],
  directory: ['directory'],
};

/** A file or device that must exist; null if the definition names none. */
export function file(path: string | null, role: string, opens?: Opened): Need | null {
  return path?.startsWith('/') && !IS_LIBVIRTS_OWN.test(path)
    ? { kind: 'file', name: path, role, ...(opens && { opens }) }
    : null;
}

/** A socket on which a program must listen; null if the definition names none. */
export const socket = (path: string | null, role: string): Need | null =>
  path?.startsWith('/') && !IS_LIBVIRTS_OWN.test(path) ? { kind: 'socket', name: path, role } : null;

/** A file that will be made, and its directory. */
export const output = (path: string | null, role: string): (Need | null)[] =>
  path?.startsWith('/') && !IS_LIBVIRTS_OWN.test(path)
    ? [{ kind: 'output', name: path, role }, directoryOf(path, `the ${role}`)]
    : [];

/** Servers of which one must answer; null if there are none, or if one of them has no known port. */
export function server(
  hosts: readonly { readonly host: string | undefined; readonly port: string | undefined }[],
  role: string,
): Need | null {
  if (hosts.length === 0 || hosts.some(({ host, port: number }) => !host || !number)) return null;
  return {
    kind: 'server',
    name: hosts.map((each) => `${each.host} ${each.port}`).join(','),
    role,
    onlyNow: true,
  };
}

/** The directory in which a file will be made. */
export function directoryOf(path: string | null, role: string): Need | null {
  if (!path?.startsWith('/')) return null;
  return file(path.slice(0, path.lastIndexOf('/')) || '/', `directory of ${role}`, 'directory');
}

/** A thing with a name; null if the definition has none. */
export const named = (kind: Need['kind'], name: string | null, role: string): Need | null =>
  name === null || name === '' ? null : { kind, name, role };

/** An address of this host to listen on; a host name or the any-address needs no check. */
export const address = (ip: string, role: string): Need | null =>
  /^[\d.]+$|:/.test(ip) && !/^(?:0\.0\.0\.0|127\.[\d.]+|::1?)$/.test(ip)
    ? { kind: 'address', name: ip, role }
    : null;

/** A port to listen on, `127.0.0.1 5900`; null if none is given, or if it is chosen at the start. */
export const port = (ip: string | null, number: string | undefined, role: string): Need | null =>
  Number(number ?? 0) > 0
    ? { kind: 'port', name: `${ip || '127.0.0.1'} ${number}`, role, onlyNow: true }
    : null;

/** `0x0a` or `10` -> `000a`, of so many digits. */
export const hex = (value: string | undefined, digits: number): string =>
  Number(value ?? 0)
    .toString(16)
    .padStart(digits, '0');

/** The PCI devices of the host that a source names. */
export const pciAddresses = (source: Element, role: string): (Need | null)[] =>
  elementsAt(source, 'address')
    .filter(({ attributes }) => attributes['slot'] !== undefined)
    .map(({ attributes: { domain, bus, slot, function: part } }) =>
      file(`/sys/bus/pci/devices/${hex(domain, 4)}:${hex(bus, 2)}:${hex(slot, 2)}.${hex(part, 1)}`, role),
    );
