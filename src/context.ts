import { randomBytes } from 'node:crypto';
import { createInterrupts, type Interrupts } from './interrupts.ts';
import { createExec } from './libvirt/exec.ts';
import { createVirsh, type Virsh } from './libvirt/virsh.ts';
import type { RunQemuImg } from './qemu/qemu-img.ts';
import type { ColourChoice, Terminal } from './terminal.ts';
import { systemTerminal } from './terminal.ts';

/** What every command takes beside its own arguments: the global options. */
export interface Settings {
  /** null: whatever virsh itself would connect to. */
  readonly connect: string | null;
  readonly output: OutputFormat;
  readonly color: ColourChoice;
  readonly yes: boolean;
  readonly dryRun: boolean;
  readonly verbose: boolean;
  /** Seconds for the whole run; null for no limit (reads have one of their own). */
  readonly timeout: number | null;
}

export type OutputFormat = 'table' | 'json' | 'csv' | 'name';

/** All that a command may touch. */
export interface Context {
  readonly settings: Settings;
  readonly virsh: Virsh;
  readonly qemuImg: RunQemuImg;
  readonly terminal: Terminal;
  readonly clock: Clock;
  readonly interrupts: Interrupts;
}

export interface Clock {
  /** Milliseconds since the epoch. */
  now(): number;
  /** Waits; ends early, by throwing, when the run is to stop. */
  sleep(milliseconds: number): Promise<void>;
}

/** Longer than the 30 s that libvirtd waits for a machine's lock before it answers "busy". */
const READ_LIMIT_SECONDS = 45;

/** The real context of one run. */
export function systemContext(settings: Settings): Context {
  const terminal = systemTerminal(settings.color);
  const interrupts = createInterrupts(terminal.note);
  const { stop } = interrupts;
  const exec = createExec({
    stop,
    readLimitSeconds: READ_LIMIT_SECONDS,
    onRun: (line) => {
      if (settings.verbose) terminal.note(`+ ${line}`);
    },
  });
  if (settings.timeout !== null) {
    const seconds = settings.timeout;
    setTimeout(() => interrupts.expire(seconds), seconds * 1000).unref();
  }
  return {
    settings,
    terminal,
    interrupts,
    virsh: createVirsh(exec, settings.connect, randomBytes(6).toString('hex')),
    qemuImg: (args) => exec.read('qemu-img', args),
    clock: {
      now: () => Date.now(),
      sleep: (milliseconds) =>
        new Promise((resolve, reject) => {
          const timer = setTimeout(resolve, milliseconds);
          stop.addEventListener('abort', () => {
            clearTimeout(timer);
            reject(stop.reason);
          });
        }),
    },
  };
}
