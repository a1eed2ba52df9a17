import type { Context } from '../run/context.ts';
import { KvmsnapError } from '../errors.ts';
import {
  completeMachine,
  currentSnapshot,
  findSnapshot,
  noCurrent,
  openMachine,
  unreadFailure,
} from '../vm/load.ts';
import { patiently } from '../run/retry-while-busy.ts';
import { setCurrent } from './set-current.ts';
import { type MachineReading, readMachine } from '../libvirt/domains.ts';
import { show, showPlan, showSnapshot } from '../run/show.ts';
import { showXml, type XmlOptions } from './xml.ts';

export interface CurrentOptions extends XmlOptions {
  readonly set?: string;
}

/** `current`: the name alone, as scripts want it; the full facts as JSON or CSV. With `set` it is marked first. */
export async function current(
  ctx: Context,
  machineName: string,
  options: CurrentOptions = {},
): Promise<void> {
  const { set } = options;
  if (set === undefined) return showCurrent(ctx, await readMachine(ctx.virsh, machineName), options);
  if (options.xml || options.securityInfo) throw new KvmsnapError('usage', '--set goes with no --xml');
  const marked = await patiently(ctx, async (ctx) => {
    const machine = await openMachine(ctx, machineName);
    return setCurrent(ctx, machine, findSnapshot(machine, set));
  });
  await ('planned' in marked ? showPlan(ctx, [marked.planned]) : showCurrent(ctx, marked, options));
}

async function showCurrent(ctx: Context, reading: MachineReading, options: XmlOptions): Promise<void> {
  if (reading.current === null) throw noCurrent(reading);
  if (options.xml || options.securityInfo) return showXml(ctx, reading, reading.current, options);
  const { output } = ctx.settings;
  if (output === 'table' || output === 'name') {
    const settings = { ...ctx.settings, output: 'name' as const };
    return show({ ...ctx, settings }, { document: {}, sections: [], names: [reading.current] });
  }
  const machine = await completeMachine(ctx, reading);
  await showSnapshot(ctx, machine, currentSnapshot(machine));
  const unread = unreadFailure(machine);
  if (unread) throw unread;
}
