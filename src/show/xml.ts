import { KvmsnapError } from '../errors.ts';
import type { DomainReading } from '../libvirt/domains.ts';
import { readSnapshotXml } from '../libvirt/snapshots.ts';
import type { Context } from '../run/context.ts';
import { noSuchSnapshot } from '../vm/load.ts';
import type { XmlOptions } from './command.ts';

/** Prints a snapshot's XML as libvirt has it. Throws `usage` where it would not be what `-o` asks for. */
export async function showXml(
  ctx: Context,
  vm: DomainReading,
  name: string,
  { xml = false, securityInfo = false }: XmlOptions,
): Promise<void> {
  if (!xml) throw new KvmsnapError('usage', '--security-info goes with --xml');
  if (ctx.settings.output !== 'table')
    throw new KvmsnapError('usage', '--xml is a format of its own, and goes with no -o, --json or -q');
  const isKnown = name.split('\n').every((line) => vm.snapshotNames.includes(line));
  if (!isKnown) throw noSuchSnapshot(vm, name);
  ctx.terminal.print(await readSnapshotXml(ctx.virsh, vm.domain, name, securityInfo));
}
