import { errorCode, type HostFiles } from '../host/files.ts';
import type { Found, HostThings } from '../libvirt/found-things.ts';
import { askForThings } from '../libvirt/host-things.ts';
import { numbersIn } from '../libvirt/xml/element.ts';
import { type Need, needKey } from '../libvirt/xml/needed-things.ts';
import type { Context } from '../run/context.ts';
import { isRemote } from '../vm/disks.ts';

/**
 * Finds out which of the things that definitions need exist on the host: kvmsnap looks for files and devices itself, and
 * asks libvirt for everything else in one process.
 */
export async function findNeededThings(
  ctx: Context,
  uri: string,
  needs: readonly Need[],
): Promise<HostThings> {
  const local = !isRemote(uri);
  const [files, asked] = await Promise.all([
    Promise.all(needs.map((need) => (local ? findLocally(ctx.files, need) : null))),
    askForThings(ctx.virsh, needs),
  ]);
  const found = new Map<string, Found>();
  for (const [i, need] of needs.entries())
    found.set(needKey(need), files[i] ?? asked.found.get(needKey(need)) ?? { is: 'unknown' });
  for (const need of needs) {
    if (found.get(needKey(need))?.is === 'missing' && (await canBeMade(ctx.files, need, asked.firmware)))
      found.set(needKey(need), { is: 'template' });
    const bridge = asked.devices.get(needKey(need));
    if (local && bridge && found.get(needKey(need))?.is === 'there') {
      const seen = await Promise.all(bridge.map((name) => findFile(ctx.files, `/sys/class/net/${name}`)));
      if (seen.length > 0 && seen.every(({ is }) => is === 'missing'))
        found.set(needKey(need), {
          is: 'missing',
          detail: `is on top of the network device ${bridge.join(', ')}, which does not exist`,
        });
    }
  }
  return found;
}

/** What kvmsnap finds itself; null for things that only libvirt knows. */
async function findLocally(files: HostFiles, { kind, name }: Need): Promise<Found | null> {
  if (kind === 'file') return findFile(files, name);
  if (kind === 'program') return findProgram(files, name);
  if (kind === 'usb') return findUsb(files, name);
  if (kind === 'address') return findAddress(files, name);
  if (kind === 'cpus') return findCpus(files, name);
  return kind === 'mount' ? findMount(files, name) : null;
}

async function findFile(files: HostFiles, path: string): Promise<Found> {
  const found = await existence(files, path);
  // a container may have no /sys, and then it tells nothing about devices
  return found === 'missing' && path.startsWith('/sys/') && (await existence(files, '/sys/class')) !== 'there'
    ? { is: 'unknown' }
    : { is: found };
}

async function existence(files: HostFiles, path: string): Promise<'there' | 'missing' | 'unknown'> {
  try {
    await files.stat(path);
    return 'there';
  } catch (error) {
    const code = errorCode(error);
    return code === 'ENOENT' || code === 'ENOTDIR' ? 'missing' : 'unknown';
  }
}

/** Where systemd looks for the programs of a service. */
const SERVICE_PATH = ['/usr/local/sbin', '/usr/local/bin', '/usr/sbin', '/usr/bin', '/sbin', '/bin'];

async function findProgram(files: HostFiles, name: string): Promise<Found> {
  const found = await Promise.all(SERVICE_PATH.map((directory) => existence(files, `${directory}/${name}`)));
  return { is: found.includes('there') ? 'there' : 'missing' };
}

async function findUsb(files: HostFiles, name: string): Promise<Found> {
  try {
    const devices = await files.readdir('/sys/bus/usb/devices');
    const ids = await Promise.all(
      devices.map(async ({ name: device }) => {
        const read = (file: string) =>
          readText(files, `/sys/bus/usb/devices/${device}/${file}`).catch(() => '');
        return `${(await read('idVendor')).trim()}:${(await read('idProduct')).trim()}`;
      }),
    );
    return { is: ids.includes(name) ? 'there' : 'missing' };
  } catch {
    return findFile(files, '/sys/bus/usb/devices');
  }
}

async function findMount(files: HostFiles, type: string): Promise<Found> {
  const mounts = await readText(files, '/proc/mounts').catch(() => null);
  if (mounts === null) return { is: 'unknown' };
  return { is: mounts.split('\n').some((line) => line.split(' ')[2] === type) ? 'there' : 'missing' };
}

/** By the kernel's table of local addresses; unknown for IPv6, and if the kernel lets programs bind to any address. */
async function findAddress(files: HostFiles, ip: string): Promise<Found> {
  const read = (path: string) => readText(files, path).catch(() => null);
  const [table, nonlocal] = [
    await read('/proc/net/fib_trie'),
    await read('/proc/sys/net/ipv4/ip_nonlocal_bind'),
  ];
  if (ip.includes(':') || !table?.includes('host LOCAL') || nonlocal?.trim() !== '0')
    return { is: 'unknown' };
  const local = [...table.matchAll(/\|-- ([\d.]+)\n\s*\/32 host LOCAL/g)].map(([, address]) => address);
  return { is: local.includes(ip) ? 'there' : 'missing' };
}

/** One CPU of the set is enough, because Linux pins to those that are online. */
async function findCpus(files: HostFiles, set: string): Promise<Found> {
  const online = await readText(files, '/sys/devices/system/cpu/online').catch(() => null);
  if (online === null) return { is: 'unknown' };
  const present = new Set(numbersIn(online));
  return { is: numbersIn(set).some((cpu) => present.has(cpu)) ? 'there' : 'missing' };
}

/** Whether libvirt creates the missing file itself: from its template, or from the template of a known firmware. */
async function canBeMade(
  files: HostFiles,
  { madeFor }: Need,
  firmware: ReadonlySet<string>,
): Promise<boolean> {
  if (madeFor === undefined) return false;
  return firmware.has(madeFor) || (await existence(files, madeFor)) === 'there';
}

const readText = async (files: HostFiles, path: string): Promise<string> =>
  new TextDecoder('latin1').decode(await files.read(path));
