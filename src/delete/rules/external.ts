import { DELETES_EXTERNAL, isFrom } from '../../model/libvirt-versions.ts';
import { kvmsnapLine } from '../../model/quote.ts';
import type { SnapshotReport } from '../../model/report.ts';
import type { Finding, Rule } from '../../model/rule.ts';
import { locationOf } from '../../model/snapshot.ts';
import { allInText } from '../../model/text.ts';
import { ancestors } from '../../model/tree.ts';
import { deletionSetOf } from '../deletion-set.ts';
import type { DeleteFacts } from './facts.ts';

/**
 * How libvirt deletes an external snapshot (qemu_snapshot.c): it merges the overlay of the snapshot into the file below and
 * removes it; or, if the snapshot has no children and is not current, it removes the file that contains its state.
 */

/** A rule that applies only if a single external snapshot is deleted, by a libvirtd that can do that. */
export function external(
  id: string,
  hazards: readonly number[],
  find: (facts: DeleteFacts) => readonly Finding[],
): Rule<DeleteFacts> {
  return {
    id,
    hazards,
    severity: 'error',
    find: (facts) =>
      facts.scope === 'only' &&
      locationOf(facts.snapshot) === 'external' &&
      isFrom(facts.daemonVersion, DELETES_EXTERNAL)
        ? find(facts)
        : [],
  };
}

/** The external snapshots among those that would be deleted. */
export const externalMembers = (facts: Pick<DeleteFacts, 'snapshots' | 'snapshot' | 'scope'>) =>
  deletionSetOf(facts).filter((member) => locationOf(member) === 'external');

/** Whether the deletion set contains an external snapshot. */
export function deletesExternal(facts: Pick<DeleteFacts, 'snapshot' | 'snapshots' | 'scope'>): boolean {
  return externalMembers(facts).length > 0;
}

/** The nearest ancestor that also contains this disk. */
export const holderBefore = (facts: DeleteFacts, target: string): SnapshotReport | undefined =>
  holdersBefore(facts, target)[0];

/** The ancestors that also contain this disk, the nearest first. */
export function holdersBefore({ snapshot, snapshots }: DeleteFacts, target: string): SnapshotReport[] {
  const byName = new Map(snapshots.map((each) => [each.name, each]));
  return ancestors(snapshots, snapshot.name)
    .flatMap((name) => byName.get(name) ?? [])
    .filter((each) => each.disks.some((disk) => disk.target === target));
}

/** The advice that always works: remove only the metadata, and keep all files. */
export const unregistering = (
  { domain }: Pick<DeleteFacts, 'domain'>,
  { name }: Pick<SnapshotReport, 'name'>,
): Pick<Finding, 'hint' | 'command'> => ({
  hint: 'unregister it from libvirt instead; all files stay, and the VM keeps using them',
  command: kvmsnapLine('delete', [domain.name, name], '--metadata'),
});

/** The names of these snapshots for the text of a finding: `a, b`. */
export const nameAll = (all: readonly { readonly name: string }[]): string =>
  allInText(all.map(({ name }) => name));
