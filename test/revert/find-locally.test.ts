// What the files of a host tell of the things that a definition needs.
import { expect, test } from 'vitest';
import type { HostFiles } from '../../src/host/files.ts';
import type { Need } from '../../src/libvirt/xml/need.ts';
import { findLocally } from '../../src/revert/find-locally.ts';

const missing = () => Object.assign(new Error('no such file'), { code: 'ENOENT' });

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
    },
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
