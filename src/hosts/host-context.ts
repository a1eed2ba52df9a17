import { randomBytes } from 'node:crypto';
import { KvmsnapError } from '../errors.ts';
import { type Connection, createConnection } from '../host/ssh/connection.ts';
import { controlSocket } from '../host/ssh/control-socket.ts';
import type { Destination } from '../host/ssh/host-away.ts';
import { createRemoteExec, type RemoteExecOptions } from '../host/ssh/remote-exec.ts';
import { createRemoteFiles } from '../host/ssh/remote-files.ts';
import { createRemoteRunFiles } from '../host/ssh/remote-run-files.ts';
import { createRemoteSavedXml } from '../host/ssh/remote-saved-xml.ts';
import { sshPrograms } from '../host/ssh/ssh-process.ts';
import type { View } from '../output/view.ts';
import {
  type Context,
  type HostOfRun,
  localTools,
  MOST_BYTES,
  type Settings,
  toolsBy,
} from '../run/context.ts';
import { nothingKnown } from '../sharing/known-vms.ts';
import { hostMessage } from './host-command.ts';
import { interruptsOfHost } from './host-interrupts.ts';
import type { HostRecording } from './record-hosts.ts';

/** The context of the part of a run that is done on one host. */

export interface HostPart {
  /** Its context; the settings are those of the line for this host, which may come from a policy. */
  contextWith(settings: Settings): Context;
  /** What the command has shown, in this order. */
  readonly views: readonly View[];
  /** What it leaves for the metrics; null: nothing. */
  recording(): HostRecording | null;
  /** The failure with which the part ends if this was thrown, or if nothing was (null); null: none. */
  explain(error: unknown): unknown;
  close(): void;
}

const MOST_CONNECT_SECONDS = 10;

const newId = (): string => randomBytes(12).toString('hex');

export interface HostPartOptions {
  /** Seconds for this host. */
  readonly timeout: number | null;
  /** Whether it is the only host of the run. */
  readonly isAlone: boolean;
  readonly sharedWith: HostOfRun['sharedWith'];
  /** Is told what the command does there. */
  readonly progress: (text: string) => void;
}

/** Its time limit begins now. */
export function openHost(
  base: Context,
  destination: Destination,
  { timeout, isAlone, sharedWith, progress }: HostPartOptions,
): HostPart {
  const { name } = destination;
  const views: View[] = [];
  let recorded: HostRecording | null = null;
  const note = (line: string) => base.terminal.note(`${name}: ${hostMessage(line, destination)}`);
  const interrupts = interruptsOfHost(base.interrupts, name, note);
  const timer =
    timeout === null ? undefined : setTimeout(() => interrupts.expire(timeout), timeout * 1000).unref();
  const own: Context = {
    ...base,
    host: {
      name,
      gather: (view) => void views.push(view),
      gatherMetrics(recording, file) {
        recorded = { ...recording, host: name, file };
      },
      sharedWith,
    },
    known: nothingKnown(),
    noted: new Set(),
    terminal: {
      ...base.terminal,
      note,
      progress,
      print(text) {
        if (!isAlone)
          throw new KvmsnapError(
            'usage',
            'this command prints text for one host only, and several are named',
          );
        base.terminal.print(text);
      },
      ask: (question, stop) => base.terminal.ask(`${name}: ${question}`, stop),
      askLine: (question, stop) => base.terminal.askLine(`${name}: ${question}`, stop),
    },
    interrupts,
    clock: {
      ...base.clock,
      sleep: (milliseconds) => interrupts.unlessStopped(base.clock.sleep(milliseconds)),
    },
    userPrograms: {
      ...base.userPrograms,
      run: (path, environment, limit) =>
        base.userPrograms.run(path, { ...environment, KVMSNAP_HOST: name }, limit),
    },
  };
  const connection = destination.address === null ? null : connectionTo(own, destination, timeout);
  return {
    contextWith: (settings) => {
      const ctx = { ...own, settings };
      return connection
        ? withTools(ctx, connection, { note, onWrite: interrupts.noteWrite })
        : { ...ctx, ...localTools(settings, ctx.terminal, interrupts.stop) };
    },
    views,
    recording: () => recorded,
    explain: interrupts.explain,
    close() {
      clearTimeout(timer);
      connection?.close();
    },
  };
}

function connectionTo(
  { settings, terminal, interrupts, clock }: Context,
  destination: Destination,
  timeout: number | null,
): Connection {
  const programs = sshPrograms();
  return createConnection({
    destination,
    programs,
    socket: () => controlSocket(destination.address ?? '', programs.environment, programs.uid),
    stop: interrupts.stop,
    nonce: newId(),
    hasPerson: terminal.hasPerson,
    now: clock.now,
    sleep: clock.sleep,
    connectSeconds: Math.ceil(Math.min(MOST_CONNECT_SECONDS, timeout ?? MOST_CONNECT_SECONDS)),
    onRun: (line) => {
      if (settings.verbose) terminal.trace(`+ ${line}`);
    },
  });
}

/** The context with the tools and files of the host. */
function withTools(
  ctx: Context,
  connection: Connection,
  tell: Pick<RemoteExecOptions, 'note' | 'onWrite'>,
): Context {
  const { settings, terminal, clock } = ctx;
  const { exec, ...tools } = toolsBy(settings, (readLimitSeconds) =>
    createRemoteExec({
      connection,
      readLimitSeconds,
      mostBytes: MOST_BYTES,
      onRun: (line) => {
        if (settings.verbose) terminal.trace(`+ ${line}`);
      },
      ...tell,
      sleep: clock.sleep,
      now: clock.now,
      newId,
    }),
  );
  return {
    ...ctx,
    ...tools,
    files: createRemoteFiles(connection),
    runFiles: createRemoteRunFiles(connection),
    savedXml: createRemoteSavedXml(connection),
    recordAction: (entry, result) =>
      ctx.recordAction({ ...entry, host: connection.name }, result, (args) => exec.read('logger', args)),
  };
}
