import { type Domain, isActive } from '../../model/domain.ts';
import type { Finding, Rule } from '../../model/rule.ts';
import {
  type Against,
  againstGrowing,
  againstOpenFile,
  againstOpening,
  NO_OBSTACLES,
  obstacleFindings,
  type WrittenDisk,
} from '../../model/write-obstacles.ts';
import { participants } from '../../vm/findings/disks.ts';
import type { CreateFacts } from './facts.ts';
import { EXTERNAL, INTERNAL } from './modes.ts';

/** Rules of a create about images that cannot be written to, or that cannot grow. */

/** A running QEMU has the file open already; for a VM that is off, the file must be opened first. */
const against = ({ state }: Domain): Against => (isActive(state) ? againstOpenFile : againstOpening);

const written = ({ domain }: { readonly domain: Domain }): WrittenDisk[] =>
  participants(domain).map(({ target, source }) => ({ target, path: source }));

const unwritten = (facts: CreateFacts, against: Against): Finding[] =>
  obstacleFindings(
    facts.writeObstacles,
    written(facts),
    against,
    'no snapshot can be written into the image',
  );

export const WRITE_CREATE_RULES: readonly Rule<CreateFacts>[] = [
  {
    id: 'unwritable-image',
    hazards: [50],
    severity: 'error',
    modes: INTERNAL,
    find: (facts) => unwritten(facts, against(facts.domain)),
  },
  {
    // QEMU flushes its data before it switches to the overlay; while the VM is off, libvirt only reads the image
    id: 'unwritable-base',
    hazards: [50],
    severity: 'error',
    modes: EXTERNAL,
    find: ({ domain, plan, writeObstacles }) =>
      isActive(domain.state)
        ? obstacleFindings(
            writeObstacles,
            plan.disks.map(({ target, source }) => ({ target, path: source })),
            againstOpenFile,
            'QEMU cannot write out the data of the guest and switch to an overlay',
          )
        : [],
  },
  {
    id: 'unwritable-after-stop',
    hazards: [50],
    severity: 'warning',
    modes: INTERNAL,
    find: (facts) => {
      const { domain, writeObstacles: obstacles = NO_OBSTACLES } = facts;
      if (!isActive(domain.state)) return [];
      const later = written(facts).filter(({ path }) => !againstOpenFile(obstacles, path));
      return obstacleFindings(
        obstacles,
        later,
        againstOpening,
        'only the running QEMU, which opened it earlier, can still write to it: the VM can neither be reverted nor be started again',
      );
    },
  },
  {
    id: 'no-room-in-image',
    hazards: [50],
    severity: 'error',
    modes: INTERNAL,
    find: (facts) => unwritten(facts, againstGrowing),
  },
];
