/** Messages for a terminal, wrapped at words. */

/** What stands before the text of a message; its further lines are indented as far. */
const LEAD = /^ *(?:\S+: )?(?:error|hint|note|warning|skipped|fix|why|assumed): |^\d+\. /;

/** A wider lead, which has the long name of a VM, is not taken as an indent. */
const MOST_INDENT = 24;

/** Lines to copy: commands, which are indented by eight columns or begin with one of these words, and paths. */
const TO_COPY = /^ {8}|^ *(?:\d+\. )?(?:(?:kvmsnap|virsh|qemu-img|rm|ssh) |\/)/;

/**
 * The text with its lines wrapped at words, so that they fit into a terminal of so many columns (null: unchanged). Commands stay on
 * one line, and words are not broken: a path that is wider than the terminal can be copied.
 */
export function wrapMessage(text: string, columns: number | null): string {
  if (columns === null) return text;
  return text
    .split('\n')
    .flatMap((line) => wrapLine(line, columns))
    .join('\n');
}

function wrapLine(line: string, columns: number): string[] {
  if (columnsOf(line) <= columns || TO_COPY.test(line)) return [line];
  const indent = ' '.repeat(indentOf(line));
  const [start = ''] = /^ */.exec(line) ?? [];
  const [first = '', ...words] = line.slice(start.length).split(' ');
  const lines: string[] = [];
  let current = start + first;
  for (const word of words) {
    if (columnsOf(current) + 1 + columnsOf(word) <= columns) {
      current += ` ${word}`;
    } else {
      lines.push(current);
      current = indent + word;
    }
  }
  return [...lines, current];
}

/** Of a list, which is indented a little, further lines are indented more; of the rest of a hint, they are not. */
function indentOf(line: string): number {
  const lead = columnsOf(LEAD.exec(line)?.[0] ?? '');
  if (lead > 0) return lead <= MOST_INDENT ? lead : 4;
  const spaces = line.search(/\S/);
  return spaces > 0 && spaces < 6 ? spaces + 2 : spaces;
}

/** Columns that a text takes at most: characters that may be wide count as wide, but lines and blocks do not. */
export function columnsOf(text: string): number {
  let columns = 0;
  for (const char of text) columns += char < '\u1100' || (char >= '\u2010' && char < '\u2600') ? 1 : 2;
  return columns;
}
