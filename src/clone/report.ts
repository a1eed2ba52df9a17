import type { Planned } from '../content/new-files.ts';
import type { Session } from '../content/session.ts';
import { FROM_PIPE, pipedLine, printing } from '../libvirt/piped-lines.ts';
import { changedAt, elementXml, withAttributes } from '../libvirt/xml/change.ts';
import { commandLine } from '../model/quote.ts';
import { inText } from '../model/text.ts';
import { domainDocument } from '../output/documents.ts';
import { rfc3339 } from '../output/format.ts';
import { type Column, section } from '../output/view.ts';
import { copyArguments, serveArguments } from '../qemu/serving.ts';
import type { Context } from '../run/context.ts';
import { show, showPlan } from '../run/show.ts';
import { definitionOf } from './clone.ts';
import type { CloneFacts } from './facts.ts';
import type { Cloned } from './verify.ts';

/** The output of `clone`. */

interface Row extends Planned {
  readonly occupiedBytes: number;
}

const COLUMNS: readonly Column<Row>[] = [
  { key: 'target', title: 'DISK', kind: 'text', value: ({ part }) => part.target },
  { key: 'diskBytes', title: 'SIZE', kind: 'bytes', value: ({ part }) => part.diskBytes },
  { key: 'occupiedBytes', title: 'ON DISK', kind: 'bytes', value: ({ occupiedBytes }) => occupiedBytes },
  { key: 'path', title: 'FILE', kind: 'text', ownLine: true, value: ({ path }) => path },
];

/** Prints what was made. */
export async function showClone(
  ctx: Context,
  { domain, snapshot }: Pick<Session, 'domain' | 'snapshot'>,
  { name, uuid, planned, macs, occupied }: Omit<Cloned, 'stored'>,
): Promise<void> {
  const rows = planned.map((each) => ({ ...each, occupiedBytes: occupied.get(each.part.target) ?? 0 }));
  await show(ctx, {
    kind: 'clone',
    document: {
      domain: domainDocument(domain),
      snapshot: { name: snapshot.name, createdAt: rfc3339(snapshot.createdAtSeconds) },
      clone: { name, uuid, macAddresses: macs },
      disks: rows.map(({ part, path, format, occupiedBytes }) => ({
        ...{ target: part.target, path, format },
        ...{ source: part.path, diskBytes: part.diskBytes, occupiedBytes },
      })),
    },
    sections: [section({ columns: COLUMNS, rows })],
    names: [name],
    remarks: [
      `${inText(name)} is defined, and is off. Its guest has the host name, the keys and the fixed IP addresses of ${inText(domain.name)}: look at its networks before you start it`,
    ],
  });
}

/** Prints the commands that would do the same by hand. */
export async function showClonePlan(ctx: Context, session: Session, facts: CloneFacts): Promise<void> {
  const lines = facts.planned.flatMap(({ part, path, format, compress }) => {
    const socket = `${path}.sock`;
    return [
      commandLine('qemu-nbd', ['--fork', ...serveArguments(part, { socket, clients: 1 })]),
      commandLine(
        'qemu-img',
        copyArguments({ socket, diskBytes: part.diskBytes }, { path, format, compress }),
      ),
    ];
  });
  const xml = elementXml(definitionOf(session, { ...facts, stored: withoutPasswords(facts.stored) }));
  const define = pipedLine(ctx.virsh, printing(xml), ['define', FROM_PIPE]);
  await showPlan(ctx, [...lines, define], { vms: [session.domain] });
}

/** A terminal and a log are no places for them. */
const withoutPasswords = (stored: CloneFacts['stored']): CloneFacts['stored'] =>
  changedAt(stored, 'devices/graphics', (display) => withAttributes(display, { passwd: null }));
