import { adviseDeletion } from '../../model/deletion-advice.ts';
import { chainOf } from '../../model/image.ts';
import { ifBefore, REVERTS_EXTERNAL } from '../../model/libvirt-versions.ts';
import type { Rule } from '../../model/rule.ts';
import { externalDisks, locationOf } from '../../model/snapshot.ts';
import { inText } from '../../model/text.ts';
import { copyCommand, whatIsBroken } from '../../vm/disk-findings.ts';
import { holdsItsState } from './external-state.ts';
import type { RevertFacts } from './facts.ts';

/** Rules about whether this libvirtd reverts to external snapshots, and whether their files are there. */

export const EXTERNAL_RULES: readonly Rule<RevertFacts>[] = [
  {
    id: 'external-on-old-daemon',
    hazards: [17],
    severity: 'error',
    find: (facts) => {
      const { snapshot, daemonVersion, images } = facts;
      const older = ifBefore(daemonVersion, REVERTS_EXTERNAL, 'cannot revert to external snapshots');
      if (older === null || locationOf(snapshot) === 'internal') return [];
      const [state] = externalDisks(snapshot).flatMap(({ target }) => chainOf(images.get(target))[0] ?? []);
      return [
        {
          what: `${inText(snapshot.name)} is external, and ${older}`,
          ...(state === undefined || !holdsItsState(facts)
            ? {}
            : {
                hint: `what it holds is in ${state.path}, and can be copied from there`,
                command: copyCommand(state, snapshot.name),
              }),
        },
      ];
    },
  },
  {
    id: 'missing-state',
    hazards: [24, 36],
    severity: 'error',
    find: ({ domain, snapshot, snapshots, images }) =>
      externalDisks(snapshot).flatMap(({ target }) => {
        const image = images.get(target);
        if (image?.kind !== 'broken') return [];
        return {
          what: `disk ${target}: ${image.path}, which holds what ${inText(snapshot.name)} kept, ${whatIsBroken(image)}`,
          ...adviseDeletion({ domain, snapshots }, [snapshot.name], {
            hint: 'restore the file; or, if it will not come back, have libvirt forget the snapshot',
            options: ['--metadata'],
          }),
        };
      }),
  },
  {
    id: 'missing-memory-file',
    hazards: [36],
    severity: 'error',
    find: ({ domain, snapshot, snapshots, memoryThere }) =>
      memoryThere === false
        ? [
            {
              what: `the memory of ${inText(snapshot.name)} is to be in ${snapshot.memory.file}, which is missing; libvirt would stop a running guest, and then fail`,
              ...adviseDeletion({ domain, snapshots }, [snapshot.name], {
                hint: 'restore the file; or, if it will not come back, delete the snapshot',
              }),
            },
          ]
        : [],
  },
];
