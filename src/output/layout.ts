import type { Column } from './view.ts';

/** How the columns of a table share the width of a terminal. Pure: what gives way, and in which order. */

export const GAP = '  ';

/** A column that is to be shown, and how wide its texts are, its title among them. */
interface Measured<Row> {
  readonly column: Column<Row>;
  readonly widest: number;
  /** Nothing stands in it, in any row. */
  readonly isEmpty: boolean;
}

interface Placed<Row> {
  readonly column: Column<Row>;
  readonly width: number;
}

export interface Layout<Row> {
  readonly columns: readonly Placed<Row>[];
  /** Those whose value stands on a line of its own beneath each row. */
  readonly beneath: readonly Column<Row>[];
  /** Those for which there is no room. */
  readonly leftOut: readonly Column<Row>[];
}

/** Sentences in less room than this are hard to read: rather another column is left out. Those that may be left out themselves take less. */
const EASY_TO_READ = 24;
const READABLE = 16;

/** What is narrowed when all that may go has gone, one step after the other, and to which width. The names of snapshots come last. */
const NARROW: readonly { readonly what: Nature; readonly width: number }[] = [
  { what: 'vm', width: 16 },
  { what: 'time', width: 'YYYY-MM-DD HH:MM:SS'.length },
  { what: 'time', width: 'YYYY-MM-DD'.length },
  { what: 'sentence', width: 16 },
  { what: 'vm', width: 12 },
  { what: 'sentence', width: 8 },
  { what: 'vm', width: 8 },
  { what: 'name', width: 16 },
  { what: 'name', width: 8 },
];

type Nature = 'time' | 'sentence' | 'vm' | 'name' | 'figure';

function natureOf<Row>({ kind, wraps, share }: Column<Row>): Nature {
  if (kind === 'time') return 'time';
  if (kind !== 'text') return 'figure';
  return wraps ? 'sentence' : share === undefined ? 'name' : 'vm';
}

const sum = (widths: readonly number[]): number =>
  widths.reduce((all, width) => all + width, 0) + GAP.length * Math.max(0, widths.length - 1);

/** Nothing gives way: as in a pipe. */
export const unlimited = <Row>(measured: readonly Measured<Row>[]): Layout<Row> => ({
  columns: measured.map(({ column, widest }) => ({ column, width: widest })),
  beneath: [],
  leftOut: [],
});

/**
 * Fits columns into `limit`. First sentences wrap; then columns without any content go, paths get lines of their own, and
 * columns are left out by their number; then times, sentences and names wrap in this order. Where even that is not enough,
 * the table is wider than the terminal: no number is broken.
 */
export function layOut<Row>(measured: readonly Measured<Row>[], limit: number): Layout<Row> {
  const shared = measured.map((each) => ({
    ...each,
    widest: Math.min(each.widest, Math.max(1, Math.floor((each.column.share ?? 1) * limit))),
  }));
  const beneath: Column<Row>[] = [];
  const leftOut: Column<Row>[] = [];
  let shown = shared;
  const take = (gone: Measured<Row> | undefined, to: Column<Row>[]): boolean => {
    if (!gone) return false;
    if (!gone.isEmpty) to.push(gone.column);
    shown = shown.filter((each) => each !== gone);
    return true;
  };
  while (
    sum(shown.map(leastOf)) > limit &&
    (take(shown.find(isIdle), leftOut) ||
      take(shown.findLast(isPath), beneath) ||
      take(nextToGo(shown), leftOut))
  );
  return { columns: widen(shown, narrow(shown, limit), limit), beneath, leftOut };
}

const isIdle = <Row>({ column, isEmpty }: Measured<Row>): boolean => isEmpty && column.leaves !== undefined;

const isPath = <Row>({ column }: Measured<Row>): boolean => column.ownLine ?? false;

/** The one with the smallest number; undefined where all have to stay. */
function nextToGo<Row>(shown: readonly Measured<Row>[]): Measured<Row> | undefined {
  const [first] = shown
    .filter(({ column }) => column.leaves !== undefined)
    .sort((a, b) => (a.column.leaves ?? 0) - (b.column.leaves ?? 0));
  return first;
}

const leastOf = <Row>({ column, widest }: Measured<Row>): number =>
  column.wraps ? Math.min(widest, column.leaves === undefined ? EASY_TO_READ : READABLE) : widest;

/** The least widths, narrowed further as far as it is needed. */
function narrow<Row>(shown: readonly Measured<Row>[], limit: number): number[] {
  const widths = shown.map(leastOf);
  for (const { what, width } of NARROW) {
    shown.forEach(({ column }, i) => {
      const over = sum(widths) - limit;
      const is = widths[i] ?? 0;
      if (over <= 0 || natureOf(column) !== what) return;
      // a time is broken between its parts only
      widths[i] = Math.min(is, what === 'time' ? width : Math.max(width, is - over));
    });
  }
  return widths;
}

/** What room is left goes to the sentences, the shortest of them first. */
function widen<Row>(
  shown: readonly Measured<Row>[],
  widths: readonly number[],
  limit: number,
): Placed<Row>[] {
  const wide = yieldToSentences(shown, widths, limit);
  const wrapping = shown
    .map(({ column, widest }, i) => ({ i, widest, wraps: column.wraps ?? false }))
    .filter(({ wraps }) => wraps)
    .sort((a, b) => a.widest - b.widest);
  wrapping.forEach(({ i, widest }, nth) => {
    const share = Math.floor(Math.max(0, limit - sum(wide)) / (wrapping.length - nth));
    wide[i] = Math.min(widest, (wide[i] ?? 0) + share);
  });
  return shown.map(({ column }, i) => ({ column, width: wide[i] ?? 1 }));
}

/** How much room a sentence that has to stay gets from the names beside it, and what these keep. */
const COMFORTABLE = 40;
const SHORT_NAME = 16;

/** Columns with a share, which are names of VMs, wrap before a sentence that has to stay becomes a narrow strip. */
function yieldToSentences<Row>(
  shown: readonly Measured<Row>[],
  widths: readonly number[],
  limit: number,
): number[] {
  const wanted = shown
    .filter(({ column }) => column.wraps && column.leaves === undefined)
    .reduce((all, each) => all + Math.max(0, Math.min(each.widest, COMFORTABLE) - leastOf(each)), 0);
  let missing = Math.max(0, wanted - Math.max(0, limit - sum(widths)));
  return shown.map(({ column }, i) => {
    const width = widths[i] ?? 1;
    const given = column.share === undefined ? 0 : Math.min(missing, Math.max(0, width - SHORT_NAME));
    missing -= given;
    return width - given;
  });
}
