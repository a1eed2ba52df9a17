import { domainDocument, errorDocument } from '../output/documents.ts';
import type { DomainOutcome } from './for-each-domain.ts';

/** What came of each of several VMs, as members of a document. */

/** The name of a snapshot among those of other VMs; a VM's name holds no slash. */
export const ownName = (vm: { readonly name: string }, snapshot: string): string => `${vm.name}/${snapshot}`;

/** The members of every VM's result in a document. */
export function domainResult({ vm, state, outcome, failures }: DomainOutcome<unknown>) {
  return {
    ...domainDocument({ ...vm, state }),
    outcome,
    errors: failures.map(errorDocument),
  };
}
