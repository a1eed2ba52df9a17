import type { KvmsnapError } from '../errors.ts';
import type { Verified } from '../model/marks/verified.ts';
import type { SnapshotReport } from '../model/report.ts';
import { kindOf, locationOf } from '../model/snapshot.ts';
import type { Document } from './contract.ts';
import { rfc3339 } from './format.ts';

/** Turns values of the model into members that several JSON documents have. */

export type SnapshotDocument = Document<'current'>['snapshot'];

/** A snapshot as a member of a document. */
export function snapshotDocument(report: SnapshotReport): SnapshotDocument {
  return {
    name: report.name,
    createdAt: rfc3339(report.createdAtSeconds),
    state: report.state,
    location: locationOf(report),
    kind: kindOf(report),
    parent: report.parent,
    children: [...report.children],
    current: report.isCurrent,
    underWay: report.underWay,
    held: report.held,
    verified: verifiedDocument(report.verified),
    readers: report.readers.map(({ command, processId, sinceSeconds }) => ({
      ...{ command, processId },
      since: rfc3339(sinceSeconds),
    })),
    together: report.together === null ? null : [...report.together],
    description: report.description,
    vmStateBytes: report.vmStateBytes,
    memoryBytes: report.memoryBytes,
    disks: report.disks.map(({ target, source, location }) => ({ target, source, location })),
  };
}

/** The result of a verification as a member of a document. */
const verifiedDocument = (verified: Verified | null) =>
  verified && { at: rfc3339(verified.atSeconds), outcome: verified.outcome, seen: verified.seen };

/** `state` null: the VM could not be read; `uuid` null: there is no such VM. */
export function domainDocument<State extends string | null, Uuid extends string | null>({
  name,
  uuid,
  state,
}: {
  readonly name: string;
  readonly uuid: Uuid;
  readonly state: State;
}) {
  return { name, uuid, state };
}

/** A failure as a member of a document. */
export const errorDocument = ({
  code,
  message,
  hint,
  command,
  findings,
}: Pick<KvmsnapError, 'message' | 'hint' | 'command' | 'findings'> & { readonly code: string }) => ({
  code,
  message,
  hint: hint ?? null,
  command: command ?? null,
  findings,
});
