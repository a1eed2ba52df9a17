import { attributeAt, type Element, elementsAt, textAt } from '../../libvirt/xml/element.ts';
import { isActive } from '../../model/domain.ts';
import { chainPaths } from '../../model/image.ts';
import type { Rule } from '../../model/rule.ts';
import { internalDisks, type Snapshot } from '../../model/snapshot.ts';
import { inText } from '../../model/text.ts';
import { describeUses, opening, shutDown } from '../../sharing/image-users.ts';
import type { RevertFacts } from './facts.ts';
import { type StoredDefinitionFacts, startsQemu } from './stored-definition.ts';

/** A file that QEMU opens at the start in addition to the images of the snapshot. */
interface OpenedFile {
  readonly path: string;
  /** `disk vdb`, `the NVRAM` */
  readonly what: string;
  readonly writes: boolean;
}

/** The media and disks that are no part of the snapshot, and the NVRAM, which QEMU opens with the stored definition. */
export function filesOpened(
  { disks, definedDisks, otherDisks = [] }: Snapshot,
  { stored }: Pick<StoredDefinitionFacts, 'stored'>,
): OpenedFile[] {
  if (!stored) return [];
  const inSnapshot = new Set(disks.filter(({ location }) => location !== 'no').map(({ target }) => target));
  const sources = new Map([...definedDisks, ...otherDisks].map(({ target, source }) => [target, source]));
  const ofDisks = elementsAt(stored.domain, 'devices/disk').flatMap((disk): OpenedFile[] => {
    const target = attributeAt(disk, 'target', 'dev') ?? '';
    const path = sources.get(target);
    // QEMU lets several VMs write to a disk that each of them shares
    if (!path || inSnapshot.has(target) || elementsAt(disk, 'shareable').length > 0) return [];
    return [{ path, what: `disk ${target}`, writes: !isReadOnly(disk) }];
  });
  const nvram = attributeAt(stored.domain, 'os/nvram/source', 'file') ?? textAt(stored.domain, 'os/nvram');
  return [...ofDisks, ...(nvram === null ? [] : [{ path: nvram, what: 'the NVRAM', writes: true }])];
}

const isReadOnly = (disk: Element): boolean =>
  disk.attributes['device'] === 'cdrom' || elementsAt(disk, 'readonly').length > 0;

/** The rule about files that another VM has locked, so that QEMU cannot start with the stored definition. */
export const OPENED_FILES: Rule<RevertFacts> = {
  id: 'file-in-use',
  hazards: [39, 44],
  severity: 'error',
  find: (facts) => {
    const { domain, snapshot, users, images } = facts;
    if (!startsQemu(facts)) return [];
    const harm = isActive(domain.state)
      ? 'libvirt would stop the running guest and then fail'
      : 'libvirt could not start the VM';
    const below = internalDisks(snapshot).flatMap(({ target }) =>
      chainPaths(images.get(target))
        .slice(1)
        .map((path) => ({ path, what: `the backing file of disk ${target}`, writes: false })),
    );
    return [...filesOpened(snapshot, facts), ...below].flatMap(({ path, what, writes }) => {
      const holders = opening(users, path).filter((use) => writes || use.writes);
      if (holders.length === 0) return [];
      return {
        what: `${what} of the definition stored with ${inText(snapshot.name)} is ${path}, which QEMU cannot open now, because ${describeUses(holders)}; ${harm}`,
        ...shutDown(holders),
      };
    });
  },
};
