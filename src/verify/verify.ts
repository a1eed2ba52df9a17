import { requireUnchanged, type Session, withContent } from '../content/session.ts';
import { redescribe } from '../describe/redescribe.ts';
import { KvmsnapError } from '../errors.ts';
import { unlessOurs } from '../host/files.ts';
import type { SnapshotReport } from '../model/report.ts';
import { inText } from '../model/text.ts';
import type { Context } from '../run/context.ts';
import { refuseOn } from '../run/enforce.ts';
import { operate } from '../run/operation.ts';
import { type PlannedCommand, showPlan } from '../run/show.ts';
import type { VerifyOptions } from './command.ts';
import { findDamage } from './damage.ts';
import { readStage, type StageFacts } from './facts.ts';
import { NotStarted } from './not-started.ts';
import { plannedLines, showVerdict } from './report.ts';
import { verifyFindings } from './rules.ts';
import { type Answers, type Look, parseLook, type Seen, verdictOf } from './signs.ts';
import { onStage } from './stage.ts';

/** `verify`: whether the guest of a snapshot boots. */

/** What a verification has found out. */
export interface Verdict extends Seen {
  /** Seconds from the start of the throw-away VM to the verdict. */
  readonly seconds: number;
  /** The file with the screen of the guest; null: none was saved. */
  readonly screenshot: string | null;
}

const WITHIN_SECONDS = 120;
/** A guest that has resumed has to run on for so long. */
const RESUMED_SECONDS = 10;
const LOOK_MILLISECONDS = 1000;

/** Throws `check` if the snapshot is not proven, and what prevents the verification. The VM itself is only read. */
export async function verifySnapshot(
  ctx: Context,
  vm: string,
  name: string,
  options: VerifyOptions,
): Promise<void> {
  const verified = await verifyOne(ctx, vm, name, options);
  if ('planned' in verified) return showPlan(ctx, verified.planned, { vms: [verified.domain] });
  await showVerdict(ctx, verified);
  if (verified.failure)
    throw ctx.settings.output === 'table' && ctx.terminal.isOneStream
      ? shortened(verified.failure)
      : verified.failure;
}

/** The failure beneath the table that has the reason already. */
const shortened = ({ code, subject, findings: [first] }: KvmsnapError): KvmsnapError =>
  KvmsnapError.of(code, null, [{ hint: null, commands: [], ...first, message: subject ?? '' }]);

/** A snapshot with its verdict; `failure`: why it is not proven. */
export interface VerifiedSnapshot extends Pick<Session, 'domain' | 'snapshot'> {
  readonly verdict: Verdict;
  readonly failure: KvmsnapError | null;
}

/** What a dry run would do. */
export interface PlannedStage extends Pick<Session, 'domain'> {
  readonly planned: readonly PlannedCommand[];
}

/** Verifies a snapshot, and keeps the result with it. Throws what prevents the verification. */
export async function verifyOne(
  ctx: Context,
  vm: string,
  name: string,
  { within = WITHIN_SECONDS, screenshot, memory = false, force = false }: VerifyOptions,
): Promise<VerifiedSnapshot | PlannedStage> {
  if (screenshot !== undefined && (await ctx.files.stat(screenshot).catch(unlessOurs)))
    throw new KvmsnapError('exists', `${screenshot} exists already; nothing was verified`, {
      hint: 'name another file for the screenshot',
    });
  const request = { vm, name, targets: null, force, command: 'verify' };
  return withContent(ctx, request, async (session) => {
    const { domain, snapshot } = session;
    const damage = await findDamage(ctx, session);
    if (damage !== null) {
      const verdict: Verdict = { outcome: 'failed', what: damage, seconds: 0, screenshot: null };
      if (ctx.settings.dryRun) throw notProven(session, verdict);
      return conclude(ctx, session, verdict);
    }
    const facts = await readStage(ctx, session, memory);
    refuseOn(
      ctx,
      `cannot verify ${inText(snapshot.name)} of ${inText(domain.name)}`,
      verifyFindings(facts),
      force,
    );
    if (ctx.settings.dryRun) return { domain, planned: plannedLines(ctx, facts) };
    const verdict = await watch(ctx, session, facts, {
      within: memory ? Math.min(within, RESUMED_SECONDS) : within,
      screenshot: screenshot ?? null,
    });
    return conclude(ctx, session, verdict);
  });
}

async function conclude(ctx: Context, session: Session, verdict: Verdict): Promise<VerifiedSnapshot> {
  const { domain, snapshot } = session;
  await requireUnchanged(ctx, session, 'the result was dropped');
  await keepVerdict(ctx, session, verdict);
  const failure = verdict.outcome === 'proven' ? null : notProven(session, verdict);
  return { domain, snapshot, verdict, failure };
}

/** Keeps the result with the snapshot, as a hold is kept. */
async function keepVerdict(
  ctx: Context,
  { domain, snapshot }: Session,
  { outcome, what }: Verdict,
): Promise<void> {
  const verified = { atSeconds: Math.floor(ctx.clock.now() / 1000), outcome, seen: what };
  const change = ({ description, held }: SnapshotReport) => ({ description, held, verified });
  await operate(ctx, redescribe(domain.uuid, snapshot.name, change));
}

function notProven({ domain, snapshot }: Session, { what, screenshot }: Verdict): KvmsnapError {
  const about = `${inText(snapshot.name)} of ${inText(domain.name)}`;
  const help = {
    hint: 'this page of the manual tells what proves a snapshot',
    commands: ['kvmsnap help verifying'],
  };
  return KvmsnapError.of('check', `${about} is not proven`, [
    {
      message: what,
      ...(screenshot === null ? help : { hint: `the screen of the guest is in ${screenshot}`, commands: [] }),
    },
  ]);
}

interface Watch {
  readonly within: number;
  readonly screenshot: string | null;
}

/** Starts the throw-away VM, and looks at it until there is a verdict. */
async function watch(
  ctx: Context,
  session: Session,
  facts: StageFacts,
  { within, screenshot }: Watch,
): Promise<Verdict> {
  const begun = ctx.clock.now();
  const seconds = () => Math.round((ctx.clock.now() - begun) / 1000);
  const label = `waiting for the guest of ${inText(session.snapshot.name)}`;
  try {
    return await onStage(ctx, session, facts, within, async () => {
      const from = ctx.clock.now();
      const looks: Look[] = [];
      for (;;) {
        const isOver = ctx.clock.now() - from >= within * 1000;
        looks.push(await lookAt(ctx, facts.uuid));
        const verdict = verdictOf(looks, isOver, facts.resumes);
        if (verdict) {
          const isGone = verdict.outcome === 'proven' || !looks.at(-1)?.exists;
          const saved =
            isGone || screenshot === null ? null : await takeScreenshot(ctx, facts.uuid, screenshot);
          return { ...verdict, seconds: seconds(), screenshot: saved };
        }
        ctx.terminal.progress(`${seconds()} s of ${within} s: ${label}`);
        await ctx.clock.sleep(LOOK_MILLISECONDS);
      }
    });
  } catch (error) {
    if (!(error instanceof NotStarted)) throw error;
    return { outcome: 'failed', what: error.message, seconds: seconds(), screenshot: null };
  } finally {
    ctx.terminal.progress('');
  }
}

/** One process of virsh, which waits at most 2 s for the agent. */
async function lookAt({ virsh }: Context, uuid: string): Promise<Look> {
  const domain = ['--domain', uuid];
  const { texts } = await virsh.read([
    ['domstate', ...domain, '--reason'],
    ['dommemstat', ...domain],
    ['domstats', '--block', ...domain],
    ['qemu-monitor-command', ...domain, '--hmp', '--cmd', 'info registers'],
    ['qemu-agent-command', ...domain, '--timeout', '2', '--cmd', '{"execute":"guest-ping"}'],
  ]);
  const [state = '', memory = '', blocks = '', registers = '', agent = ''] = texts.map((text) => text ?? '');
  return parseLook({ state, memory, blocks, registers, agent } satisfies Answers);
}

/** The path of the screenshot; null if there is no screen. */
async function takeScreenshot(ctx: Context, uuid: string, path: string): Promise<string | null> {
  const { lastSucceeded, stderr } = await ctx.virsh.read([['screenshot', '--domain', uuid, '--file', path]]);
  if (!lastSucceeded) ctx.terminal.note(`warning: no screenshot was saved: ${stderr.trim()}`);
  return lastSucceeded ? path : null;
}
