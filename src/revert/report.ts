import type { SnapshotReport } from '../model/report.ts';
import { domainDocument, snapshotDocument } from '../output/documents.ts';
import { stateWord } from '../output/format.ts';
import { type Column, LEAVES, section, VM_COLUMN } from '../output/view.ts';
import type { Output } from '../run/context.ts';
import { ownName } from '../run/results.ts';
import { show } from '../run/show.ts';
import type { Reverted } from './operation.ts';
import type { RevertedAll } from './revert-all.ts';

interface Outcome {
  readonly vm: string;
  readonly state: string;
  readonly snapshot: SnapshotReport;
  readonly backup: SnapshotReport | null;
}

const COLUMNS: readonly Column<Outcome>[] = [
  VM_COLUMN,
  {
    key: 'state',
    title: 'STATE',
    kind: 'text',
    leaves: LEAVES.state,
    value: ({ state }) => stateWord(state),
    data: ({ state }) => state,
  },
  { key: 'snapshot', title: 'REVERTED TO', kind: 'text', value: ({ snapshot }) => snapshot.name },
  {
    key: 'createdAt',
    title: 'CREATED',
    kind: 'time',
    leaves: LEAVES.created,
    value: ({ snapshot }) => snapshot.createdAtSeconds,
  },
  { key: 'backup', title: 'BACKUP', kind: 'text', value: ({ backup }) => backup?.name ?? null },
];

/** Shows what the reverts of a group have done; a failure of one of them is told apart. */
export async function showRevertedGroup(ctx: Output, { done, left }: RevertedAll): Promise<void> {
  await show(ctx, {
    kind: 'revert-group',
    document: {
      reverted: done.map(({ vm, snapshot }) => ({
        domain: domainDocument(vm.domain),
        snapshot: snapshotDocument(snapshot),
      })),
      notReverted: left.map(({ domain: { name, uuid } }) => ({ name, uuid })),
    },
    sections: [
      section({
        columns: COLUMNS.map((column) => (column.key === 'backup' ? { ...column, ifAny: true } : column)),
        rows: done.map(({ vm, snapshot, backup }) => ({
          ...{ vm: vm.domain.name, state: vm.domain.state },
          ...{ snapshot, backup },
        })),
      }),
    ],
    names: done.map(({ vm, snapshot }) => ownName(vm.domain, snapshot.name)),
  });
}

/** Shows what a revert has done. */
export async function showReverted(ctx: Output, { vm: after, snapshot, backup }: Reverted): Promise<void> {
  await show(ctx, {
    kind: 'revert',
    document: {
      domain: domainDocument(after.domain),
      snapshot: snapshotDocument(snapshot),
      backup: backup && snapshotDocument(backup),
    },
    sections: [
      section({
        columns: COLUMNS,
        rows: [{ vm: after.domain.name, state: after.domain.state, snapshot, backup }],
      }),
    ],
    names: [snapshot.name],
  });
}
