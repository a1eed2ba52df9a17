import { basename, dirname, join } from 'node:path';
import { KvmsnapError } from '../errors.ts';
import { errorCode, freeBytes, unlessOurs } from '../host/files.ts';
import type { OwnRun } from '../host/run-files.ts';
import { directoryOf } from '../model/paths.ts';
import { mebibytes } from '../model/rule.ts';
import type { Context } from '../run/context.ts';
import { refuseOn } from '../run/enforce.ts';
import { type CopyTo, copyDisk, verifyCopy, whileServed } from './copy.ts';
import { fileMark, type Part } from './facts.ts';
import type { Session } from './session.ts';

/** The new files of a run: written under other names, and named when all of them are complete. */

/** A disk of a snapshot, and the file that it becomes. */
export interface Planned {
  readonly part: Part;
  readonly path: string;
  readonly format: CopyTo['format'];
  readonly compress: boolean;
  /** Bytes that the file needs at most. */
  readonly neededBytes: number;
}

/** Throws `exists` for the first of the paths at which there is something. `nothing`: what was not done. */
export async function requireNew(
  { files }: Pick<Context, 'files'>,
  paths: readonly string[],
  { nothing, hint }: { readonly nothing: string; readonly hint: string },
): Promise<void> {
  for (const path of paths)
    if (await files.stat(path).catch(unlessOurs))
      throw new KvmsnapError('exists', `${path} exists already; ${nothing}`, { hint });
}

/** Whether a regular file with exactly these bytes is there already. */
export async function hasContent(
  { files }: Pick<Context, 'files'>,
  path: string,
  bytes: Uint8Array,
): Promise<boolean> {
  const found = await files.stat(path).catch(unlessOurs);
  if (found?.kind !== 'file' || found.sizeBytes !== bytes.length) return false;
  return Buffer.from(await files.read(path)).equals(bytes);
}

/**
 * Throws `check` for a file system that has not enough free space for the new files on it, unless `force`. `cannot`: what cannot be
 * done then.
 */
export async function requireRoom(
  ctx: Context,
  cannot: string,
  planned: readonly Planned[],
  force: boolean,
): Promise<void> {
  const needs = new Map<string, { directory: string; needed: number; compress: boolean }>();
  for (const { path, neededBytes, compress } of planned) {
    const directory = dirname(path);
    const nearest = await nearestDirectory(ctx, directory);
    const key = (await ctx.files.stat(nearest).catch(unlessOurs))?.fileSystemId ?? nearest;
    const before = needs.get(key)?.needed ?? 0;
    needs.set(key, { directory, needed: before + neededBytes, compress });
  }
  for (const { directory, needed, compress } of needs.values()) {
    const free = await freeBytes(ctx.files, await nearestDirectory(ctx, directory));
    if (free === null || free >= needed) continue;
    const what = `${directory} has ${mebibytes(free)} of free space, and the copy needs ${compress ? 'up to ' : ''}${mebibytes(needed)}`;
    const finding = {
      what,
      hint: 'name a directory on another file system, or add --force',
      rule: 'no-space',
    };
    refuseOn(ctx, cannot, [{ ...finding, severity: 'overridable', unsupported: false }], force);
  }
}

async function nearestDirectory(ctx: Pick<Context, 'files'>, directory: string): Promise<string> {
  const found = await ctx.files.stat(directory).catch(unlessOurs);
  return found || directory === '/' ? directory : nearestDirectory(ctx, directoryOf(directory) || '/');
}

/** The directories down to this one that do not exist, each below the one before it. */
async function missingDirectories(ctx: Pick<Context, 'files'>, path: string): Promise<readonly string[]> {
  if (await ctx.files.stat(path).catch(unlessOurs)) return [];
  return [...(await missingDirectories(ctx, directoryOf(path) || '/')), path];
}

function cannotWrite(path: string, error: unknown): KvmsnapError {
  if (errorCode(error) === null || !(error instanceof Error)) throw error;
  return new KvmsnapError('check', `cannot write ${path}: ${error.message}`);
}

/** Files that a run has begun. */
export interface NewFiles {
  /** Makes the directory and those above it, if they do not exist. Throws `check`. `mode`: of those that it makes. */
  makeDirectory(path: string, mode: number): Promise<void>;
  /** Makes an unfinished file beside the path; `key` tells it from others in its directory. Throws `check`. */
  begin(path: string, key: string, bytes?: Uint8Array): Promise<string>;
  /**
   * Gives all of them their names. Throws `exists` if a name was taken meanwhile; `nothing`: what was not done. Until `settle`, a later
   * run removes them if this one is killed and no VM uses them.
   */
  publish(nothing: string): Promise<void>;
  /** Records that the files are complete and of use. */
  settle(): Promise<void>;
  /** Removes all of them, whatever they are called now, and the directories that were made, unless there is something else in them. */
  discard(): Promise<void>;
}

/** If the run is killed, the next one removes what is not settled (left-behind.ts). */
export function newFilesOf({ files }: Pick<Context, 'files'>, run: OwnRun): NewFiles {
  const id = basename(dirname(run.sockets));
  const begun: { readonly from: string; readonly path: string }[] = [];
  const named: string[] = [];
  const directories: string[] = [];
  return {
    async makeDirectory(path, mode) {
      const missing = await missingDirectories({ files }, path);
      await run.noteDirectories(missing);
      directories.push(...missing);
      try {
        await files.makeDirectory(path, mode);
        for (const each of missing) await files.chmod(each, mode);
      } catch (error) {
        throw cannotWrite(path, error);
      }
    },
    async begin(path, key, bytes = new Uint8Array()) {
      const from = join(dirname(path), `.kvmsnap-${id}-${key}.unfinished`);
      await run.note(from);
      try {
        await files.write(from, bytes, 0o600);
      } catch (error) {
        throw cannotWrite(from, error);
      }
      begun.push({ from, path });
      return from;
    },
    async publish(nothing) {
      const marked = begun.map(async ({ from, path }) => ({ path, mark: await fileMark({ files }, from) }));
      await run.noteNamed(await Promise.all(marked));
      for (const { from, path } of begun) {
        await files.publish(from, path).catch((error: unknown) => {
          if (errorCode(error) === 'EEXIST')
            throw new KvmsnapError('exists', `${path} was made meanwhile by somebody else; ${nothing}`);
          throw cannotWrite(path, error);
        });
        named.push(path);
      }
    },
    settle: () => run.noteNamed([]),
    async discard() {
      for (const path of [...begun.map(({ from }) => from), ...named])
        await files.remove(path).catch(unlessOurs);
      for (const path of directories.reverse()) await files.removeDirectory(path).catch(unlessOurs);
      await run.noteNamed([]);
    },
  };
}

/** Copies a disk into a new file, compares the two, and returns its unfinished name. Throws `refused` for a copy that failed or differs. */
export async function writeCopy(
  ctx: Context,
  session: Session,
  files: NewFiles,
  { part, path, format, compress, neededBytes }: Planned,
): Promise<string> {
  const copy = { path: await files.begin(path, part.target), format, compress };
  const label = `disk ${part.target}`;
  await whileServed(ctx, session, part, (disk) => copyDisk(ctx, disk, copy, label, neededBytes));
  // by another server, which has kept nothing of the image in its memory
  await whileServed(ctx, session, part, (disk) => verifyCopy(ctx, disk, copy, label));
  return copy.path;
}
