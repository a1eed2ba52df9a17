/** Shows a page of the manual, which is Markdown, on a terminal. */

/** Wraps text at that many columns; a longer word stays whole. */
export interface Wrapping {
  readonly helpWidth?: number | undefined;
  boxWrap(text: string, width: number): string;
}

/** The page with wrapped prose, unchanged examples, and without the comments that are marks for the build. */
export function pageText(page: string, helper: Wrapping): string {
  const blocks = page.replace(/^<!--.*-->\n/gm, '').split(/^(```\w*\n.*?^```\n)/ms);
  return blocks
    .map((block) => {
      const [, code] = /^```\w*\n(.*)^```\n$/ms.exec(block) ?? [];
      if (code !== undefined) return code.replace(/^(?=.)/gm, '  ');
      return block
        .replace(/(?:^\|.*\n)+/gm, (table) => fitted(table, helper))
        .replace(/^(?![|#\n ])(- )?(.+(?:\n(?![-|#\n]).+)*)/gm, (_, bullet = '', text: string) => {
          const words = text.replace(/\n\s*/g, ' ');
          return helper
            .boxWrap(words, (helper.helpWidth ?? 80) - bullet.length)
            .replace(/^/gm, (at, offset: number) => (offset === 0 ? bullet : ' '.repeat(bullet.length) + at));
        });
    })
    .join('');
}

/** A table of Markdown. If it is wider than the terminal, each row becomes a list item, with the heading before each cell. */
function fitted(table: string, helper: Wrapping): string {
  const width = helper.helpWidth ?? 80;
  const lines = table.trimEnd().split('\n');
  if (lines.every((line) => line.length <= width)) return table;
  const [head = [], , ...rows] = lines.map((line) =>
    line
      .slice(1, -1)
      .split(/(?<!\\)\|/)
      .map((cell) => cell.trim().replaceAll('\\|', '|')),
  );
  const entries = rows.map((row) =>
    row.flatMap((cell, i) => (cell === '' ? [] : [entry(head[i] ?? '', cell, i)])),
  );
  return `${entries.map((entry) => `- ${entry.join('; ')}`).join('\n')}\n`;
}

const entry = (title: string, cell: string, i: number): string =>
  i === 0 || title === '' ? cell : `${title}: ${cell}`;
