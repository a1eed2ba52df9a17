import { allAnswered, splitLines } from './answers.ts';
import type { VirshCommand } from './batch.ts';
import { isOfRunning } from './definition/files.ts';
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
  /** The definition in its managed save, with which it would continue; null: it has none, '': it cannot be read. */
  readonly saved: string | null;
  readonly snapshotNames: readonly string[];
}

/** A VM to read. */
interface Wanted {
  readonly uuid: string;
  /** Whether it may run and therefore have another definition for its next start. */
  readonly mayRun: boolean;
  /** Whether it is known to have a managed save. */
  readonly hasSave: boolean;
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
  readonly trusted: ReadonlyMap<
    string,
    Pick<VmTexts, 'name' | 'snapshotNames'> & { readonly state: string; readonly hasSave: boolean }
  >;
}

/**
 * Reads the VMs in one process, and in a second one those that are new, were started or stopped since, or have a new managed
 * save. A VM with errors is read again in a process of its own. Throws `unreachable` if there is no connection.
 */
export async function readAllVms(virsh: Virsh, { asked, trusted }: Before): Promise<AllVms> {
  const first = await readBatch(virsh, asked, [...trusted.keys()]);
  const read = new Map(asked.map((vm) => [vm.uuid, vm]));
  const isAsBefore = ({ uuid, name }: DomainName) => {
    const before = trusted.get(uuid);
    return (
      before?.name === name &&
      before.state === first.stateOf(uuid) &&
      before.hasSave === first.saved.has(uuid) &&
      before.snapshotNames.join('\n') === first.lists.get(uuid)?.join('\n')
    );
  };
  const late = first.names
    .filter((vm) => {
      const asIt = read.get(vm.uuid);
      if (asIt === undefined) return !isAsBefore(vm);
      return first.started.has(vm.uuid) || (first.saved.has(vm.uuid) && !asIt.hasSave);
    })
    .map(({ uuid }) => ({ uuid, mayRun: true, hasSave: first.saved.has(uuid) }));
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
  const ask = (hasSave: boolean) => readBatch(virsh, [{ uuid: vm.uuid, mayRun: true, hasSave }]);
  const first = await ask(false);
  const { texts, stateOf } = first.saved.has(vm.uuid) ? await ask(true) : first;
  const found = texts.get(vm.uuid);
  return found ? { ...vm, ...found, state: stateOf(vm.uuid) } : null;
}

type Texts = Pick<VmTexts, 'definition' | 'next' | 'saved' | 'snapshotNames'>;

interface Batch {
  readonly names: readonly DomainName[];
  readonly stateOf: (uuid: string) => VmTexts['state'];
  readonly texts: ReadonlyMap<string, Texts>;
  /** The snapshot lists of the VMs of which nothing else was read. */
  readonly lists: ReadonlyMap<string, readonly string[]>;
  /** The VMs that have a managed save. */
  readonly saved: ReadonlySet<string>;
  /** The VMs that run although they were believed to be off. */
  readonly started: ReadonlySet<string>;
}

/** The commands that are run once for all VMs. */
const HOST_COMMANDS: readonly VirshCommand[] = [
  ['list', '--uuid'],
  ['list', '--uuid', '--state-paused'],
  ['list', '--all', '--uuid', '--with-managed-save'],
  ['list', '--all', '--uuid', '--name'],
];

const listCommand = (uuid: string): VirshCommand => ['snapshot-list', '--domain', uuid, '--name'];

const commandsOf = ({ uuid, mayRun, hasSave }: Wanted): VirshCommand[] => [
  ['dumpxml', '--domain', uuid],
  ...(mayRun ? [['dumpxml', '--domain', uuid, '--inactive']] : []),
  ...(hasSave ? [['managedsave-dumpxml', '--domain', uuid]] : []),
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
  const [active, paused, withSave, list] = all.slice(-HOST_COMMANDS.length).map(splitLines);
  const rest = all.slice(0, -HOST_COMMANDS.length);
  const parts = asked.map((commands) => rest.splice(0, commands.length));
  const saved = new Set(withSave);
  // all commands for a VM that is gone meanwhile fail, and so does one for a managed save that is gone or damaged
  const failing = parts.flatMap(([definition, ...rest], i) => {
    if (definition === '') return ['', ...rest];
    return wanted[i]?.hasSave && rest.at(-2) === '' ? [''] : [];
  }).length;
  const isSure = countErrors(answers.stderr) <= failing;
  const texts = new Map<string, Texts>();
  const started = new Set<string>();
  for (const [i, vm] of wanted.entries()) {
    const found = textsOf(vm, parts[i] ?? [], isSure, saved.has(vm.uuid));
    if (found && isOfRunning(found.definition) && !vm.mayRun) started.add(vm.uuid);
    else if (found) texts.set(vm.uuid, found);
  }
  const [isActive, isPaused] = [new Set(active), new Set(paused)];
  return {
    names: (list ?? []).map((line) => ({ uuid: line.slice(0, 36), name: line.slice(37) })),
    stateOf: (uuid) => (isPaused.has(uuid) ? 'paused' : isActive.has(uuid) ? 'running' : 'shutoff'),
    texts,
    saved,
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
  { mayRun, hasSave }: Wanted,
  [definition = '', ...answers]: readonly string[],
  isSure: boolean,
  isSaved: boolean,
): Texts | null {
  const next = mayRun ? (answers.shift() ?? '') : null;
  const saved = hasSave ? (answers.shift() ?? '') : '';
  const names = answers.shift() ?? '';
  if (definition === '' || next === '' || (names === '' && !isSure)) return null;
  return {
    definition,
    next: isOfRunning(definition) ? next : null,
    saved: isSaved ? saved : null,
    snapshotNames: splitLines(names),
  };
}
