import type { CreateFacts } from './common.ts';
import { copyCommand } from '../../vm/disk-findings.ts';
import { type Domain, isActive } from '../../model/domain.ts';
import { ifBefore, REVERTS_EXTERNAL } from '../../model/libvirt-versions.ts';
import type { Finding, Rule } from '../../model/rule.ts';
import { kvmsnapLine, quote, virshWord } from '../../model/quote.ts';
import type { RevertFacts } from '../../revert/rules/common.ts';
import { internalDisks, locationOf } from '../../model/snapshot.ts';

/**
 * Snapshots beside the checkpoints of an incremental backup, each of which is a bitmap in the images (9.0 to 12.8). QEMU
 * reverts to no internal snapshot in an image with bitmaps. Overlays get bitmaps of their own, and a merge merges these
 * too, so external snapshots leave the checkpoints usable; only the new overlays of a revert have none.
 */

const named = ({ checkpoints }: Domain): string =>
  `the VM has ${checkpoints.length} checkpoint(s) of incremental backup (${checkpoints.slice(0, 3).join(', ')}${checkpoints.length > 3 ? ', ...' : ''})`;

const NEXT_IS_FULL = 'the next backup then has to be a full one';

/** libvirt deletes them only while the VM runs: their bitmaps are in its images. */
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
    modes: ['internal'],
    find: ({ domain, name, daemonVersion }) => {
      if (domain.checkpoints.length === 0) return [];
      const what = `${named(domain)}, and an internal snapshot beside them is refused, or cannot be reverted to`;
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
              what: `${named(domain)}, and libvirt takes external snapshots beside them only while the VM runs`,
              hint: 'start the VM first; the checkpoints stay usable',
              command: `virsh start ${virshWord(domain)}`,
            },
          ],
  },
];

export const CHECKPOINT_REVERT_RULES: readonly Rule<RevertFacts>[] = [
  {
    id: 'checkpoints',
    hazards: [3, 30],
    severity: 'error',
    find: ({ domain, snapshot }) => {
      const inside = internalDisks(snapshot);
      if (domain.checkpoints.length === 0 || inside.length === 0) return [];
      const copies = inside.flatMap(({ source }) =>
        source === null
          ? []
          : [
              copyCommand(
                { path: source, format: 'qcow2' },
                snapshot.name,
                '-l',
                `snapshot.name=${snapshot.name}`,
              ),
            ],
      );
      return [
        {
          what: `${named(domain)}, and QEMU reverts to no internal snapshot in an image that has their bitmaps: a running guest would be lost`,
          hint: `copy what '${snapshot.name}' holds into new images; or delete the checkpoints while the VM runs (virsh checkpoint-delete), but ${NEXT_IS_FULL}`,
          commands: copies,
        },
      ];
    },
  },
  {
    id: 'checkpoints-cut-off',
    hazards: [30],
    severity: 'information',
    find: ({ domain, snapshot }) => cutOff(domain, locationOf(snapshot) === 'external'),
  },
];

function cutOff(domain: Domain, isExternal: boolean): Finding[] {
  if (domain.checkpoints.length === 0 || !isExternal) return [];
  return [
    {
      what: `${named(domain)}, and the new overlays that a revert makes have none of their bitmaps: ${NEXT_IS_FULL}`,
      hint: 'a checkpoint that libvirt then cannot delete can be forgotten with virsh checkpoint-delete --metadata',
    },
  ];
}
