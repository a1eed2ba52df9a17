import stringWidth from 'string-width';
import { humanBytes, humanSpan, isPlainAscii, localTime, rfc3339, visible } from './format.ts';
import type { Paint, Tone } from './style.ts';
import type { Column, Section } from './view.ts';

/** What the table is drawn on. */
export interface Canvas {
  readonly isTerminal: boolean;
  readonly columns: number;
  readonly paint: Paint;
  /** Seconds since the epoch, for ages. */
  readonly now: number;
}

const GAP = '  ';
const NARROWEST = 12;

/**
 * A section as an aligned table. On a terminal: a bold head over a rule, ages, and the flexible column cut to the
 * width. In a pipe: no rule, no color, nothing cut, absolute times.
 */
export async function renderTable<Row>(section: Section<Row>, canvas: Canvas): Promise<string> {
  const { rows, title } = section;
  const columns = section.columns.filter(
    ({ ifAny, value }) => !ifAny || rows.some((row) => value(row) !== null),
  );
  const cells = rows.map((row) => columns.map((column) => cellText(column, row, canvas)));
  const widths = columns.map((column, i) =>
    // an empty column takes one place too, as cli-table3 has it
    cells.reduce(
      (widest, line) => Math.max(widest, displayWidth(line[i] ?? '')),
      displayWidth(column.title) || 1,
    ),
  );
  const heads = columns.map((column) => column.title);
  const shown = canvas.isTerminal ? fitColumns(columns, [heads, ...cells], widths, canvas.columns) : columns;
  widths.length = shown.length;

  const lines = [
    shown.map((_, i) => ({ text: heads[i] ?? '', tone: 'strong' as Tone })),
    ...(canvas.isTerminal
      ? [
          ruleWidths(widths, canvas.columns).map((width) => ({
            text: '─'.repeat(width),
            tone: 'faint' as Tone,
          })),
        ]
      : []),
    ...rows.map((row, i) =>
      shown.map((column, j) => ({ text: cells[i]?.[j] ?? '', tone: column.tone?.(row) ?? 'plain' })),
    ),
  ];
  const aligns = shown.map(({ kind }) => (kind === 'bytes' || kind === 'count' ? 'right' : 'left'));
  const drawn = await (canvas.isTerminal ? drawOnTerminal : drawInPipe)(lines, {
    aligns,
    widths,
    paint: canvas.paint,
  });
  const heading = title === undefined ? '' : `${canvas.paint('strong', title)}\n`;
  return `${heading}${drawn.map((line) => `${line.trimEnd()}\n`).join('')}`;
}

/** Under a column that may wrap, only as far as the terminal goes. */
function ruleWidths(widths: readonly number[], limit: number): number[] {
  let left = limit;
  return widths.map((width) => {
    const shown = Math.max(0, Math.min(width, left));
    left -= width + GAP.length;
    return shown;
  });
}

interface Cell {
  readonly text: string;
  readonly tone: Tone;
}

interface Layout {
  readonly aligns: readonly ('left' | 'right')[];
  readonly widths: readonly number[];
  readonly paint: Paint;
}

async function drawOnTerminal(
  lines: readonly (readonly Cell[])[],
  { aligns, paint }: Layout,
): Promise<string[]> {
  const { drawGrid } = await import('./grid.ts');
  return drawGrid(
    lines.map((line) => line.map(({ text, tone }) => paint(tone, text))),
    aligns,
    GAP,
  );
}

/** Plain padding: cli-table3 takes 250 times as long for a thousand lines, and has nothing to draw here. */
async function drawInPipe(
  lines: readonly (readonly Cell[])[],
  { aligns, widths, paint }: Layout,
): Promise<string[]> {
  return lines.map((line) =>
    line
      .map(({ text, tone }, i) => {
        const blanks = ' '.repeat((widths[i] ?? 0) - displayWidth(text));
        return aligns[i] === 'right' ? blanks + paint(tone, text) : paint(tone, text) + blanks;
      })
      .join(GAP),
  );
}

/** Columns that a text takes: two for CJK and most emoji, none for combining marks. */
function displayWidth(text: string): number {
  return isPlainAscii(text) ? text.length : stringWidth(text);
}

function cellText<Row>(column: Column<Row>, row: Row, canvas: Canvas): string {
  const value = column.value(row);
  if (column.kind === 'mark') return value ? '*' : '';
  if (value === null || value === '') return '-';
  if (typeof value !== 'number') return visible(String(value));
  if (column.kind === 'bytes') return `${column.approximate?.(row) ? '~' : ''}${humanBytes(value)}`;
  if (column.kind === 'time') {
    return canvas.isTerminal ? `${localTime(value)} (${humanSpan(canvas.now - value)})` : rfc3339(value);
  }
  return String(value);
}

/**
 * Cuts the flexible columns, widest first, until the line fits; the rest of a cut cell is marked by an ellipsis. When
 * that is not enough, the last columns are left out, and the last one that stays is cut. Returns those that stay.
 */
function fitColumns<Row>(
  columns: readonly Column<Row>[],
  lines: string[][],
  widths: number[],
  limit: number,
): readonly Column<Row>[] {
  const total = (count = widths.length) =>
    widths.slice(0, count).reduce((sum, width) => sum + width, 0) + GAP.length * (count - 1);
  const cutColumn = (i: number, width: number) => {
    widths[i] = width;
    for (const line of lines) line[i] = cut(line[i] ?? '', width);
  };
  const flexible = columns.flatMap((column, i) => (column.flexible ? [i] : []));
  for (const i of flexible.sort((a, b) => (widths[b] ?? 0) - (widths[a] ?? 0))) {
    const over = total() - limit;
    const width = widths[i] ?? 0;
    if (over <= 0 || width <= NARROWEST) continue;
    cutColumn(i, Math.max(NARROWEST, width - over));
  }
  if (columns.some(({ whole }) => whole)) return columns;
  let count = columns.length;
  while (
    count > 2 &&
    total(count) > limit &&
    !canLose(columns[count - 1], widths[count - 1], total(count) - limit)
  )
    count--;
  if (total(count) > limit)
    cutColumn(count - 1, Math.max(1, (widths[count - 1] ?? 0) - (total(count) - limit)));
  return columns.slice(0, count);
}

const SHORTEST = 4;

/** Whether something readable stays of the column when so much is cut; half a number is none. */
function canLose<Row>(column: Column<Row> | undefined, width = 0, over = 0): boolean {
  return (column?.kind === 'text' || column?.kind === 'time') && width - over >= SHORTEST;
}

/** By whole characters; cli-table3 itself cuts an emoji in half. */
function cut(text: string, width: number): string {
  if (displayWidth(text) <= width) return text;
  let kept = '';
  let used = 1;
  for (const char of text) {
    used += displayWidth(char);
    if (used > width) break;
    kept += char;
  }
  return `${kept}…`;
}
