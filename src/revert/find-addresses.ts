import { type HostFiles, readText } from '../host/files.ts';
import type { Found } from '../libvirt/definition/found-things.ts';
import { addressBytes } from './ip-address.ts';

/** Addresses and ports of this host, by the tables of its kernel (proc(5)). */

const read = (files: HostFiles, path: string): Promise<string | null> =>
  readText(files, path).catch(() => null);

/** Whether an address can be bound to: it is one of this host, or the kernel lets any be bound to. */
export async function findAddress(files: HostFiles, ip: string): Promise<Found> {
  const family = ip.includes(':') ? 6 : 4;
  const [local, anyCanBeBound] = await Promise.all([
    family === 6 ? localAddresses6(files) : localAddresses4(files),
    read(files, `/proc/sys/net/ipv${family}/ip_nonlocal_bind`),
  ]);
  const bytes = addressBytes(ip);
  if (local === null || bytes === null || anyCanBeBound?.trim() !== '0') return { is: 'unknown' };
  return { is: local.has(bytes) ? 'there' : 'missing' };
}

async function localAddresses4(files: HostFiles): Promise<ReadonlySet<string> | null> {
  const table = await read(files, '/proc/net/fib_trie');
  if (!table?.includes('host LOCAL')) return null;
  const found = [...table.matchAll(/\|-- ([\d.]+)\n\s*\/32 host LOCAL/g)].map(([, ip = '']) =>
    addressBytes(ip),
  );
  return new Set(found.filter((bytes) => bytes !== null));
}

/** Lines of `ADDRESS INDEX LENGTH SCOPE FLAGS DEVICE`, all in hex. */
async function localAddresses6(files: HostFiles): Promise<ReadonlySet<string> | null> {
  const table = await read(files, '/proc/net/if_inet6');
  return table === null ? null : new Set(table.split('\n').map((line) => line.slice(0, 32)));
}

/** The address that stands for all. */
const isAny = (bytes: string): boolean => /^0*$/.test(bytes);

/** TCP_LISTEN of the kernel. */
const LISTENS = '0A';

/** `ADDRESS PORT`: missing where somebody listens there, or on all addresses. */
export async function findPort(files: HostFiles, name: string): Promise<Found> {
  const [ip = '', number = ''] = name.split(' ');
  const wanted = addressBytes(ip === 'localhost' ? '127.0.0.1' : ip);
  const tables = await Promise.all([read(files, '/proc/net/tcp'), read(files, '/proc/net/tcp6')]);
  if (wanted === null || tables[0] === null) return { is: 'unknown' };
  const taken = tables.flatMap((table) => listeners(table ?? '', Number(number)));
  const isTaken = taken.some((bytes) => bytes === wanted || isAny(bytes) || isAny(wanted));
  return { is: isTaken ? 'missing' : 'there' };
}

/**
 * `HOST PORT` or several: missing if all are of this host and no program listens there. kvmsnap does not connect: a server that
 * takes one client would be lost to the VM, and an open port proves little. So a server of another host stays unknown.
 */
export async function findServer(files: HostFiles, name: string): Promise<Found> {
  const found = await Promise.all(name.split(',').map((each) => listensHere(files, each)));
  return { is: found.find((is) => is === 'there') ?? found.find((is) => is === 'unknown') ?? 'missing' };
}

async function listensHere(files: HostFiles, name: string): Promise<'there' | 'missing' | 'unknown'> {
  const [host = '', number = ''] = name.split(' ');
  const ips = host === 'localhost' ? ['127.0.0.1', '::1'] : [host];
  const places = await Promise.all(ips.map((ip) => isOfThisHost(files, ip)));
  const tables = await Promise.all([read(files, '/proc/net/tcp'), read(files, '/proc/net/tcp6')]);
  if (!places.every(Boolean) || tables[0] === null || !/^\d+$/.test(number)) return 'unknown';
  const taken = tables.flatMap((table) => listeners(table ?? '', Number(number)));
  const wanted = new Set(ips.map(addressBytes));
  return taken.some((bytes) => wanted.has(bytes) || isAny(bytes)) ? 'there' : 'missing';
}

async function isOfThisHost(files: HostFiles, ip: string): Promise<boolean> {
  const bytes = addressBytes(ip);
  if (bytes === null) return false;
  if (/^127\.|^::1$|^(?:0\.0\.0\.0|::)$/.test(ip)) return true;
  const local = ip.includes(':') ? await localAddresses6(files) : await localAddresses4(files);
  return local?.has(bytes) ?? false;
}

/** The addresses on which somebody listens to a port: `0100007F:1234`, each group of four bytes in the order of the processor. */
const listeners = (table: string, number: number): string[] =>
  [...table.matchAll(/^\s*\d+: ([0-9A-F]+):([0-9A-F]{4}) \S+ ([0-9A-F]{2}) /gm)].flatMap(
    ([, bytes = '', port = '', state]) =>
      state === LISTENS && Number.parseInt(port, 16) === number
        ? [bytes.replace(/(..)(..)(..)(..)/g, '$4$3$2$1').toLowerCase()]
        : [],
  );
