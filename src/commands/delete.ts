import type { Context } from '../context.ts';
import type { SnapshotReport } from '../core/report.ts';
import { combineFailures, KvmsnapError } from '../errors.ts';
import { confirm } from '../host/act.ts';
import {
  checkDeletable,
  type DeleteRequest,
  deleteCommand,
  deleteSnapshot,
  doomed,
  type Reach,
} from '../host/delete-snapshots.ts';
import { noteUnseen } from '../host/disks.ts';
import { currentSnapshot, findSnapshot, type Machine, openMachine } from '../host/machine.ts';
import { domainDocument } from '../render/documents.ts';
import { type Column, section } from '../render/view.ts';
import { show, showPlan } from './show.ts';

export interface DeleteOptions {
  readonly current?: boolean;
  readonly children?: boolean;
  readonly childrenOnly?: boolean;
  readonly metadata?: boolean;
}

/** One name of the command line and what became of it. */
type Outcome =
  | { readonly name: string; readonly gone: readonly SnapshotReport[] }
  | { readonly name: string; readonly failure: KvmsnapError };

interface Row {
  readonly name: string;
  readonly result: string;
}

const COLUMNS: readonly Column<Row>[] = [
  { key: 'name', title: 'NAME', kind: 'text', value: ({ name }) => name },
  {
    key: 'result',
    title: 'RESULT',
    kind: 'text',
    value: ({ result }) => result,
    tone: ({ result }) => (result === 'deleted' ? 'plain' : 'bad'),
  },
];

/** `delete`. Goes on after a failure; throws at the end when there was one. */
export async function deleteSnapshots(
  ctx: Context,
  machineName: string,
  names: readonly string[],
  options: DeleteOptions,
): Promise<void> {
  if ((names.length === 0) === !options.current) {
    throw new KvmsnapError('usage', 'say which snapshots: their names, or --current (and not both)');
  }
  const machine = await openMachine(ctx, machineName);
  noteUnseen(ctx, machine.images);
  const wanted = options.current ? [currentSnapshot(machine).name] : [...new Set(names)];
  const request = { reach: reachOf(options), metadataOnly: options.metadata ?? false };
  if (names.length === 1) findSnapshot(machine, wanted[0] ?? '');
  if (ctx.settings.dryRun) return plan(ctx, machine, wanted, request);
  await ask(ctx, machine, wanted, request);
  await finish(ctx, machine, await deleteEach(ctx, machine, wanted, request));
}

function reachOf({ children, childrenOnly }: DeleteOptions): Reach {
  if (children && childrenOnly)
    throw new KvmsnapError('usage', '--children and --children-only exclude each other');
  return children ? 'children' : childrenOnly ? 'children-only' : 'only';
}

async function plan(
  ctx: Context,
  machine: Machine,
  names: readonly string[],
  request: DeleteRequest,
): Promise<void> {
  const commands = names.map((name) => {
    const snapshot = findSnapshot(machine, name);
    checkDeletable(machine, doomed(machine, snapshot, request.reach), request);
    return deleteCommand(machine, snapshot, request);
  });
  await showPlan(ctx, commands);
}

async function ask(
  ctx: Context,
  machine: Machine,
  names: readonly string[],
  request: DeleteRequest,
): Promise<void> {
  const known = machine.snapshots.filter(({ name }) => names.includes(name));
  const victims = new Set(known.flatMap((snapshot) => doomed(machine, snapshot, request.reach)));
  if (victims.size === 0) return;
  const list = [...victims].map(({ name }) => `'${name}'`).join(', ');
  const what = request.metadataOnly ? "libvirt's knowledge of" : 'for good';
  const question = request.metadataOnly
    ? `Delete ${what} ${list} of '${machine.domain.name}', and leave them in the images?`
    : `Delete ${list} of '${machine.domain.name}' ${what}?`;
  await confirm(ctx, question, request.reach !== 'only');
}

async function deleteEach(
  ctx: Context,
  first: Machine,
  names: readonly string[],
  request: DeleteRequest,
): Promise<Outcome[]> {
  const { interrupts } = ctx;
  const outcomes: Outcome[] = [];
  let machine = first;
  let left = names;
  for (
    let name = left[0];
    name !== undefined && !(interrupts.pending && outcomes.length > 0);
    name = left[0]
  ) {
    left = left.slice(1);
    try {
      const deleted = await deleteSnapshot(ctx, machine, findSnapshot(machine, name), request);
      machine = deleted.machine;
      outcomes.push({ name, gone: deleted.gone });
      left = left.filter((other) => !deleted.gone.some((victim) => victim.name === other));
    } catch (error) {
      const ended = error === interrupts.pending;
      if (!(error instanceof KvmsnapError) || (ended && outcomes.length === 0)) throw error;
      if (!ended) outcomes.push({ name, failure: error });
    }
  }
  if (left.length > 0) ctx.terminal.note(`note: not touched: ${left.map((name) => `'${name}'`).join(', ')}`);
  return outcomes;
}

async function finish(ctx: Context, machine: Machine, outcomes: readonly Outcome[]): Promise<void> {
  const deleted = outcomes.flatMap((outcome) =>
    'gone' in outcome ? outcome.gone.map(({ name }) => name) : [],
  );
  const failed = outcomes.flatMap((outcome) => ('failure' in outcome ? [outcome] : []));
  const lone = outcomes.length === 1 ? failed[0] : undefined;
  if (lone) throw lone.failure;
  if (ctx.settings.output !== 'json') {
    for (const { failure } of failed) ctx.terminal.note(`error: ${failure.message}`);
  }
  await show(ctx, {
    document: {
      domain: domainDocument(machine.domain),
      deleted,
      failed: failed.map(({ name, failure }) => ({ name, code: failure.code, message: failure.message })),
    },
    sections: [
      section({
        columns: COLUMNS,
        rows: [
          ...deleted.map((name) => ({ name, result: 'deleted' })),
          ...failed.map(({ name, failure }) => ({ name, result: `failed: ${failure.message}` })),
        ],
      }),
    ],
    names: deleted,
  });
  if (failed.length > 0)
    throw combineFailures(
      failed.map(({ failure }) => failure),
      outcomes.length - failed.length,
      'deletions',
    );
}
