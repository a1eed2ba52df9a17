import { adviseDeletion } from '../../model/deletion-advice.ts';
import { DELETES_EXTERNAL, ifBefore, isFrom } from '../../model/libvirt-versions.ts';
import { kvmsnapLine } from '../../model/quote.ts';
import type { Rule } from '../../model/rule.ts';
import { locationOf } from '../../model/snapshot.ts';
import { allInText, inText } from '../../model/text.ts';
import { ancestors, descendants } from '../../model/tree.ts';
import { interruptedMerges } from '../../vm/external-state.ts';
import { deletionSetOf } from '../deletion-set.ts';
import { external, externalMembers, nameAll, unregistering } from './external.ts';
import type { DeleteFacts } from './facts.ts';

/**
 * Rules about the place of an external snapshot in the tree: libvirt deletes such snapshots one by one, and not in every
 * order.
 */

export const EXTERNAL_ORDER_RULES: readonly Rule<DeleteFacts>[] = [
  {
    id: 'external-on-old-daemon',
    hazards: [23],
    severity: 'error',
    find: (facts) => {
      const older = ifBefore(facts.daemonVersion, DELETES_EXTERNAL, 'cannot delete external snapshots');
      return older === null
        ? []
        : externalMembers(facts).map((member) => ({
            what: `${inText(member.name)} is external, and ${older}`,
            ...unregistering(facts, member),
          }));
    },
  },
  {
    id: 'external-below',
    hazards: [23],
    severity: 'error',
    find: (facts) => {
      const external = externalMembers(facts);
      if (facts.scope === 'only' || external.length === 0 || !isFrom(facts.daemonVersion, DELETES_EXTERNAL))
        return [];
      // libvirt does not merge an external snapshot into an image that still holds an internal one, so internal ones
      // come first
      const newestFirst = [...deletionSetOf(facts)].reverse();
      const internal = newestFirst.filter((each) => locationOf(each) === 'internal');
      const names = [...internal, ...newestFirst.filter((each) => !internal.includes(each))].map(
        ({ name }) => name,
      );
      return [
        {
          what: `${nameAll(external)} ${external.length === 1 ? 'is' : 'are'} external, and libvirt cannot delete ${external.length === 1 ? 'it' : 'them'} together with others (--children, --children-only)`,
          hint:
            internal.length === 0
              ? 'delete the snapshots one by one, the newest first; this command does that'
              : 'delete the snapshots one by one in this order, while the VM is off; this command does that',
          command: kvmsnapLine('delete', [facts.domain.name, ...names]),
        },
      ];
    },
  },
  external('several-children', [23], ({ snapshot }) =>
    snapshot.children.length > 1
      ? [
          {
            what: `${inText(snapshot.name)} is external and has several children (${allInText(snapshot.children)}), and libvirt can merge it into only one of them`,
            hint: 'delete all of its children but one first',
          },
        ]
      : [],
  ),
  external('current-with-children', [23], ({ domain, snapshot, snapshots, current }) =>
    snapshot.name === current && snapshot.children.length > 0
      ? [
          {
            what: `${inText(snapshot.name)} is external, current, and has children, and libvirt cannot delete such a snapshot`,
            ...adviseDeletion({ domain, snapshots }, [...snapshot.children].reverse(), {
              hint: 'if you can do without its children, delete them first, the newest first',
            }),
          },
        ]
      : [],
  ),
  external('outside-the-chain', [23], ({ domain, snapshot, snapshots, current }) =>
    snapshot.children.length > 0 &&
    current !== null &&
    current !== snapshot.name &&
    !ancestors(snapshots, current).includes(snapshot.name)
      ? [
          {
            what: `${inText(snapshot.name)} is external, has children, and is not on the VM's present branch, and libvirt cannot delete such a snapshot`,
            ...adviseDeletion(
              { domain, snapshots },
              descendants(snapshots, snapshot.name)
                .map(({ name }) => name)
                .reverse(),
              { hint: 'if you can do without the snapshots below it, delete them first, the newest first' },
            ),
          },
        ]
      : [],
  ),
  external('merge-target', [40], ({ domain, snapshot, snapshots }) =>
    interruptedMerges(snapshots)
      .filter(({ marked }) => marked === snapshot.name && !domain.busy)
      .map(({ target, path, ruined: [first] }) => ({
        what: `disk ${target}: a deletion that merges into ${path}, the overlay of ${inText(snapshot.name)}, was interrupted. libvirt can delete ${inText(snapshot.name)} only after that deletion is finished`,
        ...(first === undefined
          ? {
              hint: `the snapshot of that deletion is not registered in libvirt any more. You can unregister ${inText(snapshot.name)} too; all files stay`,
              command: kvmsnapLine('delete', [domain.name, snapshot.name], '--metadata'),
            }
          : adviseDeletion({ domain, snapshots }, [first, snapshot.name], {
              hint: `finish the deletion of ${inText(first)} first`,
            })),
      })),
  ),
];
