import { allAnswered, splitLines } from './answers.ts';
import type { VirshCommand } from './batch.ts';
import { isOfRunning } from './definition-files.ts';
import type { MachineName } from './machine.ts';
import type { Virsh } from './virsh.ts';
import { connectionFailure, countErrors } from './virsh-error.ts';

/** All VMs of a connection as libvirt tells them, as text: to be compared with what it told before. */

export interface VmTexts extends MachineName {
  readonly state: 'running' | 'paused' | 'shutoff';
  /** As `dumpxml` prints it. */
  readonly definition: string;
  /** Of its next start, where it runs. */
  readonly next: string | null;
  readonly snapshotNames: readonly string[];
}

/** A VM to read. */
interface Wanted {
  readonly uuid: string;
  /** It may run, and then have another definition for its next start. */
  readonly mayRun: boolean;
}

export interface AllVms {
  readonly vms: readonly VmTexts[];
  /** Those that could not be read. */
  readonly failed: readonly MachineName[];
}

/**
 * Reads them in one process, and in a second one those that are not among the `known`, or were started since. Throws
 * `unreachable` where there is no connection.
 */
export async function readAllVms(virsh: Virsh, known: readonly Wanted[]): Promise<AllVms> {
  const first = await readBatch(virsh, known);
  const late = first.names
    .filter(({ uuid }) => !known.some((vm) => vm.uuid === uuid) || first.started.has(uuid))
    .map(({ uuid }) => ({ uuid, mayRun: true }));
  const then = late.length === 0 ? first : await readBatch(virsh, late);
  const vms = then.names.flatMap(({ uuid, name }) => {
    const texts = then.texts.get(uuid) ?? first.texts.get(uuid);
    return texts ? [{ uuid, name, ...texts, state: stateOf(texts, then.paused.has(uuid)) }] : [];
  });
  const read = new Set(vms.map(({ uuid }) => uuid));
  return { vms, failed: then.names.filter(({ uuid }) => !read.has(uuid)) };
}

/** Reads one of them alone; null where that fails. */
export async function readVmAlone(virsh: Virsh, vm: MachineName): Promise<VmTexts | null> {
  const { texts, paused } = await readBatch(virsh, [{ uuid: vm.uuid, mayRun: true }]);
  const found = texts.get(vm.uuid);
  return found ? { ...vm, ...found, state: stateOf(found, paused.has(vm.uuid)) } : null;
}

const stateOf = ({ runs }: Texts, isPaused: boolean): VmTexts['state'] =>
  runs ? (isPaused ? 'paused' : 'running') : 'shutoff';

interface Texts extends Pick<VmTexts, 'definition' | 'next' | 'snapshotNames'> {
  readonly runs: boolean;
}

interface Batch {
  readonly names: readonly MachineName[];
  readonly paused: ReadonlySet<string>;
  readonly texts: ReadonlyMap<string, Texts>;
  /** Those that run and were taken to be off. */
  readonly started: ReadonlySet<string>;
}

const HOST_COMMANDS: readonly VirshCommand[] = [
  ['list', '--uuid', '--state-paused'],
  ['list', '--all', '--uuid', '--name'],
];

const commandsOf = ({ uuid, mayRun }: Wanted): VirshCommand[] => [
  ['dumpxml', '--domain', uuid],
  ['snapshot-list', '--domain', uuid, '--name'],
  ...(mayRun ? [['dumpxml', '--domain', uuid, '--inactive']] : []),
];

async function readBatch(virsh: Virsh, wanted: readonly Wanted[]): Promise<Batch> {
  const asked = wanted.map(commandsOf);
  const answers = await virsh.read([...asked.flat(), ...HOST_COMMANDS]);
  if (!answers.lastSucceeded) throw connectionFailure(answers.stderr);
  const all = allAnswered(answers);
  const [paused = '', list = ''] = all.slice(-HOST_COMMANDS.length);
  const rest = all.slice(0, -HOST_COMMANDS.length);
  const parts = asked.map((commands) => rest.splice(0, commands.length));
  // one that has gone meanwhile fails with all of its commands
  const failing = parts.filter(([definition]) => definition === '').flat().length;
  const isSure = countErrors(answers.stderr) <= failing;
  const texts = new Map<string, Texts>();
  const started = new Set<string>();
  for (const [i, { uuid, mayRun }] of wanted.entries()) {
    const [definition = '', names = '', next = ''] = parts[i] ?? [];
    // a failed list of snapshots looks like an empty one
    if (definition === '' || (names === '' && !isSure) || (mayRun && next === '')) continue;
    const runs = isOfRunning(definition);
    if (runs && !mayRun) started.add(uuid);
    else texts.set(uuid, { definition, next: runs ? next : null, runs, snapshotNames: splitLines(names) });
  }
  return {
    names: splitLines(list).map((line) => ({ uuid: line.slice(0, 36), name: line.slice(37) })),
    paused: new Set(splitLines(paused)),
    texts,
    started,
  };
}
