import type { Part } from '../content/facts.ts';
import type { Session } from '../content/session.ts';
import { isActive } from '../model/domain.ts';
import { CORRUPT, checkArguments, corruptionsIn, isDirty } from '../qemu/image-check.ts';
import { findTableDamage } from '../qemu/snapshot-tables.ts';
import type { Context } from '../run/context.ts';

/** Whether the images contain the disks of the snapshot. */

/** Such as `disk vda: /vm/a.qcow2 is damaged: ...`; null: no damage is found. */
export async function findDamage(ctx: Context, session: Session): Promise<string | null> {
  for (const part of session.parts) {
    const { target, path, tagId } = part;
    const damage = tagId === null ? null : await findTableDamage(ctx.files, path, tagId);
    if (damage !== null) return `disk ${target}: ${path} is damaged: ${damage}`;
    for (const image of atRest(session, part)) {
      ctx.terminal.progress(`checking ${image}`);
      const errors = await errorsIn(ctx, image);
      ctx.terminal.progress('');
      if (errors > 0) return `disk ${target}: ${image} is damaged: qemu-img check finds ${errors} errors`;
    }
  }
  return null;
}

/** The qcow2 images of a disk, without the one to which the running VM writes. */
const atRest = ({ domain }: Session, { chain, tagId }: Part): string[] =>
  chain
    .filter(
      ({ format }, depth) => format === 'qcow2' && (depth > 0 || tagId === null || !isActive(domain.state)),
    )
    .map(({ path }) => path);

/**
 * The number of errors in an image; 0 also if somebody writes to it, or if it cannot be checked. The first check takes no lock, so that
 * the VM can be started meanwhile; then it may take half written tables for damage. The second one is not possible while anybody writes.
 */
async function errorsIn(ctx: Context, path: string): Promise<number> {
  for (const isShared of [true, false]) {
    const { stdout, exitCode } = await ctx.start('qemu-img', checkArguments(path, isShared)).ended;
    if (exitCode !== CORRUPT || (await isDirty(ctx.files, path))) return 0;
    if (!isShared) return corruptionsIn(stdout);
  }
  return 0;
}
