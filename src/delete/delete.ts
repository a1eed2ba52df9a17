import { KvmsnapError } from '../errors.ts';
import type { DomainReading } from '../libvirt/domains.ts';
import { allInText, inText } from '../model/text.ts';
import { chooseSnapshots } from '../run/choose.ts';
import type { Context } from '../run/context.ts';
import { type ActionResult, forEachDomain } from '../run/for-each-domain.ts';
import { toSelection } from '../run/select-options.ts';
import { foreseeFreed, whatIsFreed } from '../space/reclaimed.ts';
import { noteUnseen } from '../vm/disks.ts';
import { completeVm, findSnapshot, noSuchSnapshot, readAgain, type Vm } from '../vm/load.ts';
import type { NamedSnapshots } from '../vm/named.ts';
import type { Targets } from '../vm/select.ts';
import type { DeleteOptions } from './command.ts';
import { agreeAgain, consentToDeletion } from './confirm.ts';
import { deleteInTurn } from './delete-in-turn.ts';
import type { DeleteScope } from './deletion-set.ts';
import { planDeletions, type RefusedDeletion } from './dry-run.ts';
import { tellLoss } from './question.ts';
import { type Deleted, showDeleted } from './report.ts';
import { holds, type NamedDeletion, namesOf } from './request.ts';

const CHOICE = { asks: 'Delete which snapshots of', several: true };

/**
 * `delete`. Continues after a failure; throws at the end if there was one. On a terminal, a user who names no snapshot is asked
 * which.
 */
export async function deleteSnapshots(
  ctx: Context,
  { named: byVm, paired, allOrNone = false }: NamedSnapshots,
  options: DeleteOptions,
): Promise<void> {
  const [{ vm } = { vm: '' }] = byVm;
  const typed = byVm.flatMap((each) => each.names);
  const mayChoose = typed.length === 0 && !options.current && !options.vm && ctx.terminal.hasPerson;
  const names = mayChoose ? await chooseSnapshots(ctx, vm, CHOICE) : typed;
  if ((names.length === 0) === !options.current) {
    throw new KvmsnapError('usage', 'name the snapshots, or use --current (not both)');
  }
  const wanted: NamedDeletion = {
    names: options.current ? null : names,
    own: paired ? new Map(byVm.map((each) => [each.vm, each.names])) : undefined,
    scope: scopeOf(options),
    metadataOnly: options.metadata ?? false,
    strict: options.strict ?? false,
    allOrNone,
    removeUnused: options.leftovers ?? false,
  };
  const { selected, shares } = await consentToDeletion(
    ctx,
    {
      ...toSelection(
        byVm.map(({ vm }) => vm),
        options,
      ),
      exacting: true,
    },
    wanted,
  );
  // of many VMs, one that has none of these snapshots needs nothing
  const run = { jobs: options.jobs ?? 1, skips: ({ code }: KvmsnapError) => code === 'not-found' };
  const named = new Set(selected.targets.flatMap(({ named, vm }) => (named ? [vm.uuid] : [])));
  const results = await forEachDomain(ctx, selected, run, async (ctx, reading) => {
    // asked for was what was there then, and not a snapshot that came or became current since
    const names = namesOf(reading, wanted);
    const share = shares?.get(reading.domain.uuid) ?? null;
    const read = (ctx: Context) => preview(ctx, reading, names, selected);
    const vm = !share
      ? await read(ctx)
      : selected.single
        ? share.vm
        : await agreeAgain(ctx, share, wanted, read);
    const mayLack = !wanted.strict && !named.has(reading.domain.uuid);
    const skipped = mayLack ? names.filter((name) => !holds(reading, [name])) : [];
    const theirs = names.filter((name) => !skipped.includes(name));
    const isTold = share !== null; // by the question
    return deleteOf(ctx, vm, { names: theirs, skipped, refused: share?.refused ?? [], isTold }, wanted);
  });
  await showDeleted(ctx, results, { single: selected.single, strict: wanted.strict });
}

function scopeOf({ children, childrenOnly }: DeleteOptions): DeleteScope {
  if (children && childrenOnly)
    throw new KvmsnapError('usage', '--children cannot be combined with --children-only');
  return children ? 'children' : childrenOnly ? 'children-only' : 'only';
}

/** Reads one of the VMs when its turn comes. Throws `not-found` if it has none of the snapshots. */
async function preview(
  ctx: Context,
  reading: DomainReading,
  names: readonly string[],
  { single }: Targets,
): Promise<Vm> {
  if (!single && !holds(reading, names)) throw noSuchSnapshot(reading, names[0] ?? '');
  const vm = single ? await completeVm(ctx, reading) : await readAgain(ctx, reading.domain);
  noteUnseen(ctx, vm.domain, vm.images);
  const isThere = vm.snapshots.some(({ name }) => names.includes(name));
  if (!isThere && (!single || names.length === 1)) findSnapshot(vm, names[0] ?? '');
  return vm;
}

/** The names as they apply to one VM. */
interface NamesOf {
  readonly names: readonly string[];
  readonly skipped: readonly string[];
  /** Deletions that were refused before the question. */
  readonly refused: readonly RefusedDeletion[];
  /** Whether the user has seen what is deleted. */
  readonly isTold: boolean;
}

async function deleteOf(
  ctx: Context,
  vm: Vm,
  { names, skipped, refused, isTold }: NamesOf,
  wanted: NamedDeletion,
): Promise<ActionResult<Deleted>> {
  if (ctx.settings.dryRun) return plan(ctx, vm, { names, skipped }, wanted);
  const { done, freed } = await whatIsFreed(ctx, vm, () =>
    deleteAll(ctx, vm, { names, refused, isTold }, wanted),
  );
  const { deleted, failed, unusedFiles, unremoved, succeeded, left } = done;
  if (left.length > 0) ctx.terminal.note(`note: not deleted: ${allInText(left)}`);
  return {
    value: { deleted, failed, unusedFiles, skipped, planned: [], freed, alone: [] },
    failures: [...failed.map(({ failure }) => failure), ...unremoved],
    succeeded,
    cutShort: left.length > 0 && ctx.interrupts.pending !== null,
  };
}

/** Deletes snapshots of one VM. `left` was not tried. */
async function deleteAll(
  ctx: Context,
  vm: Vm,
  { names, refused, isTold }: Omit<NamesOf, 'skipped'>,
  wanted: NamedDeletion,
) {
  const possible = names.filter((name) => refused.every((each) => each.name !== name));
  const { tried, left } = await deleteInTurn(
    ctx,
    vm,
    possible,
    wanted,
    isTold ? undefined : tellLoss(wanted),
  );
  return {
    deleted: tried.flatMap(({ gone }) => gone),
    failed: [...refused, ...tried.flatMap(({ name, failure }) => (failure ? [{ name, failure }] : []))],
    unusedFiles: tried.flatMap(({ unusedFiles }) => unusedFiles),
    unremoved: tried.flatMap(({ unremoved }) => unremoved),
    succeeded: tried.filter(({ failure }) => failure === null).length,
    left,
  };
}

async function plan(
  ctx: Context,
  vm: Vm,
  { names, skipped }: Pick<NamesOf, 'names' | 'skipped'>,
  wanted: NamedDeletion,
): Promise<ActionResult<Deleted>> {
  const { commands, gone, refused, unchecked, unmeasured } = await planDeletions(ctx, vm, names, wanted);
  if (refused[0]) throw refused[0].failure;
  noteUnforeseen(
    ctx,
    vm,
    unchecked,
    'can be deleted is only known when the earlier deletions have changed the backing chain',
  );
  noteUnforeseen(
    ctx,
    vm,
    unmeasured,
    'can be merged is only known when the earlier deletions have freed space',
  );
  const { alone, together } = await foreseeFreed(ctx, vm, wanted.metadataOnly ? [] : [...gone]);
  return {
    value: {
      deleted: [],
      failed: [],
      unusedFiles: [],
      skipped,
      planned: commands,
      freed: together,
      alone: [...gone].map((name) => ({
        name,
        freesBytes: wanted.metadataOnly ? 0 : (alone.get(name) ?? null),
      })),
    },
    failures: [],
    succeeded: commands.length,
  };
}

function noteUnforeseen(ctx: Context, { domain }: Vm, names: readonly string[], what: string): void {
  if (names.length === 0) return;
  const those = allInText(names);
  ctx.terminal.note(`note: whether ${those} of ${inText(domain.name)} ${what}`);
}
