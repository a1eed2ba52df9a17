import type { UnreadSnapshot } from '../libvirt/snapshots.ts';
import { domainDocument } from '../output/documents.ts';
import type { Vm } from '../vm/load.ts';
import { costDocument } from './cost-document.ts';
import type { SnapshotCost, VmSpace } from './measure.ts';

/** A VM's snapshots with their costs, as a member of a document; `costs` are those that are shown, in their order. */
export const spaceDocument = (
  { domain, unread: allUnread }: Pick<Vm, 'domain' | 'unread'>,
  { snapshots, together: { names, frees } }: VmSpace,
  costs: readonly SnapshotCost[] = snapshots,
  unread: readonly UnreadSnapshot[] = allUnread,
) => ({
  ...domainDocument(domain),
  snapshots: [...costs.map(snapshotDocument), ...unread.map(unreadDocument)],
  together: {
    names: [...names],
    freesBytes: frees?.hostBytes ?? null,
    freesClusterBytes: frees?.clusterBytes ?? null,
  },
});

const snapshotDocument = ({ snapshot, cost, disks, approximate }: SnapshotCost) => ({
  name: snapshot.name,
  ...costDocument(cost),
  approximate,
  disks: disks.map(({ target, source, cost, problem }) => ({
    target,
    source,
    ...costDocument(cost),
    problem,
  })),
});

const unreadDocument = ({ name }: UnreadSnapshot) => ({
  name,
  ...costDocument(null),
  approximate: false,
  disks: [],
});
