import { join, resolve } from 'node:path';
import { measureCopy, whileServed } from '../content/copy.ts';
import {
  hasContent,
  newFilesOf,
  type Planned,
  requireNew,
  requireRoom,
  writeCopy,
} from '../content/new-files.ts';
import { requireUnchanged, type Session, withContent } from '../content/session.ts';
import { KvmsnapError } from '../errors.ts';
import { occupiedBytes } from '../host/files.ts';
import { readSnapshotXml } from '../libvirt/snapshots.ts';
import { storedDefinition } from '../libvirt/xml/snapshot.ts';
import { inText } from '../model/text.ts';
import type { Context } from '../run/context.ts';
import type { ExportOptions } from './command.ts';
import { showExport, showExportPlan } from './report.ts';

/** `export`: the disks of a snapshot as images of their own. */

/** A file that was written. */
export interface Exported extends Planned {
  /** Bytes that it occupies on its file system. */
  readonly occupiedBytes: number;
}

/**
 * Copies the disks of a snapshot into `directory`, all or none, and puts the stored definition beside them. Throws `exists` if one of
 * the files exists, `check` for what prevents the copies, and `refused` for a copy that failed or differs.
 */
export async function exportSnapshot(
  ctx: Context,
  vm: string,
  name: string,
  directory: string,
  { format = 'qcow2', compress = false, disk, force = false }: ExportOptions,
): Promise<void> {
  if (compress && format === 'raw')
    throw new KvmsnapError('usage', '--compress cannot be combined with --format raw', {
      hint: 'only qcow2 images can be compressed',
    });
  const to = resolve(directory);
  const request = { vm, name, targets: disk ?? null, force, command: 'export' };
  await withContent(ctx, request, async (session) => {
    const files = session.parts.map((part) => ({
      ...{ part, format, compress },
      path: join(to, `${fileName(session)}-${part.target}.${format}`),
    }));
    const definition = await definitionFile(ctx, session, join(to, `${fileName(session)}.xml`));
    const newFiles = definition?.bytes ? [...files, definition] : files;
    await requireNew(
      ctx,
      newFiles.map(({ path }) => path),
      {
        nothing: 'nothing was copied',
        hint: 'name another directory, or remove the file if you do not need it',
      },
    );
    const planned: Planned[] = [];
    for (const file of files)
      planned.push({
        ...file,
        neededBytes: await whileServed(ctx, session, file.part, (disk) => measureCopy(ctx, disk)),
      });
    const { domain, snapshot } = session;
    await requireRoom(
      ctx,
      `cannot export ${inText(snapshot.name)} of ${inText(domain.name)}`,
      planned,
      force,
    );
    if (ctx.settings.dryRun) return showExportPlan(ctx, session, planned, to);
    ctx.onChange?.();
    const written = await writeAll(ctx, session, planned, to, definition);
    await showExport(ctx, session, written, to);
  });
}

/** The name of the VM as a part of a file name. */
const fileName = ({ domain }: Session): string => domain.name.replaceAll('/', '_');

/** The stored definition as a file. */
interface DefinitionFile {
  readonly path: string;
  /** Null: the file is there already, as when one disk after the other is exported. */
  readonly bytes: Uint8Array | null;
}

/** Null if the snapshot stores no definition. */
async function definitionFile(
  ctx: Context,
  { domain, snapshot }: Session,
  path: string,
): Promise<DefinitionFile | null> {
  const stored = storedDefinition(await readSnapshotXml(ctx.virsh, domain, snapshot.name, false));
  if (stored === null) return null;
  const bytes = Buffer.from(`${stored}\n`);
  return { path, bytes: (await hasContent(ctx, path, bytes)) ? null : bytes };
}

/** What was written. */
export interface Written {
  readonly exported: readonly Exported[];
  /** The file with the stored definition; null if the snapshot stores none. */
  readonly definition: string | null;
}

/** Writes all files under other names, looks at the snapshot once more, and then gives them their names. */
async function writeAll(
  ctx: Context,
  session: Session,
  planned: readonly Planned[],
  to: string,
  definition: DefinitionFile | null,
): Promise<Written> {
  const files = newFilesOf(ctx, session.run);
  try {
    await files.makeDirectory(to, 0o700);
    for (const each of planned) await writeCopy(ctx, session, files, each);
    if (definition?.bytes) await files.begin(definition.path, 'xml', definition.bytes);
    await requireUnchanged(ctx, session, 'nothing was exported');
    await files.publish('nothing was exported');
    await files.settle();
    const exported = await Promise.all(
      planned.map(async (each) => ({
        ...each,
        occupiedBytes: (await occupiedBytes(ctx.files, each.path)) ?? 0,
      })),
    );
    return { exported, definition: definition?.path ?? null };
  } catch (error) {
    await files.discard();
    throw error;
  }
}
