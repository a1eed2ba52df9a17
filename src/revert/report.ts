import { checkName } from '../create/naming.ts';
import { KvmsnapError } from '../errors.ts';
import type { SnapshotReport } from '../model/report.ts';
import { domainDocument, snapshotDocument } from '../output/documents.ts';
import { stateWord } from '../output/format.ts';
import { type Column, LEAVES, section, VM_COLUMN } from '../output/view.ts';
import { chooseSnapshots } from '../run/choose.ts';
import type { Context } from '../run/context.ts';
import { operate } from '../run/operation.ts';
import { show, showPlan } from '../run/show.ts';
import { currentSnapshot, findSnapshot, loadVm } from '../vm/load.ts';
import type { RevertOptions } from './command.ts';
import { type Reverted, revertSnapshot } from './revert.ts';

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

const CHOICE = { asks: 'Revert to which snapshot of', several: false };

/** `revert`. On a terminal, a user who names no snapshot is asked which. */
export async function revert(
  ctx: Context,
  vmName: string,
  given: string | undefined,
  options: RevertOptions,
): Promise<void> {
  const mayChoose = given === undefined && !options.current && ctx.terminal.hasPerson;
  const [name] = mayChoose ? await chooseSnapshots(ctx, vmName, CHOICE) : [given];
  if ((name === undefined) === !options.current) {
    throw new KvmsnapError('usage', 'give either the name of a snapshot or --current');
  }
  if (options.running && options.paused)
    throw new KvmsnapError('usage', '--running cannot be combined with --paused');
  const vm = await loadVm(ctx, vmName);
  const { backup, backupName } = options;
  if (backupName !== undefined) checkName(backupName);
  const operation = revertSnapshot(vm, name === undefined ? currentSnapshot(vm) : findSnapshot(vm, name), {
    running: options.running ?? false,
    paused: options.paused ?? false,
    force: options.force ?? false,
    resetNvram: options.resetNvram ?? false,
    backup: backup || backupName !== undefined ? { name: backupName ?? null } : null,
  });
  const reverted = await operate(ctx, operation);
  if ('planned' in reverted) return showPlan(ctx, reverted.planned, { vms: [vm.domain] });
  await showReverted(ctx, reverted.done);
}

async function showReverted(ctx: Context, { vm: after, snapshot, backup }: Reverted): Promise<void> {
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
