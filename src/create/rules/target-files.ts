import type { PlannedDisk } from '../../model/input/snapshot-spec.ts';
import type { Finding } from '../../model/rule.ts';
import type { CreateFacts, TargetFile } from './facts.ts';

/** The files that an external snapshot would create, with what exists there now. */

/** The target file of that path, as it was before the snapshot. */
export const targetFileAt = ({ targetFiles }: CreateFacts, path: string): TargetFile | undefined =>
  targetFiles.get(path);

/** Calls `find` for each overlay of the plan, with what exists at its path (undefined if that is unknown). */
export function eachOverlay(
  facts: CreateFacts,
  find: (
    disk: PlannedDisk & { readonly overlay: string },
    targetFile: TargetFile | undefined,
  ) => Finding | null,
): Finding[] {
  return facts.plan.disks.flatMap((disk) => {
    const { overlay } = disk;
    return overlay === null ? [] : (find({ ...disk, overlay }, targetFileAt(facts, overlay)) ?? []);
  });
}
