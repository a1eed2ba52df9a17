import { exitCodeOf, FAILURES, KvmsnapError } from '../errors.ts';
import { createPaint } from './colour.ts';
import { visibleLines } from './format.ts';

export interface ErrorStyle {
  readonly json: boolean;
  readonly level: 0 | 1 | 2 | 3;
}

/** What stderr gets: `error: what`, `hint: what mends it`; for a bug also where it happened. */
export function describeError(error: unknown, { json, level }: ErrorStyle): string {
  const known = error instanceof KvmsnapError ? error : null;
  const message = known?.message ?? bugMessage(error);
  const hint = known
    ? (known.hint ?? null)
    : 'this is a bug in kvmsnap: please report it, with the command line and the output of virsh version --daemon';
  const command = known?.command ?? null;
  if (json) {
    const code = known?.code ?? 'bug';
    return `${JSON.stringify({ error: { code, exitCode: exitCodeOf(error), message, hint, command } })}\n`;
  }
  const paint = createPaint(level);
  const advice =
    command === null || hint?.includes(command) ? hint : [hint, command].filter(Boolean).join(': ');
  return `${paint('bad', 'error:')} ${visibleLines(message)}\n${advice === null ? '' : `${paint('warn', 'hint:')} ${visibleLines(advice)}\n`}`;
}

function bugMessage(error: unknown): string {
  const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
  return `unexpected (exit ${FAILURES.bug.exitCode}): ${text}`;
}
