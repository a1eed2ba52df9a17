/** Reads words from bash's command line, and writes a completed word in its quoting. Nothing is expanded. */

/** An escape, a quoted piece that may still be open, blanks, or any one character (bash manual, "Quoting"). */
const PIECE =
  /\\(?<escaped>[\s\S]?)|'(?<single>[^']*)'?|"(?<double>(?:\\[\s\S]|[^"\\])*)\\?"?|(?<blank>[ \t\n]+)|[\s\S]/gu;

/** The words of a line, without their quotes; the last one is at the end of the line and may be empty. */
export function readBashWords(line: string): string[] {
  const words: string[] = [''];
  // after `sudo`, bash-completion passes the rest of the line with the blank before it
  for (const { 0: piece, groups } of line.replace(/^[ \t\n]+/, '').matchAll(PIECE)) {
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

/**
 * The text with which readline must replace the text that it completes, so that the last word of the line becomes
 * `word`; null if `word` does not begin with the last word. `breaks` is $COMP_WORDBREAKS.
 */
export function completeBashWord(line: string, breaks: string, word: string): string | null {
  if (!word.startsWith(readBashWords(line).at(-1) ?? '')) return null;
  const { kept, quote } = keptPart(line, breaks);
  const spelled = spell(word.slice(readBashWords(kept).at(-1)?.length), quote);
  if (quote === '') return spelled;
  // readline closes the quote at the end unless the text ends with a quote already, and it treats a quote at the start
  // as the opening one
  const closing = `${kept}${spelled}`.endsWith(quote) ? quote : '';
  const opening = `${spelled}${closing}`.startsWith(quote) ? quote : '';
  return `${opening}${spelled}${closing}`;
}

/**
 * The line before the text that readline completes (_rl_find_completion_word in complete.c), and the quote that is open
 * there.
 */
function keptPart(line: string, breaks: string): { readonly kept: string; readonly quote: string } {
  const pieces = [...line.matchAll(PIECE)];
  const last = pieces.at(-1);
  const quote = last && /^'[^']*$|^"(?:\\[\s\S]|[^"\\])*\\?$/.test(last[0]) ? last[0].charAt(0) : '';
  if (last && quote !== '') return { kept: line.slice(0, last.index + 1), quote };
  const end = pieces.findLast(({ 0: piece, groups }) => groups?.['blank'] || [...breaks].includes(piece));
  // for readline, an @ belongs to the following text, as in a host name
  const length = end?.[0] === '@' ? 0 : (end?.[0].length ?? 0);
  return { kept: line.slice(0, (end?.index ?? 0) + length), quote: '' };
}

function spell(text: string, quote: string): string {
  if (quote === "'") return text.replaceAll("'", "'\\''");
  // in double quotes, an interactive bash uses ! for its history, even after a backslash
  if (quote === '"') return text.replace(/["\\$`]/g, '\\$&').replaceAll('!', `"'!'"`);
  return text.replace(/[^\w@%+=:,./\u{80}-\u{10ffff}-]/gu, '\\$&');
}
