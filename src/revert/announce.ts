import { isActive } from '../model/domain.ts';
import type { SnapshotReport } from '../model/report.ts';
import { inText } from '../model/text.ts';
import { humanSpan, localTime } from '../output/format.ts';
import type { Told } from '../run/confirm.ts';
import type { Context } from '../run/context.ts';
import type { Vm } from '../vm/load.ts';

/** What a revert means for the user. */

/** A revert that no rule forbids, as far as it is told. */
interface Revert {
  readonly vm: Vm;
  readonly snapshot: SnapshotReport;
  /** All that it changes beside the content of the disks. */
  readonly consequences: readonly string[];
}

/** `isKept`: the present state is put into a snapshot first, so nothing of it is lost. */
export function tellRevert(ctx: Context, { vm, snapshot, consequences }: Revert, isKept: boolean): Told {
  const lost = isKept ? [] : whatIsLost(vm).map((what) => `${what} will be lost`);
  const { name, createdAtSeconds, description } = snapshot;
  const said = [...consequences, ...lost];
  return {
    consequences: [
      `${inText(name)} is of ${localTime(createdAtSeconds)}`,
      `description: ${description}`,
      ...said,
    ],
    notes: said,
    question: async () => {
      const age = humanSpan(ctx.clock.now() / 1000 - createdAtSeconds);
      const details = [
        `${inText(name)} of ${inText(vm.domain.name)}${description === null ? '' : `: ${description}`}`,
        ...said,
        ...(isKept ? ['the present state is kept in a snapshot first'] : []),
      ];
      return {
        details,
        asks: `Revert ${inText(vm.domain.name)} to ${inText(name)} (${localTime(createdAtSeconds)}, ${age} ago)?`,
      };
    },
  };
}

/** The last moment whose state survives is the current snapshot's: the VM has run on from there. */
function whatIsLost({ domain, snapshots, current }: Vm): string[] {
  const from = snapshots.find((snapshot) => snapshot.name === current);
  return [
    from
      ? `all that was written on top of ${inText(from.name)} (taken ${localTime(from.createdAtSeconds)})`
      : 'all that is on its disks now',
    ...(isActive(domain.state) ? ['what is in its memory'] : []),
  ];
}
