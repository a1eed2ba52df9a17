import type { DomainReading } from '../libvirt/domains.ts';
import type { SnapshotReport } from '../model/report.ts';
import type { Selection } from '../model/selection.ts';
import { inText } from '../model/text.ts';
import { domainDocument, snapshotDocument } from '../output/documents.ts';
import { listedColumns, SNAPSHOT_COLUMNS, TREE_COLUMNS } from '../output/snapshot-columns.ts';
import { type Column, section } from '../output/view.ts';
import type { Context } from '../run/context.ts';
import { show } from '../run/show.ts';
import type { SnapshotCost } from '../space/measure.ts';
import { noteUnseen } from '../vm/disks.ts';
import { completeVm, currentSnapshot, findSnapshot, unreadFailure, type Vm } from '../vm/load.ts';
import { nothingLeft } from '../vm/select.ts';
import type { ListOptions } from './command.ts';
import { chosenOf, listedRows, unreadDocument } from './listed.ts';

/** Lists the snapshots of a VM that was just read. Throws `not-found` if the VM is in none of the selected states. */
export async function listOne(
  ctx: Context,
  reading: DomainReading,
  options: ListOptions,
  selection: Selection,
): Promise<void> {
  const { tree = false, space } = options;
  const vm = await completeVm(ctx, reading);
  const { domain, current, images, unread } = vm;
  if (selection.states.length > 0 && !selection.states.includes(domain.state))
    throw nothingLeft(selection, 1);
  if (options.from !== undefined) findSnapshot(vm, options.from);
  if (options.current) currentSnapshot(vm);
  const snapshots = chosenOf(vm.snapshots, current, options);
  const costs = space ? await costsOf(ctx, vm) : null;
  const withFrees = <Row extends SnapshotReport>(columns: readonly Column<Row>[]): readonly Column<Row>[] =>
    costs === null
      ? columns
      : columns.flatMap((column) =>
          column.key === 'description' ? [freesColumn<Row>(costs), column] : [column],
        );
  noteUnseen(ctx, domain, images);
  const rows = listedRows(domain.name, { snapshots, unread, tree });
  await show(ctx, {
    kind: 'list',
    document: {
      domains: [
        {
          ...domainDocument(domain),
          current,
          snapshots: snapshots.map((snapshot) => ({
            ...snapshotDocument(snapshot),
            ...(costs === null ? {} : { freesBytes: freesBytes(costs, snapshot) }),
          })),
          ...unreadDocument(unread),
        },
      ],
    },
    sections: [
      tree && ctx.settings.output === 'table'
        ? section({ columns: listedColumns(withFrees(TREE_COLUMNS)), rows })
        : section({ columns: listedColumns(withFrees(SNAPSHOT_COLUMNS)), rows }),
    ],
    names: rows.flatMap(({ name }) => name ?? []),
    remarks:
      rows.length > 0
        ? []
        : [`${inText(domain.name)} has no ${vm.snapshots.length > 0 ? 'such ' : ''}snapshots`],
  });
  const failure = unreadFailure(vm);
  if (failure) throw failure;
}

/** By name, what deleting only this snapshot frees. */
type Costs = ReadonlyMap<string, SnapshotCost>;

async function costsOf(ctx: Context, vm: Vm): Promise<Costs> {
  const { measureVm } = await import('../space/measure.ts');
  const { snapshots } = await measureVm(ctx, vm, []);
  return new Map(snapshots.map((cost) => [cost.snapshot.name, cost]));
}

/** Bytes on the host; null if unknown. */
const freesBytes = (costs: Costs, { name }: SnapshotReport): number | null =>
  costs.get(name)?.cost?.frees.hostBytes ?? null;

const freesColumn = <Row extends SnapshotReport>(costs: Costs): Column<Row> => ({
  key: 'freesBytes',
  title: 'FREES',
  kind: 'bytes',
  value: (row) => freesBytes(costs, row),
  approximate: ({ name }) => costs.get(name)?.approximate ?? false,
});
