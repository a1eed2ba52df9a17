import type { KvmsnapError } from '../errors.ts';
import type { DomainState } from '../model/domain.ts';
import { inText } from '../model/text.ts';
import { allAnswered, parseState, splitLines } from './answers.ts';
import type { VirshCommand } from './batch.ts';
import { LIST_DOMAINS, parseDomainNames } from './domains.ts';
import type { DomainName } from './resolve.ts';
import { readSnapshotsOf, type SnapshotsRead } from './snapshots.ts';
import type { Virsh } from './virsh.ts';
import { countErrors, virshFailure } from './virsh-error.ts';

/** Reads an overview of many VMs. */

/** What an overview shows of one VM. */
export interface DomainSummary extends DomainName, SnapshotsRead {
  readonly state: DomainState;
  readonly stateReason: string;
  readonly current: string | null;
}

/** A VM that exists and could not be read. */
export interface UnreadVm extends DomainName {
  readonly failure: KvmsnapError;
}

/**
 * VMs with their snapshots, in two virsh processes, plus one per further 100 KB of commands. A VM that is gone by then
 * is left out; a VM without complete answers is read again alone.
 */
export async function readSummaries(
  virsh: Virsh,
  vms: readonly DomainName[],
): Promise<(DomainSummary | UnreadVm)[]> {
  if (vms.length === 0) return [];
  const answers = await virsh.read(vms.flatMap(({ uuid }) => summaryCommands(uuid)));
  const texts = allAnswered(answers);
  const readings = vms.map((vm, i) => toReading(vm, texts.slice(i * 3, i * 3 + 3)));
  // domstate comes last: a VM that answered it existed all the time, so its other failures are real.
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

interface Reading extends DomainName {
  readonly names: readonly string[];
  readonly current: string | null;
  /** As virsh prints it; null if virsh does not. */
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

function toReading({ name, uuid }: DomainName, texts: readonly string[]): Reading {
  const [names = [], current = [], [state = null] = []] = texts.map(splitLines);
  return { name, uuid, names, current: current.join('\n') || null, state };
}

/** Null for a VM that does not exist any more. */
async function readAlone(virsh: Virsh, vm: DomainName): Promise<Reading | UnreadVm | null> {
  const answers = await virsh.read([...summaryCommands(vm.uuid), LIST_DOMAINS]);
  const texts = allAnswered(answers);
  if (!parseDomainNames(texts.at(-1) ?? '').some(({ uuid }) => uuid === vm.uuid)) return null;
  const reading = toReading(vm, texts);
  const expected = reading.current === null ? 1 : 0;
  if (reading.state !== null && countErrors(answers.stderr) <= expected) return reading;
  const { name, uuid } = vm;
  return { name, uuid, failure: virshFailure(`cannot read the VM ${inText(name)}`, answers.stderr) };
}
