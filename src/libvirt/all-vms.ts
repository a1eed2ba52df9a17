import { allAnswered, splitLines } from './answers.ts';
import type { VirshCommand } from './batch.ts';
import { isOfRunning } from './definition-files.ts';
import type { DomainName } from './domains.ts';
import type { Virsh } from './virsh.ts';
import { connectionFailure, countErrors } from './virsh-error.ts';

/** All VMs of a connection as libvirt tells them, as text: to be compared with what it told before. */

export interface VmTexts extends DomainName {
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
  /** Those that were read. */
  readonly vms: readonly VmTexts[];
  /** Those of the `trusted` that are as they were, by their names, states and lists of snapshots. */
  readonly left: readonly string[];
  /** Those that could not be read. */
  readonly failed: readonly DomainName[];
}

/** What was known before. */
export interface Before {
  /** To be read, whatever the lists of libvirt say. */
  readonly asked: readonly Wanted[];
  /** To be read only where the lists of libvirt say that they are others now: by UUID. */
  readonly trusted: ReadonlyMap<string, Pick<VmTexts, 'name' | 'snapshotNames'> & { readonly state: string }>;
}

/**
 * Reads what is asked in one process, and in a second one those that are new, or were started or stopped since; what cannot
 * be read so, each in one of its own. Throws `unreachable` where there is no connection.
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

/** Reads one of them alone; null where that fails. */
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
  /** The snapshots of those of which nothing else was asked. */
  readonly lists: ReadonlyMap<string, readonly string[]>;
  /** Those that run and were taken to be off. */
  readonly started: ReadonlySet<string>;
}

/** Few questions each, for any number of VMs. */
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

/** All of those that are wanted, and of these `others` the lists of snapshots. */
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
  // one that has gone meanwhile fails with all of its commands
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
    // a list that failed looks like an empty one
    lists: new Map(others.flatMap((uuid, i) => (isSure ? [[uuid, splitLines(rest[i] ?? '')] as const] : []))),
  };
}

/** Its answers, in the order of its commands; null where one of them failed, or may have: a failed list looks like an empty one. */
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
