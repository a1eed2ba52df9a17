import stringWidth from 'string-width';
import { isPlainAscii } from '../format.ts';

/** How much room text takes on a terminal. */

/** Columns that a text takes: two for CJK and most emoji, none for combining marks. */
export function displayWidth(text: string): number {
  return isPlainAscii(text) ? text.length : stringWidth(text);
}

/**
 * The text with line feeds in words that are longer than `width` columns: cli-table3 wraps at words, and cuts off what does
 * not fit. Broken after punctuation, if there is any in the second half of the room; never within a character.
 */
export function breakLongWords(text: string, width: number): string {
  if (displayWidth(text) <= width) return text;
  return text
    .split(/(\s+)/)
    .map((word) => (displayWidth(word) <= width ? word : pieces(word, width).join('\n')))
    .join('');
}

function pieces(word: string, width: number): string[] {
  const found: string[] = [];
  let rest = [...word];
  while (rest.length > 0) {
    const fits = fitting(rest, width);
    const isLast = fits === rest.length;
    const end = isLast ? fits : lastPunctuation(rest.slice(0, fits)) || fits;
    found.push(rest.slice(0, end).join(''));
    rest = rest.slice(end);
  }
  return found;
}

/** How many characters fit, one at least. */
function fitting(chars: readonly string[], width: number): number {
  let used = 0;
  const end = chars.findIndex((char) => {
    used += displayWidth(char);
    return used > width;
  });
  return end < 0 ? chars.length : Math.max(1, end);
}

/** Where a word may be broken, in its second half; 0 for nowhere. */
function lastPunctuation(chars: readonly string[]): number {
  const at = chars.findLastIndex((char) => /[-_./:,]/.test(char)) + 1;
  return at > chars.length / 2 ? at : 0;
}
