import { type Domain, takesPart, type Volume } from '../model/domain.ts';
import { commandLine } from '../model/quote.ts';
import type { Finding } from '../model/rule.ts';
import type { Snapshot } from '../model/snapshot.ts';
import { inText } from '../model/text.ts';

/** Volumes of storage pools that libvirt does not find now: whatever is done with such a disk fails midway. */

/** What is found of the disks that a snapshot of the VM would hold. */
export const lostVolumes = ({ disks }: Pick<Domain, 'disks'>): Finding[] =>
  findingsOf(disks.filter(takesPart));

/** What is found of the disks of the definition stored with a snapshot. */
export const lostStoredVolumes = ({ definedDisks }: Pick<Snapshot, 'definedDisks'>): Finding[] =>
  findingsOf(definedDisks);

const findingsOf = (
  disks: readonly { readonly target: string; readonly pool?: Volume | null }[],
): Finding[] =>
  disks.flatMap(({ target, pool }) => (pool?.problem ? [finding(target, pool, pool.problem)] : []));

/** A name that virsh would take for an option is the option's value. */
const poolWord = (name: string): string[] => (name.startsWith('-') ? ['--pool', name] : [name]);

function finding(target: string, { name, volume }: Volume, problem: NonNullable<Volume['problem']>): Finding {
  const disk = `disk ${target} is the volume ${inText(volume)} of the storage pool ${inText(name)}`;
  switch (problem) {
    case 'inactive':
      return {
        what: `${disk}, which is not active, and libvirt then finds no volume of it`,
        hint: 'start the pool',
        command: commandLine('virsh', ['pool-start', ...poolWord(name)]),
      };
    case 'no-pool':
      return { what: `${disk}, and there is no such pool`, hint: 'define the pool again, and start it' };
    case 'no-volume':
      return {
        what: `${disk}, and libvirt knows no such volume there`,
        hint: 'restore the file if it is missing; this makes libvirt look for it again',
        command: commandLine('virsh', ['pool-refresh', ...poolWord(name)]),
      };
  }
}
