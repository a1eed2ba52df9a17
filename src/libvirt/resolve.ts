import { KvmsnapError, lineWith } from '../errors.ts';
import { isPattern, matcher } from '../model/input/selection.ts';
import { nearest } from '../model/names.ts';
import { allInText, inText, someInText } from '../model/text.ts';

/** Finds the VM that a word names, or explains why it names none. */

/** The name and UUID of a VM, as `virsh list` prints them. */
export interface DomainName {
  readonly name: string;
  readonly uuid: string;
}

/** What is known of the host where a VM is looked for. */
interface Seen {
  readonly uri: string | undefined;
  /** The VM whose running id is the word. */
  readonly runningAs?: string | undefined;
}

/**
 * The VM that the word names exactly. Throws `not-found` with the most similar name, or `usage` for a pattern that
 * matches VMs.
 */
export function resolve(word: string, vms: readonly DomainName[], seen: Seen): DomainName {
  const found = vms.find(({ name }) => name === word) ?? vms.find(({ uuid }) => uuid === word.toLowerCase());
  if (found) return found;
  const names = vms.map(({ name }) => name).sort();
  const matching = isPattern(word) ? names.filter(matcher(word)) : [];
  if (matching.length > 0) {
    throw new KvmsnapError('usage', `this command works on one VM, and ${inText(word)} is a pattern`, {
      hint: `it matches ${allInText(matching)}`,
    });
  }
  throw notFound(word, vms, seen);
}

/** The `not-found` error of a word that names no VM, with what was probably meant. */
export function notFound(word: string, vms: readonly DomainName[], seen: Seen): KvmsnapError {
  const what = isPattern(word) ? `no VM matches ${inText(word)}` : `no such VM: ${inText(word)}`;
  const by = seen.runningAs ? null : (ownerOf(word, vms)?.name ?? nearest(word, namesOf(vms)));
  const meant = by === null ? undefined : lineWith({ kind: 'vm', word, by });
  return new KvmsnapError('not-found', what, { hint: notFoundHint(word, vms, seen), meant });
}

const namesOf = (vms: readonly DomainName[]): string[] => vms.map(({ name }) => name);

/** The VM of `VM/NAME`; undefined if there is none. */
const ownerOf = (word: string, vms: readonly DomainName[]): DomainName | undefined =>
  vms.find(({ name }) => word.startsWith(`${name}/`));

function notFoundHint(word: string, vms: readonly DomainName[], { uri = '', runningAs }: Seen): string {
  if (runningAs)
    return `${word} is the id of the running VM ${inText(runningAs)}; ids change at every start, so use the name`;
  if (ownerOf(word, vms)) return `${inText(word)} names a snapshot, and this command takes only the VM`;
  const names = namesOf(vms);
  const meant = nearest(word, names);
  if (meant !== null) return `did you mean ${inText(meant)}?`;
  const none = names.length === 0;
  return sessionHint(uri) ?? (none ? `there is no VM at ${uri || 'this connection'}` : presentVms(names));
}

/** Which VMs there are, for somebody who has named another one. */
export const presentVms = (names: readonly string[]): string =>
  `${names.length === 1 ? 'the only VM is' : 'the VMs are'} ${someInText([...names].sort())}`;

/** What a user has to know who looks for the VMs of the host at this URI; null where they are. */
export const sessionHint = (uri: string): string | null =>
  uri.endsWith('/session')
    ? `${uri} contains only the VMs of one user; to reach the VMs of the host, add --connect qemu:///system`
    : null;
