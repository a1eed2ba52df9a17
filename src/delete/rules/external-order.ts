import { adviseDeletion } from '../../model/deletion-advice.ts';
import { DELETES_EXTERNAL, ifBefore, isFrom } from '../../model/libvirt-versions.ts';
import { kvmsnapLine } from '../../model/quote.ts';
import type { Rule } from '../../model/rule.ts';
import { locationOf } from '../../model/snapshot.ts';
import { inText } from '../../model/text.ts';
import { ancestors, descendants } from '../../model/tree.ts';
import { interruptedMerges } from '../../vm/external-state.ts';
import { deletionSetOf } from '../deletion-set.ts';
import { external, externalMembers, forget, nameAll, named } from './external.ts';
import type { DeleteFacts } from './facts.ts';

/**
 * Rules about the place of an external snapshot in the tree: libvirt deletes them one by one, and not in every order.
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
            ...forget(facts, member),
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
      const newestFirst = deletionSetOf(facts).toReversed();
      const internal = newestFirst.filter((each) => locationOf(each) === 'internal');
      const names = [...internal, ...newestFirst.filter((each) => !internal.includes(each))].map(
        ({ name }) => name,
      );
      return [
        {
          what: `${nameAll(external)} ${external.length === 1 ? 'is' : 'are'} external, and libvirt deletes such ones only one by one`,
          hint: internal.length === 0 ? 'the newest first' : 'with the VM off, in this order',
          command: kvmsnapLine('delete', [facts.domain.name, ...names]),
        },
      ];
    },
  },
  external('several-children', [23], ({ snapshot }) =>
    snapshot.children.length > 1
      ? [
          {
            what: `${inText(snapshot.name)} is external and has several children (${nameAll(named(snapshot.children))}), and libvirt can merge it into one only`,
            hint: 'delete all of them but one first',
          },
        ]
      : [],
  ),
  external('current-with-children', [23], ({ domain, snapshot, snapshots, current }) =>
    snapshot.name === current && snapshot.children.length > 0
      ? [
          {
            what: `${inText(snapshot.name)} is external, the current snapshot, and has children, and libvirt deletes no such one`,
            ...adviseDeletion({ domain, snapshots }, snapshot.children.toReversed(), {
              hint: 'delete its children first, from the newest on',
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
            what: `${inText(snapshot.name)} is external, with children, and not one that the VM's disks now lie on, and libvirt deletes no such one`,
            ...adviseDeletion(
              { domain, snapshots },
              descendants(snapshots, snapshot.name)
                .map(({ name }) => name)
                .reverse(),
              { hint: 'delete what is below it first, from the newest on' },
            ),
          },
        ]
      : [],
  ),
  external('merge-target', [40], ({ domain, snapshot, snapshots }) =>
    interruptedMerges(snapshots)
      .filter(({ marked }) => marked === snapshot.name && !domain.busy)
      .map(({ target, path, ruined: [first] }) => ({
        what: `disk ${target}: a deletion that merges into ${path}, which ${inText(snapshot.name)} made, was interrupted, and libvirt deletes ${inText(snapshot.name)} only after that`,
        ...(first === undefined
          ? {
              hint: 'it no longer knows the snapshot that was to be deleted; it can forget this one too, and every file stays',
              command: kvmsnapLine('delete', [domain.name, snapshot.name], '--metadata'),
            }
          : adviseDeletion({ domain, snapshots }, [first, snapshot.name], {
              hint: `finish the deletion of ${inText(first)} first`,
            })),
      })),
  ),
];
