import { adviseDeletion } from '../../model/deletion-advice.ts';
import { type Domain, isActive } from '../../model/domain.ts';
import { chainOf, chainPaths } from '../../model/image.ts';
import { FINDS_CHAIN, isFrom } from '../../model/libvirt-versions.ts';
import { kvmsnapLine, virshWord } from '../../model/quote.ts';
import type { SnapshotReport } from '../../model/report.ts';
import type { Rule } from '../../model/rule.ts';
import { externalDisks, locationOf } from '../../model/snapshot.ts';
import { allInText, disksInText, inText } from '../../model/text.ts';
import { undeletable } from '../../vm/findings/chain-depth.ts';
import { deletionOf } from '../deletion-set.ts';
import { external, holdersBefore, nameAll, unregistering } from './external.ts';
import type { DeleteFacts } from './facts.ts';
import { partialDeletion } from './partial.ts';
import { changedForOthers } from './sharing.ts';

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
          what: `disk ${target} does not use ${source}, the overlay of ${inText(snapshot.name)}, any more, and this libvirtd (9.0) cannot delete the snapshot then`,
          ...unregistering(facts, snapshot),
        };
      }
      return isActive(domain.state)
        ? []
        : {
            what: `disk ${target}: ${source}, the overlay of ${inText(snapshot.name)}, is not on top of the chain, and this libvirtd (9.0) finds it only while the VM runs`,
            // no advice that the next check would refuse
            ...(changedForOthers(facts).length > 0
              ? {}
              : {
                  hint: 'start the VM paused, delete the snapshot, and stop the VM again',
                  commands: pausedDeleteLines(domain, snapshot.name),
                }),
          };
    });
  }),
  external('internal-parent', [23], (facts) => {
    if (deletionOf(facts) !== 'merge') return [];
    const { domain, snapshot } = facts;
    const blocked = externalDisks(snapshot)
      .map(({ target }) => ({ target, internal: internalsBelow(facts, target) }))
      .filter(({ internal }) => internal.length > 0);
    if (blocked.length === 0) return [];
    const below = [...new Set(blocked.flatMap(({ internal }) => internal))];
    const [those, them] = below.length === 1 ? ['snapshot', 'it'] : ['snapshots', 'them'];
    return [
      {
        what: `${disksInText(blocked.map(({ target }) => target))}: ${inText(snapshot.name)} is external, on top of the internal ${those} ${nameAll(below)}, and libvirt cannot merge it as long as ${below.length === 1 ? 'that one exists' : 'those exist'}`,
        ...adviseDeletion(
          facts,
          below.map(({ name }) => name),
          {
            hint: `if you can do without ${them}, ${isActive(domain.state) ? 'shut the VM down and then ' : ''}delete ${them} first${below.length === 1 ? '' : ', in this order'}, while the VM is off`,
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
        what: `disk ${target}: ${source}, the overlay of ${inText(facts.snapshot.name)}, contains the internal ${names.length === 1 ? 'snapshot' : 'snapshots'} ${allInText(names)}, which libvirt would remove with it`,
        ...adviseDeletion(facts, names, {
          hint:
            names.length === 1
              ? 'delete it first if you can do without it'
              : 'delete them first if you can do without them',
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
 * overlay into the image that contained them.
 */
function internalsBelow(facts: DeleteFacts, target: string): SnapshotReport[] {
  const holders = holdersBefore(facts, target);
  const end = holders.findIndex((each) => locationOf(each) === 'external');
  return end < 0 ? holders : holders.slice(0, end);
}
