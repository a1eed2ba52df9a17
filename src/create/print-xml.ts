import { KvmsnapError } from '../errors.ts';
import { createCommand, uncheckedCommand } from '../libvirt/create-command.ts';
import type { DomainReading } from '../libvirt/domains.ts';
import { virshFailure } from '../libvirt/virsh-error.ts';
import type { SnapshotSpec } from '../model/input/snapshot-spec.ts';
import type { Context } from '../run/context.ts';
import type { Targets } from '../vm/select.ts';
import type { CreateOptions } from './command.ts';
import { planOrThrow, planSnapshot } from './plan.ts';
import type { CreateRequest, NameMaker } from './request.ts';

/** `--print-xml`: prints the XML that libvirt would get, as virsh does. Throws what kept a VM from being read. */
export async function printXml(
  ctx: Context,
  { targets }: Targets,
  { name, spec, labeled, description }: CreateRequest,
  { memspec, diskspec = [], external = false }: CreateOptions,
): Promise<void> {
  for (const { reading } of targets) {
    if (reading instanceof KvmsnapError) throw reading;
    const isNamed = typeof name === 'string' || labeled || external;
    const typed = {
      name: isNamed ? name : null,
      description,
      spec,
      memspec: memspec?.text ?? null,
      diskspecs: diskspec.map(({ text }) => text),
    };
    ctx.terminal.print(await snapshotXml(ctx, reading, typed));
  }
}

/** What `--print-xml` is to describe. */
interface XmlRequest {
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
async function snapshotXml(
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
