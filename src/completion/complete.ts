import type { AnyCommand } from '../command-line/commander.ts';
import type { OtherHosts } from '../command-line/verb.ts';
import { isPolicyName, NO_RUN } from '../model/policy.ts';
import type { Context } from '../run/context.ts';
import { completeBashWord, readBashWords } from './bash-words.ts';
import { elsewhere } from './elsewhere.ts';
import {
  type CompletionWord,
  completionOf,
  nameCandidates,
  type Shell,
  type WantedNames,
} from './grammar.ts';
import { type FoundNames, findNames } from './names.ts';
import { candidateLines, FILES } from './scripts.ts';

/** Seconds; a user who presses TAB must not wait for a hanging daemon. */
const READ_LIMIT_SECONDS = 3;

/**
 * `complete`: answers the completion scripts. bash passes the line before the cursor and $COMP_WORDBREAKS; the others
 * pass the words after the name of the program, the last one unfinished. Failures are silent.
 */
export async function complete(
  ctx: Context,
  { program, hosts }: { readonly program: AnyCommand; readonly hosts: OtherHosts },
  shell: Shell,
  given: readonly string[],
): Promise<void> {
  const words = wordsOf(shell, given);
  const asked = completionOf(program, words.slice(0, -1), words.at(-1) ?? '');
  if (asked.kind === 'files') return ctx.terminal.print(FILES);
  const candidates =
    asked.kind === 'words'
      ? asked.candidates
      : await namesFor(ctx, hosts, { shell, current: words.at(-1) ?? '' }, asked.wantedNames);
  switch (shell) {
    case 'bash':
      return ctx.terminal.print(bashLines(given, candidates));
    case 'fish':
      return ctx.terminal.print(
        candidateLines(candidates.filter(({ text }) => canInsert(text, given.at(-1) ?? ''))),
      );
    case 'zsh':
      return ctx.terminal.print(candidateLines(candidates));
  }
}

function wordsOf(shell: Shell, given: readonly string[]): readonly string[] {
  switch (shell) {
    case 'bash':
      return readBashWords(given[0] ?? '').slice(1);
    case 'fish':
      // as typed so far, with its quote that is still open
      return [...given.slice(0, -1), readBashWords(given.at(-1) ?? '').at(-1) ?? ''];
    case 'zsh':
      return given;
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

interface Typed {
  readonly shell: Shell;
  /** The word at the cursor. */
  readonly current: string;
}

/** Those of this host, or those of other hosts that the line names. */
async function namesFor(
  ctx: Context,
  hosts: OtherHosts,
  { shell, current }: Typed,
  wanted: WantedNames,
): Promise<CompletionWord[]> {
  if (wanted.what === 'host') {
    const listed = await hosts.listed(ctx).catch(() => []);
    return nameCandidates(wanted, new Map(listed.map((name) => [name, ''])));
  }
  const there = elsewhere(wanted, current);
  if (there?.isUnsure !== false) {
    const found = await findAt(ctx, ctx, wanted, shell).catch(() => []);
    const here = nameCandidates(wanted, new Map([...found, ...(await policiesAt(ctx, wanted))]));
    if (!there || here.some(({ text }) => text.startsWith(current))) return here;
  }
  const { wantedNames } = there;
  const found = await hosts
    .look(ctx, there.hosts, READ_LIMIT_SECONDS, (host) => findAt(ctx, host, wantedNames, shell))
    .catch(() => []);
  const policies = await policiesAt(ctx, wantedNames);
  return nameCandidates(wantedNames, new Map([...found.flatMap((names) => [...names]), ...policies]));
}

async function findAt(
  { settings }: Context,
  { connect }: Pick<Context, 'connect'>,
  wantedNames: WantedNames,
  shell: Shell,
): Promise<FoundNames> {
  const virsh = connect(wantedNames.uri ?? settings.connect, READ_LIMIT_SECONDS);
  // bash shows no descriptions
  return findNames(virsh, wantedNames, shell !== 'bash');
}

/** The policies that are possible at the cursor, with their descriptions. */
async function policiesAt({ configFiles }: Context, { policies }: WantedNames): Promise<[string, string][]> {
  if (policies === null) return [];
  const names = (await configFiles.names('.conf')).filter((name) => isPolicyName(name) && name !== NO_RUN);
  return [
    ...names.map((name): [string, string] => [policies === 'at' ? `@${name}` : name, 'policy']),
    ...(policies === 'or none' ? [[NO_RUN, 'no run with a policy'] as [string, string]] : []),
  ];
}
