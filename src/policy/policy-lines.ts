/** The text of a policy: one option a line, written as for a shell, and comments after `#`. */

export interface PolicyLine {
  /** From 1 on. */
  readonly number: number;
  /** The option, and its value if the line has one. */
  readonly words: readonly string[];
}

/** What is wrong with a line. */
export interface LineProblem {
  readonly number: number;
  readonly problem: string;
}

/** The lines that contain something; or the first problem. */
export function policyLines(text: string): readonly PolicyLine[] | LineProblem {
  const lines: PolicyLine[] = [];
  for (const [i, line] of text.split('\n').entries()) {
    const number = i + 1;
    const words = wordsOf(line);
    if (words === null) return { number, problem: 'a quote is not closed' };
    const [first, ...others] = words;
    if (first === undefined) continue;
    if (!/^-./.test(first) || first === '--')
      return { number, problem: `'${first}' is not an option, such as --label nightly` };
    if (others.length > 1)
      return { number, problem: `a line can have only one option, and this one also has '${others[1]}'` };
    lines.push({ number, words });
  }
  return lines;
}

const TOKEN = /(\s+)|#.*|'([^']*)'|"((?:[^"\\]|\\.)*)"|\\(.)|([^\s'"\\])/gy;

/** The words of a line, with quotes and backslashes as in a shell; null if a quote is not closed. */
export function wordsOf(line: string): string[] | null {
  const words: string[] = [];
  let word: string | null = null;
  let end = 0;
  for (const match of line.matchAll(TOKEN)) {
    const [all, space, single, double, escaped, plain] = match;
    // within a word, # is a character
    const isComment = all.startsWith('#') && word === null;
    if (isComment) return words;
    end = match.index + all.length;
    if (space !== undefined) {
      if (word !== null) words.push(word);
      word = null;
    } else word = (word ?? '') + (single ?? double?.replace(/\\(["\\$`])/g, '$1') ?? escaped ?? plain ?? all);
  }
  if (end < line.length) return null;
  if (word !== null) words.push(word);
  return words;
}
