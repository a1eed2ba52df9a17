import type { Cost, DiskCost } from './measure.ts';

/** What a snapshot costs, as members of a document; null if it could not be measured. */
export const costDocument = (cost: Cost | null) => ({
  freesBytes: cost?.frees.hostBytes ?? null,
  freesClusterBytes: cost?.frees.clusterBytes ?? null,
  holdsBytes: cost?.holds.hostBytes ?? null,
  vmStateBytes: cost?.vmState.hostBytes ?? null,
  changedBytes: cost?.changedBytes ?? null,
});

/** Why a snapshot could not be measured, for each disk; null if it could. */
export const whyNot = (disks: readonly DiskCost[]): string | null =>
  disks.flatMap(({ target, problem }) => (problem === null ? [] : [`${target}: ${problem}`])).join('; ') ||
  null;
