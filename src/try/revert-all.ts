import { KvmsnapError } from '../errors.ts';
import { allInText, inText } from '../model/text.ts';
import { tellRevert } from '../revert/announce.ts';
import { type PlannedRevert, revertSnapshot } from '../revert/operation.ts';
import type { Action } from '../run/confirm.ts';
import type { Context } from '../run/context.ts';
import { loadChecked, operate } from '../run/operation.ts';
import { findSnapshot } from '../vm/load.ts';
import { ourLine } from './keep-or-delete.ts';
import type { Tried } from './take-all.ts';

/** The reverts of all VMs: none is begun as long as one of them is refused. */

/** `how`: how the command has ended, for the question. */
export function revertAll(
  ctx: Context,
  tried: readonly Tried[],
  { how, force }: { readonly how: string; readonly force: boolean },
) {
  const request = { running: false, paused: false, force, resetNvram: false, backup: null };
  const all = tried.map(({ vm, name }) => ({
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
      const [{ name } = { name: '' }] = tried;
      const whose = allInText(tried.map(({ vm }) => vm.domain.name));
      const ofVm = (i: number) => (line: string) =>
        planned.length === 1 ? line : `${inText(planned[i]?.vm.domain.name ?? '')}: ${line}`;
      return {
        consequences: told.flatMap(({ consequences }, i) => consequences.map(ofVm(i))),
        notes: told.flatMap(({ notes = [] }, i) => notes.map(ofVm(i))),
        question: async () => ({
          details: [how, ...told.flatMap(({ notes = [] }, i) => notes.map(ofVm(i)))],
          asks: `Revert ${whose} to ${inText(name)}?`,
        }),
      };
    },
  };
  const carryOut = async (ctx: Context, planned: readonly PlannedRevert[]): Promise<void> => {
    const told = planned.flatMap((each) => tellRevert(ctx, each, false).notes ?? []);
    const agreed = { ...ctx, settings: { ...ctx.settings, yes: true }, terminal: without(told, ctx) };
    const done: string[] = [];
    for (const { vm, name, operation } of all) {
      try {
        await operate(agreed, operation);
      } catch (error) {
        if (!(error instanceof KvmsnapError)) throw error;
        throw error.prefixed(standing(done, all.length, name));
      }
      done.push(vm.domain.name);
      ctx.terminal.note(`reverted ${inText(vm.domain.name)} to ${inText(name)}; to delete the snapshot:`);
      ctx.terminal.note(`  ${ourLine(ctx, 'delete', vm.domain.name, name)}`);
    }
  };
  return { ...action, carryOut };
}

/** What was told with the question is not told again. */
const without = (told: readonly string[], { terminal }: Context): Context['terminal'] => ({
  ...terminal,
  note: (line) => told.includes(line.replace(/^note: /, '')) || terminal.note(line),
});

function standing(done: readonly string[], of: number, name: string): string {
  if (of === 1) return '';
  const what =
    done.length === 0 ? 'no VM was reverted' : `only ${allInText(done)} was reverted to ${inText(name)}`;
  return `${what}; `;
}
