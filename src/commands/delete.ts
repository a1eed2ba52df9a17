import type { Context } from '../context.ts';
import { doomed, type Reach } from '../core/delete-rules.ts';
import { locationOf } from '../core/snapshot.ts';
import { KvmsnapError } from '../errors.ts';
import { confirm } from '../host/act.ts';
import {
  checkDeletable,
  type DeleteRequest,
  deleteCommand,
  deleteSnapshot,
} from '../host/delete-snapshots.ts';
import { noteUnseen } from '../host/disks.ts';
import type { Leftover } from '../host/leftovers.ts';
import { completeMachine, findSnapshot, type Machine, noCurrent, noSuchSnapshot } from '../host/machine.ts';
import { concludeMachines, type Deed, type MachineResult, overMachines } from '../host/over-machines.ts';
import { readSelection, type Targets } from '../host/select.ts';
import type { VirshCommand } from '../libvirt/batch.ts';
import { type MachineReading, readByUuid } from '../libvirt/machine.ts';
import { type Column, section } from '../render/view.ts';
import { domainResult, errorDocument, ownName } from './results.ts';
import { type SelectionOptions, type SkipOptions, toSelection } from './selection.ts';
import { show, showPlan } from './show.ts';

export interface DeleteOptions extends SelectionOptions, SkipOptions {
  readonly current?: boolean;
  readonly children?: boolean;
  readonly childrenOnly?: boolean;
  readonly metadata?: boolean;
  readonly leftovers?: boolean;
}

/** What is to be deleted of each machine; names null: its current snapshot. */
interface Wanted extends DeleteRequest {
  readonly names: readonly string[] | null;
}

interface Failed {
  readonly name: string;
  readonly failure: KvmsnapError;
}

interface Deleted {
  readonly deleted: readonly string[];
  readonly failed: readonly Failed[];
  readonly planned: readonly VirshCommand[];
  readonly leftovers: readonly Leftover[];
}

type Result = MachineResult<Deleted>;

interface Row {
  readonly machine: string;
  readonly name: string | null;
  readonly outcome: string;
  readonly failure?: KvmsnapError | undefined;
}

const COLUMNS: readonly Column<Row>[] = [
  { key: 'machine', title: 'MACHINE', kind: 'text', value: ({ machine }) => machine },
  { key: 'name', title: 'NAME', kind: 'text', value: ({ name }) => name },
  {
    key: 'outcome',
    title: 'RESULT',
    kind: 'text',
    value: ({ outcome, failure }) => (failure ? `${outcome}: ${failure.message}` : outcome),
    data: ({ outcome }) => outcome,
    tone: ({ outcome }) => (outcome === 'deleted' ? 'plain' : 'bad'),
  },
];

/** `delete`. Goes on after a failure; throws at the end when there was one. */
export async function deleteSnapshots(
  ctx: Context,
  word: string,
  names: readonly string[],
  options: DeleteOptions,
): Promise<void> {
  if ((names.length === 0) === !options.current) {
    throw new KvmsnapError('usage', 'say which snapshots: their names, or --current (and not both)');
  }
  const wanted: Wanted = {
    names: options.current ? null : [...new Set(names)],
    reach: reachOf(options),
    metadataOnly: options.metadata ?? false,
    leftovers: options.leftovers ?? false,
  };
  const selected = await readSelection(ctx, toSelection([word], options));
  const first = await ask(ctx, selected, wanted);
  // of many machines, one that has none of these snapshots needs nothing
  const run = { jobs: options.jobs ?? 1, skips: ({ code }: KvmsnapError) => code === 'not-found' };
  const results = await overMachines(ctx, selected, run, async (ctx, reading) => {
    // asked for was what was there then, and not a snapshot that came or became current since
    const names = namesOf(reading, wanted);
    return deleteOf(ctx, first ?? (await lookAt(ctx, reading, names)), names, wanted);
  });
  await report(ctx, results, { single: selected.single, strict: options.strict ?? false });
}

function reachOf({ children, childrenOnly }: DeleteOptions): Reach {
  if (children && childrenOnly)
    throw new KvmsnapError('usage', '--children and --children-only exclude each other');
  return children ? 'children' : childrenOnly ? 'children-only' : 'only';
}

/** One of many machines, as it is when its turn comes. Throws `not-found` when it has none of the snapshots. */
async function lookAt(ctx: Context, reading: MachineReading, names: readonly string[]): Promise<Machine> {
  const { uuid, name } = reading.domain;
  if (!holds(reading, names)) throw noSuchSnapshot(reading, names[0] ?? '');
  const machine = await completeMachine(ctx, await readByUuid(ctx.virsh, uuid, name));
  noteUnseen(ctx, machine.domain, machine.images);
  if (!machine.snapshots.some(({ name }) => names.includes(name))) findSnapshot(machine, names[0] ?? '');
  return machine;
}

/** Asks for what is not named: on a terminal always, in a script what a pattern or `--children` selects. Returns a single machine as it was looked at. */
async function ask(ctx: Context, { targets, single }: Targets, wanted: Wanted): Promise<Machine | null> {
  const [target] = targets;
  if (single && target && !(target.reading instanceof KvmsnapError)) {
    const machine = await completeMachine(ctx, target.reading);
    noteUnseen(ctx, machine.domain, machine.images);
    const names = namesOf(machine, wanted);
    if (names.length === 1) findSnapshot(machine, names[0] ?? '');
    await askForOne(ctx, machine, names, wanted);
    return machine;
  }
  const holders = targets.filter(
    ({ reading }) =>
      !(reading instanceof KvmsnapError) && (wanted.names ? holds(reading, wanted.names) : reading.current),
  );
  if (holders.length === 0) return null;
  const machines = holders.map(({ machine }) => `'${machine.name}'`).join(', ');
  const those = holders.length === 1 ? machines : `${holders.length} machines (${machines})`;
  const what = wanted.names?.map((name) => `'${name}'`).join(', ') ?? 'the current snapshot';
  const reach = { only: '', children: ' and all below', 'children-only': ' (only what is below)' };
  const question = `Delete ${what}${reach[wanted.reach]} of ${those}`;
  await confirm(ctx, `${question}${howFar(wanted)}?`, true);
  return null;
}

/** Whether it has any of them; a name with line feeds is several lines in the list. */
const holds = ({ snapshotNames }: MachineReading, names: readonly string[]): boolean =>
  names.some((name) => name.split('\n').every((line) => snapshotNames.includes(line)));

const howFar = ({ metadataOnly }: DeleteRequest): string =>
  metadataOnly ? ", only libvirt's knowledge of it, and leave it in the images" : ' for good';

async function askForOne(
  ctx: Context,
  machine: Machine,
  names: readonly string[],
  request: DeleteRequest,
): Promise<void> {
  const known = machine.snapshots.filter(({ name }) => names.includes(name));
  const victims = new Set(known.flatMap((snapshot) => doomed(machine.snapshots, snapshot, request.reach)));
  if (victims.size === 0) return;
  const list = [...victims].map(({ name }) => `'${name}'`).join(', ');
  const question = `Delete ${list} of '${machine.domain.name}'${howFar(request)}?`;
  await confirm(ctx, question, request.reach !== 'only');
}

function namesOf(reading: MachineReading, { names }: Wanted): readonly string[] {
  if (names) return names;
  if (reading.current === null) throw noCurrent(reading);
  return [reading.current];
}

/** Deletes of one machine, going on after a failure, but not at a busy machine. */
async function deleteOf(
  ctx: Context,
  first: Machine,
  names: readonly string[],
  wanted: Wanted,
): Promise<Deed<Deleted>> {
  if (ctx.settings.dryRun) return plan(ctx, first, names, wanted);
  const deleted: string[] = [];
  const failed: Failed[] = [];
  const leftovers: Leftover[] = [];
  let succeeded = 0;
  let machine = first;
  let left = names;
  for (let name = left[0]; name !== undefined; name = left[0]) {
    if (ctx.interrupts.pending && deleted.length + failed.length > 0) break;
    left = left.slice(1);
    try {
      const done = await deleteSnapshot(ctx, machine, findSnapshot(machine, name), wanted);
      machine = done.machine;
      succeeded++;
      const gone = done.gone.map((victim) => victim.name);
      deleted.push(...gone);
      leftovers.push(...done.leftovers);
      left = left.filter((other) => !gone.includes(other));
    } catch (error) {
      if (!(error instanceof KvmsnapError)) throw error;
      failed.push({ name, failure: error });
      if (error.code === 'busy') break; // each of the others would wait as long again
    }
  }
  if (left.length > 0) ctx.terminal.note(`note: not touched: ${left.map((name) => `'${name}'`).join(', ')}`);
  return {
    value: { deleted, failed, planned: [], leftovers },
    failures: failed.map(({ failure }) => failure),
    succeeded,
  };
}

async function plan(
  ctx: Context,
  machine: Machine,
  names: readonly string[],
  wanted: Wanted,
): Promise<Deed<Deleted>> {
  const planned: VirshCommand[] = [];
  for (const name of names) {
    const snapshot = findSnapshot(machine, name);
    // what an external one lies on changes with the one before
    if (planned.length === 0 || locationOf(snapshot) === 'internal')
      await checkDeletable(ctx, machine, snapshot, wanted);
    planned.push(deleteCommand(machine, snapshot, wanted));
  }
  return {
    value: { deleted: [], failed: [], planned, leftovers: [] },
    failures: [],
    succeeded: planned.length,
  };
}

async function report(
  ctx: Context,
  results: readonly Result[],
  { single, strict }: { readonly single: boolean; readonly strict: boolean },
): Promise<void> {
  const [first] = results;
  const lone = first?.failures.length === 1 && first.succeeded === 0;
  if (single && (lone || !first?.value)) throw first?.failures[0] ?? ctx.interrupts.pending;
  const conclusion = concludeMachines(ctx, results, { strict, parts: 'deletions' });
  if (ctx.settings.dryRun) {
    await showPlan(
      ctx,
      results.flatMap(({ value }) => value?.planned ?? []),
      { document: { domains: results.map(domainResult) } },
    );
  } else {
    await show(ctx, {
      document: { domains: results.map(document) },
      sections: [section({ columns: COLUMNS, rows: results.flatMap(rowsOf) })],
      names: results.flatMap(({ machine, value }) =>
        (value?.deleted ?? []).map((name) => (single ? name : ownName(machine, name))),
      ),
    });
  }
  if (conclusion) throw conclusion;
}

function rowsOf({ machine: { name: machine }, outcome, value, failures }: Result): Row[] {
  if (!value) return [{ machine, name: null, outcome, failure: failures[0] }];
  return [
    ...value.deleted.map((name) => ({ machine, name, outcome: 'deleted' })),
    ...value.failed.map(({ name, failure }) => ({ machine, name, outcome: 'failed', failure })),
  ];
}

const document = (result: Result) => ({
  ...domainResult(result),
  deleted: result.value?.deleted ?? [],
  leftovers: result.value?.leftovers ?? [],
  failed: (result.value?.failed ?? []).map(({ name, failure }) => ({ name, ...errorDocument(failure) })),
});
