import type { Domain } from '../../model/domain.ts';
import type { Finding, Rule } from '../../model/rule.ts';
import { internalDisks, locationOf } from '../../model/snapshot.ts';
import { inText } from '../../model/text.ts';
import { NEXT_IS_FULL, namedCheckpoints } from '../../vm/findings/checkpoints.ts';
import { copyOfSnapshot } from '../../vm/findings/disks.ts';
import type { RevertFacts } from './facts.ts';

/** Reverts of a VM with checkpoints, which are bitmaps in the images: QEMU cannot revert to an internal snapshot then (9.0 to 12.8). */

export const CHECKPOINT_REVERT_RULES: readonly Rule<RevertFacts>[] = [
  {
    id: 'checkpoints',
    hazards: [3, 30],
    severity: 'error',
    find: ({ domain, snapshot }) => {
      const inside = internalDisks(snapshot);
      if (domain.checkpoints.length === 0 || inside.length === 0) return [];
      const copies = inside.flatMap(({ source }) =>
        source === null ? [] : [copyOfSnapshot(snapshot, source)],
      );
      return [
        {
          what: `${namedCheckpoints(domain)}, and QEMU cannot revert to an internal snapshot in an image that contains their bitmaps: a running VM would stop, and its memory would be lost`,
          hint: `copy the content of ${inText(snapshot.name)} into new images${copies[0]?.caution ?? ''}. If you delete the checkpoints instead (virsh checkpoint-delete, while the VM runs), ${NEXT_IS_FULL}`,
          commands: copies.map(({ command }) => command),
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
      what: `${namedCheckpoints(domain)}, and the new overlays of a revert have none of their bitmaps: ${NEXT_IS_FULL}`,
      hint: 'if libvirt cannot delete a checkpoint afterwards, unregister it with virsh checkpoint-delete --metadata',
    },
  ];
}
