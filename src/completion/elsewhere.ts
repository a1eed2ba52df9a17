import type { WantedNames } from './grammar.ts';

/** Finds the other hosts whose names a word may become. */

export interface Elsewhere {
  /** As the line names them. */
  readonly hosts: readonly string[];
  /** What to look for there. */
  readonly wantedNames: WantedNames;
  /** Whether a name of this host may be meant as well. */
  readonly isUnsure: boolean;
}

/** `HOST:`, before the name of a VM. */
const HOST = /^([^-:/@\s][^:/\s]*):/;

/** `current`: the word at the cursor. Null: only this host is meant. */
export function elsewhere(wanted: WantedNames, current: string): Elsewhere | null {
  const { what, hosts, vms, place } = wanted;
  if (hosts === null || what === 'host' || what === 'policy') return null;
  if (hosts.length > 0) return { hosts, wantedNames: wanted, isUnsure: false };
  if (what === 'vm') {
    const [prefix, host] = (!wanted.asPattern && HOST.exec(current.slice(place.before.length))) || [];
    if (prefix === undefined || host === undefined) return null;
    const given = place.given.flatMap((word) => (word.startsWith(prefix) ? [word.slice(prefix.length)] : []));
    const beyond = { before: place.before + prefix, given, dash: 'fine' } as const;
    return { hosts: [host], wantedNames: { ...wanted, policies: null, place: beyond }, isUnsure: true };
  }
  // snapshots of VMs that are on one host
  const [host, ...more] = new Set(vms.map((word) => HOST.exec(word)?.[1]));
  if (host === undefined || more.length > 0 || vms.some((word) => word.includes('/'))) return null;
  const there = vms.map((word) => word.replace(HOST, ''));
  return { hosts: [host], wantedNames: { ...wanted, vms: there }, isUnsure: true };
}
