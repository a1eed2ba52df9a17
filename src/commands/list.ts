import type { Context } from '../context.ts';
import { isSaving } from '../core/domain.ts';
import { reportSnapshots, type SnapshotReport } from '../core/report.ts';
import { growTree } from '../core/tree.ts';
import { noteUnseen } from '../host/disks.ts';
import { openMachine } from '../host/machine.ts';
import { type MachineSummary, readAllMachines } from '../libvirt/overview.ts';
import { domainDocument, snapshotDocument } from '../render/documents.ts';
import { SNAPSHOT_COLUMNS, TREE_COLUMNS, treeRows } from '../render/snapshot-columns.ts';
import { type Column, section } from '../render/view.ts';
import { show } from './show.ts';

export interface ListOptions {
  readonly tree?: boolean;
}

/** `list`: the snapshots of one machine, or all machines in overview. */
export async function list(
  ctx: Context,
  machineName: string | undefined,
  options: ListOptions,
): Promise<void> {
  if (machineName === undefined) return listAll(ctx);
  const { domain, current, snapshots, images } = await openMachine(ctx, machineName);
  noteUnseen(ctx, images);
  const byName = new Map(snapshots.map((snapshot) => [snapshot.name, snapshot]));
  await show(ctx, {
    document: {
      domains: [{ ...domainDocument(domain), current, snapshots: snapshots.map(snapshotDocument) }],
    },
    sections: [
      options.tree && ctx.settings.output === 'table'
        ? section({ columns: TREE_COLUMNS, rows: treeRows(growTree(snapshots), byName) })
        : section({ columns: SNAPSHOT_COLUMNS, rows: snapshots }),
    ],
    names: snapshots.map(({ name }) => name),
    remarks: snapshots.length === 0 ? [`'${domain.name}' has no snapshots`] : [],
  });
}

interface Overview extends MachineSummary {
  readonly reports: readonly SnapshotReport[];
}

const OVERVIEW_COLUMNS: readonly Column<Overview>[] = [
  { key: 'name', title: 'NAME', kind: 'text', value: ({ name }) => name },
  {
    key: 'state',
    title: 'STATE',
    kind: 'text',
    value: ({ state }) => state,
    tone: ({ state }) => (state === 'running' ? 'good' : 'plain'),
  },
  { key: 'snapshots', title: 'SNAPSHOTS', kind: 'count', value: ({ reports }) => reports.length },
  { key: 'current', title: 'CURRENT', kind: 'text', value: ({ current }) => current },
  {
    key: 'newest',
    title: 'NEWEST',
    kind: 'time',
    value: ({ reports }) => reports.at(-1)?.createdAtSeconds ?? null,
  },
];

async function listAll(ctx: Context): Promise<void> {
  const machines = (await readAllMachines(ctx.virsh))
    .map((machine): Overview => {
      const reports = reportSnapshots(machine.snapshots, {
        current: machine.current,
        busy: isSaving(machine),
        images: null,
      });
      return { ...machine, reports };
    })
    .sort((a, b) => (a.name < b.name ? -1 : 1));
  await show(ctx, {
    document: {
      domains: machines.map((machine) => ({
        ...domainDocument(machine),
        current: machine.current,
        snapshots: machine.reports.map(snapshotDocument),
      })),
    },
    sections: [section({ columns: OVERVIEW_COLUMNS, rows: machines })],
    names: machines.map(({ name }) => name),
    remarks: machines.length === 0 ? ['there are no machines'] : [],
  });
}
