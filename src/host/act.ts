import type { Context } from '../context.ts';
import type { Domain } from '../core/domain.ts';
import type { Finding, RuledFinding } from '../core/preflight.ts';
import { KvmsnapError } from '../errors.ts';
import type { VirshCommand } from '../libvirt/batch.ts';
import { type MachineReading, readByUuid } from '../libvirt/machine.ts';
import { isIdle, type JobProgress } from '../libvirt/runtime.ts';
import { lostConnection, virshMessage } from '../libvirt/virsh-error.ts';
import { humanBytes, humanSpan } from '../render/format.ts';
import { occupiedBytes } from './files.ts';

/** Carrying out one write: checks before, progress during, and the true end even when virsh does not tell it. */

/** Says the warnings, and throws `check` for what refuses. `force` passes judgements only. */
export function refuseOn(ctx: Context, what: string, ruled: readonly RuledFinding[], force: boolean): void {
  const findings = ruled.map((finding) => withConnection(ctx, finding));
  const refusing = findings.filter(
    ({ severity }) => severity === 'error' || (severity === 'judgement' && !force),
  );
  for (const finding of findings) {
    if (!refusing.includes(finding)) ctx.terminal.note(`warning: ${finding.what}`);
  }
  const [first, ...others] = refusing;
  if (!first) return;
  const advice = [...new Set(refusing.map(adviceOf).filter((text) => text !== ''))];
  throw new KvmsnapError(
    'check',
    [`${what}: ${first.what}`, ...others.map((other) => other.what)].join('\n       '),
    {
      hint: advice.join('\n      ') || undefined,
      command: refusing.find(({ command }) => command !== undefined)?.command,
      unsuitable: refusing.every(({ unsuitable }) => unsuitable),
    },
  );
}

/** The rules know nothing of connections: their virsh commands get the one that this run uses. */
function withConnection<F extends Finding>(ctx: Context, finding: F): F {
  if (finding.command === undefined) return finding;
  const virsh = ctx.virsh.line([]);
  return {
    ...finding,
    command: finding.command.replace(/(^|&& )virsh /g, (_, before: string) => `${before}${virsh} `),
  };
}

function adviceOf({ hint, command }: Finding): string {
  return [hint, command].filter((part) => part !== undefined).join(': ');
}

/** How a write ended: virsh's own word, or `unknown` when virsh was killed or lost libvirtd (hazards 8, 9). */
export interface WriteEnd {
  readonly kind: 'done' | 'refused' | 'unknown';
  readonly stderr: string;
}

export interface Write {
  readonly command: VirshCommand;
  /** What the progress line says, such as `saving the memory of web-1`. */
  readonly label: string;
  /** A file whose growth shows the progress; null where nothing does. */
  readonly growing: string | null;
  /** How far it is, where libvirt tells; asked while it runs. */
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
  }
}

const TICK_MILLISECONDS = 250;

/** libvirt is asked less often than the line is drawn: each question is a process. */
const TICKS_A_QUESTION = 4;

/** Time gone, and how far it is: of a save into an image, for which there is no total, the bytes written. */
function startProgress(ctx: Context, { label, growing, progress }: Write): { stop: () => void } {
  const started = ctx.clock.now();
  const before = growing === null ? Promise.resolve(null) : occupiedBytes(growing);
  let running = true;
  let job: JobProgress | null = null;
  let ticks = 0;
  const ask = async () => {
    // each question would be a line of -v
    if (!progress || ctx.settings.verbose || ticks++ % TICKS_A_QUESTION !== 0) return;
    // what it cannot tell is no matter, and the end of the run is the write's to report
    job = (await progress().catch(() => null)) ?? job;
  };
  const tick = async () => {
    const now = growing === null ? null : await occupiedBytes(growing);
    const base = await before;
    void ask();
    if (!running) return;
    const elapsed = humanSpan(Math.round((ctx.clock.now() - started) / 1000));
    const written = now === null || base === null ? '' : `, ${humanBytes(Math.max(0, now - base))} written`;
    const done = job === null ? written : `, ${humanBytes(job.doneBytes)} of ${humanBytes(job.totalBytes)}`;
    ctx.terminal.progress(`${elapsed}${done}: ${label}`); // a narrow terminal cuts the end
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
/** How long libvirtd may stay away, after it took our connection with it, before we give up on the true end. */
const ABSENCE_SECONDS = 60;

/** The machine after a write; when virsh could not tell how that ended, once libvirt has come to the true end of it. */
export async function readAfter(ctx: Context, uuid: string, end: WriteEnd): Promise<MachineReading> {
  if (end.kind !== 'unknown') return readByUuid(ctx.virsh, uuid);
  ctx.terminal.note(
    `warning: virsh did not tell how it ended (${virshMessage(end.stderr)}); looking at the machine`,
  );
  return settle(ctx, uuid);
}

/** Waits until no job of libvirt holds the machine, and returns it as it is then. */
async function settle(ctx: Context, uuid: string): Promise<MachineReading> {
  let absentSince: number | null = null;
  for (;;) {
    try {
      // asked twice, because the next job may be ours, which had to queue behind another
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

/**
 * What is odd about the machine after a failed write, each with its cure: a guest left paused (hazard 9). Where another
 * job holds it, the state is that job's, and its end will mend it.
 */
export function aftermath({ virsh }: Context, domain: Domain, stateBefore: string): Finding[] {
  if (domain.state === stateBefore || domain.busy) return [];
  const what = `the machine was ${stateBefore} and is now ${domain.state}${domain.stateReason ? ` (${domain.stateReason})` : ''}`;
  // libvirt starts QEMU for some work on a machine that is off; left so, it never was the guest
  if (stateBefore === 'shutoff') return [{ what, command: virsh.line(['destroy', domain.uuid]) }];
  if (domain.state === 'paused') return [{ what, command: virsh.line(['resume', domain.uuid]) }];
  return domain.state === 'shutoff' ? [{ what, command: virsh.line(['start', domain.uuid]) }] : [{ what }];
}

/** libvirt loses the current snapshot when it cannot write its metadata (hazard 22). `expected` should be it. */
export function lostCurrent(
  { virsh }: Context,
  { domain, current, snapshotNames }: MachineReading,
  expected: string | null,
): Finding[] {
  if (expected === null || current !== null || !snapshotNames.includes(expected)) return [];
  const command = virsh.line(['snapshot-current', '--domain', domain.uuid, '--snapshotname', expected]);
  return [{ what: `libvirt forgot that '${expected}' is the current snapshot`, command }];
}

/** The failure, with all that it left behind and how to mend each. */
export function withAftermath(failure: KvmsnapError, left: readonly Finding[]): KvmsnapError {
  const hints = [failure.hint, ...left.map(({ hint, command }) => hint ?? command)].filter(
    (text) => text !== undefined,
  );
  return new KvmsnapError(
    failure.code,
    [failure.message, ...left.map(({ what }) => what)].join('\n       '),
    {
      hint: hints.join('\n      ') || undefined,
      command: left.find(({ command }) => command !== undefined)?.command ?? failure.command,
    },
  );
}

/** Between two tries; libvirtd itself waits 30 s for a machine before it says busy. */
const RETRY_MILLISECONDS = 1000;

/**
 * Runs a task, and again for as long as `--wait` says while another job holds the machine (hazard 10). Each try must look
 * at the machine anew, and is given a context that says nothing twice. Throws the last `busy`.
 */
export async function patiently<T>(
  ctx: Context,
  task: (ctx: Context, again: boolean) => Promise<T>,
): Promise<T> {
  const once = sayingOnce(ctx);
  const until = ctx.clock.now() + ctx.settings.wait * 1000;
  for (let again = false; ; again = true) {
    try {
      return await task(once, again);
    } catch (error) {
      const left = until - ctx.clock.now();
      const isBusy = error instanceof KvmsnapError && error.code === 'busy';
      if (!isBusy || left <= 0 || ctx.interrupts.pending) throw error;
      ctx.terminal.progress(`waiting, ${humanSpan(Math.ceil(left / 1000))} at most: ${error.message}`);
      await ctx.clock.sleep(Math.min(RETRY_MILLISECONDS, left));
      ctx.terminal.progress('');
    }
  }
}

/** The same context, but a note that was made before is not made again. */
function sayingOnce(ctx: Context): Context {
  const said = new Set<string>();
  const note = (line: string) => {
    if (!said.has(line)) ctx.terminal.note(line);
    said.add(line);
  };
  return { ...ctx, terminal: { ...ctx.terminal, note } };
}

/** Asks on a terminal; in a script consent is the name on the command line, unless `mustConsent`. */
export async function confirm(ctx: Context, question: string, mustConsent = false): Promise<void> {
  if (ctx.settings.yes || ctx.settings.dryRun) return;
  const answer = await ctx.terminal.ask(question, ctx.interrupts.stop);
  if (answer === false) throw new KvmsnapError('declined', 'declined; nothing was changed');
  if (answer === null && mustConsent) {
    throw new KvmsnapError('declined', `nobody to ask in a script, so nothing was changed: ${question}`, {
      hint: 'say --yes if you mean it',
    });
  }
}
