import type { KvmsnapError } from '../errors.ts';
import type { MachineResult } from './for-each-domain.ts';
import { domainDocument } from '../output/documents.ts';

/** What came of each of several machines, as members of a document. */

/** The name of a snapshot among those of other machines; a machine's name holds no slash. */
export const ownName = (machine: { readonly name: string }, snapshot: string): string =>
  `${machine.name}/${snapshot}`;

/** The members of every machine's result in a document. */
export function domainResult({ machine, state, outcome, failures }: MachineResult<unknown>) {
  return {
    ...domainDocument({ ...machine, state }),
    outcome,
    errors: failures.map(errorDocument),
  };
}

export const errorDocument = ({ code, message, hint, command, findings }: KvmsnapError) => ({
  code,
  message,
  hint: hint ?? null,
  command: command ?? null,
  findings,
});
