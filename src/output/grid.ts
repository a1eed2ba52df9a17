import Table from 'cli-table3';

/** The one place that draws with cli-table3; loaded for terminals only, since a pipe gets no drawing. */

const SIDES = ['top', 'bottom', 'left', 'right'].flatMap((side) => [
  side,
  `${side}-mid`,
  `${side}-left`,
  `${side}-right`,
]);
const NO_BORDERS = Object.fromEntries([...SIDES, 'mid', 'mid-mid'].map((part) => [part, '']));

/** Lines of cells, the gap between columns given; cells may hold colors. */
export function drawGrid(
  lines: readonly (readonly string[])[],
  aligns: readonly ('left' | 'right')[],
  gap: string,
): string[] {
  const table = new Table({
    chars: { ...NO_BORDERS, middle: gap },
    style: { head: [], border: [], 'padding-left': 0, 'padding-right': 0 },
    colAligns: [...aligns],
  });
  for (const line of lines) table.push([...line]);
  return table.toString().split('\n');
}
