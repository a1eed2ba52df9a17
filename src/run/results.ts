import type { KvmsnapError } from '../errors.ts';
import { domainDocument, errorDocument } from '../output/documents.ts';
import { numbered } from '../output/format.ts';
import type { Line, Section } from '../output/view.ts';
import type { Context } from './context.ts';
import type { DomainOutcome } from './for-each-domain.ts';

/** The results for several VMs, as members of a document. */

/** The name of a snapshot with its VM; the name of a VM contains no slash. */
export const ownName = (vm: { readonly name: string }, snapshot: string): string => `${vm.name}/${snapshot}`;

/** The name of a snapshot of the only VM; with its VM if the results of several hosts are shown together. */
export const shownName = (
  { host }: Pick<Context, 'host'>,
  vm: { readonly name: string },
  snapshot: string,
): string => (host === null ? snapshot : ownName(vm, snapshot));

/** The members of every VM's result in a document. */
export function domainResult({ vm, state, outcome, failures }: DomainOutcome<unknown>) {
  return {
    ...domainDocument({ ...vm, state }),
    outcome,
    errors: failures.map(errorDocument),
  };
}

/**
 * The hints for the failures of a row, printed below it, if the table is on the same screen and replaces the messages on
 * stderr (`concludeDomains`).
 */
export const adviceBeneath = <Row>(
  { terminal }: Pick<Context, 'terminal'>,
  failuresOf: (row: Row) => readonly KvmsnapError[],
): Pick<Section<Row>, 'beneath'> =>
  terminal.isOneStream ? { beneath: (row) => failuresOf(row).flatMap(adviceLines) } : {};

const adviceLines = ({ findings }: KvmsnapError): Line[] =>
  findings.flatMap(({ hint, commands }) => [
    ...(hint === null ? [] : [{ text: `hint: ${hint}` }]),
    ...numbered(commands).map((text) => ({ text, verbatim: true })),
  ]);
