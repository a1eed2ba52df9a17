import { isActive } from '../model/domain.ts';
import type { SnapshotReport } from '../model/report.ts';
import { inText } from '../model/text.ts';
import { humanSpan, localTime } from '../output/format.ts';
import type { Told } from '../run/confirm.ts';
import type { Context } from '../run/context.ts';
import type { Vm } from '../vm/load.ts';

/** What a revert means for the user: the question, and the notes of a script. */

/** A revert that no rule refuses. */
interface Revert {
  readonly vm: Vm;
  readonly snapshot: SnapshotReport;
  /** Everything that it changes apart from the content of the disks. */
  readonly consequences: readonly string[];
}

/**
 * `isKept`: the present state is saved in a snapshot first, so nothing of it is lost. `isOneOfSeveral`: the lines are without the time
 * of the snapshot, so that they are the same for VMs whose snapshots were taken one after the other.
 */
export function tellRevert(
  ctx: Pick<Context, 'clock'>,
  { vm, snapshot, consequences }: Revert,
  isKept: boolean,
  isOneOfSeveral = false,
): Told {
  const lost = isKept ? [] : whatIsLost(vm, !isOneOfSeveral).map((what) => `${what} will be lost`);
  const { name, createdAtSeconds, description } = snapshot;
  const lines = [...consequences, ...lost];
  return {
    consequences: [
      `${inText(name)} was taken ${localTime(createdAtSeconds)}`,
      `description: ${description}`,
      ...lines,
    ],
    notes: lines,
    question: async () => {
      const age = humanSpan(ctx.clock.now() / 1000 - createdAtSeconds);
      const details = [
        // the question below names both
        ...(description === null ? [] : [`${inText(name)} of ${inText(vm.domain.name)}: ${description}`]),
        ...lines,
        ...(isKept ? ['the present state will be saved in a snapshot first'] : []),
      ];
      return {
        details,
        asks: `Revert ${inText(vm.domain.name)} to ${inText(name)} (${localTime(createdAtSeconds)}, ${age} ago)?`,
      };
    },
  };
}

/** The current snapshot holds the last state that survives: the VM has continued from it. */
function whatIsLost({ domain, snapshots, current }: Vm, withTime: boolean): string[] {
  const from = snapshots.find((snapshot) => snapshot.name === current);
  const time = from && withTime ? ` (taken ${localTime(from.createdAtSeconds)})` : '';
  return [
    from
      ? `everything written since snapshot ${inText(from.name)}${time}`
      : 'everything that is on its disks now',
    ...(isActive(domain.state) ? ['the present memory of the guest'] : []),
  ];
}
