import type { Context } from '../context.ts';
import { doomed } from '../core/deletion-set.ts';
import { nearest } from '../core/names.ts';
import { kvmsnapLine } from '../core/quote.ts';
import { KvmsnapError } from '../errors.ts';
import { confirm } from '../host/confirm.ts';
import { afterWaiting, type DeleteRequest } from '../host/delete-snapshots.ts';
import { noteUnseen } from '../host/disks.ts';
import { foreseeQuickly } from '../host/freed.ts';
import { completeMachine, findSnapshot, type Machine, noCurrent } from '../host/machine.ts';
import type { Targets } from '../host/select.ts';
import type { MachineReading } from '../libvirt/machine.ts';
import { freedLines } from './freed.ts';

/** Which snapshots a delete means, and asking whether they are meant. */

/** What is to be deleted of each machine; names null: its current snapshot. */
export interface Wanted extends DeleteRequest {
  readonly names: readonly string[] | null;
  /** Of a machine that a pattern selects, a name that it lacks is a failure too. */
  readonly strict: boolean;
}

/** The names on the command line, or the current one's. Throws `not-found` when there is none. */
export function namesOf(reading: MachineReading, { names }: Wanted): readonly string[] {
  if (names) return names;
  if (reading.current === null) throw noCurrent(reading);
  return [reading.current];
}

/** Whether it has any of them; a name with line feeds is several lines in the list. */
export const holds = ({ snapshotNames }: MachineReading, names: readonly string[]): boolean =>
  names.some((name) => name.split('\n').every((line) => snapshotNames.includes(line)));

/** Of several machines, a name that none of them has was mistyped. Throws `not-found`; one machine says it itself. */
export function checkNames({ targets: all, single }: Targets, { names }: Wanted): void {
  const targets = all.filter(({ machine }) => machine.uuid !== null);
  const readings = targets.flatMap(({ reading }) => (reading instanceof KvmsnapError ? [] : [reading]));
  if (single || readings.length < targets.length) return;
  const lost = (names ?? []).find((name) => !readings.some((reading) => holds(reading, [name])));
  if (lost === undefined) return;
  const meant = nearest(
    lost,
    readings.flatMap(({ snapshotNames }) => snapshotNames),
  );
  const machines = targets.map(({ machine }) => `'${machine.name}'`).join(', ');
  throw new KvmsnapError('not-found', `none of the machines has a snapshot '${lost}': ${machines}`, {
    hint:
      meant !== null
        ? `did you mean '${meant}'?`
        : `${kvmsnapLine(
            'list',
            targets.map(({ machine }) => machine.name),
          )} shows those that they have`,
  });
}

/**
 * Asks for what is not named: on a terminal always, in a script what a pattern or `--children` selects. Returns a single
 * machine as it was looked at.
 */
export async function ask(
  ctx: Context,
  { targets, single }: Targets,
  wanted: Wanted,
): Promise<Machine | null> {
  const [target] = targets;
  if (single && target && !(target.reading instanceof KvmsnapError)) {
    const machine = await completeMachine(ctx, target.reading);
    noteUnseen(ctx, machine.domain, machine.images);
    const names = namesOf(machine, wanted);
    if (names.length === 1) findSnapshot(machine, names[0] ?? '');
    const asked = await askForOne(ctx, machine, names, wanted);
    return asked ? afterWaiting(ctx, machine, names, wanted) : machine;
  }
  const holders = targets.filter(
    ({ reading }) =>
      !(reading instanceof KvmsnapError) && (wanted.names ? holds(reading, wanted.names) : reading.current),
  );
  if (holders.length === 0) return null;
  const machines = holders.map(({ machine }) => `'${machine.name}'`).join(', ');
  const those = holders.length === 1 ? machines : `${holders.length} machines (${machines})`;
  const what = wanted.names?.map((name) => `'${name}'`).join(', ') ?? 'the current snapshot';
  const reach = { only: '', children: ' and all below', 'children-only': ' (only what is below)' };
  const question = `Delete ${what}${reach[wanted.reach]} of ${those}`;
  await confirm(ctx, `${question}${howFar(wanted)}?`, true);
  return null;
}

const howFar = ({ metadataOnly }: DeleteRequest): string =>
  metadataOnly ? ", only libvirt's knowledge of it, and leave it in the images" : ' for good';

/** Returns whether somebody was asked. */
async function askForOne(
  ctx: Context,
  machine: Machine,
  names: readonly string[],
  request: DeleteRequest,
): Promise<boolean> {
  const known = machine.snapshots.filter(({ name }) => names.includes(name));
  const victims = new Set(known.flatMap((snapshot) => doomed(machine.snapshots, snapshot, request.reach)));
  if (victims.size === 0) return false;
  const list = [...victims].map(({ name }) => `'${name}'`).join(', ');
  const question = `Delete ${list} of '${machine.domain.name}'${howFar(request)}?`;
  const { yes, dryRun } = ctx.settings;
  if (ctx.terminal.err.isTerminal && !yes && !dryRun && !request.metadataOnly) {
    const names = [...victims].map(({ name }) => name);
    const { together: freed = null } = (await foreseeQuickly(ctx, machine, names)) ?? {};
    for (const line of freedLines(true, [{ machine: machine.domain, freed }])) ctx.terminal.note(line);
  }
  return confirm(ctx, question, request.reach !== 'only');
}
