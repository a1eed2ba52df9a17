import { type Domain, isActive } from '../../model/domain.ts';
import { ifBefore, REVERTS_EXTERNAL } from '../../model/libvirt-versions.ts';
import { kvmsnapLine, quote, virshWord } from '../../model/quote.ts';
import type { Rule } from '../../model/rule.ts';
import { NEXT_IS_FULL, namedCheckpoints } from '../../vm/findings/checkpoints.ts';
import type { CreateFacts } from './facts.ts';
import { INTERNAL } from './modes.ts';

/**
 * Snapshots of a VM that has checkpoints of incremental backups. Each checkpoint is a bitmap in the images (9.0 to 12.8).
 * QEMU cannot revert to an internal snapshot in an image with bitmaps. Overlays get bitmaps of their own and a merge
 * includes them, so external snapshots leave the checkpoints usable; only the new overlays of a revert have no bitmaps.
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
      const what = `${namedCheckpoints(domain)}; with them, libvirt either refuses an internal snapshot or cannot revert to it`;
      const start = isActive(domain.state) ? [] : [`virsh start ${virshWord(domain)}`];
      const older = ifBefore(daemonVersion, REVERTS_EXTERNAL, 'cannot revert to it');
      if (older === null)
        return [
          {
            what,
            hint: `take an external snapshot while the VM runs, which leaves the checkpoints usable. If you delete the checkpoints instead (virsh checkpoint-delete), ${NEXT_IS_FULL}`,
            commands: [...start, kvmsnapLine('create-as', [domain.name, name], '--external')],
          },
        ];
      return [
        {
          what,
          hint: `delete the checkpoints if you do not need the chain of backups: ${NEXT_IS_FULL}. An external snapshot (--external --force, while the VM runs) leaves them usable, but ${older}`,
          commands: deletion(domain),
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
              what: `${namedCheckpoints(domain)}, and libvirt takes external snapshots of such a VM only while it runs`,
              hint: 'start the VM first; the checkpoints stay usable',
              command: `virsh start ${virshWord(domain)}`,
            },
          ],
  },
];
