import { KvmsnapError } from '../../errors.ts';
import { isActive } from '../../model/domain.ts';
import { inText } from '../../model/text.ts';
import type { Context } from '../../run/context.ts';
import { withResidue } from '../../run/failed-write.ts';
import type { Verified } from '../../run/operation.ts';
import { letGoCommands } from '../../vm/left-pause.ts';
import { closeNewFiles } from '../file-modes.ts';
import type { Taken } from '../take.ts';
import { leftBehind, verifyTaken } from '../verify.ts';
import { removeAgain } from './all-or-none.ts';
import type { MemberEnd, TakenAtOnce } from './at-one-moment.ts';
import { confirm } from './confirm.ts';
import { type Member, type TakenTogether, vmOf } from './member.ts';
import type { TogetherRequest } from './operation.ts';

/** Verifies that all snapshots are complete and of one moment; only then each of them is marked as one of these. Otherwise all are removed. */

type Result = Verified<null, ReadonlyMap<string, TakenTogether>>;

/** How it went with one VM; `taken` also for a complete snapshot that is not of that moment. */
interface Outcome {
  readonly taken: Taken | null;
  readonly failure: KvmsnapError | null;
}

export async function verifyTogether(
  ctx: Context,
  members: readonly Member[],
  end: TakenAtOnce,
  request: TogetherRequest,
): Promise<Result> {
  if ('failure' in end) return { failure: end.failure, seen: null };
  const outcomes = await Promise.all(end.ends.map((each) => outcomeOf(ctx, each)));
  const names = members.map((member) => vmOf(member).name);
  const taken = outcomes.flatMap((outcome) => outcome.taken ?? []);
  const failures = outcomes.flatMap(({ failure }) => failure ?? []);
  if (failures.length > 0) return undone(ctx, taken, failures, names.length);
  const marked = await Promise.all(
    taken.map(async (each, i): Promise<Outcome> => {
      const isPaused = end.ends[i]?.member.holding === 'paused';
      return confirm(ctx, each, request.description, names, isPaused).then(
        (snapshot) => ({ taken: { ...each, snapshot }, failure: null }),
        (error: unknown) => {
          if (!(error instanceof KvmsnapError)) throw error;
          return { taken: each, failure: error };
        },
      );
    }),
  );
  const unmarked = marked.flatMap(({ failure }) => failure ?? []);
  if (unmarked.length > 0) return undone(ctx, taken, unmarked, names.length);
  return {
    done: new Map(
      marked.flatMap(({ taken }, i) =>
        taken
          ? [
              [
                taken.vm.domain.uuid,
                {
                  ...taken,
                  heldMilliseconds: end.ends[i]?.heldMilliseconds ?? null,
                  isFrozen: end.ends[i]?.member.holding === 'frozen',
                },
              ] as const,
            ]
          : [],
      ),
    ),
  };
}

async function outcomeOf(ctx: Context, { member, end, stood }: MemberEnd): Promise<Outcome> {
  const { prepared } = member;
  const { name, plan, targetFiles } = prepared.facts;
  const { uuid, name: vm } = vmOf(member);
  await closeNewFiles(ctx, plan, targetFiles);
  const verified = await verifyTaken(ctx, prepared, end);
  const after = 'done' in verified ? verified.done.vm : verified.seen.vm;
  // its own virsh was killed, or could not let the guest go on
  const { pauseRecord: record } = after.domain;
  if (record) await ctx.virsh.setRight(letGoCommands(uuid, { record, verdict: 'ours' }));
  if (!('done' in verified)) {
    const left = leftBehind(ctx, prepared, verified.seen, verified.failure);
    return {
      taken: null,
      failure: left.length === 0 ? verified.failure : withResidue(ctx, verified.failure, left),
    };
  }
  const taken = verified.done;
  const wanted = expectedState(member);
  const isThen = stood && (wanted === null || taken.snapshot?.state === wanted);
  if (isThen) return { taken, failure: null };
  const why = `snapshot ${inText(name)} of ${inText(vm)} is not of the same moment as the others, because the guest did not stay paused or frozen until it was complete`;
  return { taken, failure: new KvmsnapError('refused', why) };
}

/** The state that a snapshot of that moment has; null if libvirt does not keep it. */
function expectedState({ prepared: { reading, facts }, holding }: Member): string | null {
  const { state } = reading.domain;
  if (isActive(state) && facts.plan.mode === 'disk-only') return null;
  return holding === 'paused' ? 'paused' : state;
}

/** Removes what was taken; the failure says what became of all. */
async function undone(
  ctx: Context,
  taken: readonly Taken[],
  failures: readonly KvmsnapError[],
  of: number,
): Promise<Result> {
  const fates = taken.length === 0 ? [] : await removeAgain(ctx, taken);
  const subject = `not all snapshots were taken${fates.length === 0 ? '' : ` (${fates.join('; ')})`}`;
  const findings = failures.flatMap((failure) => failure.findings);
  const [first] = failures;
  const isAll = failures.length === of && failures.every(({ code }) => code === first?.code);
  return { failure: KvmsnapError.of(isAll && first ? first.code : 'partial', subject, findings), seen: null };
}
