import { type Domain, isSaving, takesPart } from './domain.ts';
import type { DiskImage, Tag } from './image.ts';
import type { Finding, Rule } from './preflight.ts';
import { kvmsnapLine, quote, virshWord } from './quote.ts';
import { type SnapshotReport, tagsOf } from './report.ts';
import { internalDisks } from './snapshot.ts';

/**
 * The rules that compare what libvirt believes with what the disks hold. What stops a create or a revert is told by the
 * rules of these, so that a check and what it foretells cannot differ.
 */

/** A machine with all that is known of it. */
export interface TruthFacts {
  readonly domain: Domain;
  readonly snapshots: readonly SnapshotReport[];
  readonly current: string | null;
  /** By target, the disks that take part in a snapshot. */
  readonly images: ReadonlyMap<string, DiskImage>;
  /** Seconds since the epoch. */
  readonly nowSeconds: number;
  /** The newest snapshot (of those that count) must not be older than these seconds; null: any age is right. */
  readonly maxAge: {
    readonly seconds: number;
    readonly says: string;
    readonly counts: (name: string) => boolean;
  } | null;
}

export const TRUTH_RULES: readonly Rule<TruthFacts>[] = [
  {
    id: 'left-paused',
    hazards: [9, 25],
    severity: 'error',
    find: ({ domain }) =>
      isSaving(domain) && !domain.busy
        ? [
            {
              what: `the machine was left paused (${domain.stateReason}) by a snapshot or save that has ended`,
              command: `virsh resume ${virshWord(domain)}`,
            },
          ]
        : [],
  },
  {
    id: 'under-way',
    hazards: [25],
    severity: 'information',
    find: ({ domain, snapshots }) => [
      ...snapshots
        .filter(({ underWay }) => underWay)
        .map(({ name }) => ({
          snapshot: name,
          what: `the snapshot '${name}' is being taken at this moment`,
        })),
      ...(domain.busy && !snapshots.some(({ underWay }) => underWay)
        ? [{ what: 'a job of libvirt holds the machine at this moment' }]
        : []),
    ],
  },
  {
    id: 'orphan-tag',
    hazards: [4, 9, 19, 22],
    severity: 'warning',
    find: ({ domain, snapshots, images }) => {
      const known = new Set(snapshots.map(({ name }) => name));
      const holders = new Map<string, string[]>();
      for (const { target, tag } of seenTags({ domain, images })) {
        if (!known.has(tag.name)) holders.set(tag.name, [...(holders.get(tag.name) ?? []), target]);
      }
      return [...holders].map(([name, targets]) => orphanFinding(images, name, [...new Set(targets)]));
    },
  },
  {
    id: 'no-data',
    hazards: [2, 3, 22],
    severity: 'error',
    find: ({ domain, snapshots, images }) =>
      snapshots.flatMap((snapshot) =>
        isGone(snapshot, images)
          ? [
              {
                snapshot: snapshot.name,
                what: `the snapshot '${snapshot.name}' is in no disk: only libvirt's knowledge of it is left`,
                command: kvmsnapLine('delete', [domain.name, snapshot.name], '--metadata'),
              },
            ]
          : [],
      ),
  },
  {
    id: 'broken-parent',
    hazards: [],
    severity: 'warning',
    find: ({ snapshots }) => {
      const known = new Set(snapshots.map(({ name }) => name));
      return snapshots
        .filter(({ parent }) => parent !== null && !known.has(parent))
        .map(({ name, parent }) => ({
          snapshot: name,
          what: `the parent of the snapshot '${name}' is '${parent}', which does not exist`,
        }));
    },
  },
  {
    id: 'no-current',
    hazards: [22],
    severity: 'information',
    find: ({ domain, snapshots, current }) => {
      const newest = snapshots.at(-1);
      if (current !== null || !newest) return [];
      return [
        {
          what: 'no snapshot is the current one: libvirt has lost it, or it was deleted; the next one will have no parent',
          hint: `if the machine runs on from '${newest.name}'`,
          command: `virsh snapshot-current ${virshWord(domain)} --snapshotname ${quote(newest.name)}`,
        },
      ];
    },
  },
  {
    id: 'too-old',
    hazards: [],
    severity: 'error',
    find: ({ domain, snapshots, nowSeconds, maxAge }) => {
      if (!maxAge) return [];
      const newest = snapshots.filter(({ name, underWay }) => maxAge.counts(name) && !underWay).at(-1);
      if (newest && nowSeconds - newest.createdAtSeconds <= maxAge.seconds) return [];
      const found = newest
        ? `the newest snapshot, '${newest.name}', is older than ${maxAge.says}`
        : `there is no snapshot that could be younger than ${maxAge.says}`;
      return [{ what: found, command: kvmsnapLine('create', [domain.name]) }];
    },
  },
];

interface Seen {
  readonly target: string;
  readonly tag: Tag;
}

function seenTags({ domain, images }: Pick<TruthFacts, 'domain' | 'images'>): Seen[] {
  return domain.disks.filter(takesPart).flatMap(({ target }) => {
    const image = images.get(target);
    return image?.kind === 'seen' ? image.chain[0].tags.map((tag) => ({ target, tag })) : [];
  });
}

function orphanFinding(images: TruthFacts['images'], name: string, targets: readonly string[]): Finding {
  const paths = targets.flatMap((target) => {
    const image = images.get(target);
    return image?.kind === 'seen' ? [image.chain[0].path] : [];
  });
  const verb = targets.length === 1 ? 'holds' : 'hold';
  return {
    what: `disk ${targets.join(', ')} ${verb} a snapshot '${name}' that libvirt does not know`,
    hint: 'with the machine off, this deletes it',
    command: paths.map((path) => `qemu-img snapshot -d ${quote(name)} ${quote(path)}`).join(' && '),
  };
}

/** Its tag is in none of its disks, and all of them were looked at. */
function isGone(snapshot: SnapshotReport, images: TruthFacts['images']): boolean {
  const disks = internalDisks(snapshot);
  return (
    !snapshot.underWay &&
    disks.length > 0 &&
    disks.every((disk) => tagsOf(snapshot, disk, images)?.length === 0)
  );
}
