import { isActive } from '../../model/domain.ts';
import { type DiskImage, tagsNamed } from '../../model/image.ts';
import { isBefore, SAVES_BY_JOB } from '../../model/libvirt-versions.ts';
import { couldBeId, isJobName, isMonitorName, jobNameFor } from '../../model/names.ts';
import type { Rule } from '../../model/rule.ts';
import { inText } from '../../model/text.ts';
import { deleteTagLine } from '../../qemu/command-lines.ts';
import { describeUses, usesOf } from '../../sharing/image-users.ts';
import { eachDisk, nextTagId, participants, tagWithId } from '../../vm/findings/disks.ts';
import type { CreateFacts } from './facts.ts';
import { INTERNAL } from './modes.ts';

/**
 * Rules about the name of an internal snapshot: QEMU must be able to tell it from the other snapshots of the image, and
 * libvirt must be able to pass it to QEMU.
 */

export const INTERNAL_NAME_RULES: readonly Rule<CreateFacts>[] = [
  {
    id: 'orphan-tag',
    hazards: [4],
    severity: 'error',
    modes: INTERNAL,
    find: (facts) =>
      eachDisk(facts, ({ target, source }, image) => {
        const [tag] = tagsNamed(image, facts.name);
        if (!tag) return null;
        const others = usesOf(facts.users, source);
        if (others.length > 0)
          return {
            what: `disk ${target}: ${source ?? 'the image'} already contains a snapshot ${inText(facts.name)} (id ${tag.id}), and ${describeUses(others)}. Two snapshots of the same name in one image cannot be told apart`,
            hint: 'choose another name',
          };
        return {
          what: `disk ${target}: ${source ?? 'the image'} already contains a snapshot ${inText(facts.name)} (id ${tag.id}) that is not registered in libvirt. Two snapshots of the same name in one image cannot be told apart`,
          hint: 'choose another name; or, if nobody needs the snapshot in the image, delete it while the VM is off',
          command: deleteTagLine(facts.name, source ?? ''),
        };
      }),
  },
  {
    id: 'name-is-an-id',
    hazards: [31],
    severity: 'error',
    modes: INTERNAL,
    find: (facts) =>
      eachDisk(facts, ({ target, source }, image) => {
        const other = tagWithId(image, facts.name);
        if (!other) return null;
        return {
          what: `disk ${target}: in ${source ?? 'the image'}, snapshot ${inText(other.name)} has the id ${other.id}. QEMU looks for an id before a name, so a revert to ${inText(facts.name)} would restore ${inText(other.name)} instead`,
          hint: `choose a name with a letter in it, such as snapshot-${facts.name}`,
        };
      }),
  },
  {
    id: 'name-may-be-an-id',
    hazards: [31],
    severity: 'warning',
    modes: INTERNAL,
    find: ({ domain, images, name }) => {
      const isAhead = (image: DiskImage | undefined) =>
        image?.kind === 'unseen' || Number(name) > Number(nextTagId(image) ?? name);
      return couldBeId(name) && participants(domain).some(({ target }) => isAhead(images.get(target)))
        ? [
            {
              what: `${inText(name)} is a number, and another snapshot in the image may have it as its id, now or later. QEMU looks for an id before a name, so a revert would restore that snapshot instead. A name with a letter in it, such as snapshot-${name}, is safe`,
            },
          ]
        : [];
    },
  },
  {
    id: 'id-is-a-name',
    hazards: [31],
    severity: 'warning',
    modes: INTERNAL,
    find: (facts) =>
      eachDisk(facts, ({ target, source }, image) => {
        const id = nextTagId(image);
        if (id === null || tagsNamed(image, id).length === 0) return null;
        return {
          what: `disk ${target}: in ${source ?? 'the image'}, the new snapshot will have the id ${id}. QEMU looks for an id before a name, so you cannot revert to the snapshot named ${inText(id)} while the new one exists`,
        };
      }),
  },
  {
    id: 'job-name',
    hazards: [6],
    severity: 'error',
    modes: INTERNAL,
    find: ({ domain, name, daemonVersion }) => {
      if (!isActive(domain.state) || isBefore(daemonVersion, SAVES_BY_JOB) || isJobName(name)) return [];
      const taker =
        daemonVersion === null
          ? 'libvirtd 10.9 and newer (this one does not tell its version)'
          : 'this libvirtd';
      return [
        {
          what: `for a running VM, ${taker} accepts only names of letters (A-Z, a-z), digits, '.', '_' and '-', and not ${inText(name)}`,
          hint: `use the name ${inText(jobNameFor(name))}`,
        },
      ];
    },
  },
  {
    id: 'monitor-name',
    hazards: [6],
    severity: 'error',
    modes: INTERNAL,
    find: ({ domain, name, daemonVersion }) =>
      // where the version is unknown, the rule job-name refuses these names as well
      isActive(domain.state) && isBefore(daemonVersion, SAVES_BY_JOB) && !isMonitorName(name)
        ? [
            {
              what: `for a running VM, this libvirtd (before 10.9) garbles names with '"' or '\\', and would report a snapshot ${inText(name)} that no disk contains`,
              hint: `use the name ${inText(jobNameFor(name))}`,
            },
          ]
        : [],
  },
];
