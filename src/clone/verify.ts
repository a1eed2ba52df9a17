import { NVRAM } from '../content/nvram.ts';
import type { Session } from '../content/session.ts';
import { KvmsnapError } from '../errors.ts';
import { occupiedBytes } from '../host/files.ts';
import { allAnswered } from '../libvirt/answers.ts';
import { virshFailure } from '../libvirt/virsh-error.ts';
import { attributeAt, type Element, elementsAt, textAt } from '../libvirt/xml/element.ts';
import { parseElement } from '../libvirt/xml/xml.ts';
import { inText } from '../model/text.ts';
import type { Context } from '../run/context.ts';
import type { Verified } from '../run/operation.ts';
import type { WriteEnd } from '../run/write.ts';
import type { CloneFacts } from './facts.ts';

/** Verifies that the clone is a VM of its own. */

/** A clone that was made. */
export interface Cloned extends CloneFacts {
  /** The MAC addresses that libvirt has given to it. */
  readonly macs: readonly string[];
  /** By target, the bytes that the new files occupy. */
  readonly occupied: ReadonlyMap<string, number>;
}

/** `end`: how the definition ended. */
export async function verifyClone(
  ctx: Context,
  { domain }: Session,
  facts: CloneFacts,
  end: WriteEnd,
): Promise<Verified<null, Cloned>> {
  const { name, uuid, planned, stored } = facts;
  if (end.kind === 'refused')
    return { failure: virshFailure(`${inText(name)} was not defined`, end.stderr), seen: null };
  const answers = await ctx.virsh.read([
    ['dumpxml', '--inactive', '--domain', uuid],
    ['domstate', '--domain', uuid],
    ['list', '--all', '--autostart', '--uuid'],
  ]);
  const [xml = '', state = '', autostarted = ''] = allAnswered(answers);
  if (xml === '')
    return { failure: virshFailure(`${inText(name)} was not defined`, answers.stderr), seen: null };
  const clone = parseElement(xml);
  const sources = new Map(
    elementsAt(clone, 'devices/disk').map((disk) => [
      attributeAt(disk, 'target', 'dev'),
      attributeAt(disk, 'source', 'file'),
    ]),
  );
  const macs = macsOf(clone);
  const wrong = [
    ...(textAt(clone, 'name') === name && textAt(clone, 'uuid') === uuid
      ? []
      : ['it has another name or UUID']),
    ...planned
      .filter(({ part, path }) => part.target !== NVRAM && sources.get(part.target) !== path)
      .map(({ part }) => `its disk ${part.target} is ${sources.get(part.target) ?? 'missing'}`),
    ...(macs.some((mac) => macsOf(stored).includes(mac))
      ? [`it has a MAC address of ${inText(domain.name)}`]
      : []),
    ...(/^shut off/.test(state) ? [] : [`it is ${state.trim()}`]),
    ...(autostarted.includes(uuid) ? ['it starts with the host'] : []),
  ];
  if (wrong.length > 0)
    return {
      failure: new KvmsnapError(
        'refused',
        `virsh reported success, but ${inText(name)} is not as it has to be: ${wrong.join('; ')}; it was removed again`,
      ),
      seen: null,
    };
  const occupied = new Map<string, number>();
  for (const { part, path } of planned)
    occupied.set(part.target, (await occupiedBytes(ctx.files, path)) ?? 0);
  return { done: { ...facts, macs, occupied } };
}

const macsOf = (domain: Element): string[] =>
  elementsAt(domain, 'devices/interface').flatMap(
    (nic) => attributeAt(nic, 'mac', 'address')?.toLowerCase() ?? [],
  );

/** Removes the definition of a clone; its files stay. */
export const forget = ({ virsh }: Context, uuid: string): Promise<void> =>
  virsh.setRight([['undefine', '--domain', uuid, '--keep-nvram']]);
