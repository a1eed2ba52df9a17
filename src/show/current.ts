import { KvmsnapError } from '../errors.ts';
import { type DomainReading, readDomain } from '../libvirt/domains.ts';
import type { Context } from '../run/context.ts';
import { operate } from '../run/operation.ts';
import { showName, showPlan, showSnapshot } from '../run/show.ts';
import { completeVm, currentSnapshot, noCurrent, unreadFailure } from '../vm/load.ts';
import type { CurrentOptions, XmlOptions } from './command.ts';
import { setCurrent } from './set-current.ts';
import { showXml } from './xml.ts';

/**
 * `current`: prints only the name, for scripts; all facts as JSON or CSV. With `set`, that snapshot is made the current
 * one first.
 */
export async function current(ctx: Context, vmName: string, options: CurrentOptions = {}): Promise<void> {
  const { set } = options;
  if (set === undefined) return showCurrent(ctx, await readDomain(ctx.virsh, vmName), options);
  if (options.xml || options.securityInfo)
    throw new KvmsnapError('usage', '--set cannot be combined with --xml or --security-info');
  const marked = await operate(ctx, setCurrent(vmName, set));
  if ('planned' in marked) return showPlan(ctx, [marked.planned.command], { vms: [marked.planned.vm] });
  // nothing has to be done if it is so already
  return ctx.settings.dryRun ? showPlan(ctx, [], { vms: [] }) : showCurrent(ctx, marked.done, options);
}

async function showCurrent(ctx: Context, reading: DomainReading, options: XmlOptions): Promise<void> {
  if (reading.current === null) throw noCurrent(reading);
  if (options.xml || options.securityInfo) return showXml(ctx, reading, reading.current, options);
  const { output } = ctx.settings;
  if (ctx.host === null && (output === 'table' || output === 'name')) return showName(ctx, reading.current);
  const vm = await completeVm(ctx, reading);
  await showSnapshot(ctx, vm, currentSnapshot(vm));
  const unread = unreadFailure(vm);
  if (unread) throw unread;
}
