import { expandNodeSet } from '../model/node-set.ts';

/** The files in which a user names hosts. Keys, ports and jump hosts are a matter of ssh_config, and not in here. */

export interface ListedHost {
  readonly name: string;
  /** What ssh is given. */
  readonly address: string;
  readonly sudo: boolean;
  readonly groups: readonly string[];
}

/** A host is named by letters, digits and these characters; it never begins with a `-`, which ssh would take for an option. */
const ADDRESS = /^[A-Za-z0-9_][A-Za-z0-9_.@-]*$/;

/** Whether a word can be given to ssh as a destination: an alias, a host name, `user@host`. */
export const isAddress = (word: string): boolean => ADDRESS.test(word);

/**
 * Lines `NAME [ssh=DESTINATION] [sudo] [@GROUP...]`; the name may be a node set, and `%` in the destination stands for the name.
 * `#` begins a comment. Returns the first problem with its line, counted from 1.
 */
export function parseHostsFile(
  text: string,
): readonly ListedHost[] | { readonly problem: string; readonly number: number } {
  const hosts: ListedHost[] = [];
  for (const [i, line] of text.split('\n').entries()) {
    const [set, ...words] = line
      .replace(/(^|\s)#.*/, '')
      .split(/\s+/)
      .filter((word) => word !== '');
    if (set === undefined) continue;
    const wrong = (problem: string) => ({ problem, number: i + 1 });
    const names = expandNodeSet(set);
    if ('problem' in names) return wrong(`${set}: ${names.problem}`);
    const unknown = words.find((word) => !/^(sudo|ssh=.+|@[A-Za-z0-9_][\w.-]*)$/.test(word));
    if (unknown !== undefined) return wrong(`'${unknown}' is neither ssh=DESTINATION nor sudo nor @GROUP`);
    const given = words.find((word) => word.startsWith('ssh='))?.slice('ssh='.length);
    for (const name of names) {
      const address = (given ?? name).replaceAll('%', name);
      if (!isAddress(name) || !isAddress(address))
        return wrong(`'${given ?? name}' cannot be the name of a host`);
      const groups = words.filter((word) => word.startsWith('@')).map((word) => word.slice(1));
      hosts.push({ name, address, sudo: words.includes('sudo'), groups });
    }
  }
  return hosts;
}

/**
 * The names in a list of hosts: one a line, or Ansible's inventory in JSON (`ansible-inventory --list`), of which
 * `ansible_host` and `ansible_user` are used. A problem is returned as a text.
 */
export function parseHostList(
  text: string,
): readonly Pick<ListedHost, 'name' | 'address'>[] | { readonly problem: string } {
  if (text.trimStart().startsWith('{')) return parseInventory(text);
  const words = text.split('\n').map((line) => line.replace(/(^|\s)#.*/, '').trim());
  return words.filter((word) => word !== '').map((name) => ({ name, address: name }));
}

function parseInventory(
  text: string,
): readonly Pick<ListedHost, 'name' | 'address'>[] | { readonly problem: string } {
  let inventory: unknown;
  try {
    inventory = JSON.parse(text);
  } catch {
    return { problem: 'it begins with {, but is not JSON' };
  }
  const groups = membersOf(inventory);
  const variables = membersOf(membersOf(groups['_meta'])['hostvars']);
  const names = new Set([
    ...Object.entries(groups).flatMap(([group, content]) => (group === '_meta' ? [] : hostsOf(content))),
    ...Object.keys(variables),
  ]);
  return [...names].map((name) => {
    const { ansible_host: host, ansible_user: user } = membersOf(variables[name]);
    const address = typeof host === 'string' && host !== '' ? host : name;
    return { name, address: typeof user === 'string' && user !== '' ? `${user}@${address}` : address };
  });
}

const membersOf = (value: unknown): Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};

const hostsOf = (group: unknown): string[] => {
  const { hosts } = membersOf(group);
  return Array.isArray(hosts) ? hosts.filter((host) => typeof host === 'string') : [];
};
