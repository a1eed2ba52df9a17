import { adviseDeletion } from '../../model/deletion-advice.ts';
import { chainOf } from '../../model/image.ts';
import { ifBefore, REVERTS_EXTERNAL } from '../../model/libvirt-versions.ts';
import type { Rule } from '../../model/rule.ts';
import { externalDisks, locationOf } from '../../model/snapshot.ts';
import { inText } from '../../model/text.ts';
import { copyCommand, whatIsBroken } from '../../vm/findings/disks.ts';
import { holdsItsState } from './external-state.ts';
import type { RevertFacts } from './facts.ts';

/** Rules about whether this libvirtd can revert to external snapshots, and whether their files exist. */

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
                hint: `its content is in ${state.path}; copy it from there`,
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
          what: `disk ${target}: ${image.path}, which contains the disk content of snapshot ${inText(snapshot.name)}, ${whatIsBroken(image)}`,
          ...adviseDeletion({ domain, snapshots }, [snapshot.name], {
            hint: 'restore the file; or, if it is lost, unregister the snapshot from libvirt',
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
              what: `the memory file of ${inText(snapshot.name)}, ${snapshot.memory.file}, is missing; libvirt would stop a running guest and then fail`,
              ...adviseDeletion({ domain, snapshots }, [snapshot.name], {
                hint: 'restore the file; or, if it is lost, delete the snapshot',
              }),
            },
          ]
        : [],
  },
];
