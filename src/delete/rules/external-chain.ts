import { adviseDeletion } from '../../model/deletion-advice.ts';
import { type Domain, isActive } from '../../model/domain.ts';
import { chainOf, chainPaths } from '../../model/image.ts';
import { FINDS_CHAIN, isFrom } from '../../model/libvirt-versions.ts';
import { kvmsnapLine, virshWord } from '../../model/quote.ts';
import type { SnapshotReport } from '../../model/report.ts';
import type { Rule } from '../../model/rule.ts';
import { externalDisks, locationOf } from '../../model/snapshot.ts';
import { inText } from '../../model/text.ts';
import { undeletable } from '../../vm/chain-depth.ts';
import { deletionOf } from '../deletion-set.ts';
import { external, forget, holdersBefore, nameAll, named } from './external.ts';
import type { DeleteFacts } from './facts.ts';
import { partialDeletion } from './partial.ts';

/** Rules about the backing chain in which an external snapshot has its overlay. */

export const EXTERNAL_CHAIN_RULES: readonly Rule<DeleteFacts>[] = [
  external('chain-too-deep', [38], undeletable),
  external('unknown-chain', [23], (facts) => {
    const { domain, snapshot, daemonVersion, images } = facts;
    if (isFrom(daemonVersion, FINDS_CHAIN)) return [];
    return externalDisks(snapshot).flatMap(({ target, source }) => {
      const disk = domain.disks.find((each) => each.target === target);
      if (!disk || source === null || [disk.source, ...disk.backing].includes(source)) return [];
      if (!chainPaths(images.get(target)).includes(source)) {
        return {
          what: `disk ${target}: the VM's disk does not lie on ${source}, which ${inText(snapshot.name)} made, and this libvirtd (9.0) then deletes nothing`,
          ...forget(facts, snapshot),
        };
      }
      return isActive(domain.state)
        ? []
        : {
            what: `disk ${target}: ${source}, which ${inText(snapshot.name)} made, is not the one in use, and this libvirtd (9.0) finds it only while the VM runs`,
            hint: 'start the VM paused, delete the snapshot, and stop the VM again',
            commands: pausedDeleteLines(domain, snapshot.name),
          };
    });
  }),
  external('internal-parent', [23], (facts) => {
    if (deletionOf(facts) !== 'merge') return [];
    const { domain, snapshot } = facts;
    const lying = externalDisks(snapshot)
      .map(({ target }) => ({ target, internal: internalsBelow(facts, target) }))
      .filter(({ internal }) => internal.length > 0);
    if (lying.length === 0) return [];
    const below = [...new Set(lying.flatMap(({ internal }) => internal))];
    const [those, them] = below.length === 1 ? ['snapshot', 'that one'] : ['snapshots', 'those'];
    return [
      {
        what: `disk ${lying.map(({ target }) => target).join(', ')}: ${inText(snapshot.name)} is external, on top of the internal ${those} ${nameAll(below)}, and libvirt does not merge it into ${them}`,
        ...adviseDeletion(
          facts,
          below.map(({ name }) => name),
          {
            hint: `if you can do without, delete ${them} first, ${below.length === 1 ? '' : 'in this order, '}with the VM off${isActive(domain.state) ? ' (it is not now)' : ''}`,
            lines: below.map(({ name }) => kvmsnapLine('delete', [domain.name, name])),
          },
        ),
      },
    ];
  }),
  external('partial-on-old-daemon', [23], partialDeletion),
  external('tags-in-overlay', [32], (facts) => {
    if (deletionOf(facts) !== 'merge') return [];
    return externalDisks(facts.snapshot).flatMap(({ target, source }) => {
      const overlay = chainOf(facts.images.get(target)).find(({ path }) => path === source);
      const names = overlay?.tags.map(({ name }) => name) ?? [];
      if (names.length === 0) return [];
      return {
        what: `disk ${target}: ${source}, which ${inText(facts.snapshot.name)} made, holds the internal ${names.length === 1 ? 'snapshot' : 'snapshots'} ${nameAll(named(names))}, and libvirt would remove it with them`,
        ...adviseDeletion(facts, names, {
          hint: `delete ${names.length === 1 ? 'that' : 'these'} first if you can do without`,
        }),
      };
    });
  }),
];

/** The commands that delete a snapshot while QEMU has the files open and the guest is paused. */
export const pausedDeleteLines = (domain: Domain, name: string): string[] => [
  `virsh start --paused ${virshWord(domain)}`,
  kvmsnapLine('delete', [domain.name, name]),
  `virsh destroy ${virshWord(domain)}`,
];

/**
 * The internal snapshots between this one and the next external ancestor. Once they are deleted, libvirt merges the
 * overlay into the image that held them.
 */
function internalsBelow(facts: DeleteFacts, target: string): SnapshotReport[] {
  const holders = holdersBefore(facts, target);
  const end = holders.findIndex((each) => locationOf(each) === 'external');
  return end < 0 ? holders : holders.slice(0, end);
}
