import type { Domain } from '../../model/domain.ts';
import { tagsIn } from '../../model/image.ts';
import {
  DELETES_EXTERNAL,
  DELETES_PARTIAL,
  ifBefore,
  isBefore,
  REVERTS_EXTERNAL,
} from '../../model/libvirt-versions.ts';
import { stem } from '../../model/paths.ts';
import type { Finding, Rule } from '../../model/rule.ts';
import { allInText, diskInText, disksInText } from '../../model/text.ts';
import { editCommand } from '../../vm/findings/disks.ts';
import type { CreateFacts } from './facts.ts';
import { EXTERNAL } from './modes.ts';
import { isPartial, isUndeletable, PARTIAL_STAY } from './partial.ts';

/** Rules about whether an external snapshot could be reverted to and deleted later. */

const NO_WAY_BACK = 'use --force if you know how to go back without libvirt';

/** libvirt reverts a disk that the VM's XML names as a file, also if that file is in a storage pool. */
const asFile = (domain: Domain, path: string): Pick<Finding, 'hint' | 'command'> => ({
  hint: `in the VM's XML, make it a <disk type='file'> with ${path} as its file, with the VM off; or ${NO_WAY_BACK}`,
  command: editCommand(domain),
});

export const WAY_BACK_RULES: readonly Rule<CreateFacts>[] = [
  {
    id: 'external-on-old-daemon',
    hazards: [17],
    severity: 'overridable',
    unsupported: true,
    modes: EXTERNAL,
    find: ({ daemonVersion, plan }) => {
      const older = ifBefore(daemonVersion, REVERTS_EXTERNAL, 'cannot revert to external snapshots');
      if (plan.spec.noMetadata || older === null) return [];
      if (!isUndeletable(plan, daemonVersion)) return [{ what: older, hint: NO_WAY_BACK }];
      const what = isBefore(daemonVersion, DELETES_EXTERNAL)
        ? 'this libvirtd can neither revert to external snapshots (9.9 can) nor delete them (9.0 can)'
        : 'this libvirtd can neither revert to external snapshots (9.9 can) nor delete those that leave a disk to its storage or contain only the memory (11.3 can)';
      return [{ what, hint: NO_WAY_BACK }];
    },
  },
  {
    // a revert creates new overlays over the present images, under names that libvirt chooses
    id: 'no-revert',
    hazards: [17],
    severity: 'overridable',
    unsupported: true,
    modes: EXTERNAL,
    find: ({ domain, plan, daemonVersion }) => {
      if (plan.spec.noMetadata || isBefore(daemonVersion, REVERTS_EXTERNAL)) return [];
      const isFile = new Set(
        domain.disks.filter((disk) => disk.storage === 'file').map(({ target }) => target),
      );
      const stems = plan.disks.map(({ source }) => stem(source ?? ''));
      const same = plan.disks.filter(
        (_, i) => stems.filter((other) => other === stems[i]).length > 1 && stems[i],
      );
      return [
        ...plan.disks
          .filter(({ target }) => !isFile.has(target))
          .map(({ target, source }) => {
            const isVolume = domain.disks.some((disk) => disk.target === target && disk.pool);
            const kind = isVolume ? 'a volume of a storage pool' : 'not a file';
            return {
              what: `${diskInText({ target, source })} is ${kind}, and libvirt cannot revert such a disk to an external snapshot`,
              ...(isVolume && source && !source.startsWith('/dev/')
                ? asFile(domain, source)
                : { hint: NO_WAY_BACK }),
            };
          }),
        ...(same.length === 0
          ? []
          : [
              {
                what: `libvirt could not revert to it: the image names of ${disksInText(same.map(({ target }) => target))} differ only after the last dot, so libvirt would give the new overlays the same name`,
                hint: "shut the VM off, rename one of the images and change its path in the VM's XML; or use --force",
                command: editCommand(domain),
              },
            ]),
      ];
    },
  },
  {
    id: 'over-internal',
    hazards: [],
    severity: 'warning',
    modes: EXTERNAL,
    find: ({ plan, images, snapshotNames, daemonVersion }) => {
      if (plan.spec.noMetadata || isBefore(daemonVersion, DELETES_EXTERNAL)) return [];
      const over = plan.disks
        .filter(({ overlay }) => overlay !== null)
        .flatMap(({ target }) => tagsIn(images.get(target)).map(({ name }) => name));
      const names = [...new Set(over)].filter((name) => snapshotNames.includes(name));
      if (names.length === 0) return [];
      const all = allInText(names);
      return [
        {
          what: `the images contain internal snapshots (${all}); libvirt can delete the new external snapshot only after its internal ancestors are deleted`,
        },
      ];
    },
  },
  {
    id: 'label-undeletable',
    hazards: [],
    severity: 'error',
    unsupported: true,
    modes: EXTERNAL,
    find: ({ daemonVersion, labeled, plan }) => {
      const older =
        ifBefore(daemonVersion, DELETES_EXTERNAL, 'cannot delete external snapshots') ??
        (isPartial(plan) ? ifBefore(daemonVersion, DELETES_PARTIAL, PARTIAL_STAY) : null);
      return labeled && older !== null
        ? [
            {
              what: `snapshots with a label are meant to be pruned, but ${older}`,
              hint: 'leave out --label, or take an internal snapshot',
            },
          ]
        : [];
    },
  },
];
