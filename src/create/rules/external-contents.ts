import { tagsIn } from '../../model/image.ts';
import { mebibytes, type Rule } from '../../model/rule.ts';
import { disksInText, inText } from '../../model/text.ts';
import { savedMemoryBytes } from '../saved-memory.ts';
import type { CreateFacts } from './facts.ts';
import { EXTERNAL } from './modes.ts';
import { eachOverlay, targetFileAt } from './target-files.ts';

/** Rules about what an external snapshot does not contain, and about the space for what it contains. */

/** The size of a new overlay in bytes: a qcow2 file with its tables and no data. */
const OVERLAY_BYTES = 1024 * 1024;

export const EXTERNAL_CONTENT_RULES: readonly Rule<CreateFacts>[] = [
  {
    id: 'nvram-beside',
    hazards: [15],
    severity: 'warning',
    modes: EXTERNAL,
    find: ({ domain, plan }) =>
      // saved memory contains the variables of a <varstore>
      domain.pflash && !(domain.pflash.nvramFormat === 'json' && plan.memoryFile !== null)
        ? [
            {
              what: 'the UEFI NVRAM (boot entries, secure boot keys) will NOT be part of the snapshot: it has no overlay',
            },
          ]
        : [],
  },
  {
    id: 'left-out',
    hazards: [],
    severity: 'warning',
    modes: EXTERNAL,
    find: ({ plan }) =>
      plan.leftOut.length === 0 || plan.disks.length + plan.manual.length === 0
        ? []
        : [
            {
              what: `the snapshot leaves out ${disksInText(plan.leftOut)}: a revert will not restore the content`,
            },
          ],
  },
  {
    id: 'inside-beneath',
    hazards: [17],
    severity: 'warning',
    modes: EXTERNAL,
    find: ({ plan, images, snapshotNames }) => {
      const known = new Set(snapshotNames);
      return plan.disks.flatMap(({ target, source }) => {
        const inside = tagsIn(images.get(target)).filter(({ name }) => known.has(name));
        const [first, ...others] = inside.map(({ name }) => inText(name));
        if (first === undefined) return [];
        const [which, them] =
          others.length === 0
            ? [`snapshot ${first} is`, 'it']
            : [`snapshot ${first} and ${others.length} more are`, 'one of them'];
        return [
          {
            what: `disk ${target}: internal ${which} in ${source}, below the new overlay. A revert to ${them} will abandon the overlay, with everything written from now on`,
          },
        ];
      });
    },
  },
  {
    id: 'space-for-memory-file',
    hazards: [7],
    severity: 'overridable',
    modes: ['external'],
    find: (facts) => {
      const { plan } = facts;
      const free =
        plan.memoryFile === null ? null : (targetFileAt(facts, plan.memoryFile)?.freeBytes ?? null);
      const needed = savedMemoryBytes(facts);
      if (free === null || free >= needed) return [];
      return [
        {
          what: `the guest's memory takes up to ${mebibytes(needed)}, but the file system of ${plan.memoryFile} has only ${mebibytes(free)} free`,
          hint: 'free some space, choose a file elsewhere with --memspec, leave the memory out with --disk-only, or use --force',
        },
      ];
    },
  },
  {
    id: 'space-for-overlay',
    hazards: [],
    severity: 'overridable',
    modes: EXTERNAL,
    find: (facts) =>
      eachOverlay(facts, ({ target, overlay, storage }, targetFile) =>
        targetFile &&
        storage !== 'block' &&
        targetFile.freeBytes !== null &&
        targetFile.freeBytes < OVERLAY_BYTES
          ? {
              what: `disk ${target}: the file system of ${overlay} has only ${mebibytes(targetFile.freeBytes)} free, and the guest stops when its overlay cannot grow`,
              hint: 'free some space, choose a file elsewhere with --diskspec, or use --force',
            }
          : null,
      ),
  },
];
