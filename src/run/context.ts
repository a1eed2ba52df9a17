import { setTimeout as sleep } from 'node:timers/promises';
import { type ConfigFiles, createConfigFiles } from '../host/config-files.ts';
import type { HostFiles } from '../host/files.ts';
import { createInterrupts, type Interrupts } from '../host/interrupts.ts';
import { createLocalFiles } from '../host/local-files.ts';
import type { LogEntry } from '../host/log-entry.ts';
import type { NbdConnection } from '../host/nbd-connection.ts';
import { createExec, type Exec } from '../host/process/exec.ts';
import {
  createUserPrograms,
  type RunForeground,
  runForeground,
  type UserPrograms,
} from '../host/process/user-programs.ts';
import { createRunFiles, type RunFiles } from '../host/run-files.ts';
import { createSavedXml, type SavedXml } from '../host/saved-xml.ts';
import type { RunLogger } from '../host/system-log.ts';
import type { ColorChoice, Terminal } from '../host/terminal.ts';
import { systemTerminal } from '../host/terminal.ts';
import { createVirsh, type Virsh } from '../libvirt/virsh.ts';
import type { View } from '../output/view.ts';
import type { RunQemuImg } from '../qemu/qemu-img.ts';
import { type KnownVms, nothingKnown } from '../sharing/known-vms.ts';
import type { Recording } from './recording.ts';

/** The global options, which every command has. */
export interface Settings {
  /** null: whatever virsh itself would connect to. */
  readonly connect: string | null;
  readonly output: OutputFormat;
  readonly color: ColorChoice;
  readonly yes: boolean;
  readonly dryRun: boolean;
  readonly verbose: boolean;
  /** Connects as `virsh -r` does, and changes nothing. */
  readonly readonly: boolean;
  /** Seconds for the whole run; null for no limit (reads have their own limit). */
  readonly timeout: number | null;
  /** Seconds during which a command is tried again while another job holds a VM. */
  readonly wait: number;
  /** Print nothing if the command succeeds. */
  readonly silent: boolean;
  /** The file for the metrics of the run; null: none. */
  readonly metrics: string | null;
  /** The hosts on which the command runs; null: this one, without its name in the results. */
  readonly hosts: HostOptions | null;
}

/** The hosts that the options of a line name. */
export interface HostOptions {
  /** Names, node sets and groups, as written. */
  readonly names: readonly string[];
  /** The file with a list of hosts; `-` is stdin; null: none. */
  readonly from: string | null;
  readonly exclude: readonly string[];
  /** How many hosts at once. */
  readonly atOnce: number;
}

export type OutputFormat = 'table' | 'json' | 'csv' | 'name' | MonitoringFormat;

/** The formats for monitoring systems, which only some commands have. */
export type MonitoringFormat = 'nagios' | 'prometheus';

/** Everything through which a command reaches the outside. */
export interface Context {
  readonly settings: Settings;
  /** The host of this part of a run over hosts; null: no host was named. */
  readonly host: HostOfRun | null;
  readonly virsh: Virsh;
  /** Another virsh, for a URI that is not in the settings; its reads are limited to that many seconds. */
  connect(uri: string | null, readLimitSeconds: number): Virsh;
  readonly qemuImg: RunQemuImg;
  /** The same for commands that change an image; they are never killed. */
  readonly changeImage: RunQemuImg;
  /** Starts a command that only reads, but may take hours. */
  readonly start: Exec['start'];
  /** Connects to an NBD server on a unix socket of the host. */
  connectNbd(path: string): Promise<NbdConnection>;
  /** What runs of kvmsnap leave for others to see as long as they last. */
  readonly runFiles: RunFiles;
  /** The directories in which commands of the user are looked for, as in PATH. */
  readonly searchPath: string;
  readonly userPrograms: UserPrograms;
  /** Runs a command of the user here, in the foreground. */
  readonly runForeground: RunForeground;
  /** The files of the host on which virsh runs. */
  readonly files: HostFiles;
  readonly terminal: Terminal;
  readonly clock: Clock;
  /** XML of libvirt that kvmsnap keeps for the user who runs it. */
  readonly savedXml: SavedXml;
  readonly configFiles: ConfigFiles;
  readonly interrupts: Interrupts;
  /** Called before something is changed; absent: nobody wants to know. */
  onChange?(): void;
  /** Writes who did what into the system's log, here and `elsewhere`; `result` is `done` or why it failed. Never throws. */
  recordAction(entry: LogEntry, result: string, elsewhere?: RunLogger): Promise<void>;
  /** The VMs of the host, as this run has read them. */
  readonly known: KnownVms;
  /** Keys of the notes that this run has printed already and prints only once: their origin and the UUID of the VM. */
  readonly noted: Set<string>;
}

/** The ports through which results are shown. */
export type Output = Pick<Context, 'terminal' | 'settings' | 'clock' | 'host'>;

/** The ports through which a VM is read: libvirt, its images and their files. */
export type VmReader = Pick<Context, 'virsh' | 'qemuImg' | 'files' | 'runFiles'>;

/** One of the hosts of a run. */
export interface HostOfRun {
  readonly name: string;
  /** Keeps what the command shows, until all hosts have answered. */
  gather(view: View): void;
  /** The same for its metrics, and the file that they are for. */
  gatherMetrics(recording: Recording, file: string | null): void;
  /** The other hosts of the run that define a VM with this UUID, for commands that prune; otherwise none. */
  sharedWith(uuid: string): readonly string[];
}

export interface Clock {
  /** Milliseconds since the epoch. */
  now(): number;
  /** Waits; throws earlier if the run is to stop. */
  sleep(milliseconds: number): Promise<void>;
}

/** Longer than the 30 s that libvirtd waits for a VM's lock before it answers "busy". */
export const READ_LIMIT_SECONDS = 45;

/** A batch has at most 800 snapshots of some 10 KB each; a string in Node.js can be twice as long. */
export const MOST_BYTES = 256 * 1024 * 1024;

/** The real context of one run. */
export function systemContext(settings: Settings): Context {
  const terminal = systemTerminal(settings);
  const interrupts = createInterrupts(terminal.note);
  const { stop } = interrupts;
  if (settings.timeout !== null) {
    const seconds = settings.timeout;
    setTimeout(() => interrupts.expire(seconds), seconds * 1000).unref();
  }
  return {
    settings,
    host: null,
    terminal,
    interrupts,
    known: nothingKnown(),
    noted: new Set(),
    savedXml: createSavedXml(process.env),
    configFiles: createConfigFiles(process.env, process.getuid?.() ?? 0),
    ...localTools(settings, terminal, stop),
    connectNbd: async (path) => (await import('../host/nbd-connection.ts')).connectNbd(path),
    runFiles: createRunFiles({
      env: process.env,
      uid: process.getuid?.() ?? 0,
      pid: process.pid,
      kill: (id) => process.kill(id, 'SIGKILL'),
    }),
    recordAction: async (entry, result, elsewhere) => {
      const { recordAction } = await import('../host/system-log.ts');
      await recordAction(entry, result, { env: process.env, words: process.argv.slice(2) }, elsewhere);
    },
    searchPath: process.env['PATH'] ?? '',
    userPrograms: createUserPrograms(process.getuid?.() ?? 0),
    runForeground,
    clock: {
      now: () => Date.now(),
      sleep: (milliseconds) =>
        sleep(milliseconds, undefined, { signal: stop }).catch(() => {
          throw stop.reason;
        }),
    },
  };
}

/** The tools of a host, and its files. */
type Tools = Pick<Context, 'virsh' | 'connect' | 'qemuImg' | 'changeImage' | 'start' | 'files'>;

/** Those of this host; `stop` ends what they read. */
export function localTools(settings: Settings, terminal: Terminal, stop: AbortSignal): Tools {
  const tools = toolsBy(settings, (readLimitSeconds) =>
    createExec({
      stop,
      readLimitSeconds,
      mostBytes: MOST_BYTES,
      onRun: (line) => {
        if (settings.verbose) terminal.trace(`+ ${line}`);
      },
    }),
  );
  return { ...tools, files: createLocalFiles((args) => tools.exec.read('stat', args)) };
}

/** The tools that these processes run. */
export function toolsBy(
  { connect, readonly }: Settings,
  execWithin: (readLimitSeconds: number) => Exec,
): Omit<Tools, 'files'> & { readonly exec: Exec } {
  const nonce = Math.random().toString(36).slice(2);
  const exec = execWithin(READ_LIMIT_SECONDS);
  return {
    exec,
    virsh: createVirsh(exec, connect, nonce, readonly),
    connect: (uri, seconds) => createVirsh(execWithin(seconds), uri, nonce, readonly),
    qemuImg: (args) => exec.read('qemu-img', args),
    changeImage: (args) => exec.write('qemu-img', args),
    start: exec.start,
  };
}
