import Table from 'cli-table3';
import { breakLongWords } from './text-width.ts';

/** The only place that uses cli-table3; loaded for terminals only, because nothing is drawn in a pipe. */

const SIDES = ['top', 'bottom', 'left', 'right'].flatMap((side) => [
  side,
  `${side}-mid`,
  `${side}-left`,
  `${side}-right`,
]);
const NO_BORDERS = Object.fromEntries([...SIDES, 'mid', 'mid-mid'].map((part) => [part, '']));

export interface GridCell {
  readonly text: string;
  /** Adds its color, which takes no room. */
  readonly paint: (text: string) => string;
}

export interface GridColumn {
  readonly width: number;
  readonly align: 'left' | 'right';
}

/** Rows of cells, which are wrapped at words within their columns: the lines of each row. */
export function drawGrid(
  rows: readonly (readonly GridCell[])[],
  columns: readonly GridColumn[],
  gap: string,
): string[][] {
  const table = new Table({
    chars: { ...NO_BORDERS, middle: gap },
    style: { head: [], border: [], 'padding-left': 0, 'padding-right': 0 },
    colAligns: columns.map(({ align }) => align),
    colWidths: columns.map(({ width }) => width),
    wordWrap: true,
  });
  for (const row of rows)
    table.push(row.map(({ text, paint }, i) => paint(breakLongWords(text, columns[i]?.width ?? 1))));
  const lines = table.toString().split('\n');
  // cli-table3 fills these in when it draws
  return table.options.rowHeights.map((height) => lines.splice(0, height ?? 1));
}

/** A paragraph, wrapped at words. */
export const wrapText = (text: string, width: number): string[] =>
  drawGrid([[{ text, paint: (painted) => painted }]], [{ width, align: 'left' }], '')
    .flat()
    .map((line) => line.trimEnd());
