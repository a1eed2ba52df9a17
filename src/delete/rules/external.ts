import { DELETES_EXTERNAL, isFrom } from '../../model/libvirt-versions.ts';
import { kvmsnapLine } from '../../model/quote.ts';
import type { SnapshotReport } from '../../model/report.ts';
import type { Finding, Rule } from '../../model/rule.ts';
import { locationOf } from '../../model/snapshot.ts';
import { inText } from '../../model/text.ts';
import { ancestors } from '../../model/tree.ts';
import { deletionSetOf } from '../deletion-set.ts';
import type { DeleteFacts } from './facts.ts';

/**
 * How libvirt deletes an external snapshot (qemu_snapshot.c): the overlay that it made is merged into the file below
 * and removed; or, where it has no children and is not the current one, the file that holds its state is removed.
 */

/** A rule that applies only where one external snapshot is deleted alone, by a libvirtd that can do that. */
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

/** The advice that always works: remove only libvirt's metadata, and keep every file. */
export const forget = (
  { domain }: DeleteFacts,
  { name }: SnapshotReport,
): Pick<Finding, 'hint' | 'command'> => ({
  hint: "libvirt alone can forget it; every file stays, and the VM's disks go on as they are",
  command: kvmsnapLine('delete', [domain.name, name], '--metadata'),
});

/** Names as what `nameAll` takes. */
export const named = (names: readonly string[]) => names.map((name) => ({ name }));

/** The names for the text of a finding: `'a', 'b'`. */
export const nameAll = (all: readonly { readonly name: string }[]): string =>
  all.map(({ name }) => inText(name)).join(', ');
