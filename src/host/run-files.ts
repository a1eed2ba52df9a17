import { chmod, chown, mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { basename, isAbsolute, join } from 'node:path';
import { KvmsnapError } from '../errors.ts';

/**
 * What a run that reads a snapshot for a long time leaves for other runs to see: a directory with a record of it and with its sockets.
 * It protects the snapshot (a hold of kvmsnap itself) as long as the process exists, and lets the next run remove what a killed one
 * has left. It is in /run/kvmsnap or $XDG_RUNTIME_DIR/kvmsnap, so a restart of the host removes all.
 */

/** A process; its id alone may be given to another one later. */
interface ProcessMark {
  readonly id: number;
  /** When it was started, in clock ticks since the start of the host (proc_pid_stat(5), field 22). */
  readonly startTicks: string;
}

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
}

/** What a run tells about itself. */
export type RunFacts = Pick<RunRecord, 'command' | 'sinceSeconds' | 'vmUuid' | 'snapshot' | 'isExternal'>;

/** The directory of this run. */
export interface OwnRun {
  /** A directory that only this user can enter, for sockets. */
  readonly sockets: string;
  /** Records a file that has to be removed if this run is killed. */
  note(file: string): Promise<void>;
  /**
   * Makes the directory `vm` below `sockets`, which this user of the host can enter too: QEMU's. `give` makes a file its own. Null: the
   * user of this process.
   */
  reachableBy(
    user: { readonly uid: number; readonly gid: number } | null,
  ): Promise<{ give(path: string): Promise<void> }>;
  /** Removes the directory. */
  end(): Promise<void>;
}

export interface RunFiles {
  /** Records a run, after it has cleaned up after those that were killed. Throws `check` if that is impossible. */
  begin(facts: RunFacts): Promise<OwnRun>;
  /** The runs that exist now, of this user, of root, and for root of all users. */
  list(): Promise<readonly RunRecord[]>;
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
  };
}

function runtimeDirectory(env: NodeJS.ProcessEnv, uid: number): string {
  const named = env['XDG_RUNTIME_DIR'];
  return named && isAbsolute(named) ? named : `/run/user/${uid}`;
}

async function begin(all: string, facts: RunFacts, pid: number): Promise<OwnRun> {
  const mark = await markOf(pid);
  if (mark === null) throw new Error('/proc is not mounted');
  const directory = join(all, `${mark.id}-${mark.startTicks}`);
  const sockets = join(directory, 'sockets');
  await mkdir(sockets, { recursive: true });
  // whatever the umask: other users see the hold, and only this one the data
  await chmod(directory, 0o755);
  await chmod(sockets, 0o700);
  let record: RunRecord = { ...facts, owner: mark, files: [] };
  const save = async () => {
    const text = JSON.stringify(record);
    await writeFile(join(directory, 'record.new'), text, { mode: 0o644 });
    await chmod(join(directory, 'record.new'), 0o644);
    await rename(join(directory, 'record.new'), join(directory, 'record.json'));
  };
  await save();
  return {
    sockets,
    async note(file) {
      record = { ...record, files: [...record.files, file] };
      await save();
    },
    async reachableBy(user) {
      const place = join(sockets, 'vm');
      await mkdir(place, { recursive: true });
      await chmod(place, 0o700);
      if (!user) return { give: async () => undefined };
      await chown(place, user.uid, user.gid);
      await chmod(sockets, 0o711);
      return { give: (path) => chown(path, user.uid, user.gid) };
    },
    end: () => rm(directory, { recursive: true, force: true }),
  };
}

/** Removes what killed runs of this user have left: their processes, unfinished files and directories. */
async function cleanUp(all: string, kill: RunFilesOptions['kill']): Promise<void> {
  for (const name of await entries(all)) {
    const [, id, startTicks = ''] = /^(\d+)-(\d+)$/.exec(name) ?? [];
    if (id === undefined || (await isAlive({ id: Number(id), startTicks }))) continue;
    const directory = join(all, name);
    await endUsersOf(join(directory, 'sockets'), kill);
    const record = await recordIn(directory);
    for (const file of record?.files ?? []) await rm(file, { force: true });
    await rm(directory, { recursive: true, force: true });
  }
}

const TOOLS: ReadonlySet<string> = new Set(['qemu-nbd', 'qemu-img']);

/** Ends the servers and copies of a killed run: tools that have one of its sockets on their command line. */
async function endUsersOf(sockets: string, kill: RunFilesOptions['kill']): Promise<void> {
  for (const id of (await entries('/proc')).filter((name) => /^\d+$/.test(name))) {
    const line = await readFile(`/proc/${id}/cmdline`, 'utf8').catch(() => '');
    if (!TOOLS.has(basename(line.split('\0')[0] ?? '')) || !line.includes(`${sockets}/`)) continue;
    try {
      kill(Number(id));
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
    const texts = [record.command, record.vmUuid, record.snapshot, record.owner.startTicks, ...record.files];
    const numbers = [record.owner.id, record.sinceSeconds];
    return texts.every((each) => typeof each === 'string') && numbers.every(Number.isFinite) ? record : null;
  } catch {
    return null;
  }
}

const isAlive = async ({ id, startTicks }: ProcessMark): Promise<boolean> =>
  (await markOf(id))?.startTicks === startTicks;

/** The mark of a process; null if there is none. */
const markOf = async (id: number): Promise<ProcessMark | null> =>
  parseMark(id, await readFile(`/proc/${id}/stat`, 'latin1').catch(() => null));

/** Whether a process with this text of /proc/PID/stat is the one of the mark. */
export const isMarkOf = ({ id, startTicks }: ProcessMark, text: string): boolean =>
  Number.parseInt(text, 10) === id && parseMark(id, text)?.startTicks === startTicks;

function parseMark(id: number, text: string | null): ProcessMark | null {
  // the second field is the name of the program, in parentheses, and may contain spaces
  const startTicks = text
    ?.slice(text.lastIndexOf(')') + 2)
    .split(' ')
    .at(19);
  const isZombie = text?.slice(text.lastIndexOf(')') + 2).startsWith('Z');
  return startTicks === undefined || isZombie ? null : { id, startTicks };
}
