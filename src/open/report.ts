import { resolve } from 'node:path';
import type { Session } from '../content/session.ts';
import { commandLine } from '../model/quote.ts';
import { inText } from '../model/text.ts';
import { domainDocument } from '../output/documents.ts';
import { rfc3339 } from '../output/format.ts';
import { type Column, section } from '../output/view.ts';
import { serveArguments } from '../qemu/serving.ts';
import type { Context } from '../run/context.ts';
import { show, showPlan } from '../run/show.ts';
import { MOST_CLIENTS, type Opened } from './open.ts';

/** The output of `open`. */

/** The address for qemu-img and nbdcopy (the NBD URI specification). */
const uriOf = ({ socket }: Pick<Opened, 'socket'>): string => `nbd+unix:///?socket=${encodeURI(socket)}`;

const COLUMNS: readonly Column<Opened>[] = [
  { key: 'target', title: 'DISK', kind: 'text', value: ({ target }) => target },
  { key: 'diskBytes', title: 'SIZE', kind: 'bytes', value: ({ diskBytes }) => diskBytes },
  { key: 'uri', title: 'ADDRESS', kind: 'text', ownLine: true, value: uriOf },
];

/** Lines that read the disks; guestfish(1) and guestmount(1) have an address of their own for a socket. */
function linesFor(opened: readonly Opened[]): { readonly does: string; readonly command: string }[] {
  const disks = opened.flatMap(({ socket }) => ['-a', `nbd://?socket=${encodeURI(socket)}`]);
  const guest = ['--ro', '--format=raw', ...disks, '-i'];
  const [first] = opened;
  const copy = first ? [{ target: first.target, uri: uriOf(first) }] : [];
  return [
    { does: 'look at the files', command: commandLine('guestfish', guest) },
    { does: 'mount the file systems', command: commandLine('guestmount', [...guest, '/mnt']) },
    ...copy.map(({ target, uri }) => ({
      does: 'copy a disk into a raw file',
      command: commandLine('nbdcopy', [uri, `${target}.raw`]),
    })),
    ...copy.map(({ target, uri }) => ({
      does: 'copy a disk into a qcow2 image',
      command: commandLine('qemu-img', ['convert', '-f', 'raw', '-O', 'qcow2', uri, `${target}.qcow2`]),
    })),
  ];
}

/** Prints where the disks are served, and lines to paste. */
export async function showOpen(
  ctx: Context,
  { domain, snapshot }: Session,
  opened: readonly Opened[],
): Promise<void> {
  const lines = linesFor(opened);
  await show(ctx, {
    kind: 'open',
    document: {
      domain: domainDocument(domain),
      snapshot: { name: snapshot.name, createdAt: rfc3339(snapshot.createdAtSeconds) },
      disks: opened.map((disk) => ({
        ...{ target: disk.target, socket: disk.socket, uri: uriOf(disk) },
        diskBytes: disk.diskBytes,
      })),
      commands: lines.map(({ command }) => command),
    },
    sections: [section({ columns: COLUMNS, rows: opened })],
    names: opened.map(uriOf),
  });
  if (ctx.settings.output !== 'table') return;
  ctx.terminal.print(lines.map(({ does, command }) => `\n# ${does}:\n${command}\n`).join(''));
  ctx.terminal.note(
    `the disks of the snapshot ${inText(snapshot.name)} of ${inText(domain.name)} are served read-only until you press Ctrl-C`,
  );
}

/** Prints the commands that would do the same by hand. */
export async function showOpenPlan(ctx: Context, { domain, parts }: Session): Promise<void> {
  const lines = parts.map((part) => {
    const socket = resolve(`${domain.name.replaceAll('/', '_')}-${part.target}.sock`);
    return commandLine('qemu-nbd', ['-t', ...serveArguments(part, { socket, clients: MOST_CLIENTS })]);
  });
  await showPlan(ctx, lines, { vms: [domain] });
}
