import { type Column, LEAVES } from '../view.ts';

/**
 * Decides how the columns of a table share the width of a terminal: which become narrower, and in which order. Pure
 * functions.
 */

export const GAP = '  ';

/** A column with the widths of its texts, including its title. */
interface Measured<Row> {
  readonly column: Column<Row>;
  readonly widest: number;
  /** The widths of its title and of each of its texts. */
  readonly lengths: readonly number[];
  /** Whether it is empty in every row. */
  readonly isEmpty: boolean;
}

interface Placed<Row> {
  readonly column: Column<Row>;
  readonly width: number;
}

export interface Layout<Row> {
  /** Names of VMs that are longer than the width of their column are printed whole, on lines of their own above their rows. */
  readonly columns: readonly Placed<Row>[];
  /** The columns whose values are printed on lines of their own below the rows. */
  readonly beneath: readonly Column<Row>[];
  /** The columns for which there is no room. */
  readonly leftOut: readonly Column<Row>[];
}

/**
 * The width that a sentence gets before another column may take room: ROOMY before the id of its rule is shown next to it,
 * COMFORTABLE before any other optional column is, EASY_TO_READ before times are shortened and names are broken. A sentence
 * that may be left out itself (a description) gets READABLE.
 */
const ROOMY = 48;
const COMFORTABLE = 40;
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
 * own, and columns are left out by their number; then long names of VMs get lines of their own, and times, sentences and
 * names of snapshots are wrapped in this order. If even that is not enough, the table is wider than the terminal, because
 * numbers are never broken.
 */
export function layOut<Row>(measured: readonly Measured<Row>[], limit: number): Layout<Row> {
  const shared = measured.map((each) => ({
    ...each,
    widest: widestWithin(each, Math.max(1, Math.floor((each.column.share ?? 1) * limit))),
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
  if (sum(shown.map((each) => leastOf(each, ROOMY))) > limit) take(shown.find(isRule), leftOut);
  while (
    sum(shown.map((each) => leastOf(each, COMFORTABLE))) > limit &&
    (take(shown.find(isIdle), leftOut) ||
      take(shown.findLast(isPath), beneath) ||
      take(nextToGo(shown), leftOut))
  );
  return { columns: widen(shown, narrow(shown, limit), limit), beneath, leftOut };
}

const isIdle = <Row>({ column, isEmpty }: Measured<Row>): boolean => isEmpty && column.leaves !== undefined;

const isRule = <Row>({ column }: Measured<Row>): boolean => column.leaves === LEAVES.rule;

const isPath = <Row>({ column }: Measured<Row>): boolean => column.ownLine ?? false;

/** The column with the smallest number; undefined if all must stay. */
function nextToGo<Row>(shown: readonly Measured<Row>[]): Measured<Row> | undefined {
  const [first] = shown
    .filter(({ column }) => column.leaves !== undefined)
    .sort((a, b) => (a.column.leaves ?? 0) - (b.column.leaves ?? 0));
  return first;
}

/** `readable`: the least width of sentences that must stay. */
const leastOf = <Row>({ column, widest }: Measured<Row>, readable = EASY_TO_READ): number =>
  column.wraps ? Math.min(widest, column.leaves === undefined ? readable : READABLE) : widest;

/** The width of a column with at most this width: names of VMs are never broken, so the widest one that fits counts. */
const widestWithin = <Row>({ column, widest, lengths }: Measured<Row>, width: number): number =>
  column.share === undefined
    ? Math.min(widest, width)
    : lengths.reduce((most, length) => (length <= width ? Math.max(most, length) : most), lengths[0] ?? 1);

/** The least widths, reduced further as far as necessary. */
function narrow<Row>(shown: readonly Measured<Row>[], limit: number): number[] {
  const widths = shown.map((each) => leastOf(each));
  for (const { what, width } of NARROW) {
    shown.forEach((each, i) => {
      const over = sum(widths) - limit;
      const is = widths[i] ?? 0;
      if (over <= 0 || natureOf(each.column) !== what) return;
      // a time is broken only between its parts
      const least = what === 'time' ? width : Math.max(width, is - over);
      widths[i] = Math.min(is, widestWithin(each, least));
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

/** How much of its column a name of a VM keeps in favor of a required sentence. */
const SHORT_NAME = 16;

/** Long names of VMs get lines of their own before a required sentence becomes too narrow. */
function yieldToSentences<Row>(
  shown: readonly Measured<Row>[],
  widths: readonly number[],
  limit: number,
): number[] {
  const wanted = shown
    .filter(({ column }) => column.wraps && column.leaves === undefined)
    .reduce((all, each) => all + Math.max(0, Math.min(each.widest, COMFORTABLE) - leastOf(each)), 0);
  let missing = Math.max(0, wanted - Math.max(0, limit - sum(widths)));
  return shown.map((each, i) => {
    const width = widths[i] ?? 1;
    if (each.column.share === undefined || missing === 0 || width <= SHORT_NAME) return width;
    const less = widestWithin(each, Math.max(SHORT_NAME, width - missing));
    missing = Math.max(0, missing - (width - less));
    return less;
  });
}
