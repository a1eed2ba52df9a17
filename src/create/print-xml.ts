import { createCommand, uncheckedCommand } from '../libvirt/create-command.ts';
import type { DomainReading } from '../libvirt/domains.ts';
import { virshFailure } from '../libvirt/virsh-error.ts';
import type { SnapshotSpec } from '../model/snapshot-spec.ts';
import type { Context } from '../run/context.ts';
import { planOrThrow, planSnapshot } from './plan.ts';
import type { NameMaker } from './request.ts';

/** What `--print-xml` is to describe. */
export interface XmlRequest {
  /** null: the XML has no name, as virsh prints it. */
  readonly name: string | NameMaker | null;
  readonly description: string | null;
  readonly spec: SnapshotSpec;
  /** As the user typed it. */
  readonly memspec: string | null;
  readonly diskspecs: readonly string[];
}

/**
 * The XML that virsh would pass to libvirt; nothing is checked or changed. virsh also prints what libvirt would refuse.
 * virsh has no option `--external`: with it, the XML names the files that kvmsnap would choose.
 */
export async function snapshotXml(
  { virsh, clock }: Context,
  { domain, snapshotNames }: DomainReading,
  { name: wanted, description, spec, memspec, diskspecs }: XmlRequest,
): Promise<string> {
  const isTaken = (candidate: string) => snapshotNames.includes(candidate);
  const name = typeof wanted === 'function' ? wanted(Math.floor(clock.now() / 1000), isTaken) : wanted;
  const command = spec.external
    ? createCommand(domain.uuid, name ?? '', description, planOrThrow(planSnapshot(domain, name ?? '', spec)))
    : uncheckedCommand(domain.uuid, { name, description, memspec, diskspecs }, spec);
  const { texts, stderr } = await virsh.read([[...command, '--print-xml']]);
  if (!texts[0]) throw virshFailure('virsh did not print the XML', stderr);
  return `${texts[0].trimEnd()}\n`;
}
