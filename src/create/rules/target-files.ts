import type { Finding } from '../../model/rule.ts';
import type { PlannedDisk } from '../../model/snapshot-spec.ts';
import type { CreateFacts, TargetFile } from './facts.ts';

/** The files that an external snapshot would make, with what is there now. */

export const targetFileAt = ({ targetFiles }: CreateFacts, path: string): TargetFile | undefined =>
  targetFiles.get(path);

/** The overlays with what is there now. */
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
