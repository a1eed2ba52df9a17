import { deleteOne, type TakenOf } from '../create/together/all-or-none.ts';
import { combineFailures, KvmsnapError } from '../errors.ts';
import { kvmsnapLine } from '../model/quote.ts';
import { allInText, inText } from '../model/text.ts';
import type { Action } from '../run/confirm.ts';
import type { Context } from '../run/context.ts';
import { withConnection } from '../run/enforce.ts';
import { findSnapshot, readAgain, type Vm } from '../vm/load.ts';

/** What becomes of the snapshots after the command. */

/** Says that the snapshots exist, and how to use them. */
export function noteKept(ctx: Context, tried: readonly TakenOf[]): void {
  const [{ name } = { name: '' }] = tried;
  const lines = tried.flatMap(({ vm: { domain } }) =>
    ['revert', 'delete'].map((verb) => `  ${ourLine(ctx, verb, domain.name, name)}`),
  );
  const whose = allInText(tried.map(({ vm }) => vm.domain.name));
  ctx.terminal.note(
    [`the snapshot ${inText(name)} of ${whose} was kept. To revert to it, or to delete it:`, ...lines].join(
      '\n',
    ),
  );
}

/** Says that a VM was reverted, and how to delete the snapshot. */
export function noteReverted(ctx: Context, vm: string, name: string): void {
  ctx.terminal.note(`reverted ${inText(vm)} to ${inText(name)}; to delete the snapshot:`);
  ctx.terminal.note(`  ${ourLine(ctx, 'delete', vm, name)}`);
}

/** A command of kvmsnap about a snapshot, with the connection of this run. */
export const ourLine = (ctx: Context, verb: string, vm: string, name: string): string =>
  withConnection(ctx, { what: '', command: kvmsnapLine(verb, [vm, name]) }).command;

/** The deletion of all snapshots, after one question. `why` is told with the question. */
export function deletion(_ctx: Context, tried: readonly TakenOf[], why: string) {
  const [{ name } = { name: '' }] = tried;
  const whose = allInText(tried.map(({ vm }) => vm.domain.name));
  const action: Action<readonly Vm[]> = {
    async load(ctx) {
      const vms = await Promise.all(tried.map(({ vm }) => readAgain(ctx, vm.domain)));
      for (const vm of vms) findSnapshot(vm, name);
      return vms;
    },
    tell: () => ({
      consequences: [],
      question: async () => ({ details: [why], asks: `Delete the snapshot ${inText(name)} of ${whose}?` }),
    }),
  };
  const carryOut = async (ctx: Context, vms: readonly Vm[]): Promise<void> => {
    const failures: KvmsnapError[] = [];
    for (const vm of vms)
      try {
        await deleteOne(ctx, vm, name);
        ctx.terminal.note(`deleted the snapshot ${inText(name)} of ${inText(vm.domain.name)}`);
      } catch (error) {
        if (!(error instanceof KvmsnapError)) throw error;
        if (vms.length > 1) ctx.terminal.note(`${inText(vm.domain.name)}: ${error.message}`);
        failures.push(error);
      }
    if (failures.length > 0)
      throw combineFailures(
        failures,
        vms.length - failures.length,
        `not all snapshots ${inText(name)} were deleted`,
      );
  };
  return { ...action, carryOut };
}
