import { isActive, takesPart } from '../../model/domain.ts';
import { chainOf } from '../../model/image.ts';
import { DELETES_EXTERNAL, isFrom } from '../../model/libvirt-versions.ts';
import type { Finding, Rule } from '../../model/rule.ts';
import { externalDisks, internalDisks, locationOf, stateFile } from '../../model/snapshot.ts';
import { inText } from '../../model/text.ts';
import {
  againstGrowing,
  againstOpenFile,
  againstOpening,
  obstacleFindings,
  type WrittenDisk,
} from '../../model/write-obstacles.ts';
import { againstUndercounted } from '../../vm/findings/undercounted.ts';
import { deletionOf, deletionSetOf } from '../deletion-set.ts';
import type { DeleteFacts } from './facts.ts';
import { imagesOf } from './location.ts';

/** Rules of a delete about images that cannot be written to, or that cannot grow. */

export const WRITE_DELETE_RULES: readonly Rule<DeleteFacts>[] = [
  againstUndercounted<DeleteFacts>(deletedIn),
  {
    id: 'unwritable-image',
    hazards: [50],
    severity: 'error',
    // if the VM is off, virsh unregisters the snapshot, exit 0, and it stays in the image; if it runs, the other disks lose it
    find: (facts) => {
      const inUse = new Set(facts.domain.disks.map(({ source }) => source));
      const isOpen = (path: string | null) => isActive(facts.domain.state) && inUse.has(path);
      return unique(
        deletedTags(facts).flatMap(({ name, ...disk }) =>
          obstacleFindings(
            facts.writeObstacles,
            [disk],
            isOpen(disk.path) ? againstOpenFile : againstOpening,
            `${inText(name)} would be deleted only from the other disks`,
          ),
        ),
      );
    },
  },
  {
    id: 'no-room-in-image',
    hazards: [50],
    severity: 'error',
    // QEMU writes the new list of snapshots before it frees the old list
    find: (facts) =>
      unique(
        deletedTags(facts).flatMap(({ name, ...disk }) =>
          obstacleFindings(
            facts.writeObstacles,
            [disk],
            againstGrowing,
            `${inText(name)} would be deleted only from the other disks: QEMU must write a new list of snapshots before it frees anything`,
          ),
        ),
      ),
  },
  {
    id: 'unwritable-base',
    hazards: [50],
    severity: 'error',
    find: (facts) => {
      const { domain, snapshot, writeObstacles, daemonVersion } = facts;
      if (!isMerge(facts) || !isFrom(daemonVersion, DELETES_EXTERNAL)) return [];
      const merged = obstacleFindings(
        writeObstacles,
        mergeTargets(facts),
        againstOpening,
        `${inText(snapshot.name)} cannot be merged into it: libvirt would merge the other disks and fail on this one`,
      );
      // libvirt starts QEMU for the merge
      const started = isActive(domain.state)
        ? []
        : obstacleFindings(
            writeObstacles,
            openedForMerge(facts),
            againstOpening,
            `QEMU, which libvirt starts for the merge of ${inText(snapshot.name)}, cannot open it`,
          );
      return unique([...merged, ...started]);
    },
  },
];

const isMerge = (facts: Pick<DeleteFacts, 'scope' | 'snapshot' | 'current' | 'daemonVersion'>): boolean =>
  facts.scope === 'only' && locationOf(facts.snapshot) === 'external' && deletionOf(facts) === 'merge';

/** All paths that a delete writes to. */
export const writtenByDelete = (facts: DeleteFacts): (string | null)[] =>
  [...deletedTags(facts), ...mergeTargets(facts), ...openedForMerge(facts)].map(({ path }) => path);

/** The images from which a tag is deleted. */
export function deletedIn(facts: Omit<DeleteFacts, 'undercounted' | 'writeObstacles'>) {
  return deletionSetOf(facts).flatMap((member) =>
    internalDisks(member).map(({ target }) => ({ target, image: imagesOf(facts, member).get(target) })),
  );
}

function deletedTags(facts: DeleteFacts): (WrittenDisk & { readonly name: string })[] {
  const active = new Map(facts.domain.disks.map(({ target, source }) => [target, source]));
  return deletionSetOf(facts).flatMap((member) =>
    internalDisks(member).map(({ target, source }) => ({
      name: member.name,
      target,
      path: chainOf(imagesOf(facts, member).get(target))[0]?.path ?? source ?? active.get(target) ?? null,
    })),
  );
}

/** The files below the overlays of the snapshot. */
function mergeTargets({ snapshot, images }: DeleteFacts): WrittenDisk[] {
  return externalDisks(snapshot).map((disk) => {
    const overlay = chainOf(images.get(disk.target)).find(({ path }) => path === disk.source);
    return { target: disk.target, path: overlay?.backing ?? stateFile(snapshot, disk) };
  });
}

const openedForMerge = ({ domain, snapshot }: DeleteFacts): WrittenDisk[] =>
  locationOf(snapshot) === 'external'
    ? domain.disks.filter(takesPart).map(({ target, source }) => ({ target, path: source }))
    : [];

const unique = (all: readonly Finding[]): Finding[] =>
  all.filter(({ what }, i) => all.findIndex((other) => other.what === what) === i);
