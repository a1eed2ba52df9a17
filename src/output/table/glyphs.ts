/** What kvmsnap draws itself: lines, trees and bars; on a terminal without Unicode with ASCII in their place. */

export const GLYPHS = { rule: '─', fork: '├─ ', line: '│  ', root: '─ ' } as const;

const IN_ASCII: Readonly<Record<string, string>> = { '─': '-', '│': '|', '├': '|' };

/** A drawing in the characters that the terminal has. */
export const drawn = (drawing: string, ascii: boolean): string =>
  ascii ? drawing.replace(/[─│├]/g, (char) => IN_ASCII[char] ?? char) : drawing;

const BAR_COLUMNS = 10;
const EIGHTHS = ['', '▏', '▎', '▍', '▌', '▋', '▊', '▉', '█'];

/** A share from 0 to 1 as a bar of at most ten columns; anything more than nothing shows. */
export function bar(share: number, ascii: boolean): string {
  if (share <= 0) return '';
  if (ascii) return '#'.repeat(Math.max(1, Math.round(share * BAR_COLUMNS)));
  const eighths = Math.max(1, Math.round(share * BAR_COLUMNS * 8));
  return '█'.repeat(Math.floor(eighths / 8)) + (EIGHTHS[eighths % 8] ?? '');
}
