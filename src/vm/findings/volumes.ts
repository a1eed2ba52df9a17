import { type Domain, takesPart, type Volume } from '../../model/domain.ts';
import { commandLine } from '../../model/quote.ts';
import type { Finding } from '../../model/rule.ts';
import type { Snapshot } from '../../model/snapshot.ts';
import { inText } from '../../model/text.ts';

/** Findings about volumes of storage pools that libvirt cannot find now; any action on such a disk would fail halfway. */

/** The findings about the disks that a snapshot of the VM would contain. */
export const lostVolumes = ({ disks }: Pick<Domain, 'disks'>): Finding[] =>
  findingsOf(disks.filter(takesPart));

/** The findings about the disks of a snapshot's stored definition. */
export const lostStoredVolumes = ({ definedDisks }: Pick<Snapshot, 'definedDisks'>): Finding[] =>
  findingsOf(definedDisks);

const findingsOf = (
  disks: readonly { readonly target: string; readonly pool?: Volume | null }[],
): Finding[] =>
  disks.flatMap(({ target, pool }) => (pool?.problem ? [finding(target, pool, pool.problem)] : []));

/** The words for a pool; a name that virsh would mistake for an option becomes the value of `--pool`. */
const poolWord = (name: string): string[] => (name.startsWith('-') ? ['--pool', name] : [name]);

function finding(target: string, { name, volume }: Volume, problem: NonNullable<Volume['problem']>): Finding {
  const disk = `disk ${target} is the volume ${inText(volume)} of the storage pool ${inText(name)}`;
  switch (problem) {
    case 'inactive':
      return {
        what: `${disk}, which is not active, so libvirt cannot find the volume`,
        hint: 'start the pool',
        command: commandLine('virsh', ['pool-start', ...poolWord(name)]),
      };
    case 'no-pool':
      return { what: `${disk}, but this pool does not exist`, hint: 'define the pool again, and start it' };
    case 'no-volume':
      return {
        what: `${disk}, but libvirt does not know this volume`,
        hint: 'restore the file if it is missing; then this command makes libvirt look for it again',
        command: commandLine('virsh', ['pool-refresh', ...poolWord(name)]),
      };
  }
}
