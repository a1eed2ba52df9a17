import { missingArgument } from '../command-line/wrong-value.ts';
import { registerSnapshot } from '../describe/register.ts';
import { KvmsnapError } from '../errors.ts';
import { readUserFile } from '../host/user-files.ts';
import { registerCommand } from '../libvirt/create-command.ts';
import { readByUuid } from '../libvirt/domains.ts';
import { FROM_PIPE, pipedLine, printing } from '../libvirt/piped-lines.ts';
import { commandLine } from '../model/quote.ts';
import { allInText, inText } from '../model/text.ts';
import { domainDocument } from '../output/documents.ts';
import { type Column, section } from '../output/view.ts';
import type { Context, Output } from '../run/context.ts';
import { withConnection } from '../run/enforce.ts';
import { operate } from '../run/operation.ts';
import { shownName } from '../run/results.ts';
import { retryWhileBusy } from '../run/retry-while-busy.ts';
import { show, showPlan } from '../run/show.ts';
import { loadVm, type Vm } from '../vm/load.ts';
import type { HistoryOptions } from './command.ts';
import { parseHistory } from './history-file.ts';
import type { Move } from './move-option.ts';
import { type Entry, prepareEntries } from './prepare.ts';

/**
 * `history load`: registers the snapshots of a file, parents first, and makes the same one the current snapshot. All are checked
 * before the first; those that libvirt has already are left alone, so that an interrupted load can be repeated. Throws `check` if the
 * data of a snapshot are not there.
 */
export async function loadHistory(
  ctx: Context,
  word: string,
  file: string | undefined,
  { map = [], securityInfo }: HistoryOptions,
): Promise<void> {
  if (file === undefined)
    throw new KvmsnapError('usage', missingArgument('file', 'the file to load; - reads stdin'), {
      hint: 'kvmsnap history load VM FILE',
    });
  if (securityInfo) throw new KvmsnapError('usage', '--security-info needs history save');
  if (ctx.settings.readonly)
    throw new KvmsnapError(
      'usage',
      'history load cannot be combined with --readonly, because it changes something',
    );
  const history = parseHistory(file, await readUserFile(file, 'the file of history load'));
  const { vm, entries } = await retryWhileBusy(ctx, async (ctx) => {
    const vm = await loadVm(ctx, word);
    const repeat = (moves: readonly Move[]) => lineWith(ctx, [word, file], moves);
    return { vm, entries: await prepareEntries(ctx, vm, history, map, repeat) };
  });
  const fresh = entries.filter(({ isRegistered }) => !isRegistered);
  if (ctx.settings.dryRun) {
    const command = (current: boolean) => registerCommand(vm.domain.uuid, FROM_PIPE, current);
    const lines = fresh.map(({ xml, isCurrent }) => pipedLine(ctx.virsh, printing(xml), command(isCurrent)));
    return showPlan(ctx, lines, { vms: [vm.domain] });
  }
  const registered: string[] = [];
  for (const entry of fresh)
    try {
      if (ctx.interrupts.pending) throw ctx.interrupts.pending;
      await register(ctx, vm, entry);
      registered.push(entry.name);
      ctx.terminal.progress(`${registered.length} of ${fresh.length}`);
    } catch (error) {
      if (!(error instanceof KvmsnapError)) throw error;
      throw error.prefixed(`${standing(registered, fresh)}; `);
    }
  ctx.terminal.progress('');
  await report(ctx, vm, entries);
}

/** The command line with these moves. */
function lineWith(ctx: Pick<Context, 'virsh'>, words: readonly string[], moves: readonly Move[]): string {
  const options = moves.flatMap(({ from, to }) => ['--map', `${from}=${to}`]);
  const line = { what: '', command: commandLine('kvmsnap', ['history', 'load', ...words, ...options]) };
  return withConnection(ctx, line).command;
}

/** Registers one; the file for virsh is removed afterwards. */
async function register(ctx: Context, vm: Vm, { name, xml, isCurrent }: Entry): Promise<void> {
  const reading = await readByUuid(ctx.virsh, vm.domain.uuid, vm.domain.name);
  const path = await ctx.savedXml.keep(`${vm.domain.uuid}.${ctx.clock.now()}.history.xml`, xml);
  try {
    const ended = await operate(ctx, registerSnapshot(reading, { path, text: xml, makeCurrent: isCurrent }));
    if (!('done' in ended)) throw new Error(`${name} was only planned`);
  } finally {
    await ctx.savedXml.drop(path);
  }
}

const standing = (registered: readonly string[], fresh: readonly Entry[]): string =>
  registered.length === 0
    ? 'no snapshot was registered'
    : `${registered.length} of ${fresh.length} snapshots were registered (${allInText(registered)}); the same command registers the rest`;

const COLUMNS: readonly Column<Entry>[] = [
  { key: 'name', title: 'NAME', kind: 'text', value: ({ name }) => name },
  { key: 'outcome', title: 'RESULT', kind: 'text', value: (entry) => outcomeOf(entry) },
];

const outcomeOf = ({ isRegistered }: Entry): 'registered before' | 'registered' =>
  isRegistered ? 'registered before' : 'registered';

async function report(ctx: Output, vm: Vm, entries: readonly Entry[]): Promise<void> {
  await show(ctx, {
    kind: 'history',
    document: {
      domain: domainDocument(vm.domain),
      snapshots: entries.map((entry) => ({ name: entry.name, outcome: outcomeOf(entry) })),
    },
    sections: [section({ columns: COLUMNS, rows: entries })],
    empty: `the file has no snapshots, so none was registered for ${inText(vm.domain.name)}`,
    names: entries.map(({ name }) => shownName(ctx, vm.domain, name)),
  });
}
