import type { Column } from './view.ts';

/**
 * Decides how the columns of a table share the width of a terminal: which become narrower, and in which order. Pure
 * functions.
 */

export const GAP = '  ';

/** A column with the widths of its texts, including its title. */
interface Measured<Row> {
  readonly column: Column<Row>;
  readonly widest: number;
  /** Whether it is empty in every row. */
  readonly isEmpty: boolean;
}

interface Placed<Row> {
  readonly column: Column<Row>;
  readonly width: number;
}

export interface Layout<Row> {
  readonly columns: readonly Placed<Row>[];
  /** The columns whose values are printed on lines of their own below the rows. */
  readonly beneath: readonly Column<Row>[];
  /** The columns for which there is no room. */
  readonly leftOut: readonly Column<Row>[];
}

/**
 * Sentences in narrower columns than this are hard to read, so another column is left out instead. Columns that may be
 * left out themselves can be narrower.
 */
const EASY_TO_READ = 24;
const READABLE = 16;

/**
 * The columns that become narrower after all optional columns have been left out, step by step, with their least
 * widths. The names of snapshots are last.
 */
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

/** The layout without a limit, as in a pipe. */
export const unlimited = <Row>(measured: readonly Measured<Row>[]): Layout<Row> => ({
  columns: measured.map(({ column, widest }) => ({ column, width: widest })),
  beneath: [],
  leftOut: [],
});

/**
 * Fits columns into `limit`. First sentences are wrapped; then empty columns are left out, paths get lines of their
 * own, and columns are left out by their number; then names of VMs, times, sentences and names of
 * snapshots are wrapped in this order. If even
 * that is not enough, the table is wider than the terminal, because numbers are never broken.
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

/** The column with the smallest number; undefined if all must stay. */
function nextToGo<Row>(shown: readonly Measured<Row>[]): Measured<Row> | undefined {
  const [first] = shown
    .filter(({ column }) => column.leaves !== undefined)
    .sort((a, b) => (a.column.leaves ?? 0) - (b.column.leaves ?? 0));
  return first;
}

const leastOf = <Row>({ column, widest }: Measured<Row>): number =>
  column.wraps ? Math.min(widest, column.leaves === undefined ? EASY_TO_READ : READABLE) : widest;

/** The least widths, reduced further as far as necessary. */
function narrow<Row>(shown: readonly Measured<Row>[], limit: number): number[] {
  const widths = shown.map(leastOf);
  for (const { what, width } of NARROW) {
    shown.forEach(({ column }, i) => {
      const over = sum(widths) - limit;
      const is = widths[i] ?? 0;
      if (over <= 0 || natureOf(column) !== what) return;
      // a time is broken only between its parts
      widths[i] = Math.min(is, what === 'time' ? width : Math.max(width, is - over));
    });
  }
  return widths;
}

/** Gives the remaining room to the sentences, the shortest first. */
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

/** How much room a required sentence gets from the columns with names, and how much these keep. */
const COMFORTABLE = 40;
const SHORT_NAME = 16;

/** Columns with a share (names of VMs) are wrapped before a required sentence becomes too narrow. */
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
