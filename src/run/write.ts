import { KvmsnapError } from '../errors.ts';
import { occupiedBytes } from '../host/files.ts';
import type { VirshCommand } from '../libvirt/batch.ts';
import { type DomainReading, readByUuid } from '../libvirt/domains.ts';
import { isIdle, type JobProgress } from '../libvirt/runtime.ts';
import { lostConnection, virshMessage } from '../libvirt/virsh-error.ts';
import { humanBytes, humanSpan } from '../output/format.ts';
import { invalidate } from '../sharing/known-vms.ts';
import type { Context } from './context.ts';

/** Carries out one write: shows its progress, and finds out how it ended even if virsh does not report it. */

/** How a write ended: as virsh reported it, or `unknown` if virsh was killed or lost libvirtd (hazards 8, 9). */
export interface WriteEnd {
  readonly kind: 'done' | 'refused' | 'unknown';
  readonly stderr: string;
}

export interface Write {
  readonly command: VirshCommand;
  /** The text of the progress line, such as `saving the memory of web-1`. */
  readonly label: string;
  /** A file whose growth shows the progress; null if there is none. */
  readonly growing: string | null;
  /** Asks libvirt for the progress while the write runs; absent if libvirt does not tell it. */
  readonly progress?: () => Promise<JobProgress | null>;
}

/** Runs the one virsh command. Call inside `interrupts.protect`. */
export async function carryOut(ctx: Context, write: Write): Promise<WriteEnd> {
  const ticker = ctx.terminal.err.isTerminal ? startProgress(ctx, write) : null;
  try {
    const { exitCode, stderr } = await ctx.virsh.write(write.command);
    if (exitCode === 0) return { kind: 'done', stderr };
    if (exitCode === null) return { kind: 'unknown', stderr: 'virsh was killed' };
    return { kind: lostConnection(stderr) ? 'unknown' : 'refused', stderr };
  } finally {
    ticker?.stop();
    const uuid = write.command[write.command.indexOf('--domain') + 1];
    if (uuid !== undefined) invalidate(ctx.known, uuid);
  }
}

const TICK_MILLISECONDS = 250;

/** libvirt is asked less often than the line is drawn, because each question is a process. */
const TICKS_A_QUESTION = 4;

/** Shows the elapsed time and the progress: for a save into an image, which has no known total, the bytes written. */
function startProgress(ctx: Context, { label, growing, progress }: Write): { stop: () => void } {
  const started = ctx.clock.now();
  const before = growing === null ? Promise.resolve(null) : occupiedBytes(ctx.files, growing);
  let running = true;
  let job: JobProgress | null = null;
  let ticks = 0;
  const ask = async () => {
    // with -v, each question would print a line
    if (!progress || ctx.settings.verbose || ticks++ % TICKS_A_QUESTION !== 0) return;
    // a failed question does not matter, and the write itself reports the end of the run
    job = (await progress().catch(() => null)) ?? job;
  };
  const tick = async () => {
    const now = growing === null ? null : await occupiedBytes(ctx.files, growing);
    const base = await before;
    void ask();
    if (!running) return;
    const elapsed = humanSpan(Math.round((ctx.clock.now() - started) / 1000));
    const written = now === null || base === null ? '' : `, ${humanBytes(Math.max(0, now - base))} written`;
    const done = job === null ? written : `, ${humanBytes(job.doneBytes)} of ${humanBytes(job.totalBytes)}`;
    ctx.terminal.progress(`${elapsed}${done}: ${label}`); // a narrow terminal cuts off the end
  };
  const timer = setInterval(tick, TICK_MILLISECONDS);
  return {
    stop() {
      running = false;
      clearInterval(timer);
      ctx.terminal.progress('');
    },
  };
}

const SETTLE_MILLISECONDS = 500;
/** How long libvirtd may be unreachable after a lost connection before kvmsnap gives up on the result. */
const ABSENCE_SECONDS = 60;

/** Reads the VM after a write; if virsh could not report how it ended, waits until libvirt has really finished. */
export async function readAfter(ctx: Context, uuid: string, end: WriteEnd): Promise<DomainReading> {
  if (end.kind !== 'unknown') return readByUuid(ctx.virsh, uuid);
  ctx.terminal.note(
    `warning: virsh did not report the result (${virshMessage(end.stderr)}); kvmsnap now checks the VM`,
  );
  return settle(ctx, uuid);
}

/** Waits until no job of libvirt holds the VM, then reads it. */
async function settle(ctx: Pick<Context, 'clock' | 'virsh'>, uuid: string): Promise<DomainReading> {
  let absentSince: number | null = null;
  for (;;) {
    try {
      // twice, because the next job may be ours, which had to wait for another one
      if ((await isIdle(ctx.virsh, uuid)) && (await isIdle(ctx.virsh, uuid)))
        return await readByUuid(ctx.virsh, uuid);
      absentSince = null;
    } catch (error) {
      if (!(error instanceof KvmsnapError) || error.code !== 'unreachable') throw error;
      absentSince ??= ctx.clock.now();
      if (ctx.clock.now() - absentSince > ABSENCE_SECONDS * 1000) throw error;
    }
    await ctx.clock.sleep(SETTLE_MILLISECONDS);
  }
}
