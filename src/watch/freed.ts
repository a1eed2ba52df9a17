import type { Context } from '../run/context.ts';
import { whyNot } from '../space/cost-document.ts';
import { measureVm } from '../space/measure.ts';
import type { Vm } from '../vm/load.ts';

/** What deleting snapshots would give back to the host. */
export type Freed =
  | { readonly bytes: number; readonly approximate: boolean }
  /** Why it could not be measured. */
  | { readonly problem: string };

/** Measures what deleting these snapshots of a VM together frees; no names: nothing. */
export async function measureFreed(ctx: Context, vm: Vm, names: readonly string[]): Promise<Freed> {
  if (names.length === 0) return { bytes: 0, approximate: false };
  const { together, approximate, snapshots } = await measureVm(ctx, vm, names);
  if (together.frees) return { bytes: together.frees.hostBytes, approximate };
  const problems = snapshots
    .filter(({ snapshot }) => names.includes(snapshot.name))
    .flatMap((each) => whyNot(each.disks) ?? []);
  return { problem: [...new Set(problems)].join('; ') || 'kvmsnap cannot read what they contain' };
}
