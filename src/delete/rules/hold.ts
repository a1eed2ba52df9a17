import type { Domain } from '../../model/domain.ts';
import { kvmsnapLine } from '../../model/quote.ts';
import { readerInText } from '../../model/reader.ts';
import type { SnapshotReport } from '../../model/report.ts';
import type { Rule } from '../../model/rule.ts';
import { inText } from '../../model/text.ts';
import { type DeleteScope, findDeletionSet } from '../deletion-set.ts';

/** A hold protects a snapshot from every deletion, also from one of the metadata only; so does a run of kvmsnap that reads it. */

export interface HoldFacts {
  readonly domain: Pick<Domain, 'name'>;
  readonly snapshot: SnapshotReport;
  readonly scope: DeleteScope;
  readonly snapshots: readonly SnapshotReport[];
}

export const HOLD_RULES: readonly Rule<HoldFacts>[] = [
  {
    id: 'held',
    hazards: [],
    severity: 'error',
    find: ({ domain, snapshot, scope, snapshots }) =>
      findDeletionSet(snapshots, snapshot, scope)
        .filter(({ held }) => held)
        .map(({ name }) => ({
          what: `${inText(name)} is on hold`,
          hint: 'release the hold first, if the snapshot may be deleted',
          command: kvmsnapLine('unhold', [domain.name, name]),
          snapshot: name,
        })),
  },
  {
    id: 'being-read',
    hazards: [],
    severity: 'error',
    find: ({ snapshot, scope, snapshots }) =>
      findDeletionSet(snapshots, snapshot, scope).flatMap(({ name, readers: [reader] }) =>
        reader
          ? [
              {
                what: `${inText(name)} is needed by ${readerInText(reader)}, which reads the VM's snapshots now`,
                hint: 'wait until that has ended',
                snapshot: name,
              },
            ]
          : [],
      ),
  },
];
