import { KvmsnapError } from '../errors.ts';
import type { Context } from '../run/context.ts';
import { missingInWords, readGroup } from '../vm/group.ts';
import type { DeleteOptions } from './command.ts';
import { deleteSnapshots } from './delete.ts';

/**
 * `delete --group`: deletes the snapshots that were taken of several VMs at one moment. One question over all; none is deleted if one of
 * them cannot be. What a delete has left that was interrupted is deleted too.
 */
export async function deleteGroup(
  ctx: Context,
  vm: string | undefined,
  name: string,
  options: DeleteOptions,
): Promise<void> {
  const other = (['current', 'children', 'childrenOnly', 'vm', 'exclude', 'state'] as const).find(
    (each) => options[each],
  );
  if (other !== undefined)
    throw new KvmsnapError('usage', '--group cannot be combined with options that select VMs or snapshots');
  const group = await readGroup(ctx, name, vm ?? null);
  const { readings, missing } = group;
  if (missing.length > 0) ctx.terminal.note(`note: ${missingInWords(group)}`);
  const named = readings.map(({ domain }) => ({ vm: domain.name, names: [name] }));
  await deleteSnapshots(ctx, { named, paired: true, allOrNone: true }, options);
}
