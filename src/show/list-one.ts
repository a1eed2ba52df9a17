import type { DomainReading } from '../libvirt/domains.ts';
import type { Selection } from '../model/input/selection.ts';
import type { SnapshotReport } from '../model/report.ts';
import { inText } from '../model/text.ts';
import { domainDocument, snapshotDocument } from '../output/documents.ts';
import {
  legend,
  listedColumns,
  SNAPSHOT_COLUMNS,
  SNAPSHOT_CSV,
  TREE_COLUMNS,
} from '../output/snapshot-columns.ts';
import { type Column, section, VM_COLUMN } from '../output/view.ts';
import type { Context } from '../run/context.ts';
import { shownName } from '../run/results.ts';
import { show } from '../run/show.ts';
import type { SnapshotCost } from '../space/measure.ts';
import { noteUnseen } from '../vm/disks.ts';
import { completeVm, currentSnapshot, findSnapshot, unreadFailure, type Vm } from '../vm/load.ts';
import { withMemoryFiles } from '../vm/memory-sizes.ts';
import { nothingLeft } from '../vm/select.ts';
import type { ListOptions } from './command.ts';
import { chosenOf, listedRows, reportsOf, sumLine, unreadDocument } from './listed.ts';

/** Lists the snapshots of a VM that was just read. Throws `not-found` if the VM is in none of the selected states. */
export async function listOne(
  ctx: Context,
  reading: DomainReading,
  options: ListOptions,
  selection: Selection,
): Promise<void> {
  const { tree = false, space } = options;
  const found = await completeVm(ctx, reading);
  const { domain, current, images, unread } = found;
  if (selection.states.length > 0 && !selection.states.includes(domain.state))
    throw nothingLeft(ctx, selection, 1);
  if (options.from !== undefined) findSnapshot(found, options.from);
  if (options.current) currentSnapshot(found);
  const now = ctx.clock.now() / 1000;
  const chosen = await withMemoryFiles(ctx, found.uri, chosenOf(found.snapshots, current, options, now));
  const costs = space ? await costsOf(ctx, found) : null;
  noteUnseen(ctx, domain, images);
  const rows = listedRows(domain.name, { snapshots: chosen, unread, tree });
  const snapshots = reportsOf(rows);
  // of another host there may be another VM
  const vm = ctx.host ? [VM_COLUMN] : [];
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
      tree
        ? section({ columns: [...vm, ...listedColumns(withFrees(costs, TREE_COLUMNS))], rows })
        : section({ columns: [...vm, ...listedColumns(withFrees(costs, SNAPSHOT_COLUMNS))], rows }),
    ],
    csv: section({ columns: [...vm, ...listedColumns(withFrees(costs, SNAPSHOT_CSV))], rows }),
    names: rows.flatMap(({ name }) => (name === null ? [] : shownName(ctx, domain, name))),
    empty:
      found.snapshots.length > 0
        ? `no snapshot of ${inText(domain.name)} matches these options`
        : `${inText(domain.name)} has no snapshots`,
    remarks: rows.length === 0 ? [] : [...legend(snapshots), sumLine(snapshots, now)],
  });
  const failure = unreadFailure(found);
  if (failure) throw failure;
}

/** FREES before the description, if it was requested. */
const withFrees = <Row extends SnapshotReport>(
  costs: Costs | null,
  columns: readonly Column<Row>[],
): readonly Column<Row>[] =>
  costs === null
    ? columns
    : columns.flatMap((column) =>
        column.key === 'description' ? [freesColumn<Row>(costs), column] : [column],
      );

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
