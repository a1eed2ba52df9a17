import { chmod, chown, mkdir, readdir, readFile, rename, rm, rmdir, writeFile } from 'node:fs/promises';
import { isAbsolute, join } from 'node:path';
import { KvmsnapError } from '../errors.ts';
import { isAlive, markOf, type ProcessMark, processesWith } from './process/running.ts';

/**
 * What a run that reads a snapshot for a long time leaves for other runs to see: a directory with a record of it and with its sockets.
 * It protects the snapshot (a hold of kvmsnap itself) as long as the process exists, and lets the next run remove what a killed one
 * has left. It is in /run/kvmsnap or $XDG_RUNTIME_DIR/kvmsnap, so a restart of the host removes all.
 */

/** What is known about a run. */
export interface RunRecord {
  readonly command: string;
  readonly owner: ProcessMark;
  readonly sinceSeconds: number;
  readonly vmUuid: string;
  readonly snapshot: string;
  /** Whether all external snapshots of the VM are protected, because their files are one chain. */
  readonly isExternal: boolean;
  /** Unfinished files. */
  readonly files: readonly string[];
  /** Files with their final names that are of use only if the run is completed. */
  readonly named: readonly NamedFile[];
  /** Directories that the run has made, each below the one before it. */
  readonly directories: readonly string[];
}

export interface NamedFile {
  readonly path: string;
  /** The content mark of the file when it got its name (content/facts.ts). */
  readonly mark: string;
}

/** What a run tells about itself. */
export type RunFacts = Pick<RunRecord, 'command' | 'sinceSeconds' | 'vmUuid' | 'snapshot' | 'isExternal'>;

/** The directory of this run. */
export interface OwnRun {
  /** A directory that only this user can enter, for sockets. */
  readonly sockets: string;
  /** Records a file that has to be removed if this run is killed. */
  note(file: string): Promise<void>;
  /** Records directories, each below the one before it; they have to be removed if this run is killed and they are empty. */
  noteDirectories(paths: readonly string[]): Promise<void>;
  /** Records which files have their final names, in place of those recorded before; none: the run does not need a record of them. */
  noteNamed(files: readonly NamedFile[]): Promise<void>;
  /**
   * Makes the directory `vm` below `sockets`, which this user of the host can enter too: QEMU's. `give` makes a file its own. Null: the
   * user of this process.
   */
  reachableBy(
    user: { readonly uid: number; readonly gid: number } | null,
  ): Promise<{ give(path: string): Promise<void> }>;
  /** Removes the directory; if it has named files, only what is beside the record of them. */
  end(): Promise<void>;
}

export interface RunFiles {
  /** Records a run, after it has cleaned up after those that were killed. Throws `check` if that is impossible. */
  begin(facts: RunFacts): Promise<OwnRun>;
  /** The runs that exist now, of this user, of root, and for root of all users. */
  list(): Promise<readonly RunRecord[]>;
  /** Runs of this user that have ended, and have left named files. */
  abandoned(): Promise<readonly RunRecord[]>;
  /** Removes the record of such a run, and its directories that are empty. */
  forget(run: RunRecord): Promise<void>;
}

const OF_ROOT = '/run/kvmsnap';

export interface RunFilesOptions {
  /** The user's environment. */
  readonly env: NodeJS.ProcessEnv;
  /** The number of the user. */
  readonly uid: number;
  /** The id of this process. */
  readonly pid: number;
  /** Ends a process; throws if it cannot. */
  readonly kill: (id: number) => void;
}

/** The real one. */
export function createRunFiles({ env, uid, pid, kill }: RunFilesOptions): RunFiles {
  const own = uid === 0 ? OF_ROOT : join(runtimeDirectory(env, uid), 'kvmsnap');
  return {
    async begin(facts) {
      try {
        await mkdir(own, { recursive: true, mode: 0o755 });
        await cleanUp(own, kill);
        return await begin(own, facts, pid);
      } catch (error) {
        const detail = error instanceof Error ? error.message : String(error);
        throw new KvmsnapError('check', `cannot write in ${own}: ${detail}`, {
          hint: uid === 0 ? undefined : 'set XDG_RUNTIME_DIR to a directory that only you can write to',
        });
      }
    },
    async list() {
      const others = uid === 0 ? (await entries('/run/user')).map((user) => `/run/user/${user}/kvmsnap`) : [];
      const found = await Promise.all([...new Set([OF_ROOT, own, ...others])].map(recordsIn));
      const records = found.flat();
      const exist = await Promise.all(records.map((record) => isAlive(record.owner)));
      return records.filter((_, i) => exist[i]);
    },
    async abandoned() {
      const found: RunRecord[] = [];
      for (const record of await recordsIn(own)) {
        const isIdle = record.named.length > 0 && !(await isAlive(record.owner));
        if (isIdle && (await processesWith(socketsOf(own, record))).length === 0) found.push(record);
      }
      return found;
    },
    async forget(run) {
      await removeEmpty(run.directories);
      await rm(directoryOf(own, run), { recursive: true, force: true });
    },
  };
}

function runtimeDirectory(env: NodeJS.ProcessEnv, uid: number): string {
  const named = env['XDG_RUNTIME_DIR'];
  return named && isAbsolute(named) ? named : `/run/user/${uid}`;
}

async function begin(all: string, facts: RunFacts, pid: number): Promise<OwnRun> {
  const mark = await markOf(pid);
  if (mark === null) throw new Error('/proc is not mounted');
  const directory = directoryOf(all, { owner: mark });
  const sockets = socketsOf(all, { owner: mark });
  await mkdir(sockets, { recursive: true });
  // whatever the umask: other users see the hold, and only this one the data
  await chmod(directory, 0o755);
  await chmod(sockets, 0o700);
  let record: RunRecord = { ...facts, owner: mark, files: [], named: [], directories: [] };
  const save = async (changed: RunRecord) => {
    record = changed;
    await saveRecord(directory, record);
  };
  await save(record);
  return {
    sockets,
    note: (file) => save({ ...record, files: [...record.files, file] }),
    noteNamed: (named) => save({ ...record, named }),
    noteDirectories: (paths) => save({ ...record, directories: [...record.directories, ...paths] }),
    async reachableBy(user) {
      const place = join(sockets, 'vm');
      await mkdir(place, { recursive: true });
      await chmod(place, 0o700);
      if (!user) return { give: async () => undefined };
      await chown(place, user.uid, user.gid);
      await chmod(sockets, 0o711);
      return { give: (path) => chown(path, user.uid, user.gid) };
    },
    end: () => rm(record.named.length > 0 ? sockets : directory, { recursive: true, force: true }),
  };
}

const directoryOf = (all: string, { owner }: Pick<RunRecord, 'owner'>): string =>
  join(all, `${owner.id}-${owner.startTicks}`);

const socketsOf = (all: string, run: Pick<RunRecord, 'owner'>): string =>
  join(directoryOf(all, run), 'sockets');

async function saveRecord(directory: string, record: RunRecord): Promise<void> {
  await writeFile(join(directory, 'record.new'), JSON.stringify(record), { mode: 0o644 });
  await chmod(join(directory, 'record.new'), 0o644);
  await rename(join(directory, 'record.new'), join(directory, 'record.json'));
}

/** Removes what killed runs of this user have left: their processes, unfinished files and directories. */
async function cleanUp(all: string, kill: RunFilesOptions['kill']): Promise<void> {
  for (const name of await entries(all)) {
    const [, id, startTicks = ''] = /^(\d+)-(\d+)$/.exec(name) ?? [];
    if (id === undefined || (await isAlive({ id: Number(id), startTicks }))) continue;
    const directory = join(all, name);
    await endToolsOf(join(directory, 'sockets'), kill);
    const record = await recordIn(directory);
    for (const file of record?.files ?? []) await rm(file, { force: true });
    // whether a VM uses the named files is known only later
    if (record && record.named.length > 0) continue;
    await removeEmpty(record?.directories ?? []);
    await rm(directory, { recursive: true, force: true });
  }
}

async function removeEmpty(directories: readonly string[]): Promise<void> {
  for (const path of [...directories].reverse()) await rmdir(path).catch(() => undefined);
}

const TOOLS: ReadonlySet<string> = new Set(['qemu-nbd', 'qemu-img']);

/** Ends the servers and copies of a killed run. */
async function endToolsOf(sockets: string, kill: RunFilesOptions['kill']): Promise<void> {
  for (const { id, tool } of await processesWith(sockets)) {
    if (!TOOLS.has(tool)) continue;
    try {
      kill(id);
    } catch {
      // it has ended, or belongs to another user
    }
  }
}

async function recordsIn(all: string): Promise<readonly RunRecord[]> {
  const found = await Promise.all((await entries(all)).map((name) => recordIn(join(all, name))));
  return found.filter((record) => record !== null);
}

async function recordIn(directory: string): Promise<RunRecord | null> {
  return parseRecord(await readFile(join(directory, 'record.json'), 'utf8').catch(() => ''));
}

/** The names in a directory; none if it does not exist or cannot be read. */
const entries = (directory: string): Promise<string[]> => readdir(directory).catch(() => []);

/** Checked by hand: every run reads the records, and would wait for zod. Null for anything else, such as a half written one. */
export function parseRecord(text: string): RunRecord | null {
  try {
    const record = JSON.parse(text) as RunRecord;
    const { named = [], directories = [] } = record; // a record of an older kvmsnap has none
    const marks = named.flatMap(({ path, mark }) => [path, mark]);
    const { command, vmUuid, snapshot, owner, files } = record;
    const texts = [command, vmUuid, snapshot, owner.startTicks, ...files, ...directories, ...marks];
    const numbers = [owner.id, record.sinceSeconds];
    const isOne = texts.every((each) => typeof each === 'string') && numbers.every(Number.isFinite);
    return isOne ? { ...record, named, directories } : null;
  } catch {
    return null;
  }
}
