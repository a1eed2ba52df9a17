import type { KvmsnapError } from '../errors.ts';
import type { MachineResult } from '../host/over-machines.ts';
import type { MachineName } from '../libvirt/machine.ts';
import { domainDocument } from '../render/documents.ts';
import type { Column } from '../render/view.ts';

/** What came of each of several machines, as rows and as members of a document. */

export type ResultRow<T> = MachineResult<T>;

/** The name of a snapshot among those of other machines; a machine's name holds no slash. */
export const ownName = (machine: MachineName, snapshot: string): string => `${machine.name}/${snapshot}`;

/** The last column: what was done, or why it was not. */
export function outcomeColumn<T>(
  isDone: (result: MachineResult<T>) => boolean,
  done: string,
): Column<MachineResult<T>> {
  return {
    key: 'outcome',
    title: 'RESULT',
    kind: 'text',
    value: (result) =>
      [isDone(result) ? done : result.outcome, ...result.failures.map(({ message }) => message)].join(': '),
    data: ({ outcome }) => outcome,
    tone: ({ outcome }) => (outcome === 'done' ? 'good' : outcome === 'failed' ? 'bad' : 'warn'),
    flexible: true,
  };
}

/** The members of every machine's result in a document. */
export function domainResult({ machine, state, outcome, failures }: MachineResult<unknown>) {
  return {
    ...domainDocument({ ...machine, state }),
    outcome,
    errors: failures.map(errorDocument),
  };
}

export const errorDocument = ({ code, message, hint, command }: KvmsnapError) => ({
  code,
  message,
  hint: hint ?? null,
  command: command ?? null,
});
