import { KvmsnapError } from '../errors.ts';
import { inText } from '../model/text.ts';
import type { Context } from '../run/context.ts';
import type { Vm } from '../vm/load.ts';
import type { DeleteRequest, TellLoss } from './deletion.ts';
import type { UnusedFilesFound } from './remove-unused-files.ts';
import { type DeletionOptions, type Deletions, openDeletions } from './series.ts';

/** Deletes snapshots of one VM one after another, for delete and prune. */

/** The result of one deletion. */
export interface Tried extends UnusedFilesFound {
  readonly name: string;
  /** All snapshots that were deleted, including children; empty if it failed. */
  readonly gone: readonly string[];
  readonly failure: KvmsnapError | null;
  /** Whether it was refused because the snapshot is held now. */
  readonly isHeld: boolean;
}

export interface DeletedInTurn {
  readonly tried: readonly Tried[];
  /** Names that were not tried: after a signal, or because the VM is busy and each further deletion would wait as long. */
  readonly left: readonly string[];
}

/** Deletes the snapshots; continues after a failure. Shows `37 of 184` on a terminal. `first`: the VM as it was just read. */
export async function deleteInTurn(
  ctx: Context,
  first: Vm,
  names: readonly string[],
  request: DeleteRequest,
  tell?: TellLoss,
): Promise<DeletedInTurn> {
  const deletions = openDeletions(first, request);
  const tried: Tried[] = [];
  let left = [...names];
  for (let name = left[0]; name !== undefined; name = left[0]) {
    if (ctx.interrupts.pending && tried.length > 0) break;
    const count = names.length > 1 ? `${names.length - left.length + 1} of ${names.length}` : null;
    if (count) ctx.terminal.progress(`${count}: ${inText(name)} of ${inText(first.domain.name)}`);
    const result = await tryDelete(ctx, deletions, name, { tell, count });
    // the signal came before the write of this deletion
    if (result.failure !== null && result.failure === ctx.interrupts.pending && tried.length > 0) break;
    tried.push(result);
    left = left.filter((other) => other !== name && !result.gone.includes(other));
    if (result.failure?.code === 'busy') break;
  }
  ctx.terminal.progress('');
  const failures = await deletions.prove(ctx);
  return { tried: tried.map((each) => withFailure(each, failures.get(each.name))), left };
}

async function tryDelete(
  ctx: Context,
  deletions: Deletions,
  name: string,
  options: DeletionOptions,
): Promise<Tried> {
  try {
    const { gone, ...found } = await deletions.delete(ctx, name, options);
    return { name, gone: gone.map((member) => member.name), failure: null, isHeld: false, ...found };
  } catch (error) {
    if (!(error instanceof KvmsnapError)) throw error;
    const isHeld =
      error.code === 'check' &&
      deletions.vm.snapshots.some((each) => each.name === name && (each.held || each.readers.length > 0));
    return { name, gone: [], failure: error, isHeld, unusedFiles: [], unremoved: [] };
  }
}

/** Adds the failure of a deletion that virsh reported as done and the verification at the end did not confirm. */
const withFailure = (tried: Tried, failure: KvmsnapError | undefined): Tried =>
  failure && !tried.failure ? { ...tried, gone: [], failure } : tried;

/** The sum after several deletions: `184 snapshots deleted`, `37 of 184 snapshots deleted`; empty for a single one. */
export const sumLines = (deleted: number, wanted: number): string[] =>
  wanted < 2 ? [] : [`${deleted === wanted ? wanted : `${deleted} of ${wanted}`} snapshots deleted`];
