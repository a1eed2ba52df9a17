import { isActive } from '../../model/domain.ts';
import { chainOf, chainPaths } from '../../model/image.ts';
import type { Finding, Rule } from '../../model/rule.ts';
import { describeUses, opening, partFrom, seeing, shutDown, usesOf } from '../../sharing/image-users.ts';
import { participants } from '../../vm/findings/disks.ts';
import { plannedFiles } from '../plan.ts';
import type { CreateFacts } from './facts.ts';
import { EXTERNAL, INTERNAL } from './modes.ts';

/** Rules of a create about files that other VMs use too. */

/** For each disk in the snapshot: its active image, and the backing files below it. */
function chains({ domain, images }: CreateFacts) {
  return participants(domain).map(({ target, source, address }) => {
    const [, ...below] = chainOf(images.get(target)).map(({ path }) => path);
    return { target, source: source ?? address ?? chainOf(images.get(target))[0]?.path ?? null, below };
  });
}

/** The disks of an external snapshot, each with the image below its overlay and the backing files of that image. */
const bases = ({ plan, domain, images }: CreateFacts) =>
  plan.disks.map(({ target, source }) => ({
    target,
    source: source ?? domain.disks.find((disk) => disk.target === target)?.address ?? null,
    below: chainPaths(images.get(target)).slice(1),
  }));

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
                      what: `disk ${target}: ${source} cannot be written to now, because ${describeUses(users)}`,
                      ...shutDown(users),
                    },
                  ]),
              ...(path === null
                ? []
                : [
                    {
                      what: `disk ${target}: another VM writes to its backing file ${path}: ${describeUses(written)}`,
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
      bases(facts).flatMap(({ target, source, below }) =>
        [source, ...below].flatMap((path) => {
          const writers = opening(facts.users, path).filter(({ writes }) => writes);
          if (writers.length === 0) return [];
          return {
            what: `disk ${target}: a snapshot cannot preserve ${path} while another VM writes to it: ${describeUses(writers)}`,
            ...shutDown(writers),
          };
        }),
      ),
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
          what: `this VM would write to ${path}, and ${describeUses(others)}`,
          hint: 'choose another file with --diskspec or --memspec',
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
          what: `disk ${target}: other VMs use ${source} too: ${describeUses(others)}. kvmsnap refuses a revert as long as they do`,
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
      bases(facts).flatMap(({ target, source }) => {
        const writers = usesOf(facts.users, source).filter(({ writes, open }) => writes && !open);
        if (writers.length === 0) return [];
        return {
          what: `disk ${target}: other VMs use ${source} too: ${describeUses(writers)}. If such a VM runs, it writes to ${source} below the overlay, which damages the snapshot and the disk of this VM`,
          ...partFrom(writers),
        };
      }),
  },
];
