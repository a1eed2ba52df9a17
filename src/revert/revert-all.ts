import { combineFailures, type ErrorFinding, type FailureCode, KvmsnapError } from '../errors.ts';
import { isIdle } from '../libvirt/runtime.ts';
import { allInText, inText } from '../model/text.ts';
import type { Action } from '../run/confirm.ts';
import type { Context } from '../run/context.ts';
import { loadChecked, operateAgreed } from '../run/operation.ts';
import { findSnapshot, type Vm } from '../vm/load.ts';
import { tellRevert } from './announce.ts';
import { type PlannedRevert, type Reverted, type RevertRequest, revertSnapshot } from './operation.ts';
import { AGAIN } from './verify.ts';

/**
 * The reverts of several VMs to snapshots of one name: none is begun as long as one of them is refused. Nothing can undo a revert, so if
 * one fails later, those after it are not begun, and the failure says exactly what became of each VM.
 */

interface OneOfAll {
  readonly vm: Vm;
  readonly name: string;
}

interface How {
  /** What has led to it, for the question. */
  readonly how: readonly string[];
  /** Is called after each revert. */
  readonly tellDone: (reverted: Reverted) => void;
  /** How to go on after a failure in the middle; `left`: the VMs that are not reverted. */
  readonly goOn: (done: readonly Reverted[], left: readonly Vm[]) => ErrorFinding;
}

/** What became of all; `failure` null: all VMs were reverted. */
export interface RevertedAll {
  readonly done: readonly Reverted[];
  /** Those that were not reverted, or whose revert has failed. */
  readonly left: readonly Vm[];
  readonly failure: KvmsnapError | null;
}

export function revertAll(
  ctx: Context,
  vms: readonly OneOfAll[],
  request: RevertRequest,
  { how, tellDone, goOn }: How,
) {
  const all = vms.map(({ vm, name }) => ({
    vm,
    name,
    operation: revertSnapshot(vm, findSnapshot(vm, name), request),
    ctxFor: (ctx: Context) => (vms.length === 1 ? ctx : withVmName(ctx, vm)),
  }));
  const action: Action<readonly PlannedRevert[]> = {
    async load(ctx) {
      const planned: PlannedRevert[] = [];
      const failures: KvmsnapError[] = [];
      for (const { vm, operation, ctxFor } of all)
        try {
          planned.push(
            all.length === 1
              ? await loadChecked(ctxFor(ctx), operation, true)
              : await loadIdle(ctxFor(ctx), operation, vm),
          );
        } catch (error) {
          if (!(error instanceof KvmsnapError) || ctx.interrupts.stop.aborted) throw error;
          failures.push(error);
        }
      if (failures.length > 0) throw together(failures);
      return planned;
    },
    tell(planned) {
      const told = planned.map((each) => tellRevert(ctx, each, false, planned.length > 1));
      const [{ name } = { name: '' }] = vms;
      const names = vms.map(({ vm }) => vm.domain.name);
      const consequences = linesOfVms(
        names,
        told.map(({ consequences }) => consequences),
      );
      const notes = linesOfVms(
        names,
        told.map(({ notes = [] }) => notes),
      );
      return {
        consequences,
        notes,
        question: async () => ({
          details: [...how, ...notes],
          asks: `Revert ${allInText(names)} to ${inText(name)}?`,
        }),
      };
    },
  };
  const carryOut = async (ctx: Context, planned: readonly PlannedRevert[]): Promise<RevertedAll> => {
    const done: Reverted[] = [];
    for (const [i, { operation, ctxFor }] of all.entries()) {
      const ended = await revertAgreed(ctxFor(ctx), operation, planned[i] as PlannedRevert);
      if ('done' in ended) {
        done.push(ended.done);
        tellDone(ended.done);
        continue;
      }
      const left = all.slice(i).map(({ vm }) => vm);
      return { done, left, failure: inTheMiddle(ctx, ended, { done, left, goOn }) };
    }
    return { done, left: [], failure: null };
  };
  return { ...action, carryOut };
}

/** The lines of each VM, with the names of those for which they are true; first those that are the same for all VMs. */
function linesOfVms(names: readonly string[], lines: readonly (readonly string[])[]): readonly string[] {
  if (names.length === 1) return lines[0] ?? [];
  const whose = new Map<string, string[]>();
  for (const [i, own] of lines.entries())
    for (const line of own) whose.set(line, [...(whose.get(line) ?? []), names[i] ?? '']);
  const all = [...whose].filter(([, vms]) => vms.length === names.length);
  const some = [...whose].filter(([, vms]) => vms.length < names.length);
  return [
    ...all.map(([line]) => `each VM: ${line}`),
    ...some.map(([line, vms]) => `${allInText(vms)}: ${line}`),
  ];
}

/** How one revert ended; `begun`: whether the failed one may have changed the VM. */
type Ended = { readonly done: Reverted } | Failed;

interface Failed {
  readonly error: unknown;
  readonly begun: boolean;
}

async function revertAgreed(
  ctx: Context,
  operation: ReturnType<typeof revertSnapshot>,
  agreed: PlannedRevert,
): Promise<Ended> {
  let begun = false;
  const { write } = operation;
  const run: typeof write.run = (ctx, facts) => {
    begun = true;
    return write.run(ctx, facts);
  };
  const asks = (ctx: Context, facts: PlannedRevert) => tellRevert(ctx, facts, false);
  try {
    return { done: await operateAgreed(ctx, { ...operation, write: { ...write, run } }, asks, agreed) };
  } catch (error) {
    const isBusy = error instanceof KvmsnapError && error.code === 'busy';
    return { error, begun: begun && !isBusy };
  }
}

/** Loads it as when no other job is running on the VM; else throws what prevents the revert, or `busy`. */
async function loadIdle(
  ctx: Context,
  operation: ReturnType<typeof revertSnapshot>,
  vm: Vm,
): Promise<PlannedRevert> {
  // asked before the VM is read, so that what another job was still doing is part of what is announced
  const idle = await isIdle(ctx.virsh, vm.domain.uuid);
  const planned = await loadChecked(ctx, operation, true);
  if (!idle) throw busy(vm);
  return planned;
}

/** Another job holds the VM: its revert would be refused after others were carried out. */
const busy = ({ domain }: Vm) =>
  new KvmsnapError('busy', `cannot revert ${inText(domain.name)}: another job is running on it`, {
    hint: 'wait until it has finished, or add --wait 10m',
  });

/** Notes with the name of the VM, as those before the reverts have it. */
function withVmName(ctx: Context, { domain }: Vm): Context {
  const note = (line: string) => {
    const [, head = '', text = ''] = /^(\w+: )?(.*)$/s.exec(line) ?? [];
    ctx.terminal.note(`${head}${inText(domain.name)}: ${text}`);
  };
  return { ...ctx, terminal: { ...ctx.terminal, note } };
}

/** The refusals of all VMs. */
function together(failures: readonly KvmsnapError[]): KvmsnapError {
  const [first] = failures;
  if (first && failures.length === 1) return first;
  const findings = failures.flatMap(({ subject, findings }) =>
    findings.map((each) => ({
      ...each,
      message: subject === null ? each.message : `${subject}: ${each.message}`,
    })),
  );
  const { code } = combineFailures(failures, 0, '');
  return KvmsnapError.of(code, null, findings);
}

/** `only app was reverted; web, cache were not touched`; empty if there is no other VM. */
function standing(done: readonly Reverted[], untouched: readonly Vm[]): string {
  const reverted = done.map(({ vm }) => vm.domain.name);
  const others = untouched.map(({ domain }) => domain.name);
  const be = ({ length }: readonly string[]) => (length === 1 ? 'was' : 'were');
  return [
    ...(reverted.length === 0 ? [] : [`only ${allInText(reverted)} ${be(reverted)} reverted`]),
    ...(others.length === 0 ? [] : [`${allInText(others)} ${be(others)} not touched`]),
  ].join('; ');
}

/** Failures that keep their exit code, because the run was ended from outside. */
const ENDED = new Set<FailureCode>(['interrupted', 'terminated', 'hung-up', 'timed-out']);

/** The failure of one revert, with what became of the other VMs. Throws a bug again. */
function inTheMiddle(
  ctx: Context,
  { error, begun }: Failed,
  { done, left, goOn }: Omit<RevertedAll, 'failure'> & Pick<How, 'goOn'>,
): KvmsnapError {
  const fate = standing(done, begun ? left.slice(1) : left);
  if (!(error instanceof KvmsnapError)) {
    ctx.terminal.note(`note: ${fate}`);
    throw error;
  }
  const told = fate === '' ? error : error.prefixed(`${fate}; `);
  if (done.length === 0) return told;
  const code = ENDED.has(error.code) ? error.code : 'partial';
  // how to go on with all of them includes this one
  const findings = told.findings.map((each) =>
    each.hint !== null && AGAIN.has(each.hint) ? { ...each, hint: null } : each,
  );
  return KvmsnapError.of(code, told.subject, [...findings, goOn(done, left)], { cause: error });
}
