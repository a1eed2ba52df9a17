import { KvmsnapError, lineWith } from '../errors.ts';
import type { ConfigFiles } from '../host/config-files.ts';
import type { Destination } from '../host/ssh/host-away.ts';
import { sshAliases, sshConfigFiles } from '../host/ssh/ssh-config.ts';
import { readUserFile } from '../host/user-files.ts';
import { nearest } from '../model/names.ts';
import { expandNodeSet, splitSets } from '../model/node-set.ts';
import type { HostOptions } from '../run/context.ts';
import { isAddress, type ListedHost, parseHostList, parseHostsFile } from './hosts-file.ts';

/** Finds the hosts that a command line names. */

/** This host, wherever a host can be named. */
const LOCAL = 'local';

/** Each host once, in the order in which they are named. Throws `usage`, and `not-found` for a group or for no host at all. */
export async function chooseHosts(
  { names, from, exclude }: HostOptions,
  files: ConfigFiles,
): Promise<readonly Destination[]> {
  const listed = await readHostsFiles(files);
  const wanted = names.flatMap((name) => named(listed, name));
  const read = from === null ? [] : await readList(from, listed);
  const without = new Set(exclude.flatMap((name) => named(listed, name)).map(({ name }) => name));
  const found = new Map<string, Destination>();
  for (const each of [...wanted, ...read])
    if (!without.has(each.name) && !found.has(each.name)) found.set(each.name, each);
  if (found.size === 0)
    throw new KvmsnapError(
      'not-found',
      wanted.length + read.length === 0 ? 'the list of hosts is empty' : 'all hosts are excluded',
    );
  return [...found.values()];
}

/** The hosts of the files, their groups as `@NAME`, and the aliases of ssh_config. Throws `usage` for a file that cannot be used. */
export async function knownHosts(files: ConfigFiles): Promise<readonly string[]> {
  const [listed, aliases] = await Promise.all([readHostsFiles(files), sshAliases(sshConfigFiles())]);
  const groups = listed.flatMap((host) => host.groups.map((group) => `@${group}`));
  return [...new Set([...listed.map(({ name }) => name), ...groups, ...aliases.filter(isAddress)])];
}

async function readHostsFiles(files: ConfigFiles): Promise<readonly ListedHost[]> {
  const listed = new Map<string, ListedHost>();
  for (const { path, text, problem } of await files.readAll('hosts')) {
    if (problem)
      throw new KvmsnapError('usage', `${path} is not used, because ${problem.why}`, problem.advice);
    const hosts = parseHostsFile(text);
    if ('problem' in hosts) throw new KvmsnapError('usage', `${path}:${hosts.number}: ${hosts.problem}`);
    // the user's own file comes first, and has the last word
    for (const host of hosts) if (!listed.has(host.name)) listed.set(host.name, host);
  }
  return [...listed.values()];
}

async function readList(from: string, listed: readonly ListedHost[]): Promise<Destination[]> {
  const list = parseHostList(await readUserFile(from, 'the list of hosts'));
  if ('problem' in list) throw new KvmsnapError('usage', `cannot read the list of hosts: ${list.problem}`);
  return list.flatMap(({ name, address }) => {
    if (name === address || listed.some((host) => host.name === name)) return named(listed, name);
    return [{ name: requireAddress(name), address: requireAddress(address), sudo: false }];
  });
}

/** The hosts of a word: names, sets and groups, separated by commas. */
function named(listed: readonly ListedHost[], text: string): Destination[] {
  const sets = splitSets(text);
  if (sets.length === 0) throw new KvmsnapError('usage', 'a host cannot have an empty name');
  return sets.flatMap((set) => {
    if (set.startsWith('@')) return groupOf(listed, set.slice(1));
    const names = expandNodeSet(set);
    if ('problem' in names)
      throw new KvmsnapError('usage', `cannot read the names of hosts in '${set}': ${names.problem}`);
    return names.map((name) => destinationOf(listed, name));
  });
}

function groupOf(listed: readonly ListedHost[], group: string): Destination[] {
  const hosts = listed.filter(({ groups }) => groups.includes(group));
  if (hosts.length > 0) return hosts.map(({ name }) => destinationOf(listed, name));
  const groups = [...new Set(listed.flatMap((host) => host.groups))];
  const meant = nearest(group, groups);
  throw new KvmsnapError('not-found', `no group of hosts is named @${group}`, {
    hint:
      meant === null
        ? 'a line such as "kvm1 @prod" in /etc/kvmsnap/hosts or ~/.config/kvmsnap/hosts puts a host into a group'
        : `did you mean @${meant}?`,
    meant: meant === null ? undefined : lineWith({ kind: 'host', word: `@${group}`, by: `@${meant}` }),
  });
}

/** The host of that name; it need not be in a file. */
function destinationOf(listed: readonly ListedHost[], name: string): Destination {
  if (name === LOCAL) return { name, address: null, sudo: false };
  const known = listed.find((host) => host.name === name);
  return { name, address: requireAddress(known?.address ?? name), sudo: known?.sudo ?? false };
}

function requireAddress(word: string): string {
  if (isAddress(word)) return word;
  throw new KvmsnapError('usage', `'${word}' cannot be the name of a host`, {
    hint: 'name a host as for ssh: an alias of ssh_config, a host name, or user@host',
  });
}
