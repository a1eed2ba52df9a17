import { setTimeout as sleep } from 'node:timers/promises';
import { type ConfigFiles, createConfigFiles } from '../host/config-files.ts';
import type { HostFiles } from '../host/files.ts';
import { createInterrupts, type Interrupts } from '../host/interrupts.ts';
import { createLocalFiles } from '../host/local-files.ts';
import type { LogEntry } from '../host/log-entry.ts';
import { createExec, type RunForeground, runForeground } from '../host/processes.ts';
import { createStateFiles, type StateFiles } from '../host/state-files.ts';
import type { ColorChoice, Terminal } from '../host/terminal.ts';
import { systemTerminal } from '../host/terminal.ts';
import { createVirsh, type Virsh } from '../libvirt/virsh.ts';
import type { RunQemuImg } from '../qemu/qemu-img.ts';
import { type KnownVms, nothingKnown } from '../sharing/known-vms.ts';

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
}

export type OutputFormat = 'table' | 'json' | 'csv' | 'name' | MonitoringFormat;

/** The formats for monitoring systems, which only some commands have. */
export type MonitoringFormat = 'nagios' | 'prometheus';

/** Everything through which a command reaches the outside. */
export interface Context {
  readonly settings: Settings;
  readonly virsh: Virsh;
  /** Another virsh, for a URI that is not in the settings; its reads are limited to that many seconds. */
  connect(uri: string | null, readLimitSeconds: number): Virsh;
  readonly qemuImg: RunQemuImg;
  /** The same for commands that change an image; they are never killed. */
  readonly changeImage: RunQemuImg;
  /** The directories in which commands of the user are looked for, as in PATH. */
  readonly searchPath: string;
  /** Runs a command of the user here, in the foreground. */
  readonly runForeground: RunForeground;
  /** The files of the host on which virsh runs. */
  readonly files: HostFiles;
  readonly terminal: Terminal;
  readonly clock: Clock;
  /** The files that kvmsnap keeps for the user who runs it. */
  readonly stateFiles: StateFiles;
  readonly configFiles: ConfigFiles;
  readonly interrupts: Interrupts;
  /** Writes who did what into the system's log; `result` is `done` or why it failed. Never throws. */
  recordAction(entry: LogEntry, result: string): Promise<void>;
  /** The VMs of the host, as this run has read them. */
  readonly known: KnownVms;
  /** Keys of the notes that this run has printed already and prints only once: their origin and the UUID of the VM. */
  readonly noted: Set<string>;
}

export interface Clock {
  /** Milliseconds since the epoch. */
  now(): number;
  /** Waits; throws earlier if the run is to stop. */
  sleep(milliseconds: number): Promise<void>;
}

/** Longer than the 30 s that libvirtd waits for a VM's lock before it answers "busy". */
const READ_LIMIT_SECONDS = 45;

/** A batch has at most 800 snapshots of some 10 KB each; a string in Node.js can be twice as long. */
const MOST_BYTES = 256 * 1024 * 1024;

/** The real context of one run. */
export function systemContext(settings: Settings): Context {
  const terminal = systemTerminal(settings);
  const interrupts = createInterrupts(terminal.note);
  const { stop } = interrupts;
  const execWithin = (readLimitSeconds: number) =>
    createExec({
      stop,
      readLimitSeconds,
      mostBytes: MOST_BYTES,
      onRun: (line) => {
        if (settings.verbose) terminal.trace(`+ ${line}`);
      },
    });
  const nonce = Math.random().toString(36).slice(2);
  const exec = execWithin(READ_LIMIT_SECONDS);
  if (settings.timeout !== null) {
    const seconds = settings.timeout;
    setTimeout(() => interrupts.expire(seconds), seconds * 1000).unref();
  }
  return {
    settings,
    terminal,
    interrupts,
    known: nothingKnown(),
    noted: new Set(),
    stateFiles: createStateFiles(process.env),
    configFiles: createConfigFiles(process.env, process.getuid?.() ?? 0),
    virsh: createVirsh(exec, settings.connect, nonce, settings.readonly),
    connect: (uri, readLimitSeconds) =>
      createVirsh(execWithin(readLimitSeconds), uri, nonce, settings.readonly),
    qemuImg: (args) => exec.read('qemu-img', args),
    changeImage: (args) => exec.write('qemu-img', args),
    recordAction: async (entry, result) => {
      const { recordAction } = await import('../host/system-log.ts');
      await recordAction(entry, result, { env: process.env, words: process.argv.slice(2) });
    },
    searchPath: process.env['PATH'] ?? '',
    runForeground,
    files: createLocalFiles((args) => exec.read('stat', args)),
    clock: {
      now: () => Date.now(),
      sleep: (milliseconds) =>
        sleep(milliseconds, undefined, { signal: stop }).catch(() => {
          throw stop.reason;
        }),
    },
  };
}
