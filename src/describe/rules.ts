import type { Domain } from '../model/domain.ts';
import { type Images, tagsNamed } from '../model/image.ts';
import type { Rule } from '../model/rule.ts';
import { internalDisks, type Snapshot } from '../model/snapshot.ts';
import { inText } from '../model/text.ts';

/** The rules that decide whether a snapshot may be registered from an XML file. */

export interface RegisterFacts {
  readonly domain: Domain;
  readonly snapshotNames: readonly string[];
  /** By target, what is at the paths that the definition in the file names. */
  readonly stored: Images;
  /** The snapshot that the file describes. */
  readonly wanted: Snapshot;
}

export const REDEFINE_RULES: readonly Rule<RegisterFacts>[] = [
  {
    id: 'no-parent',
    hazards: [],
    severity: 'error',
    find: ({ wanted: { parent }, snapshotNames }) =>
      parent === null || snapshotNames.includes(parent)
        ? []
        : [
            {
              what: `its parent ${inText(parent)} is not a snapshot of the VM`,
              hint: 'register the parent first',
            },
          ],
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
    find: ({ wanted, stored }) =>
      internalDisks(wanted).flatMap((disk) => {
        const image = stored.get(disk.target);
        if (image === undefined || image.kind === 'unseen') return [];
        const count = tagsNamed(image, wanted.name).length;
        return count === 1
          ? []
          : [
              {
                what: `disk ${disk.target} contains ${count === 0 ? 'no snapshot' : `${count} snapshots`} of that name, so a revert to it would fail`,
                hint: 'the snapshot belongs to another VM or image, or its data is gone',
              },
            ];
      }),
  },
];
