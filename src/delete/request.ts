import { KvmsnapError, lineWith } from '../errors.ts';
import type { DomainReading } from '../libvirt/domains.ts';
import { nearest } from '../model/names.ts';
import { kvmsnapLine } from '../model/quote.ts';
import type { SnapshotReport } from '../model/report.ts';
import { inText } from '../model/text.ts';
import type { Context } from '../run/context.ts';
import { withConnection } from '../run/enforce.ts';
import { noteUnseen } from '../vm/disks.ts';
import { assembleVm, findSnapshot, isDrifting, noCurrent, readAgain, type Vm } from '../vm/load.ts';
import { readAllSnapshots, type Targets } from '../vm/select.ts';
import type { DeleteRequest } from './deletion.ts';
import { findDeletionSet } from './deletion-set.ts';
import { planDeletions, type RefusedDeletion } from './dry-run.ts';

/** Which snapshots a delete means. */

/** What is to be deleted from each VM; names null: its current snapshot. */
export interface NamedDeletion extends DeleteRequest {
  readonly names: readonly string[] | null;
  /** Those of each VM by its name, where each snapshot was named with its VM. */
  readonly own?: ReadonlyMap<string, readonly string[]> | undefined;
  /** A missing name is a failure also for a VM that was selected by a pattern. */
  readonly strict: boolean;
  /** Nothing is deleted if one of them is refused. */
  readonly allOrNone?: boolean;
}

/** The names on the command line, or the name of the current snapshot. Throws `not-found` if there is none. */
export function namesOf(reading: DomainReading, { names, own }: NamedDeletion): readonly string[] {
  if (own) return own.get(reading.domain.name) ?? [];
  if (names) return names;
  if (reading.current === null) throw noCurrent(reading);
  return [reading.current];
}

/** Whether the VM has any of the names; a name with line feeds is several lines in libvirt's list. */
export const holds = ({ snapshotNames }: DomainReading, names: readonly string[]): boolean =>
  names.some((name) => name.split('\n').every((line) => snapshotNames.includes(line)));

/** Of several VMs, a name that none of them has was mistyped, unless it was named with its VM. Throws `not-found`; one VM says it itself. */
export function checkNames(ctx: Context, { targets, single }: Targets, { names, own }: NamedDeletion): void {
  const readings = targets.flatMap(({ reading }) => (reading instanceof KvmsnapError ? [] : [reading]));
  if (single || own || readings.length < targets.length) return;
  const lost = (names ?? []).find((name) => !readings.some((reading) => holds(reading, [name])));
  if (lost === undefined) return;
  const meant = nearest(
    lost,
    readings.flatMap(({ snapshotNames }) => snapshotNames),
  );
  const vms = targets.map(({ vm }) => inText(vm.name)).join(', ');
  const line = kvmsnapLine(
    'list',
    targets.map(({ vm }) => vm.name),
  );
  const { command: list } = withConnection(ctx, { what: '', command: line });
  throw new KvmsnapError(
    'not-found',
    `none of the VMs has a snapshot ${inText(lost)}: ${vms}`,
    meant === null
      ? { hint: 'list the snapshots that they have', command: list }
      : {
          hint: `did you mean ${inText(meant)}?`,
          meant: lineWith({ kind: 'snapshot', word: lost, by: meant }),
        },
  );
}

/** What a delete means for one of the VMs. */
export interface Share {
  readonly vm: Vm;
  /** The names that the VM has, and those that it does not have. */
  readonly names: readonly string[];
  readonly missing: readonly string[];
  /** All snapshots that would be deleted. */
  readonly deletionSet: readonly SnapshotReport[];
  /** Names that would not be deleted, and why. */
  readonly refused: readonly RefusedDeletion[];
}

/** By UUID, what a delete means for each VM that has any of the names, with all checks that are possible beforehand. */
export async function shareOut(
  ctx: Context,
  selected: Targets,
  wanted: NamedDeletion,
): Promise<ReadonlyMap<string, Share>> {
  const known = await readAllSnapshots(ctx, selected);
  const shares = new Map<string, Share>();
  for (const { reading } of selected.targets) {
    if (reading instanceof KvmsnapError) continue;
    const { uuid } = reading.domain;
    const found = known.get(uuid);
    const isConcerned =
      selected.single || (wanted.names ? holds(reading, namesOf(reading, wanted)) : reading.current);
    if (!found || !isConcerned) continue;
    const seen = await assembleVm(ctx, reading, found);
    const vm = isDrifting(seen) ? await readAgain(ctx, seen.domain) : seen;
    noteUnseen(ctx, vm.domain, vm.images);
    shares.set(uuid, await shareOf(ctx, vm, wanted));
  }
  return shares;
}

async function shareOf(ctx: Context, vm: Vm, wanted: NamedDeletion): Promise<Share> {
  const all = namesOf(vm, wanted);
  const names = all.filter((name) => vm.snapshots.some((each) => each.name === name));
  const missing = all.filter((name) => !names.includes(name));
  const { gone, refused } = await planDeletions(ctx, vm, names, wanted);
  const deletionSet = vm.snapshots.filter(({ name }) => gone.has(name));
  return { vm, names, missing, deletionSet, refused };
}

/** The snapshots that these names cover, whatever the rules say. */
export const deletionSetOfNames = (
  { snapshots }: Vm,
  names: readonly string[],
  { scope }: DeleteRequest,
): SnapshotReport[] => {
  const named = snapshots.filter(({ name }) => names.includes(name));
  return [...new Set(named.flatMap((snapshot) => findDeletionSet(snapshots, snapshot, scope)))];
};

/** Throws `not-found` if a single name is given and does not exist. */
export function requireName(vm: Vm, wanted: NamedDeletion): void {
  const [name, ...others] = namesOf(vm, wanted);
  if (name !== undefined && others.length === 0) findSnapshot(vm, name);
}
