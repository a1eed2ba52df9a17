import { planDeletions, type RefusedDeletion } from '../delete/dry-run.ts';
import { NO_SNAPSHOTS } from '../libvirt/snapshots.ts';
import type { Selection } from '../model/input/selection.ts';
import { inText } from '../model/text.ts';
import { humanSpan, localTime } from '../output/format.ts';
import { fold, type Question } from '../output/question.ts';
import { seekConsent, type Told } from '../run/confirm.ts';
import type { Context } from '../run/context.ts';
import { forEachDomain } from '../run/for-each-domain.ts';
import { withoutLeftPauses } from '../run/left-pauses.ts';
import { foreseeQuickly } from '../space/reclaimed.ts';
import { type FreedOf, freedLines } from '../space/reclaimed-report.ts';
import { assembleVm, requireAllRead, type Vm } from '../vm/load.ts';
import { readAllSnapshots, readSelection } from '../vm/select.ts';
import { deletionBy, type PruneCandidate, type PruneRequest, planWithExternal } from './prune-vm.ts';
import type { Decision } from './retention.ts';

/** The question before a prune, with its plan. */

interface Planned {
  readonly vm: Vm;
  readonly plan: readonly Decision<PruneCandidate>[];
  /** Deletions that a rule refuses: the run tries them, and prints why they failed. */
  readonly refused: readonly RefusedDeletion[];
}

/** By UUID, the names that may be deleted. */
export type Agreed = ReadonlyMap<string, ReadonlySet<string>>;

/** Shows the plan and asks; returns what was agreed to. Throws `declined`. */
export async function agreeToPrune(
  ctx: Context,
  selection: Selection,
  request: PruneRequest,
): Promise<Agreed> {
  const { plan } = await seekConsent(ctx, {
    load: (ctx) => planAll(ctx, selection, request),
    tell: (all) => tellPrune(ctx, all, request),
  });
  return new Map(
    plan.map((each) => [each.vm.domain.uuid, new Set(triedOf(each).map(({ snapshot }) => snapshot.name))]),
  );
}

/** The plans of all VMs that can be read; the prune itself reports the others. */
async function planAll(ctx: Context, selection: Selection, request: PruneRequest): Promise<Planned[]> {
  const selected = await withoutLeftPauses(ctx, await readSelection(ctx, selection));
  const known = await readAllSnapshots(ctx, selected);
  const run = { jobs: 1, skips: () => false };
  const results = await forEachDomain<Planned>(ctx, selected, run, async (ctx, reading) => {
    const vm = await assembleVm(ctx, reading, known.get(reading.domain.uuid) ?? NO_SNAPSHOTS);
    requireAllRead(ctx, vm, `prune ${inText(vm.domain.name)}`);
    const plan = await planWithExternal(ctx, vm, request);
    const names = plan.filter(({ keep }) => !keep).map(({ snapshot }) => snapshot.name);
    const { refused } = await planDeletions(ctx, vm, names, deletionBy(request));
    return { value: { vm, plan, refused }, failures: [], succeeded: 0 };
  });
  return results.flatMap(({ value }) => value ?? []);
}

const triedOf = ({ plan }: Planned): Decision<PruneCandidate>[] => plan.filter(({ keep }) => !keep);

const goingOf = (planned: Planned): Decision<PruneCandidate>[] =>
  triedOf(planned).filter(({ snapshot }) => planned.refused.every(({ name }) => name !== snapshot.name));

function tellPrune(ctx: Context, all: readonly Planned[], request: PruneRequest): Told {
  const going = all.flatMap((each) => goingOf(each).map(({ snapshot }) => ({ each, snapshot })));
  return {
    consequences: going.map(
      ({ each, snapshot }) =>
        `${inText(each.vm.domain.name)} loses ${inText(snapshot.name)}, taken ${localTime(snapshot.createdAtSeconds)}`,
    ),
    question: going.length === 0 ? null : () => questionOf(ctx, all, request),
  };
}

async function questionOf(
  ctx: Context,
  all: readonly Planned[],
  { freeMin, removeUnused }: PruneRequest,
): Promise<Question> {
  const now = ctx.clock.now() / 1000;
  const losing = all.filter((each) => goingOf(each).length > 0);
  const lines = losing.flatMap((each) =>
    goingOf(each).map(({ snapshot: { name, createdAtSeconds, report } }) => {
      const purpose = report?.description ? `: ${report.description.split('\n')[0]}` : '';
      const age = humanSpan(now - createdAtSeconds);
      return `${each.vm.domain.name}: ${inText(name)}, taken ${localTime(createdAtSeconds)}, ${age} ago${purpose}`;
    }),
  );
  const held = all.flatMap(({ vm, plan }) =>
    plan
      .filter(({ snapshot }) => snapshot.held)
      .map(({ snapshot }) => `${vm.domain.name}: ${inText(snapshot.name)} is on hold and stays`),
  );
  const refused = all.flatMap((each) =>
    each.refused.map(({ failure }) => `${each.vm.domain.name}: not deleted: ${failure.message}`),
  );
  const freed = freedLines(true, await freedBy(ctx, losing));
  const total = losing.reduce((sum, { vm }) => sum + vm.snapshots.length, 0);
  const count = `${lines.length} of ${total} snapshots of ${losing.length} ${losing.length === 1 ? 'VM' : 'VMs'}`;
  const frees = freed.map((line) => `, which ${line}`).join('');
  const until = freeMin === null ? '' : ', the oldest first, until enough space is free';
  return {
    details: [...fold(lines), ...fold(held), ...fold(refused)],
    asks: `Delete ${freeMin === null ? '' : 'up to '}${count}${frees}${until}${removeUnused ? ', and remove the files that nothing uses afterwards' : ''}?`,
  };
}

/** The question is not delayed longer than this for the figures. */
const MOST_MILLISECONDS = 5000;

async function freedBy(ctx: Context, losing: readonly Planned[]): Promise<FreedOf[]> {
  const until = ctx.clock.now() + MOST_MILLISECONDS;
  const each: FreedOf[] = [];
  for (const planned of losing) {
    const names = goingOf(planned).map(({ snapshot }) => snapshot.name);
    const left = until - ctx.clock.now();
    const foreseen = left > 0 ? await foreseeQuickly(ctx, planned.vm, names, left) : null;
    const freed = foreseen?.together ?? { bytes: null, approximate: false };
    each.push({ vm: planned.vm.domain, freed });
  }
  return each;
}
