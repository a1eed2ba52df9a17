import { KvmsnapError } from '../errors.ts';
import { readDomain } from '../libvirt/domains.ts';
import type { Context } from '../run/context.ts';
import { noteUnseen } from '../vm/disks.ts';
import { completeVm, findSnapshot, noCurrent, unreadFailure } from '../vm/load.ts';
import type { InfoOptions } from './command.ts';
import { infoSnapshot } from './info-snapshot.ts';
import { infoVm } from './info-vm.ts';
import { showXml } from './xml.ts';

/** `info`: a VM with its disks, or one of its snapshots. */
export async function info(
  ctx: Context,
  vmName: string,
  given: string | undefined,
  options: InfoOptions = {},
): Promise<void> {
  if (given !== undefined && options.current)
    throw new KvmsnapError('usage', 'give either the name of a snapshot or --current');
  const reading = await readDomain(ctx.virsh, vmName);
  if (options.current && reading.current === null) throw noCurrent(reading);
  const name = options.current ? (reading.current ?? undefined) : given;
  const asXml = options.xml || options.securityInfo;
  if (name === undefined) {
    if (asXml) throw new KvmsnapError('usage', '--xml needs a snapshot: give its name or --current');
    return infoVm(ctx, reading);
  }
  if (asXml) return showXml(ctx, reading, name, options);
  const vm = await completeVm(ctx, reading);
  noteUnseen(ctx, vm.domain, vm.images);
  await infoSnapshot(ctx, vm, findSnapshot(vm, name));
  const unread = unreadFailure(vm);
  if (unread) throw unread;
}
