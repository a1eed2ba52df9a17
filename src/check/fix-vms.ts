import { planText, type Step } from '../output/question.ts';
import { seekConsent, type Told } from '../run/confirm.ts';
import type { Context } from '../run/context.ts';
import { type DomainOutcome, forEachDomain } from '../run/for-each-domain.ts';
import type { Targets } from '../vm/select.ts';
import type { CheckRequest, Findings } from './check-vm.ts';
import { type FixResult, fixVm } from './fix.ts';
import { fixLine, type PreparedFix } from './prepare-fixes.ts';

/** `check --fix`: one plan over all VMs, one question, and the result of each step. */

/** A VM that was checked, and its fixes. */
export interface VmCheck {
  readonly checked: Findings;
  readonly prepared: readonly PreparedFix[];
  /** null until the plan was carried out. */
  readonly fixed: readonly FixResult[] | null;
}

type Result = DomainOutcome<VmCheck>;

/** The steps of all VMs, in their order. */
export function stepsOf(ctx: Context, looked: readonly Result[]): Step[] {
  return looked.flatMap(({ vm, value }) =>
    (value?.prepared ?? []).map((fix) => ({
      what: `${vm.name}: ${fix.what}`,
      facts: [
        ['why', fix.why] as const,
        ...(fix.assumed === null ? [] : [['assumed', fix.assumed] as const]),
        ...(fix.backup === null ? [] : [['backup of the metadata', fix.backup] as const]),
      ],
      commands: fix.commands.map((command) => fixLine(ctx, command)),
    })),
  );
}

/** The result of checking the VMs at one time. */
export interface LookedAt {
  readonly selected: Targets;
  readonly looked: readonly Result[];
  readonly request: CheckRequest;
}

/** Asks once, and carries out the plan. A VM with nothing to fix keeps the result of its check. Throws `declined`. */
export async function fixVms(
  ctx: Context,
  first: LookedAt,
  look: (ctx: Context) => Promise<LookedAt>,
): Promise<Result[]> {
  const { plan } = await seekConsent(
    ctx,
    { load: look, tell: (plan) => tellFixes(ctx, plan), mustConsent: true, discard: dropFiles(ctx) },
    first,
  );
  const { selected, looked, request } = plan;
  const steps = stepsOf(ctx, looked);
  if (steps.length === 0) return [...looked];
  if (ctx.settings.yes && ctx.settings.output === 'table') ctx.terminal.note(planText(steps));
  const before = new Map(looked.map((result) => [result.vm.uuid, result]));
  const fixable = selected.targets.filter(({ vm }) => before.get(vm.uuid)?.value?.prepared.length);
  const run = { jobs: 1, skips: () => false };
  const fixed = await forEachDomain<VmCheck>(
    ctx,
    { ...selected, targets: fixable },
    run,
    async (ctx, { domain }) => {
      const prepared = before.get(domain.uuid)?.value?.prepared ?? [];
      const { results, checked } = await fixVm(ctx, domain, prepared, request);
      return {
        value: { checked, prepared, fixed: results },
        failures: results.flatMap(({ failure }) => failure ?? []),
        succeeded: results.filter(({ outcome }) => outcome === 'done').length,
        cutShort: results.some(({ outcome }) => outcome === 'not reached'),
      };
    },
  );
  const after = new Map(fixed.map((result) => [result.vm.uuid, result]));
  return looked.map((result) => {
    const now = after.get(result.vm.uuid);
    return now ? { ...now, value: now.value ?? unreached(result.value) } : result;
  });
}

/** A VM whose fixes could not be started keeps the result of its check. */
function unreached(checked: VmCheck | null): VmCheck | null {
  const unreachedFix = (fix: PreparedFix): FixResult => ({ fix, outcome: 'not reached', failure: null });
  return checked && { ...checked, fixed: checked.prepared.map(unreachedFix) };
}

function tellFixes(ctx: Context, { looked }: LookedAt): Told {
  const steps = stepsOf(ctx, looked);
  const these = steps.length === 1 ? 'this fix' : `these ${steps.length} fixes`;
  return {
    consequences: looked.flatMap(({ vm, value }) =>
      (value?.prepared ?? []).map((fix) => `${vm.name}: ${fix.what}, because ${fix.why}`),
    ),
    question: steps.length === 0 ? null : async () => ({ details: [], steps, asks: `Apply ${these}?` }),
  };
}

/** Removes the files that were prepared. */
const dropFiles =
  (ctx: Context) =>
  async ({ looked }: LookedAt): Promise<void> => {
    const prepared = looked.flatMap(({ value }) => value?.prepared ?? []);
    await Promise.all(prepared.flatMap(({ files }) => files.map(ctx.savedXml.drop)));
  };
