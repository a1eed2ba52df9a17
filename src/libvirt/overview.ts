import type { DomainState } from '../core/domain.ts';
import type { Snapshot } from '../core/snapshot.ts';
import { allAnswered, parseState, splitLines } from './answers.ts';
import type { VirshCommand } from './batch.ts';
import type { MachineName } from './machine.ts';
import { readSnapshotsOf } from './snapshots.ts';
import type { Virsh } from './virsh.ts';
import { countErrors, virshFailure } from './virsh-error.ts';

/** Many machines at a glance. */

/** What an overview shows of one. */
export interface MachineSummary extends MachineName {
  readonly state: DomainState;
  readonly stateReason: string;
  readonly current: string | null;
  readonly snapshots: readonly Snapshot[];
}

/** Machines with their snapshots, in two virsh processes, plus one per further 100 KB of commands. */
export async function readSummaries(
  virsh: Virsh,
  machines: readonly MachineName[],
): Promise<MachineSummary[]> {
  if (machines.length === 0) return [];
  const answers = await virsh.read(machines.flatMap(({ uuid }) => summaryCommands(uuid)));
  const texts = allAnswered(answers);
  const readings = machines.map((machine, i) => {
    const [names, current, state] = texts.slice(i * 3, i * 3 + 3).map(splitLines);
    return { ...machine, names: names ?? [], current: current?.join('\n') || null, state: state?.[0] };
  });
  // domstate comes last: a machine that answered it was there all the time, so its other failures are real ones.
  const present = readings.filter(({ state }) => state !== undefined);
  const gone = readings.length - present.length;
  const expected = present.filter(({ current }) => current === null).length + gone * 3;
  if (countErrors(answers.stderr) > expected) throw virshFailure('cannot read all snapshots', answers.stderr);

  const snapshots = await readSnapshotsOf(virsh, present);
  return present.map(({ name, uuid, state, current }, i) => {
    return { name, uuid, ...parseState(state ?? ''), current, snapshots: snapshots[i] ?? [] };
  });
}

function summaryCommands(uuid: string): VirshCommand[] {
  const domain = ['--domain', uuid];
  return [
    ['snapshot-list', ...domain, '--name'],
    ['snapshot-current', ...domain, '--name'],
    ['domstate', ...domain, '--reason'],
  ];
}
