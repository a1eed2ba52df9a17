import { KvmsnapError } from '../errors.ts';
import { readDomain } from '../libvirt/domains.ts';
import { readSnapshots } from '../libvirt/snapshots.ts';
import type { SnapshotReport } from '../model/report.ts';
import { inText } from '../model/text.ts';
import { renderTable } from '../output/table/table.ts';
import { type Column, LEAVES } from '../output/view.ts';
import { reportOn } from '../vm/load.ts';
import { endWith } from './confirm.ts';
import type { Context } from './context.ts';

/** Shows a numbered list of the VM's snapshots on a terminal and asks which one, if the command line names none. */

export interface Choice {
  /** The question, up to the name of the VM: `Revert to which snapshot of`. */
  readonly asks: string;
  /** Whether more than one may be chosen. */
  readonly several: boolean;
}

interface Row {
  readonly number: number;
  readonly snapshot: SnapshotReport;
}

const COLUMNS: readonly Column<Row>[] = [
  { key: 'number', title: '', kind: 'count', value: ({ number }) => number },
  { key: 'name', title: 'NAME', kind: 'text', value: ({ snapshot }) => snapshot.name },
  {
    key: 'createdAt',
    title: 'CREATED',
    kind: 'time',
    age: true,
    value: ({ snapshot }) => snapshot.createdAtSeconds,
  },
  {
    key: 'description',
    title: 'DESCRIPTION',
    kind: 'text',
    value: ({ snapshot }) => describe(snapshot),
    leaves: LEAVES.description,
    wraps: true,
  },
];

/** The marks of a snapshot in parentheses, then the first line of its description; null if both are missing. */
function describe({ isCurrent, held, description }: SnapshotReport): string | null {
  const marks = [...(isCurrent ? ['current'] : []), ...(held ? ['held'] : [])];
  const [text = ''] = (description ?? '').split('\n');
  return (
    [marks.length === 0 ? '' : `(${marks.join(', ')})`, text].filter((part) => part !== '').join(' ') || null
  );
}

/**
 * The names, at least one, that a person chooses from the snapshots of a VM (its exact name or UUID). Throws `declined` for an
 * empty answer, and `not-found` if the VM has no snapshots.
 */
export async function chooseSnapshots(
  ctx: Context,
  word: string,
  { asks, several }: Choice,
): Promise<readonly string[]> {
  const reading = await readDomain(ctx.virsh, word);
  const { name: vm } = reading.domain;
  const { snapshots } = await readSnapshots(ctx.virsh, { ...reading.domain, names: reading.snapshotNames });
  const rows = reportOn(reading, snapshots, null).map((snapshot, i): Row => ({ number: i + 1, snapshot }));
  if (rows.length === 0) throw new KvmsnapError('not-found', `VM ${inText(vm)} has no snapshots`);
  const names = rows.map(({ snapshot }) => snapshot.name);
  const { columns, ascii } = ctx.terminal.err;
  const canvas = { isTerminal: true, columns, ascii, now: ctx.clock.now() / 1000 };
  const section = { columns: COLUMNS, rows };
  const { text: table } = await renderTable<Row>(section, { ...canvas, paint: (_, text) => text });
  const how = several ? 'numbers such as 1 3 or 2-4' : `1-${names.length}`;
  const question = `${asks} ${inText(vm)}? (${how}; Enter for none)`;
  for (let text = `${table}${question}`; ; ) {
    const answer = await ctx.terminal.askLine(text, ctx.interrupts.stop).catch(endWith());
    if (answer === '') throw new KvmsnapError('declined', 'no snapshot was chosen; nothing was changed');
    const chosen = readAnswer(answer, names, several);
    if (chosen) return chosen;
    text = `${inText(answer)} is not ${several ? 'among these numbers' : `a number from 1 to ${names.length}`}\n${question}`;
  }
}

/** The snapshots that an answer names by numbers, ranges of numbers, or a name; null if it cannot be understood. */
export function readAnswer(
  answer: string,
  names: readonly string[],
  several: boolean,
): readonly string[] | null {
  const words = several ? answer.split(/[\s,]+/).filter((word) => word !== '') : [answer];
  const found = words.map((word) => {
    const [, from, to = from] = /^(\d+)(?:-(\d+))?$/.exec(word) ?? [];
    const [first, last] = [Number(from), Number(to)];
    if (!(first >= 1 && first <= last && last <= names.length)) return null;
    return names.slice(first - 1, last);
  });
  if (found.every((part) => part !== null)) {
    const chosen = [...new Set(found.flat())];
    if (chosen.length === 1 || (several && chosen.length > 0)) return chosen;
  }
  return names.includes(answer) ? [answer] : null;
}
