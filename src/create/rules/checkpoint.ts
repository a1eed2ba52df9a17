import { type Domain, isActive } from '../../model/domain.ts';
import { ifBefore, REVERTS_EXTERNAL } from '../../model/libvirt-versions.ts';
import { kvmsnapLine, quote, virshWord } from '../../model/quote.ts';
import type { Rule } from '../../model/rule.ts';
import { NEXT_IS_FULL, namedCheckpoints } from '../../vm/checkpoints.ts';
import type { CreateFacts } from './facts.ts';
import { INTERNAL } from './modes.ts';

/**
 * Snapshots beside the checkpoints of an incremental backup, each of which is a bitmap in the images (9.0 to 12.8).
 * QEMU reverts to no internal snapshot in an image with bitmaps. Overlays get bitmaps of their own, and a merge
 * merges these too, so external snapshots leave the checkpoints usable; only the new overlays of a revert have none.
 */

/**
 * The commands that delete all checkpoints. libvirt deletes them only while the VM runs, since QEMU has their
 * bitmaps.
 */
const deletion = (domain: Domain): string[] => [
  ...(isActive(domain.state) ? [] : [`virsh start ${virshWord(domain)}`]),
  ...domain.checkpoints.map(
    (name) => `virsh checkpoint-delete ${virshWord(domain)} --checkpointname ${quote(name)}`,
  ),
];

export const CHECKPOINT_CREATE_RULES: readonly Rule<CreateFacts>[] = [
  {
    id: 'checkpoints',
    hazards: [30],
    severity: 'error',
    modes: INTERNAL,
    find: ({ domain, name, daemonVersion }) => {
      if (domain.checkpoints.length === 0) return [];
      const what = `${namedCheckpoints(domain)}, and an internal snapshot beside them is refused, or cannot be reverted to`;
      const off = isActive(domain.state) ? '' : `virsh start ${virshWord(domain)} && `;
      const older = ifBefore(daemonVersion, REVERTS_EXTERNAL, 'cannot revert to it');
      if (older === null)
        return [
          {
            what,
            hint: `take an external snapshot while the VM runs, beside which they stay usable; or delete the checkpoints (virsh checkpoint-delete), but ${NEXT_IS_FULL}`,
            command: `${off}${kvmsnapLine('create-as', [domain.name, name], '--external')}`,
          },
        ];
      return [
        {
          what,
          hint: `an external snapshot (--external --force, while the VM runs) leaves them usable, but ${older}; if the backup chain may end, delete the checkpoints, but ${NEXT_IS_FULL}`,
          command: deletion(domain).join(' && '),
        },
      ];
    },
  },
  {
    id: 'checkpoints-while-off',
    hazards: [30],
    severity: 'error',
    modes: ['disk-only'],
    find: ({ domain }) =>
      domain.checkpoints.length === 0 || isActive(domain.state)
        ? []
        : [
            {
              what: `${namedCheckpoints(domain)}, and libvirt takes external snapshots beside them only while the VM runs`,
              hint: 'start the VM first; the checkpoints stay usable',
              command: `virsh start ${virshWord(domain)}`,
            },
          ],
  },
];
