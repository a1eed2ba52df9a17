import { randomUUID } from 'node:crypto';
import { dirname, join, resolve } from 'node:path';
import { measureCopy, whileServed } from '../content/copy.ts';
import type { Planned } from '../content/new-files.ts';
import { readNvram } from '../content/nvram.ts';
import type { Session } from '../content/session.ts';
import { KvmsnapError } from '../errors.ts';
import { unlessOurs } from '../host/files.ts';
import { readSnapshotXml } from '../libvirt/snapshots.ts';
import type { Element } from '../libvirt/xml/element.ts';
import { storedDefinition } from '../libvirt/xml/snapshot.ts';
import { parseElement } from '../libvirt/xml/xml.ts';
import { inText } from '../model/text.ts';
import type { Context } from '../run/context.ts';

/** What a clone is made of. */

export interface CloneRequest {
  /** The name of the new VM. */
  readonly name: string;
  /** The directory for the new files; null: that of each file of the VM. */
  readonly to: string | null;
  readonly force: boolean;
}

export interface CloneFacts {
  readonly name: string;
  readonly uuid: string;
  /** With the passwords of displays. */
  readonly stored: Element;
  /** The disks, and the NVRAM with the target `nvram`. */
  readonly planned: readonly Planned[];
}

/** Such as `cannot clone s1 of web-1`. */
export const cannotClone = ({ snapshot, domain }: Session): string =>
  `cannot clone ${inText(snapshot.name)} of ${inText(domain.name)}`;

/** Throws `exists` if there is a VM of that name, and `check` if the snapshot stores no definition. */
export async function readCloneFacts(
  ctx: Context,
  session: Session,
  { name, to }: CloneRequest,
): Promise<CloneFacts> {
  const { domain, snapshot, listed, parts } = session;
  const cannot = cannotClone(session);
  if (listed.some((vm) => vm.name === name))
    throw new KvmsnapError('exists', `${cannot}: there is a VM ${inText(name)} already`, {
      hint: 'choose another name for the new VM',
    });
  // a display without its password would be open to everybody
  const xml = storedDefinition(await readSnapshotXml(ctx.virsh, domain, snapshot.name, true));
  if (xml === null)
    throw new KvmsnapError('check', `${cannot}: the snapshot stores no definition of the VM`, {
      hint: 'kvmsnap export copies its disks, for a VM that you define',
    });
  const stored = parseElement(xml);
  const nvram = await readNvram(ctx, session, stored);
  const planned: Planned[] = [];
  for (const part of nvram === null ? parts : [...parts, nvram]) {
    const directory = to === null ? await besideOf(ctx, cannot, part.path) : resolve(to);
    const format = part === nvram && part.chain[0]?.format === 'raw' ? 'raw' : 'qcow2';
    const file =
      part === nvram ? `${name}_VARS.${format === 'raw' ? 'fd' : 'qcow2'}` : `${name}-${part.target}.qcow2`;
    const neededBytes = await whileServed(ctx, session, part, (disk) => measureCopy(ctx, disk));
    planned.push({ part, path: join(directory, file), format, compress: false, neededBytes });
  }
  return { name, uuid: randomUUID(), stored, planned };
}

/** The directory of a file. Throws `check` for a block device. */
async function besideOf({ files }: Context, cannot: string, path: string): Promise<string> {
  const found = await files.stat(path).catch(unlessOurs);
  if (found?.kind !== 'block-device') return dirname(path);
  throw new KvmsnapError('check', `${cannot}: ${path} is a device, and the new disk is a file`, {
    hint: 'name a directory for the new files with --to DIR',
  });
}
