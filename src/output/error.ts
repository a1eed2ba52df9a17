import { type ErrorFinding, exitCodeOf, FAILURES, KvmsnapError } from '../errors.ts';
import { createPaint } from './color.ts';
import type { Document } from './contract.ts';
import { errorDocument } from './documents.ts';
import { numbered, visibleLines } from './format.ts';
import type { Tone } from './style.ts';
import { wrapMessage } from './wrap.ts';

export interface ErrorStyle {
  readonly json: boolean;
  /** The exit code of the run, which JSON tells; absent: that of the error. */
  readonly exitCode?: number;
  readonly level: 0 | 1 | 2 | 3;
  /** The text is wrapped at words to fit so many columns; absent or null: not at all. */
  readonly columns?: number | null;
}

/**
 * The text of an error for stderr: `error: what`, `hint: what fixes it`, with a line for each finding; for a bug also
 * where it happened.
 */
export function describeError(error: unknown, style: ErrorStyle): string {
  const known = error instanceof KvmsnapError ? error : bug(error);
  if (style.json) return `${JSON.stringify(document(known, style.exitCode ?? exitCodeOf(error)))}\n`;
  const paint = createPaint(style.level);
  const { subject, findings } = known;
  const [first = '', ...others] = findings.map(({ message }) => message);
  // the lines of a text may be aligned already
  const words = [subject === null ? first : `${subject}: ${first}`, ...others].map((text) =>
    visibleLines(text).replace(/\n {7}/g, '\n'),
  );
  const advice = [
    ...new Set(
      findings
        .map(linesOf)
        .filter((text) => text !== '')
        .map(visibleLines),
    ),
  ];
  const part = (tone: Tone, lead: string, texts: readonly string[]): string => {
    const text = `${lead} ${texts.join('\n').replaceAll('\n', `\n${' '.repeat(lead.length + 1)}`)}\n`;
    return wrapMessage(text, style.columns ?? null).replace(lead, () => paint(tone, lead));
  };
  return part('bad', 'error:', words) + (advice.length === 0 ? '' : part('warn', 'hint:', advice));
}

/** The advice of one finding: its words, then each command on a line of its own, numbered if there are several. */
function linesOf({ hint, commands }: ErrorFinding): string {
  const [only, ...others] = commands;
  if (only === undefined || (others.length === 0 && hint?.includes(only))) return hint ?? '';
  return [
    hint ?? (others.length === 0 ? 'run this command' : 'run these commands'),
    ...numbered(commands).map((line) => `  ${line}`),
  ].join('\n');
}

/** The document for stderr with `-o json`; its one member has no `schemaVersion`. */
function document(failure: Described, exitCode: number): Document<'error'> {
  const { code, ...members } = errorDocument(failure);
  return { error: { code, exitCode, ...members } };
}

type Described = Pick<KvmsnapError, 'message' | 'hint' | 'command' | 'subject' | 'findings'> & {
  readonly code: string;
};

/** An unexpected error in the form of a known failure. */
function bug(error: unknown): Described {
  const message = bugMessage(error);
  const hint =
    'this is a bug in kvmsnap: please report it, with the command line and the output of virsh version --daemon';
  return {
    code: 'bug',
    message,
    hint,
    command: undefined,
    subject: null,
    findings: [{ message, hint, commands: [] }],
  };
}

function bugMessage(error: unknown): string {
  const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
  return `unexpected (exit ${FAILURES.bug.exitCode}): ${text}`;
}
