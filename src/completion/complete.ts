import type { AnyCommand } from '../command-line/commander.ts';
import type { Context } from '../run/context.ts';
import { completeBashWord, readBashWords } from './bash-words.ts';
import {
  type CompletionWord,
  completionOf,
  nameCandidates,
  type Shell,
  type WantedNames,
} from './grammar.ts';
import { findNames } from './names.ts';
import { candidateLines, FILES } from './scripts.ts';

/** Seconds; a user who presses TAB must not wait for a hanging daemon. */
const READ_LIMIT_SECONDS = 3;

/**
 * `complete`: answers the completion scripts. bash passes the line before the cursor and $COMP_WORDBREAKS; the others
 * pass the words after the name of the program, the last one unfinished. Failures are silent.
 */
export async function complete(
  ctx: Context,
  program: AnyCommand,
  shell: Shell,
  given: readonly string[],
): Promise<void> {
  const words = shell === 'bash' ? readBashWords(given[0] ?? '').slice(1) : given;
  const current = words.at(-1) ?? '';
  const asked = completionOf(program, words.slice(0, -1), current);
  if (asked.kind === 'files') return ctx.terminal.print(FILES);
  const candidates = asked.kind === 'words' ? asked.candidates : await namesAt(ctx, asked.wantedNames, shell);
  switch (shell) {
    case 'bash':
      return ctx.terminal.print(bashLines(given, candidates));
    case 'fish':
      return ctx.terminal.print(candidateLines(candidates.filter(({ text }) => canInsert(text, current))));
    case 'zsh':
      return ctx.terminal.print(candidateLines(candidates));
  }
}

function bashLines(
  [line = '', breaks = '']: readonly string[],
  candidates: readonly CompletionWord[],
): string {
  const pieces = candidates.map(({ text }) => completeBashWord(line, breaks, text));
  return pieces.flatMap((piece) => (piece === null ? [] : [`${piece}\n`])).join('');
}

/** fish does not escape a leading tilde, which would become a home directory, unless the word begins with a quote. */
const canInsert = (text: string, current: string): boolean =>
  !text.startsWith('~') || /^['"\\]/.test(current);

async function namesAt(ctx: Context, wantedNames: WantedNames, shell: Shell): Promise<CompletionWord[]> {
  try {
    const virsh = ctx.connect(wantedNames.uri ?? ctx.settings.connect, READ_LIMIT_SECONDS);
    // bash shows no descriptions
    return nameCandidates(wantedNames, await findNames(virsh, wantedNames, shell !== 'bash'));
  } catch {
    return [];
  }
}
