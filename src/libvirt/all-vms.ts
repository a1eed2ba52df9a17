import { allAnswered, splitLines } from './answers.ts';
import type { VirshCommand } from './batch.ts';
import { isOfRunning } from './definition-files.ts';
import type { DomainName } from './resolve.ts';
import type { Virsh } from './virsh.ts';
import { connectionFailure, countErrors } from './virsh-error.ts';

/** Reads all VMs of a connection as text, so that they can be compared with an earlier reading. */

export interface VmTexts extends DomainName {
  readonly state: 'running' | 'paused' | 'shutoff';
  /** As `dumpxml` prints it. */
  readonly definition: string;
  /** The definition for its next start, if it runs. */
  readonly next: string | null;
  readonly snapshotNames: readonly string[];
}

/** A VM to read. */
interface Wanted {
  readonly uuid: string;
  /** Whether it may run and therefore have another definition for its next start. */
  readonly mayRun: boolean;
}

export interface AllVms {
  /** The VMs that were read. */
  readonly vms: readonly VmTexts[];
  /** The `trusted` VMs that are unchanged by name, state and list of snapshots. */
  readonly left: readonly string[];
  /** The VMs that could not be read. */
  readonly failed: readonly DomainName[];
}

/** What was known before. */
export interface Before {
  /** The VMs to read in any case. */
  readonly asked: readonly Wanted[];
  /** By UUID, the VMs to read only if libvirt's lists show that they have changed. */
  readonly trusted: ReadonlyMap<string, Pick<VmTexts, 'name' | 'snapshotNames'> & { readonly state: string }>;
}

/**
 * Reads the VMs in one process, and in a second one those that are new or were started or stopped since. A VM with
 * errors is read again in a process of its own. Throws `unreachable` if there is no connection.
 */
export async function readAllVms(virsh: Virsh, { asked, trusted }: Before): Promise<AllVms> {
  const first = await readBatch(virsh, asked, [...trusted.keys()]);
  const read = new Set(asked.map(({ uuid }) => uuid));
  const isAsBefore = ({ uuid, name }: DomainName) => {
    const before = trusted.get(uuid);
    return (
      before?.name === name &&
      before.state === first.stateOf(uuid) &&
      before.snapshotNames.join('\n') === first.lists.get(uuid)?.join('\n')
    );
  };
  const late = first.names
    .filter((vm) => (read.has(vm.uuid) ? first.started.has(vm.uuid) : !isAsBefore(vm)))
    .map(({ uuid }) => ({ uuid, mayRun: true }));
  const then = late.length === 0 ? first : await readBatch(virsh, late);
  const [left, others] = [then.names.filter((vm) => !read.has(vm.uuid) && isAsBefore(vm)), then.names];
  const isLeft = new Set(left.map(({ uuid }) => uuid));
  const wanted = others.filter(({ uuid }) => !isLeft.has(uuid));
  const found = await Promise.all(
    wanted.map(async (vm): Promise<VmTexts | null> => {
      const texts = then.texts.get(vm.uuid) ?? first.texts.get(vm.uuid);
      return texts ? { ...vm, ...texts, state: then.stateOf(vm.uuid) } : readVmAlone(virsh, vm);
    }),
  );
  return {
    vms: found.filter((vm) => vm !== null),
    left: [...isLeft],
    failed: wanted.filter((_, i) => !found[i]),
  };
}

/** Reads one VM alone; null if that fails. */
export async function readVmAlone(virsh: Virsh, vm: DomainName): Promise<VmTexts | null> {
  const { texts, stateOf } = await readBatch(virsh, [{ uuid: vm.uuid, mayRun: true }]);
  const found = texts.get(vm.uuid);
  return found ? { ...vm, ...found, state: stateOf(vm.uuid) } : null;
}

type Texts = Pick<VmTexts, 'definition' | 'next' | 'snapshotNames'>;

interface Batch {
  readonly names: readonly DomainName[];
  readonly stateOf: (uuid: string) => VmTexts['state'];
  readonly texts: ReadonlyMap<string, Texts>;
  /** The snapshot lists of the VMs of which nothing else was read. */
  readonly lists: ReadonlyMap<string, readonly string[]>;
  /** The VMs that run although they were believed to be off. */
  readonly started: ReadonlySet<string>;
}

/** The commands that are run once for all VMs. */
const HOST_COMMANDS: readonly VirshCommand[] = [
  ['list', '--uuid'],
  ['list', '--uuid', '--state-paused'],
  ['list', '--all', '--uuid', '--name'],
];

const listCommand = (uuid: string): VirshCommand => ['snapshot-list', '--domain', uuid, '--name'];

const commandsOf = ({ uuid, mayRun }: Wanted): VirshCommand[] => [
  ['dumpxml', '--domain', uuid],
  ...(mayRun ? [['dumpxml', '--domain', uuid, '--inactive']] : []),
  listCommand(uuid),
];

/** Reads the wanted VMs, and of the `others` only the lists of snapshots. */
async function readBatch(
  virsh: Virsh,
  wanted: readonly Wanted[],
  others: readonly string[] = [],
): Promise<Batch> {
  const asked = wanted.map(commandsOf);
  const answers = await virsh.read([...asked.flat(), ...others.map(listCommand), ...HOST_COMMANDS]);
  if (!answers.lastSucceeded) throw connectionFailure(answers.stderr);
  const all = allAnswered(answers);
  const [active, paused, list] = all.slice(-HOST_COMMANDS.length).map(splitLines);
  const rest = all.slice(0, -HOST_COMMANDS.length);
  const parts = asked.map((commands) => rest.splice(0, commands.length));
  // all commands for a VM that is gone meanwhile fail
  const failing = parts.filter(([definition]) => definition === '').flat().length;
  const isSure = countErrors(answers.stderr) <= failing;
  const texts = new Map<string, Texts>();
  const started = new Set<string>();
  for (const [i, vm] of wanted.entries()) {
    const found = textsOf(vm, parts[i] ?? [], isSure);
    if (found && isOfRunning(found.definition) && !vm.mayRun) started.add(vm.uuid);
    else if (found) texts.set(vm.uuid, found);
  }
  const [isActive, isPaused] = [new Set(active), new Set(paused)];
  return {
    names: (list ?? []).map((line) => ({ uuid: line.slice(0, 36), name: line.slice(37) })),
    stateOf: (uuid) => (isPaused.has(uuid) ? 'paused' : isActive.has(uuid) ? 'running' : 'shutoff'),
    texts,
    started,
    // a failed list looks like an empty one
    lists: new Map(others.flatMap((uuid, i) => (isSure ? [[uuid, splitLines(rest[i] ?? '')] as const] : []))),
  };
}

/**
 * The texts of one VM from its answers, in the order of its commands; null if one of them failed or may have failed (a
 * failed list looks like an empty one).
 */
function textsOf(
  { mayRun }: Wanted,
  [definition = '', ...answers]: readonly string[],
  isSure: boolean,
): Texts | null {
  const next = mayRun ? (answers.shift() ?? '') : null;
  const names = answers.shift() ?? '';
  if (definition === '' || next === '' || (names === '' && !isSure)) return null;
  return {
    definition,
    next: isOfRunning(definition) ? next : null,
    snapshotNames: splitLines(names),
  };
}
