import { type HostFiles, readText } from '../host/files.ts';
import type { Found } from '../libvirt/definition/found-things.ts';
import { numbersIn } from '../libvirt/xml/element.ts';
import type { Need } from '../libvirt/xml/need.ts';
import { findAddress, findPort, findServer } from './find-addresses.ts';
import { existence, findFitting, findOutput, findPipe, findSocket } from './find-opened.ts';

/** Looks in the files of this host for things that a definition needs: devices, programs, users and so on. */

type Finder = (files: HostFiles, name: string) => Promise<Found>;

const FINDERS: Readonly<Partial<Record<Need['kind'], Finder>>> = {
  output: findOutput,
  pipe: findPipe,
  socket: findSocket,
  server: findServer,
  program: findProgram,
  usb: findUsb,
  address: findAddress,
  port: findPort,
  cpus: findCpus,
  mount: findMount,
  user: (files, name) => findAccount(files, 'passwd', name),
  group: (files, name) => findAccount(files, 'group', name),
  partition: findPartition,
};

/** What kvmsnap finds itself; null for things that only libvirt knows. */
export async function findLocally(files: HostFiles, { kind, name, opens }: Need): Promise<Found | null> {
  if (kind === 'file') return opens ? findFitting(files, name, opens) : findFile(files, name);
  return (await FINDERS[kind]?.(files, name)) ?? null;
}

/** Whether a file exists; unknown for a device in /sys if there is no /sys. */
export async function findFile(files: HostFiles, path: string): Promise<Found> {
  const found = await existence(files, path);
  // a container may have no /sys, and then it tells nothing about devices
  return found === 'missing' && path.startsWith('/sys/') && (await existence(files, '/sys/class')) !== 'there'
    ? { is: 'unknown' }
    : { is: found };
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

/** One CPU of the set is enough, because Linux pins to those that are online. */
async function findCpus(files: HostFiles, set: string): Promise<Found> {
  const online = await readText(files, '/sys/devices/system/cpu/online').catch(() => null);
  if (online === null) return { is: 'unknown' };
  const present = new Set(numbersIn(online));
  return { is: numbersIn(set).some((cpu) => present.has(cpu)) ? 'there' : 'missing' };
}

/** Sources of names without accounts that are not in the files (nsswitch.conf(5)). */
const NO_ACCOUNTS = new Set(['files', 'compat', 'systemd', 'altfiles', 'usrfiles']);

/** An account in /etc/passwd or /etc/group. One that is missing there is unknown if the host also asks LDAP or similar sources. */
async function findAccount(files: HostFiles, database: 'passwd' | 'group', name: string): Promise<Found> {
  const read = (path: string) => readText(files, path).catch(() => null);
  const [accounts, sources] = [await read(`/etc/${database}`), await read('/etc/nsswitch.conf')];
  if (accounts === null) return { is: 'unknown' };
  if (accounts.split('\n').some((line) => line.startsWith(`${name}:`))) return { is: 'there' };
  const [, listed = 'files'] = new RegExp(`^\\s*${database}:(.*)$`, 'm').exec(sources ?? '') ?? [];
  const words = listed
    .replace(/#.*|\[.*?\]/g, '')
    .trim()
    .split(/\s+/);
  return { is: words.every((word) => NO_ACCOUNTS.has(word)) ? 'missing' : 'unknown' };
}

/** systemd creates a partition when it is used; without systemd it must exist (libvirt's cgroups page: `/a/b` is `a.partition/b.partition`). */
async function findPartition(files: HostFiles, name: string): Promise<Found> {
  if (name === '/machine' || (await existence(files, '/run/systemd/system')) !== 'missing')
    return { is: 'unknown' };
  const path = name.replace(/[^/]+/g, (part) => (part.includes('.') ? part : `${part}.partition`));
  const mounted = await files.readdir('/sys/fs/cgroup').catch(() => null);
  if (mounted === null) return { is: 'unknown' };
  const roots = ['/sys/fs/cgroup', ...mounted.map((entry) => `/sys/fs/cgroup/${entry.name}`)];
  const found = await Promise.all(roots.map((root) => existence(files, `${root}${path}`)));
  return { is: found.includes('there') ? 'there' : 'missing' };
}
