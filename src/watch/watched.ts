import { chainOf, type Images } from '../model/image.ts';
import { labelOf } from '../model/labels.ts';
import type { SnapshotReport } from '../model/report.ts';
import { externalDisks } from '../model/snapshot.ts';

/** Which snapshots of a VM are watched. Those on hold stay on purpose, so they are exempt from all that limits what is kept. */

export interface Watched {
  /** The newest one, on hold or not; null if there is none. */
  readonly newest: SnapshotReport | null;
  /** Those that are not on hold, oldest first. */
  readonly kept: readonly SnapshotReport[];
}

/** Of the snapshots of a VM, oldest first, the complete ones with this label; null: all of them. */
export function watched(snapshots: readonly SnapshotReport[], label: string | null): Watched {
  const own = snapshots.filter((each) => !each.underWay && hasLabel(each, label));
  return { newest: own.at(-1) ?? null, kept: own.filter(({ held }) => !held) };
}

/** The snapshot that `kvmsnap verify` has proven last, of the complete ones with this label; null if there is none. */
export function lastProven(
  snapshots: readonly SnapshotReport[],
  label: string | null,
): { readonly name: string; readonly provenAtSeconds: number } | null {
  const proofs = snapshots.flatMap((each) =>
    !each.underWay && hasLabel(each, label) && each.verified?.outcome === 'proven'
      ? [{ name: each.name, provenAtSeconds: each.verified.atSeconds }]
      : [],
  );
  return proofs.sort((a, b) => b.provenAtSeconds - a.provenAtSeconds)[0] ?? null;
}

/** Whether the name has this label; null: any name. */
export const hasLabel = ({ name }: { readonly name: string }, label: string | null): boolean =>
  label === null || labelOf(name) === label;

/** How many overlays the backing chain of a disk has, as far as it was inspected. */
export interface Depth {
  readonly target: string;
  readonly overlays: number;
}

/** By disk, the overlays that no snapshot on hold has made. */
export function depthsOf(images: Images, snapshots: readonly SnapshotReport[]): Depth[] {
  const held = snapshots.filter((each) => each.held).flatMap(externalDisks);
  return [...images].flatMap(([target, image]) => {
    const chain = chainOf(image);
    const overlays = chain.slice(0, -1);
    const isHeld = (path: string) => held.some((disk) => disk.target === target && disk.source === path);
    return chain.length === 0
      ? []
      : [{ target, overlays: overlays.filter(({ path }) => !isHeld(path)).length }];
  });
}
