import type { Context } from '../context.ts';
import { isHeld } from '../core/hold.ts';
import type { SnapshotReport } from '../core/report.ts';
import { KvmsnapError } from '../errors.ts';
import { patiently } from '../host/act.ts';
import { findSnapshot, type Machine, openMachine } from '../host/machine.ts';
import { type Described, redescribe } from '../host/redefine.ts';
import { domainDocument, snapshotDocument } from '../render/documents.ts';
import { SNAPSHOT_COLUMNS } from '../render/snapshot-columns.ts';
import { section } from '../render/view.ts';
import { show, showPlan } from './show.ts';

/** `hold` and `unhold`: whether a prune may touch it. */
export async function setHold(ctx: Context, machineName: string, name: string, held: boolean): Promise<void> {
  await apply(ctx, machineName, name, ({ description }) => ({ description, held }));
}

/** `describe`: another description; a hold stays. */
export async function describe(ctx: Context, machineName: string, name: string, text: string): Promise<void> {
  // XML keeps no carriage returns
  const description = text.replace(/\r\n?/g, '\n') || null;
  if (isHeld(description)) {
    throw new KvmsnapError('usage', 'a description cannot end with the line that marks a hold', {
      hint: 'kvmsnap hold protects a snapshot',
    });
  }
  await apply(ctx, machineName, name, ({ held }) => ({ description, held }));
}

async function apply(
  ctx: Context,
  machineName: string,
  name: string,
  change: (snapshot: SnapshotReport) => Described,
): Promise<void> {
  const { machine, snapshot, done } = await patiently(ctx, async () => {
    const machine = await openMachine(ctx, machineName);
    const snapshot = findSnapshot(machine, name);
    return { machine, snapshot, done: await redescribe(ctx, machine, snapshot, change(snapshot)) };
  });
  if ('planned' in done) await showPlan(ctx, [done.planned]);
  else await showSnapshot(ctx, machine, { ...done, children: snapshot.children });
}

async function showSnapshot(ctx: Context, machine: Machine, snapshot: SnapshotReport): Promise<void> {
  await show(ctx, {
    document: { domain: domainDocument(machine.domain), snapshot: snapshotDocument(snapshot) },
    sections: [section({ columns: SNAPSHOT_COLUMNS, rows: [snapshot] })],
    names: [snapshot.name],
  });
}
