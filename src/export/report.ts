import type { Planned } from '../content/new-files.ts';
import type { Session } from '../content/session.ts';
import { commandLine } from '../model/quote.ts';
import { inText } from '../model/text.ts';
import { domainDocument } from '../output/documents.ts';
import { rfc3339 } from '../output/format.ts';
import { type Column, section } from '../output/view.ts';
import { copyArguments, serveArguments } from '../qemu/serving.ts';
import type { Context } from '../run/context.ts';
import { show, showPlan } from '../run/show.ts';
import type { Exported, Written } from './export.ts';

/** The output of `export`. */

const DISK: Column<Exported> = {
  key: 'target',
  title: 'DISK',
  kind: 'text',
  value: ({ part }) => part.target,
};

const FILE: Column<Exported> = {
  key: 'path',
  title: 'FILE',
  kind: 'text',
  ownLine: true,
  value: ({ path }) => path,
};

const MORE: readonly Column<Exported>[] = [
  { key: 'format', title: 'FORMAT', kind: 'text', value: ({ format }) => format },
  { key: 'diskBytes', title: 'SIZE', kind: 'bytes', value: ({ part }) => part.diskBytes },
  { key: 'occupiedBytes', title: 'ON DISK', kind: 'bytes', value: ({ occupiedBytes }) => occupiedBytes },
];

/** Prints what was written. */
export async function showExport(
  ctx: Context,
  { domain, snapshot }: Session,
  { exported, definition }: Written,
  directory: string,
): Promise<void> {
  await show(ctx, {
    kind: 'export',
    document: {
      domain: domainDocument(domain),
      snapshot: { name: snapshot.name, createdAt: rfc3339(snapshot.createdAtSeconds) },
      ...{ directory, definition },
      disks: exported.map(({ part, path, format, occupiedBytes }) => ({
        ...{ target: part.target, path, format },
        ...{ source: part.path, diskBytes: part.diskBytes, occupiedBytes },
      })),
    },
    sections: [section({ columns: [DISK, ...MORE, FILE], rows: exported })],
    csv: section({ columns: [DISK, FILE, ...MORE], rows: exported }),
    names: exported.map(({ path }) => path),
    remarks:
      definition === null
        ? []
        : [`the definition of ${inText(domain.name)} at that time is in ${definition}`],
  });
}

/** Prints the commands that would do the same by hand. */
export async function showExportPlan(
  ctx: Context,
  { domain }: Session,
  planned: readonly Planned[],
  directory: string,
): Promise<void> {
  const lines = planned.flatMap(({ part, path, format, compress }) => {
    const socket = `${path}.sock`;
    const disk = { socket, diskBytes: part.diskBytes };
    return [
      commandLine('qemu-nbd', ['--fork', ...serveArguments(part, { socket, clients: 1 })]),
      commandLine('qemu-img', copyArguments(disk, { path, format, compress })),
    ];
  });
  await showPlan(ctx, [commandLine('mkdir', ['-p', directory]), ...lines], { vms: [domain] });
}
