import { isActive } from '../../model/domain.ts';
import { chainOf } from '../../model/image.ts';
import type { Finding, Rule } from '../../model/rule.ts';
import { describeUses, opening, partFrom, seeing, shutDown, usesOf } from '../../sharing/image-users.ts';
import { participants } from '../../vm/disk-findings.ts';
import { plannedFiles } from '../plan.ts';
import type { CreateFacts } from './facts.ts';
import { EXTERNAL, INTERNAL } from './modes.ts';

/** The rules of a create about files that other VMs use too. */

/** Of each disk that takes part: its active image, and the backing files below it. */
function chains({ domain, images }: CreateFacts) {
  return participants(domain).map(({ target, source }) => {
    const [, ...below] = chainOf(images.get(target)).map(({ path }) => path);
    return { target, source: source ?? chainOf(images.get(target))[0]?.path ?? null, below };
  });
}

export const SHARING_RULES: readonly Rule<CreateFacts>[] = [
  {
    // qemu-img and QEMU lock an image that they write to, and the backing files of an image that they use
    id: 'image-in-use',
    hazards: [39],
    severity: 'error',
    modes: INTERNAL,
    find: (facts) =>
      isActive(facts.domain.state)
        ? []
        : chains(facts).flatMap(({ target, source, below }): Finding[] => {
            const users = opening(facts.users, source);
            const [path, written] = below
              .map((file) => [file, opening(facts.users, file).filter(({ writes }) => writes)] as const)
              .find(([, writers]) => writers.length > 0) ?? [null, []];
            return [
              ...(users.length === 0
                ? []
                : [
                    {
                      what: `disk ${target}: nothing can be written into ${source} now: ${describeUses(users)}`,
                      ...shutDown(users),
                    },
                  ]),
              ...(path === null
                ? []
                : [
                    {
                      what: `disk ${target}: ${path}, on which it lies, is written to: ${describeUses(written)}`,
                      ...shutDown(written),
                    },
                  ]),
            ];
          }),
  },
  {
    // libvirt would create the overlay, but the data that the snapshot should keep would go on changing
    id: 'image-written',
    hazards: [39],
    severity: 'error',
    modes: EXTERNAL,
    find: (facts) =>
      facts.plan.disks.flatMap(({ target, source }) => {
        const writers = opening(facts.users, source).filter(({ writes }) => writes);
        if (writers.length === 0) return [];
        return {
          what: `disk ${target}: an overlay over ${source} keeps nothing while that is written to: ${describeUses(writers)}`,
          ...shutDown(writers),
        };
      }),
  },
  {
    id: 'image-users',
    hazards: [39],
    severity: 'error',
    modes: EXTERNAL,
    find: (facts) =>
      plannedFiles(facts.plan).flatMap((path) => {
        const others = usesOf(facts.users, path);
        if (others.length === 0) return [];
        return {
          what: `${path} would be written to by this VM, and ${describeUses(others)}`,
          hint: 'name another file with --diskspec or --memspec',
        };
      }),
  },
  {
    id: 'shared-image',
    hazards: [39],
    severity: 'warning',
    modes: INTERNAL,
    find: (facts) =>
      chains(facts).flatMap(({ target, source }) => {
        const others = seeing(facts.users, source).filter(({ open }) => !open);
        if (source === null || others.length === 0) return [];
        return {
          what: `disk ${target}: ${source} is not this VM's alone: ${describeUses(others)}. A revert will be refused while that is so`,
          ...partFrom(others),
        };
      }),
  },
  {
    id: 'shared-base',
    hazards: [39],
    severity: 'warning',
    modes: EXTERNAL,
    find: (facts) =>
      facts.plan.disks.flatMap(({ target, source }) => {
        const writers = usesOf(facts.users, source).filter(({ writes, open }) => writes && !open);
        if (writers.length === 0) return [];
        return {
          what: `disk ${target}: ${describeUses(writers)}: once it runs, it writes to ${source} beneath the overlay, and neither the snapshot nor this VM's disk is right any more`,
          ...partFrom(writers),
        };
      }),
  },
];
