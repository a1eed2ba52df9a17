import type { Context } from '../context.ts';
import { takeSnapshot } from '../host/take-snapshot.ts';
import { readMachine } from '../libvirt/machine.ts';
import { domainDocument, snapshotDocument } from '../render/documents.ts';
import { SNAPSHOT_COLUMNS } from '../render/snapshot-columns.ts';
import { section } from '../render/view.ts';
import { show, showPlan } from './show.ts';

export interface CreateOptions {
  readonly description?: string;
  readonly force?: boolean;
}

/** `create` (name null: one is given) and `create-as`. */
export async function create(
  ctx: Context,
  machineName: string,
  name: string | null,
  options: CreateOptions,
): Promise<void> {
  const reading = await readMachine(ctx.virsh, machineName);
  const taken = await takeSnapshot(ctx, reading, {
    name,
    description: options.description ?? null,
    force: options.force ?? false,
  });
  if ('planned' in taken) return showPlan(ctx, [taken.planned]);
  const { machine, snapshot } = taken;
  await show(ctx, {
    document: { domain: domainDocument(machine.domain), snapshot: snapshotDocument(snapshot) },
    sections: [section({ columns: SNAPSHOT_COLUMNS, rows: [snapshot] })],
    names: [snapshot.name],
    remarks: [
      `'${snapshot.name}' of '${machine.domain.name}' is complete, in disk ${snapshot.disks.map(({ target }) => target).join(', ')}`,
    ],
  });
}
