import type { Rule } from '../../model/rule.ts';
import { diskInText } from '../../model/text.ts';
import { leaveOut } from '../../vm/findings/disks.ts';
import type { CreateFacts } from './facts.ts';
import { EXTERNAL } from './modes.ts';

/**
 * Shareable disks (hazard 49): libvirt allows them in raw format only and creates no overlay over them, so they can
 * only be left out.
 */

export const SHAREABLE_RULES: readonly Rule<CreateFacts>[] = [
  {
    id: 'shareable-overlay',
    hazards: [49],
    severity: 'error',
    unsupported: true,
    modes: EXTERNAL,
    find: ({ domain, plan }) =>
      domain.disks
        .filter(
          ({ target, shareable }) =>
            shareable && plan.disks.some((planned) => planned.target === target && planned.overlay !== null),
        )
        .map((disk) => ({
          what: `${diskInText(disk)} is <shareable/>, and libvirt creates no overlay for such a disk`,
          ...leaveOut(domain, disk),
        })),
  },
];
