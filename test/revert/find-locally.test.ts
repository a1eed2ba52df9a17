// What the files of a host tell of the things that a definition needs.
import { expect, test } from 'vitest';
import type { FileKind, HostFiles } from '../../src/host/files.ts';
import type { Need, Opened } from '../../src/libvirt/xml/need.ts';
import { findLocally } from '../../src/revert/find-locally.ts';

const missing = () => Object.assign(new Error('no such file'), { code: 'ENOENT' });

/** By its name: `x.pipe`, `x.socket`. */
function kindOf(path: string, paths: readonly string[]): FileKind {
  if (!paths.includes(path)) return 'directory';
  return (['pipe', 'socket', 'block-device'] as const).find((kind) => path.includes(`.${kind}`)) ?? 'file';
}

/** A host with these files and nothing else. */
function host(texts: Readonly<Record<string, string>>): HostFiles {
  const paths = Object.keys(texts);
  return {
    read: async (path: string) => {
      const text = texts[path];
      if (text === undefined) throw missing();
      return new TextEncoder().encode(text);
    },
    stat: async (path: string) => {
      if (!paths.some((each) => each === path || each.startsWith(`${path}/`))) throw missing();
      return { kind: kindOf(path, paths), identity: path.startsWith('/proc/') ? (texts[path] ?? '') : path };
    },
    realpath: async (path: string) => path,
    readdir: async (path: string) => {
      const inside = paths.filter((each) => each.startsWith(`${path}/`));
      if (inside.length === 0) throw missing();
      return [...new Set(inside.map((each) => each.slice(path.length + 1).split('/')[0] ?? ''))].map(
        (name) => ({
          name,
          isFile: false,
        }),
      );
    },
  } as unknown as HostFiles;
}

const find = async (texts: Readonly<Record<string, string>>, kind: Need['kind'], name: string) =>
  (await findLocally(host(texts), { kind, name, role: '' }))?.is;

const PASSWD = { '/etc/passwd': 'root:x:0:0::/root:/bin/sh\njo:x:7:7::/:/bin/sh\n' };

test.each<[string, Readonly<Record<string, string>>, string, string]>([
  ['one that is there', PASSWD, 'jo', 'there'],
  ['one that is not', PASSWD, 'j', 'missing'],
  ['files and systemd', { ...PASSWD, '/etc/nsswitch.conf': 'passwd:  files systemd # x\n' }, 'al', 'missing'],
  [
    'LDAP',
    { ...PASSWD, '/etc/nsswitch.conf': 'group: files\npasswd: files [NOTFOUND=return] sss\n' },
    'al',
    'unknown',
  ],
  ['LDAP, and it is in the file', { ...PASSWD, '/etc/nsswitch.conf': 'passwd: files sss\n' }, 'jo', 'there'],
  ['nothing can be read', {}, 'jo', 'unknown'],
])('a user: %s', async (_, texts, name, is) => {
  expect(await find(texts, 'user', name)).toBe(is);
});

const V6 = {
  '/proc/sys/net/ipv6/ip_nonlocal_bind': '0\n',
  '/proc/net/if_inet6': '20010db8000000000000000000000007 02 40 00 80     eth0\n',
};

test.each<[string, Readonly<Record<string, string>>, string, string]>([
  ['of this host', V6, '2001:db8::7', 'there'],
  ['of another', V6, '2001:db8::8', 'missing'],
  ['any may be bound to', { ...V6, '/proc/sys/net/ipv6/ip_nonlocal_bind': '1\n' }, '2001:db8::8', 'unknown'],
  ['no table', {}, '2001:db8::8', 'unknown'],
])('an IPv6 address: %s', async (_, texts, ip, is) => {
  expect(await find(texts, 'address', ip)).toBe(is);
});

const TCP = `  sl  local_address rem_address   st tx_queue
   0: 0100007F:1759 00000000:0000 0A 00000000:00000000 00:00000000
   1: 00000000:175A 00000000:0000 0A 00000000:00000000 00:00000000
   2: 0100007F:175B 0100007F:C350 01 00000000:00000000 00:00000000
`;
const TCP6 = `  sl  local_address
   0: 00000000000000000000000001000000:1760 00000000000000000000000000000000:0000 0A 00000000:00000000
   1: 00000000000000000000000000000000:1761 00000000000000000000000000000000:0000 0A 00000000:00000000
`;
const PORTS = { '/proc/net/tcp': TCP, '/proc/net/tcp6': TCP6 };

test.each<[string, string, string]>([
  ['taken', '127.0.0.1 5977', 'missing'],
  ['on another address', '192.0.2.1 5977', 'there'],
  ['any address is wanted', '0.0.0.0 5977', 'missing'],
  ['taken on any address', '192.0.2.1 5978', 'missing'],
  ['a connection', '127.0.0.1 5979', 'there'],
  ['free', '127.0.0.1 5999', 'there'],
  ['IPv6', '::1 5984', 'missing'],
  ['IPv6, on any address', '127.0.0.1 5985', 'missing'],
  ['by name', 'localhost 5977', 'missing'],
  ['by a name that is not known', 'web 5977', 'unknown'],
])('a port: %s', async (_, name, is) => {
  expect(await find(PORTS, 'port', name)).toBe(is);
});

test.each<[string, Readonly<Record<string, string>>, string, string]>([
  ['there', { '/sys/fs/cgroup/cpu/a.partition/b.partition/tasks': '' }, '/a/b', 'there'],
  ['in the unified tree', { '/sys/fs/cgroup/a.partition/x': '' }, '/a', 'there'],
  ['missing', { '/sys/fs/cgroup/cpu/a.partition/tasks': '' }, '/a/b', 'missing'],
  ['systemd makes it', { '/sys/fs/cgroup/x/y': '', '/run/systemd/system/x': '' }, '/a', 'unknown'],
  ['the usual one', { '/sys/fs/cgroup/x/y': '' }, '/machine', 'unknown'],
  ['no cgroups', {}, '/a', 'unknown'],
])('a cgroup partition: %s', async (_, texts, name, is) => {
  expect(await find(texts, 'partition', name)).toBe(is);
});

test.each<[string, string, string]>([
  ['listens', '127.0.0.1 5977', 'there'],
  ['listens on any address', '127.0.0.1 5978', 'there'],
  ['listens on any address of IPv6', '127.0.0.1 5985', 'there'],
  ['only a connection', '127.0.0.1 5979', 'missing'],
  ['nobody', '127.0.0.1 5999', 'missing'],
  ['by name, IPv6', 'localhost 5984', 'there'],
  ['one of several', '127.0.0.1 5999,127.0.0.1 5977', 'there'],
  ['another host', '192.0.2.1 5977', 'unknown'],
  ['here or on another host', '127.0.0.1 5999,192.0.2.1 5999', 'unknown'],
  ['another host by name', 'store-1 5977', 'unknown'],
  ['a service by name', '127.0.0.1 http', 'unknown'],
])('a server: %s', async (_, name, is) => {
  expect(await find(PORTS, 'server', name)).toBe(is);
});

const unix = (...lines: readonly string[]) =>
  ['Num       RefCount Protocol Flags    Type St Inode Path', ...lines, ''].join('\n');
const LISTENS = '0000000059637: 00000002 00000000 00010000 0001 01 29828347 ';
const CONNECTED = '0000000059638: 00000003 00000000 00000000 0001 03 29828348 ';
const ours = (table: string) => ({
  '/s/a.socket': '',
  '/proc/self/net/unix': table,
  '/proc/self/ns/net': '1',
});

test.each<[string, Readonly<Record<string, string>>, string]>([
  ['a program listens', ours(unix(`${LISTENS}/s/a.socket`)), 'there'],
  ['the program is gone', ours(unix(`${LISTENS}/s/b.socket`)), 'missing'],
  ['its one client is connected', ours(unix(`${CONNECTED}/s/a.socket`)), 'missing'],
  [
    'in a container, under another path',
    { ...ours(unix()), '/proc/7/ns/net': '2', '/proc/7/net/unix': unix(`${LISTENS}/x y/a.socket`) },
    'there',
  ],
  ['of our namespace, under another process', { ...ours(unix()), '/proc/7/ns/net': '1' }, 'missing'],
  ['no table', { '/s/a.socket': '' }, 'unknown'],
  ['no socket', ours(unix()), 'missing'],
])('a socket: %s', async (says, texts, is) => {
  const path = says === 'no socket' ? '/proc/self/ns/net' : '/s/a.socket';
  expect(await find(texts, 'socket', path)).toBe(is);
});

test.each<[string, readonly string[], string]>([
  ['both ends', ['/p.in', '/p.out'], 'there'],
  ['one end', ['/p.in'], 'missing'],
  ['the path itself', ['/p'], 'there'],
  ['an end is a directory', ['/p.in/x', '/p.out'], 'missing'],
])('a pipe: %s', async (_, paths, is) => {
  expect(await find(Object.fromEntries(paths.map((path) => [path, ''])), 'pipe', '/p')).toBe(is);
});

test.each<[Opened, string, string]>([
  ['content', '/a', 'there'],
  ['content', '/a.block-device', 'there'],
  ['content', '/a.pipe', 'missing'],
  ['content', '/a.socket', 'missing'],
  ['content', '/d', 'missing'],
  ['rom', '/a.block-device', 'missing'],
  ['device', '/a', 'missing'],
  ['device', '/a.block-device', 'there'],
  ['stream', '/a.pipe', 'there'],
  ['stream', '/d', 'missing'],
  ['directory', '/d', 'there'],
  ['directory', '/a', 'missing'],
])('opened as %s: %s', async (opens, name, is) => {
  const files = { '/a': '', '/a.block-device': '', '/a.pipe': '', '/a.socket': '', '/d/x': '' };
  expect((await findLocally(host(files), { kind: 'file', name, role: '', opens }))?.is).toBe(is);
});
