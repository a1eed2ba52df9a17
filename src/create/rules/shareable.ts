import type { CreateFacts } from './common.ts';
import type { Disk, Domain } from '../../model/domain.ts';
import type { Finding, Rule } from '../../model/rule.ts';
import { kvmsnapLine } from '../../model/quote.ts';

/** Shareable disks (hazard 49): libvirt has them raw alone, and lays no overlay over them; so they can only be left out. */

/** What can be done about a shareable disk: neither converting it nor an external snapshot of it, which libvirt refuses. */
export function leaveOut(
  { name }: Pick<Domain, 'name'>,
  { target }: Pick<Disk, 'target'>,
): Pick<Finding, 'hint' | 'command'> {
  return {
    hint: `libvirt takes no snapshot of a <shareable/> disk; leave it out of an external snapshot of the others (a revert to it needs libvirt 9.9 or newer, and leaves ${target} as it is)`,
    command: kvmsnapLine(
      'create-as',
      [name, `without-${target}`],
      '--disk-only',
      '--diskspec',
      `${target},snapshot=no`,
    ),
  };
}

export const SHAREABLE_RULES: readonly Rule<CreateFacts>[] = [
  {
    id: 'shareable-overlay',
    hazards: [49],
    severity: 'error',
    unsuitable: true,
    modes: ['external', 'disk-only'],
    find: ({ domain, plan }) =>
      domain.disks
        .filter(
          ({ target, shareable }) =>
            shareable && plan.disks.some((planned) => planned.target === target && planned.overlay !== null),
        )
        .map((disk) => ({
          what: `disk ${disk.target} (${disk.source}) is <shareable/>, and libvirt lays no overlay over it`,
          ...leaveOut(domain, disk),
        })),
  },
];
