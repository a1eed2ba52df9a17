import { isActive } from '../../model/domain.ts';
import { isBefore, STARTS_ANEW } from '../../model/libvirt-versions.ts';
import type { Rule } from '../../model/rule.ts';
import { internalDisks, locationOf } from '../../model/snapshot.ts';
import {
  againstOpenFile,
  againstOpening,
  obstacleFindings,
  type WrittenDisk,
} from '../../model/write-obstacles.ts';
import { againstUndercounted } from '../../vm/findings/undercounted.ts';
import type { RevertFacts } from './facts.ts';

/** Rules of a revert about images that cannot be written to. */

export const WRITE_REVERT_RULES: readonly Rule<RevertFacts>[] = [
  againstUndercounted<RevertFacts>(revertedIn),
  {
    id: 'unwritable-image',
    hazards: [50],
    severity: 'error',
    find: (facts) => {
      const { domain, snapshot, writeObstacles, daemonVersion } = facts;
      if (locationOf(snapshot) === 'external') return [];
      const isLoaded = isActive(domain.state) && snapshot.memory.location === 'internal';
      const staysOpen = isLoaded && isBefore(daemonVersion, STARTS_ANEW);
      return obstacleFindings(
        writeObstacles,
        writtenByRevert(facts),
        staysOpen ? againstOpenFile : againstOpening,
        isActive(domain.state)
          ? 'libvirt would stop the running guest, revert the other disks, and fail on this one'
          : 'libvirt would revert the other disks, and fail on this one',
      );
    },
  },
];

/** The images in which a revert to an internal snapshot changes the tables. */
export function revertedIn({ snapshot, images }: Pick<RevertFacts, 'snapshot' | 'images'>) {
  return internalDisks(snapshot).map(({ target }) => ({ target, image: images.get(target) }));
}

/** The disks in which a revert to an internal snapshot changes the image, and those that the VM is then started with. */
export function writtenByRevert({
  domain,
  snapshot,
  end,
}: Pick<RevertFacts, 'domain' | 'snapshot' | 'end'>): WrittenDisk[] {
  const now = new Map(domain.disks.map(({ target, source }) => [target, source]));
  const inside = internalDisks(snapshot).map(({ target, source }) => ({
    target,
    path: source ?? now.get(target) ?? null,
  }));
  const isStarted = (end ?? snapshot.state) === 'running' || (end ?? snapshot.state) === 'paused';
  const others = isStarted
    ? snapshot.definedDisks.map(({ target, source }) => ({ target, path: source }))
    : [];
  const paths = new Set(inside.map(({ path }) => path));
  return [...inside, ...others.filter(({ path }) => !paths.has(path))];
}
