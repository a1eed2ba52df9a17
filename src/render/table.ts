import Table from 'cli-table3';
import stringWidth from 'string-width';
import { humanBytes, humanSpan, localTime, rfc3339, visible } from './format.ts';
import type { Paint } from './style.ts';
import type { Column, Section } from './view.ts';

/** What the table is drawn on. */
export interface Canvas {
  readonly isTerminal: boolean;
  readonly columns: number;
  readonly paint: Paint;
  /** Seconds since the epoch, for ages. */
  readonly now: number;
}

const GAP = 2;
const NARROWEST = 12;

const NO_BORDERS = {
  top: '',
  'top-mid': '',
  'top-left': '',
  'top-right': '',
  bottom: '',
  'bottom-mid': '',
  'bottom-left': '',
  'bottom-right': '',
  left: '',
  'left-mid': '',
  mid: '',
  'mid-mid': '',
  right: '',
  'right-mid': '',
  middle: ' '.repeat(GAP),
};

/**
 * A section as an aligned table. On a terminal: a bold header over a rule, ages, and the flexible column cut to the
 * width. In a pipe: no rule, no colour, nothing cut, absolute times.
 */
export function renderTable<Row>(section: Section<Row>, canvas: Canvas): string {
  const { columns, rows } = section;
  const cells = rows.map((row) => columns.map((column) => cellText(column, row, canvas)));
  const widths = columns.map((column, i) =>
    Math.max(stringWidth(column.title), ...cells.map((line) => stringWidth(line[i] ?? ''))),
  );
  if (canvas.isTerminal) fitColumns(columns, cells, widths, canvas.columns);

  const table = new Table({
    chars: NO_BORDERS,
    style: { head: [], border: [], 'padding-left': 0, 'padding-right': 0 },
    colAligns: columns.map((column) =>
      column.kind === 'bytes' || column.kind === 'count' ? 'right' : 'left',
    ),
  });
  table.push(columns.map((column) => canvas.paint('strong', column.title)));
  if (canvas.isTerminal) table.push(widths.map((width) => canvas.paint('faint', '─'.repeat(width))));
  for (const [i, row] of rows.entries()) {
    table.push(columns.map((column, j) => canvas.paint(column.tone?.(row) ?? 'plain', cells[i]?.[j] ?? '')));
  }
  const text = table
    .toString()
    .split('\n')
    .map((line) => line.trimEnd());
  return `${section.title === undefined ? '' : `${canvas.paint('strong', section.title)}\n`}${text.join('\n')}\n`;
}

function cellText<Row>(column: Column<Row>, row: Row, canvas: Canvas): string {
  const value = column.value(row);
  if (column.kind === 'mark') return value ? '*' : '';
  if (value === null || value === '') return '-';
  if (typeof value !== 'number') return visible(String(value));
  if (column.kind === 'bytes') return humanBytes(value);
  if (column.kind === 'time') {
    return canvas.isTerminal ? `${localTime(value)} (${humanSpan(canvas.now - value)})` : rfc3339(value);
  }
  return String(value);
}

/** Cuts the flexible columns, widest first, until the line fits; the rest of a cut cell is marked by an ellipsis. */
function fitColumns<Row>(
  columns: readonly Column<Row>[],
  cells: string[][],
  widths: number[],
  limit: number,
): void {
  const total = () => widths.reduce((sum, width) => sum + width, 0) + GAP * (widths.length - 1);
  const flexible = columns.flatMap((column, i) => (column.flexible ? [i] : []));
  for (const i of flexible.sort((a, b) => (widths[b] ?? 0) - (widths[a] ?? 0))) {
    const over = total() - limit;
    const width = widths[i] ?? 0;
    if (over <= 0 || width <= NARROWEST) continue;
    widths[i] = Math.max(NARROWEST, width - over);
    for (const line of cells) line[i] = cut(line[i] ?? '', widths[i] ?? width);
  }
}

function cut(text: string, width: number): string {
  if (stringWidth(text) <= width) return text;
  let kept = '';
  let used = 1;
  for (const char of text) {
    used += stringWidth(char);
    if (used > width) break;
    kept += char;
  }
  return `${kept}…`;
}
