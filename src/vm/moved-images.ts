import { type AdviceFacts, adviseDeletion } from '../model/deletion-advice.ts';
import { chainOf, type Image, type Images, type Tag, tagsNamed } from '../model/image.ts';
import { kvmsnapLine } from '../model/quote.ts';
import type { Finding } from '../model/rule.ts';
import { internalDisks, type Snapshot, type SnapshotDisk } from '../model/snapshot.ts';
import { inText } from '../model/text.ts';

/**
 * Finds images that were moved, renamed or copied since a snapshot was taken. libvirt reverts and deletes by the path
 * in the definition stored with the snapshot, whatever file the VM uses now. Several paths of one file have been
 * replaced by one path before (`callAlike`).
 */

/** A disk whose snapshot is in another file than the one where libvirt looks for it. */
export interface Moved {
  /** The target that the disk had when the snapshot was taken. */
  readonly target: string;
  /** Where libvirt looks. */
  readonly from: string;
  /** The backing files by the stored definition, and the present ones, as far as they differ. */
  readonly below: readonly (readonly [from: string, to: string])[];
  /** The image in use that holds the snapshot. */
  readonly to: string;
  /** The old path holds the snapshot too. */
  readonly isCopied: boolean;
  /** Why it may be another snapshot of the same name; null if everything that can be compared is equal. */
  readonly doubt: string | null;
}

/**
 * The largest difference in seconds between the times of a snapshot and of its tag. libvirt makes the tags after it has
 * begun the snapshot, one disk after the other.
 */
const MOST_SECONDS_LATER = 3600;

/**
 * The internal disks of a snapshot that were moved; `images` are those in use, `stored` what was found at the stored
 * paths. A file that could not be inspected counts as not moved.
 */
export function movedDisks(snapshot: Snapshot, images: Images, stored: Images | undefined): Moved[] {
  const chains = new Map([...images].map(([target, image]) => [target, chainOf(image)]));
  const used = new Set([...chains.values()].flatMap((chain) => chain.map(({ path }) => path)));
  const own = new Set(internalDisks(snapshot).map(({ source }) => source));
  return internalDisks(snapshot).flatMap((disk): Moved[] => {
    const { target, source } = disk;
    const old = stored?.get(target);
    if (source === null || used.has(source) || old === undefined || old.kind === 'unseen') return [];
    const there = tagsNamed(old, snapshot.name);
    // a tag in another disk of the snapshot belongs to that disk
    const holders = holdersOf(snapshot, chains, target).filter(({ chain }) => !own.has(chain[0].path));
    const [holder] = holders;
    if (!holder) return [];
    const differs = there.length > 0 && !there.some((tag) => holder.tags.some((other) => isSame(tag, other)));
    // the image in use holds a different snapshot of the same name
    if (differs) return [];
    const doubt =
      holders.length > 1
        ? `more than one image of the VM contains a snapshot ${inText(snapshot.name)}`
        : doubtOf(snapshot, holder);
    const { path } = holder.chain[0];
    return [
      {
        target,
        from: source,
        to: path,
        below: beneath(snapshot, disk, holder.chain),
        isCopied: there.length > 0,
        doubt,
      },
    ];
  });
}

interface Holder {
  readonly chain: readonly [Image, ...Image[]];
  readonly tags: readonly Tag[];
}

/** Where the snapshot is now: the disk that still has the target, or else any disk. */
function holdersOf(
  { name }: Snapshot,
  chains: ReadonlyMap<string, readonly Image[]>,
  target: string,
): Holder[] {
  const within = (chain: readonly Image[]): Holder[] =>
    chain.flatMap((link, i) => {
      const tags = link.tags.filter((tag) => tag.name === name);
      return tags.length === 0 ? [] : [{ chain: [link, ...chain.slice(i + 1)], tags }];
    });
  const own = within(chains.get(target) ?? []);
  if (own.length > 0) return own;
  const byPath = new Map(
    [...chains.values()].flatMap(within).map((holder) => [holder.chain[0].path, holder]),
  );
  return [...byPath.values()];
}

const isSame = (a: Tag, b: Tag): boolean =>
  a.createdAtSeconds === b.createdAtSeconds && a.vmStateBytes === b.vmStateBytes;

function doubtOf({ createdAtSeconds, memory }: Snapshot, { chain, tags }: Holder): string | null {
  const [tag] = tags;
  const [{ path }] = chain;
  if (!tag || tags.length > 1) return `${path} contains ${tags.length} snapshots of that name`;
  const later = tag.createdAtSeconds - createdAtSeconds;
  if (later < -1 || later > MOST_SECONDS_LATER) return `the one in ${path} was taken at another time`;
  if (memory.location !== 'internal' && tag.vmStateBytes > 0)
    return `the one in ${path} contains saved memory`;
  return null;
}

/** If both chains have the same length, their backing files correspond one to one. */
function beneath(
  { definedDisks }: Snapshot,
  { target }: SnapshotDisk,
  [, ...below]: Holder['chain'],
): Moved['below'] {
  const then = definedDisks.find((disk) => disk.target === target)?.backing ?? [];
  if (then.length !== below.length) return [];
  return below.flatMap(({ path }, i) => {
    const from = then[i];
    return from === undefined || from === path ? [] : [[from, path] as const];
  });
}

/** The findings about the moved disks of one snapshot, for check and for the actions that they prevent. */
export function movedFindings(
  { domain, snapshots }: AdviceFacts,
  { name }: Pick<Snapshot, 'name'>,
  moved: readonly Moved[],
): Finding[] {
  if (moved.length === 0) return [];
  const what = moved.map(({ target, from, to, isCopied }) => {
    const how = isCopied
      ? `is also in ${to}, which the VM uses now: the image was copied`
      : `is in ${to}, which the VM uses now: the image was moved or renamed`;
    return `disk ${target}: libvirt looks for ${inText(name)} in ${from}, but it ${how}`;
  });
  const doubtful = moved.find(({ doubt }) => doubt !== null);
  if (doubtful)
    return [
      {
        snapshot: name,
        what: `${what.join('; ')}. It may be another snapshot of that name: ${doubtful.doubt}`,
        ...adviseDeletion({ domain, snapshots }, [name], {
          hint: `put the image back at ${doubtful.from}, or unregister the snapshot`,
          options: ['--metadata'],
        }),
      },
    ];
  return [
    {
      snapshot: name,
      what: what.join('; '),
      hint: 'this command registers the snapshot with the new path',
      command: kvmsnapLine('check', [domain.name], '--fix'),
    },
  ];
}
