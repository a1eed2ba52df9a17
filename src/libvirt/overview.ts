import type { DomainState } from '../model/domain.ts';
import type { KvmsnapError } from '../errors.ts';
import { allAnswered, parseState, splitLines } from './answers.ts';
import type { VirshCommand } from './batch.ts';
import { LIST_MACHINES, type MachineName, parseMachineNames } from './domains.ts';
import { readSnapshotsOf, type SnapshotsRead } from './snapshots.ts';
import type { Virsh } from './virsh.ts';
import { countErrors, virshFailure } from './virsh-error.ts';

/** Many machines at a glance. */

/** What an overview shows of one. */
export interface MachineSummary extends MachineName, SnapshotsRead {
  readonly state: DomainState;
  readonly stateReason: string;
  readonly current: string | null;
}

/** One that is there, and could not be read. */
export interface UnreadMachine extends MachineName {
  readonly failure: KvmsnapError;
}

/**
 * Machines with their snapshots, in two virsh processes, plus one per further 100 KB of commands. One that is gone by then
 * is left out; what is not answered in full is asked again alone.
 */
export async function readSummaries(
  virsh: Virsh,
  machines: readonly MachineName[],
): Promise<(MachineSummary | UnreadMachine)[]> {
  if (machines.length === 0) return [];
  const answers = await virsh.read(machines.flatMap(({ uuid }) => summaryCommands(uuid)));
  const texts = allAnswered(answers);
  const readings = machines.map((machine, i) => toReading(machine, texts.slice(i * 3, i * 3 + 3)));
  // domstate comes last: a machine that answered it was there all the time, so its other failures are real ones.
  const present = readings.filter(({ state }) => state !== null);
  const gone = readings.length - present.length;
  const expected = present.filter(({ current }) => current === null).length + gone * 3;
  const isWhole = countErrors(answers.stderr) <= expected;
  const known = (
    await Promise.all(
      readings.map((reading) => (isWhole && reading.state !== null ? reading : readAlone(virsh, reading))),
    )
  ).filter((reading) => reading !== null);
  const read = known.flatMap((reading) => ('failure' in reading ? [] : [reading]));
  const snapshots = [...(await readSnapshotsOf(virsh, read))];
  return known.map((reading) => {
    if ('failure' in reading) return reading;
    const { name, uuid, state, current } = reading;
    return { name, uuid, ...parseState(state ?? ''), current, ...(snapshots.shift() as SnapshotsRead) };
  });
}

interface Reading extends MachineName {
  readonly names: readonly string[];
  readonly current: string | null;
  /** As virsh prints it; null where it does not. */
  readonly state: string | null;
}

function summaryCommands(uuid: string): VirshCommand[] {
  const domain = ['--domain', uuid];
  return [
    ['snapshot-list', ...domain, '--name'],
    ['snapshot-current', ...domain, '--name'],
    ['domstate', ...domain, '--reason'],
  ];
}

function toReading({ name, uuid }: MachineName, texts: readonly string[]): Reading {
  const [names = [], current = [], [state = null] = []] = texts.map(splitLines);
  return { name, uuid, names, current: current.join('\n') || null, state };
}

/** Null for a machine that is there no longer. */
async function readAlone(virsh: Virsh, machine: MachineName): Promise<Reading | UnreadMachine | null> {
  const answers = await virsh.read([...summaryCommands(machine.uuid), LIST_MACHINES]);
  const texts = allAnswered(answers);
  if (!parseMachineNames(texts.at(-1) ?? '').some(({ uuid }) => uuid === machine.uuid)) return null;
  const reading = toReading(machine, texts);
  const expected = reading.current === null ? 1 : 0;
  if (reading.state !== null && countErrors(answers.stderr) <= expected) return reading;
  const { name, uuid } = machine;
  return { name, uuid, failure: virshFailure(`cannot read the machine '${name}'`, answers.stderr) };
}
