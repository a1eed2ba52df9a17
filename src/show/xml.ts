import { KvmsnapError } from '../errors.ts';
import type { DomainReading } from '../libvirt/domains.ts';
import { readSnapshotXml } from '../libvirt/snapshots.ts';
import type { Context } from '../run/context.ts';
import { noSuchSnapshot } from '../vm/load.ts';
import type { XmlOptions } from './command.ts';

/** Prints the XML of a snapshot as libvirt has it. Throws `usage` if another output format was requested. */
export async function showXml(
  ctx: Context,
  vm: DomainReading,
  name: string,
  { xml = false, securityInfo = false }: XmlOptions,
): Promise<void> {
  if (!xml) throw new KvmsnapError('usage', '--security-info needs --xml');
  if (ctx.settings.output !== 'table')
    throw new KvmsnapError('usage', '--xml cannot be combined with -o, --json or -q');
  const isKnown = name.split('\n').every((line) => vm.snapshotNames.includes(line));
  if (!isKnown) throw noSuchSnapshot(vm, name);
  ctx.terminal.print(await readSnapshotXml(ctx.virsh, vm.domain, name, securityInfo));
}
