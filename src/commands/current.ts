import type { Context } from '../context.ts';
import { completeMachine, currentSnapshot, noCurrent } from '../host/machine.ts';
import { readMachine } from '../libvirt/machine.ts';
import { domainDocument, snapshotDocument } from '../render/documents.ts';
import { SNAPSHOT_COLUMNS } from '../render/snapshot-columns.ts';
import { section } from '../render/view.ts';
import { show } from './show.ts';

/** `current`: the name alone, as scripts want it; the full facts as JSON or CSV. */
export async function current(ctx: Context, machineName: string): Promise<void> {
  const reading = await readMachine(ctx.virsh, machineName);
  if (reading.current === null) throw noCurrent(reading);
  const { output } = ctx.settings;
  if (output === 'table' || output === 'name') {
    const settings = { ...ctx.settings, output: 'name' as const };
    return show({ ...ctx, settings }, { document: {}, sections: [], names: [reading.current] });
  }
  const machine = await completeMachine(ctx, reading);
  const snapshot = currentSnapshot(machine);
  await show(ctx, {
    document: { domain: domainDocument(machine.domain), snapshot: snapshotDocument(snapshot) },
    sections: [section({ columns: SNAPSHOT_COLUMNS, rows: [snapshot] })],
    names: [snapshot.name],
  });
}
