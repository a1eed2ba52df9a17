import { KvmsnapError } from '../errors.ts';
import { allInText, inText } from '../model/text.ts';
import type { Action } from '../run/confirm.ts';
import type { Context } from '../run/context.ts';
import { loadChecked, operate } from '../run/operation.ts';
import { findSnapshot, type Vm } from '../vm/load.ts';
import { tellRevert } from './announce.ts';
import { type PlannedRevert, type Reverted, type RevertRequest, revertSnapshot } from './operation.ts';

/** The reverts of several VMs to snapshots of one name: none is begun as long as one of them is refused. */

interface OneOfAll {
  readonly vm: Vm;
  readonly name: string;
}

/** `how`: what has led to it, for the question. `tellDone` is called after each revert. */
export function revertAll(
  ctx: Context,
  vms: readonly OneOfAll[],
  request: RevertRequest,
  { how, tellDone }: { readonly how: readonly string[]; readonly tellDone: (reverted: Reverted) => void },
) {
  const all = vms.map(({ vm, name }) => ({
    vm,
    name,
    operation: revertSnapshot(vm, findSnapshot(vm, name), request),
  }));
  const action: Action<readonly PlannedRevert[]> = {
    async load(ctx) {
      const planned: PlannedRevert[] = [];
      for (const { operation } of all) planned.push(await loadChecked(ctx, operation, true));
      return planned;
    },
    tell(planned) {
      const told = planned.map((each) => tellRevert(ctx, each, false));
      const [{ name } = { name: '' }] = vms;
      const whose = allInText(vms.map(({ vm }) => vm.domain.name));
      const ofVm = (i: number) => (line: string) =>
        planned.length === 1 ? line : `${inText(planned[i]?.vm.domain.name ?? '')}: ${line}`;
      return {
        consequences: told.flatMap(({ consequences }, i) => consequences.map(ofVm(i))),
        notes: told.flatMap(({ notes = [] }, i) => notes.map(ofVm(i))),
        question: async () => ({
          details: [...how, ...told.flatMap(({ notes = [] }, i) => notes.map(ofVm(i)))],
          asks: `Revert ${whose} to ${inText(name)}?`,
        }),
      };
    },
  };
  /** Throws a failure that says which VMs were reverted. */
  const carryOut = async (ctx: Context, planned: readonly PlannedRevert[]): Promise<Reverted[]> => {
    const told = planned.flatMap((each) => tellRevert(ctx, each, false).notes ?? []);
    const agreed = { ...ctx, settings: { ...ctx.settings, yes: true }, terminal: without(told, ctx) };
    const done: Reverted[] = [];
    for (const { name, operation } of all) {
      try {
        const ended = await operate(agreed, operation);
        if (!('done' in ended)) throw new Error('a revert was only planned');
        done.push(ended.done);
        tellDone(ended.done);
      } catch (error) {
        if (!(error instanceof KvmsnapError)) throw error;
        throw error.prefixed(standing(done, all.length, name));
      }
    }
    return done;
  };
  return { ...action, carryOut };
}

/** What was told with the question is not told again. */
const without = (told: readonly string[], { terminal }: Context): Context['terminal'] => ({
  ...terminal,
  note: (line) => told.includes(line.replace(/^note: /, '')) || terminal.note(line),
});

function standing(done: readonly Reverted[], of: number, name: string): string {
  if (of === 1) return '';
  const names = done.map(({ vm }) => vm.domain.name);
  const what =
    names.length === 0
      ? 'no VM was reverted'
      : `only ${allInText(names)} ${names.length === 1 ? 'was' : 'were'} reverted to ${inText(name)}`;
  return `${what}; `;
}
