// The libvirt of this lab, and what differs between versions, as data.
import { virsh } from './lab.ts';

const parse = (version: string): number => {
  const [major, minor] = version.split('.').map(Number);
  return (major ?? 0) * 1000 + (minor ?? 0);
};

/** The daemon's: `12.8`. */
export const libvirtVersion: string =
  /Running against daemon: (\d+\.\d+)\./.exec(virsh('version', '--daemon'))?.[1] ?? '0.0';

/**
 * What holds here, of a table by versions: each value holds from its version on until the next that is named. A change
 * between 9.0 and 11.3 whose version is not known stands at 11.3.
 */
export function since<T>(table: Readonly<Record<string, T>>): T {
  const [newest] = Object.entries(table)
    .filter(([version]) => parse(version) <= parse(libvirtVersion))
    .sort(([a], [b]) => parse(b) - parse(a));
  if (!newest) throw new Error(`nothing is said for libvirt ${libvirtVersion}`);
  return newest[1];
}
