/** bash's command line as text: words read out of it, and a word written on behind what is typed. Nothing is expanded. */

/** An escape, a quoted piece that may still be open, blanks, or any one character (bash manual, "Quoting"). */
const PIECE =
  /\\(?<escaped>[\s\S]?)|'(?<single>[^']*)'?|"(?<double>(?:\\[\s\S]|[^"\\])*)\\?"?|(?<blank>[ \t\n]+)|[\s\S]/gu;

/** The words of a line, without their quotes; the last one is that at the line's end, perhaps empty. */
export function readBashWords(line: string): string[] {
  const words: string[] = [''];
  for (const { 0: piece, groups } of line.matchAll(PIECE)) {
    if (groups?.['blank'] !== undefined) words.push('');
    else words.push(`${words.pop()}${meaning(piece, groups)}`);
  }
  return words;
}

function meaning(piece: string, groups: Readonly<Record<string, string | undefined>> = {}): string {
  const { escaped, single, double } = groups;
  if (escaped !== undefined) return escaped === '\n' ? '' : escaped;
  if (double !== undefined) return double.replace(/\\(["\\$`])|\\\n/g, '$1');
  return single ?? piece;
}

/** The quote that is open at the end of the line. */
function openQuote(line: string): string {
  const last = [...line.matchAll(PIECE)].at(-1)?.[0] ?? '';
  return /^'[^']*$|^"(?:\\[\s\S]|[^"\\])*\\?$/.test(last) ? last.charAt(0) : '';
}

/**
 * What bash is to put in the place of `replaced`, the end of the line, so that its last word becomes `word`; null where
 * that word does not begin so. readline closes an open quote, unless the character before the cursor is one already.
 */
export function completeBashWord(line: string, replaced: string, word: string): string | null {
  if (!line.endsWith(replaced) || !word.startsWith(readBashWords(line).at(-1) ?? '')) return null;
  const kept = line.slice(0, line.length - replaced.length);
  const quote = openQuote(kept);
  const spelled = spell(word.slice(readBashWords(kept).at(-1)?.length), quote);
  return quote !== '' && spelled.endsWith(quote) ? `${spelled}${quote}` : spelled;
}

function spell(text: string, quote: string): string {
  if (quote === "'") return text.replaceAll("'", "'\\''");
  // an interactive bash takes ! for its history in double quotes, also behind a backslash
  if (quote === '"') return text.replace(/["\\$`]/g, '\\$&').replaceAll('!', `"'!'"`);
  return text.replace(/[^\w@%+=:,./\u{80}-\u{10ffff}-]/gu, '\\$&');
}
