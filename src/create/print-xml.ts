import type { Context } from '../run/context.ts';
import { planSnapshot, type Wishes } from './plan.ts';
import { createCommand, uncheckedCommand } from '../libvirt/create-command.ts';
import type { MachineReading } from '../libvirt/domains.ts';
import { virshFailure } from '../libvirt/virsh-error.ts';
import { type NameMaker, planOrThrow } from './take.ts';

/** What `--print-xml` is asked for. */
export interface XmlRequest {
  /** null: none, as virsh leaves it out. */
  readonly name: string | NameMaker | null;
  readonly description: string | null;
  readonly wishes: Wishes;
  /** As they were typed. */
  readonly memspec: string | null;
  readonly diskspecs: readonly string[];
}

/**
 * The XML that virsh would hand to libvirt; nothing is checked, and nothing done. virsh prints also what libvirt would
 * refuse. `--external` is no option of virsh: with it, the XML names the files that kvmsnap would choose.
 */
export async function snapshotXml(
  { virsh, clock }: Context,
  { domain, snapshotNames }: MachineReading,
  { name: wanted, description, wishes, memspec, diskspecs }: XmlRequest,
): Promise<string> {
  const isTaken = (candidate: string) => snapshotNames.includes(candidate);
  const name = typeof wanted === 'function' ? wanted(Math.floor(clock.now() / 1000), isTaken) : wanted;
  const command = wishes.external
    ? createCommand(
        domain.uuid,
        name ?? '',
        description,
        planOrThrow(planSnapshot(domain, name ?? '', wishes)),
      )
    : uncheckedCommand(domain.uuid, { name, description, memspec, diskspecs }, wishes);
  const { texts, stderr } = await virsh.read([[...command, '--print-xml']]);
  if (!texts[0]) throw virshFailure('virsh made no XML of it', stderr);
  return `${texts[0].trimEnd()}\n`;
}
