import type { Domain } from '../../model/domain.ts';
import { kvmsnapLine } from '../../model/quote.ts';
import type { SnapshotReport } from '../../model/report.ts';
import type { Rule } from '../../model/rule.ts';
import { inText } from '../../model/text.ts';
import { type DeleteScope, findDeletionSet } from '../deletion-set.ts';

/** A hold protects a snapshot from every deletion, also from one of the metadata only. */

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
          what: `${inText(name)} is held`,
          hint: 'release the hold first, if the snapshot may be deleted',
          command: kvmsnapLine('unhold', [domain.name, name]),
          snapshot: name,
        })),
  },
];
