import { visible } from '../format.ts';
import type { Tone } from '../style.ts';
import type { Column, Line, Section } from '../view.ts';
import { type Canvas, cellText } from './cell.ts';
import { drawn, GLYPHS } from './glyphs.ts';
import { GAP, type Layout, layOut, unlimited } from './layout.ts';
import { displayWidth } from './text-width.ts';

export interface RenderedTable {
  readonly text: string;
  /** The titles of the columns that were left out. */
  readonly leftOut: readonly string[];
}

/**
 * A section as an aligned table. On a terminal: bold headers above a line, ages, and cells wrapped within their
 * columns. In a pipe: no line, no colors, nothing wrapped, absolute times.
 */
export async function renderTable<Row>(section: Section<Row>, canvas: Canvas): Promise<RenderedTable> {
  const { rows, title, heads = true } = section;
  const columns = section.columns.filter(
    ({ kind, ifAny, value }) =>
      (kind !== 'bar' || canvas.isTerminal) && (!ifAny || rows.some((row) => value(row) !== null)),
  );
  const measured = columns.map((column) => measure(column, rows, canvas, heads));
  const layout = canvas.isTerminal ? layOut(measured, canvas.columns) : unlimited(measured);
  const cells = new Map(measured.map(({ column, texts }) => [column, texts]));
  const lines = [
    ...(heads ? headLines(layout, canvas) : []),
    ...rows.map((row, i) => cellsOf(row, (column) => cells.get(column)?.[i] ?? '', layout)),
  ];
  const drawnRows = await (canvas.isTerminal ? drawOnTerminal : drawInPipe)(lines, layout, canvas);
  const before = lines.length - rows.length;
  const text: string[] = title === undefined ? [] : [canvas.paint('strong', title)];
  for (const [i, drawnRow] of drawnRows.entries()) {
    const names = layout.columns.map(({ column, width }) => {
      const name = cells.get(column)?.[i - before] ?? '';
      return standsAbove(name, column, width) ? [name] : [];
    });
    text.push(...names.flat(), ...drawnRow);
    const row = rows[i - before];
    if (i < before || row === undefined) continue;
    const paths = layout.beneath.map(
      (column): Line => ({ text: cells.get(column)?.[i - before] ?? '', verbatim: true }),
    );
    for (const line of [...paths.filter(({ text }) => text !== '-'), ...(section.beneath?.(row) ?? [])])
      text.push(...(await linesBeneath(line, canvas)));
  }
  return {
    text: text.map((line) => `${line.trimEnd()}\n`).join(''),
    leftOut: layout.leftOut.map((column) => column.title).filter((title) => title !== ''),
  };
}

/** Whether the name of a VM does not fit into its column, so that it has a line of its own above its row. */
const standsAbove = <Row>(text: string, { share }: Column<Row>, width: number): boolean =>
  share !== undefined && displayWidth(text) > width;

interface Cell {
  readonly text: string;
  readonly tone: Tone;
}

/** The cells of a row; that of a name with a line of its own is empty. */
const cellsOf = <Row>(row: Row, textOf: (column: Column<Row>) => string, { columns }: Layout<Row>): Cell[] =>
  columns.map(({ column, width }) => {
    const text = textOf(column);
    return { text: standsAbove(text, column, width) ? '' : text, tone: column.tone?.(row) ?? 'plain' };
  });

function measure<Row>(column: Column<Row>, rows: readonly Row[], canvas: Canvas, heads: boolean) {
  const texts = rows.map((row, i) => {
    const text = cellText(column, row, canvas);
    const above = rows[i - 1];
    return column.grouped &&
      canvas.isTerminal &&
      above !== undefined &&
      cellText(column, above, canvas) === text
      ? ''
      : text;
  });
  // an empty column takes one place too, as in cli-table3
  const lengths = [(heads ? displayWidth(column.title) : 0) || 1, ...texts.map(displayWidth)];
  return {
    column,
    texts,
    lengths,
    widest: lengths.reduce((widest, length) => Math.max(widest, length)),
    isEmpty: texts.every((text) => text === '' || text === '-'),
  };
}

function headLines<Row>({ columns }: Layout<Row>, { isTerminal, ascii }: Canvas): Cell[][] {
  const titles = columns.map(({ column }) => ({ text: column.title, tone: 'strong' as const }));
  if (!isTerminal) return [titles];
  const rule = drawn(GLYPHS.rule, ascii);
  return [titles, columns.map(({ width }) => ({ text: rule.repeat(width), tone: 'faint' as const }))];
}

const alignOf = <Row>({ kind }: Column<Row>) => (kind === 'bytes' || kind === 'count' ? 'right' : 'left');

async function drawOnTerminal<Row>(
  lines: readonly (readonly Cell[])[],
  { columns }: Layout<Row>,
  { paint }: Canvas,
): Promise<string[][]> {
  const { drawGrid } = await import('./grid.ts');
  return drawGrid(
    lines.map((line) => line.map(({ text, tone }) => ({ text, paint: (part: string) => paint(tone, part) }))),
    columns.map(({ column, width }) => ({ width, align: alignOf(column) })),
    GAP,
  );
}

/** Aligns by padding: cli-table3 would take 250 times as long for a thousand lines, and there is nothing to draw here. */
async function drawInPipe<Row>(
  lines: readonly (readonly Cell[])[],
  { columns }: Layout<Row>,
  { paint }: Canvas,
): Promise<string[][]> {
  return lines.map((line) => [
    columns
      .map(({ column, width }, i) => {
        const { text, tone } = line[i] ?? { text: '', tone: 'plain' };
        const blanks = ' '.repeat(Math.max(0, width - displayWidth(text)));
        return alignOf(column) === 'right' ? blanks + paint(tone, text) : paint(tone, text) + blanks;
      })
      .join(GAP),
  ]);
}

const INDENT = '    ';

async function linesBeneath({ text, verbatim = false }: Line, canvas: Canvas): Promise<string[]> {
  const shown = visible(text);
  if (verbatim || !canvas.isTerminal) return [INDENT + shown];
  const { wrapText } = await import('./grid.ts');
  return wrapText(shown, Math.max(1, canvas.columns - INDENT.length)).map((line) => INDENT + line);
}
