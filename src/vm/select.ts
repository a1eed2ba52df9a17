import type { Context } from '../run/context.ts';
import { nearest } from '../model/names.ts';
import { isPattern, type Selected, type Selection, selectMachines } from '../model/selection.ts';
import { KvmsnapError } from '../errors.ts';
import {
  explainMissing,
  listMachines,
  type MachineName,
  type MachineReading,
  readMachine,
  readMachines,
} from '../libvirt/domains.ts';
import { NO_SNAPSHOTS, readSnapshotsOf, type SnapshotsRead } from '../libvirt/snapshots.ts';

/** A machine of a selection: as it was read, or why it could not be. */
export interface Target {
  /** `uuid` null: a word that means no machine. */
  readonly machine: { readonly name: string; readonly uuid: string | null };
  readonly reading: MachineReading | KvmsnapError;
  /** By its own name or UUID, and not by a pattern that it happens to match. */
  readonly named: boolean;
}

export interface Targets {
  readonly targets: readonly Target[];
  /** One machine, called by its own name or UUID: that is consent, and its results need not say whose they are. */
  readonly single: boolean;
}

/**
 * Reads the machines that a command line means: one by its name, or many by patterns, in two processes for any number.
 * A word that means nothing stands among others as its failure. Throws `not-found` when it is the only one, or when all
 * of them together mean nothing: never a silent success.
 */
export async function readSelection(ctx: Context, selection: Selection): Promise<Targets> {
  const { words, all, exclude, states } = selection;
  const [word = ''] = words;
  const single = !all && words.length === 1;
  if (single && !isPattern(word) && states.length === 0 && exclude.length === 0) {
    const reading = await readMachine(ctx.virsh, word);
    return { targets: [{ machine: reading.domain, reading, named: true }], single };
  }
  const { machines, named, missing } = await chooseMachines(ctx, selection);
  const readings = await readMachines(ctx.virsh, machines);
  const present = machines
    .map(
      (machine, i): Target => ({
        machine,
        reading: readings[i] as MachineReading | KvmsnapError,
        named: named.has(machine),
      }),
    )
    .filter(
      ({ reading }) =>
        reading instanceof KvmsnapError || states.length === 0 || states.includes(reading.domain.state),
    );
  const absent = missing.map(
    ({ name, uuid, failure }): Target => ({ machine: { name, uuid }, reading: failure, named: true }),
  );
  const targets = [...present, ...absent].sort((a, b) => (a.machine.name < b.machine.name ? -1 : 1));
  if (targets.length === 0) throw nothingLeft(selection, machines.length);
  return { targets, single: single && named.size > 0 };
}

/** A word that means no machine, and why. */
interface Missing {
  readonly name: string;
  readonly uuid: null;
  readonly failure: KvmsnapError;
}

interface Chosen extends Pick<Selected<MachineName>, 'machines' | 'named'> {
  /** Words that mean no machine; none where such a word is the only one. */
  readonly missing: readonly Missing[];
}

/** The machines of a selection in the order of their names, whatever their state; one process. Throws as `readSelection`. */
export async function chooseMachines(ctx: Context, selection: Selection): Promise<Chosen> {
  const known = (await listMachines(ctx.virsh)).sort((a, b) => (a.name < b.name ? -1 : 1));
  const chosen = selectMachines(known, selection);
  for (const word of chosen.idle) tellIdle(ctx, word, known, selection);
  const words = [...new Set(chosen.unmatched)];
  if (words.length === 0) return { ...chosen, missing: [] };
  const failures = await explainMissing(ctx.virsh, words);
  const missing = words.flatMap((name): Missing[] => {
    const failure = failures.get(name);
    return failure ? [{ name, uuid: null, failure }] : [];
  });
  if (missing.length < words.length) return chooseMachines(ctx, selection); // it has come meanwhile
  const [only] = missing;
  if (only && selection.words.length === 1) throw only.failure;
  return { ...chosen, missing };
}

/** A job of every night may exclude a machine that has gone; where it is an error, it throws `not-found`. */
function tellIdle(
  ctx: Context,
  word: string,
  known: readonly MachineName[],
  { exacting = false }: Selection,
): void {
  const message = `--exclude '${word}' leaves out nothing: ${isPattern(word) ? 'no machine matches' : 'no machine is called so'}`;
  const names = known.map(({ name }) => name);
  const meant = isPattern(word) ? null : nearest(word, names);
  const hint = meant === null ? 'kvmsnap list shows all machines' : `did you mean '${meant}'?`;
  if (exacting) throw new KvmsnapError('not-found', message, { hint });
  ctx.terminal.note(`note: ${message}${meant === null ? '' : `; ${hint}`}`);
}

/** The snapshots of all machines that could be read, by UUID; one process per 100 KB of commands. */
export async function readAllSnapshots(
  ctx: Context,
  { targets }: Targets,
): Promise<ReadonlyMap<string, SnapshotsRead>> {
  const readings = targets.flatMap(({ reading }) => (reading instanceof KvmsnapError ? [] : [reading]));
  const snapshots = await readSnapshotsOf(
    ctx.virsh,
    readings.map(({ domain, snapshotNames }) => ({ ...domain, names: snapshotNames })),
  );
  return new Map(readings.map(({ domain }, i) => [domain.uuid, snapshots[i] ?? NO_SNAPSHOTS]));
}

/** Why nothing is left of a selection; `chosen` counts the machines whose state was asked. */
export function nothingLeft({ exclude, states }: Selection, chosen: number): KvmsnapError {
  const why =
    chosen > 0
      ? `of ${chosen} selected, none is ${states.join(' or ')}`
      : exclude.length > 0
        ? 'all that were selected are excluded'
        : 'this connection has none';
  const hint =
    chosen + exclude.length > 0
      ? 'kvmsnap list shows all machines and their states'
      : 'the machines of the host are at --connect qemu:///system';
  return new KvmsnapError('not-found', `no machine is left: ${why}`, { hint });
}
