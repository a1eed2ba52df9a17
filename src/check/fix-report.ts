import { errorDocument } from '../output/documents.ts';
import { type Column, VM_COLUMN } from '../output/view.ts';
import type { Context } from '../run/context.ts';
import type { DomainOutcome } from '../run/for-each-domain.ts';
import type { FixResult } from './fix.ts';
import type { VmCheck } from './fix-vms.ts';
import { fixLine } from './prepare-fixes.ts';

/** The steps of `check --fix` and their results, as a table and as a document. */

type Result = DomainOutcome<VmCheck>;

/** A step that was tried. */
export interface FixRow {
  readonly vm: string;
  readonly result: FixResult;
}

export const FIX_COLUMNS: readonly Column<FixRow>[] = [
  VM_COLUMN,
  { key: 'step', title: 'STEP', kind: 'text', value: ({ result }) => result.fix.what, wraps: true },
  {
    key: 'outcome',
    title: 'RESULT',
    kind: 'text',
    wraps: true,
    value: ({ result: { outcome, failure } }) => (failure ? `${outcome}: ${failure.why}` : outcome),
    tone: ({ result }) => (result.outcome === 'failed' ? 'bad' : 'plain'),
  },
];

/** The steps for a VM as members of a document, planned or with their results. */
export function fixDocument(ctx: Context, { value }: Result) {
  const results =
    value?.fixed ??
    (value?.prepared ?? []).map((fix) => ({ fix, outcome: 'planned' as const, failure: null }));
  return results.map(({ fix, outcome, failure }) => ({
    action: fix.action.kind,
    rule: fix.rule,
    snapshot: fix.snapshot,
    what: fix.what,
    why: fix.why,
    assumed: fix.assumed,
    commands: fix.commands.map((command) => fixLine(ctx, command)),
    backup: fix.backup,
    outcome,
    error: failure && errorDocument(failure),
  }));
}
