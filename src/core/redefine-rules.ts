import type { Domain } from './domain.ts';
import type { Images } from './image.ts';
import type { Rule } from './preflight.ts';
import { tagsOf } from './report.ts';
import { internalDisks, type Snapshot } from './snapshot.ts';

/** The rules that decide whether libvirt may be told of a snapshot by an XML file. */

export interface RedefineFacts {
  readonly domain: Domain;
  readonly snapshotNames: readonly string[];
  /** By target, the disks that take part in a snapshot. */
  readonly images: Images;
  /** The snapshot of the file. */
  readonly wanted: Snapshot;
}

export const REDEFINE_RULES: readonly Rule<RedefineFacts>[] = [
  {
    id: 'no-parent',
    hazards: [],
    severity: 'error',
    find: ({ wanted: { parent }, snapshotNames }) =>
      parent === null || snapshotNames.includes(parent)
        ? []
        : [{ what: `its parent '${parent}' is no snapshot of the machine`, hint: 'redefine that one first' }],
  },
  {
    id: 'own-parent',
    hazards: [],
    severity: 'error',
    find: ({ wanted: { parent, name } }) =>
      parent === name ? [{ what: 'it would be its own parent', hint: 'correct <parent> in the file' }] : [],
  },
  {
    id: 'no-data',
    hazards: [2, 3],
    severity: 'error',
    find: ({ wanted, images }) =>
      internalDisks(wanted).flatMap((disk) => {
        const count = tagsOf(wanted, disk, images)?.length ?? 1;
        return count === 1
          ? []
          : [
              {
                what: `disk ${disk.target} holds ${count === 0 ? 'no snapshot' : `${count} snapshots`} of that name, so it could not be reverted to`,
                hint: 'it is of another machine or image, or its data is gone',
              },
            ];
      }),
  },
];
