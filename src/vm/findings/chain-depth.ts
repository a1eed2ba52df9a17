import { adviseDeletion, isOnHold } from '../../model/deletion-advice.ts';
import { type Domain, isActive } from '../../model/domain.ts';
import { chainOf, type Images } from '../../model/image.ts';
import type { DaemonVersion } from '../../model/libvirt-versions.ts';
import { kvmsnapLine, virshWord } from '../../model/quote.ts';
import type { Finding } from '../../model/rule.ts';
import { externalDisks, type Snapshot } from '../../model/snapshot.ts';
import { inText } from '../../model/text.ts';

/** How many overlays a backing chain may have. A VM with more of them continues to run, but never starts again. */

interface Limit {
  /** The first version of libvirtd that has this limit. */
  readonly since: number;
  /**
   * The largest number of overlays with which a VM starts, and with which external snapshots can be deleted while it is
   * off.
   */
  readonly most: number;
  /** kvmsnap takes no snapshot beyond this number, so that a revert, a backup and another snapshot are still possible. */
  readonly safe: number;
}

/**
 * Measured with chains of qcow2 images. From 10.8 to 11.x, libvirt's JSON parser stops at 32 levels, and each overlay
 * in QEMU's answer takes one: so 24 overlays are possible, or 21 if the last image has dirty bitmaps. In other versions
 * libvirt's own limit is 200 images.
 */
const LIMITS: readonly Limit[] = [
  { since: 12_000_000, most: 199, safe: 180 },
  { since: 10_008_000, most: 24, safe: 18 },
  { since: 0, most: 199, safe: 180 },
];
const STRICTEST = 10_008_000;

/** The limit of this libvirtd; the strictest one if it does not tell its version. */
const limitOf = (version: DaemonVersion): Limit =>
  LIMITS.find(({ since }) => (version ?? STRICTEST) >= since) as Limit;

const reasonOf = (version: DaemonVersion, { since, most }: Limit): string => {
  const who =
    version === null
      ? 'libvirtd does not tell its version, and libvirt 10.8 to 11.x'
      : since === STRICTEST
        ? `this libvirtd (10.8 to 11.x)`
        : 'libvirtd';
  return `${who} cannot start a VM with more than ${most} overlays`;
};

interface Deep {
  readonly target: string;
  readonly overlays: number;
}

/** How many overlays the backing chain of each of these disks has, as far as it was inspected. */
const depths = (images: Images, targets: readonly string[]): Deep[] =>
  targets.flatMap((target) => {
    const chain = chainOf(images.get(target));
    return chain.length === 0 ? [] : [{ target, overlays: chain.length - 1 }];
  });

/** The disks of these targets that one more overlay would bring too close to the limit. */
export function tooDeepForMore(
  { domain, images, daemonVersion }: Omit<ChainFacts, 'snapshots'>,
  targets: readonly string[],
): Finding[] {
  const limit = limitOf(daemonVersion);
  return depths(images, targets)
    .filter(({ overlays }) => overlays >= limit.safe)
    .map(({ target, overlays }) => ({
      what: `disk ${target} has a chain of ${overlays} overlays, and ${reasonOf(daemonVersion, limit)}`,
      hint: 'delete old snapshots first, while the VM runs; kvmsnap check tells how',
      command: kvmsnapLine('check', [domain.name]),
    }));
}

/** The facts about a VM whose chains are measured. */
interface ChainFacts {
  readonly domain: Domain;
  readonly snapshots: readonly Snapshot[];
  readonly images: Images;
  readonly daemonVersion: DaemonVersion;
}

/** The disks of a VM that is off with too many overlays for libvirt to delete one. */
export const undeletable = (facts: ChainFacts): Finding[] =>
  isActive(facts.domain.state) ? [] : beyondLimit(facts);

/** The disks with more overlays than libvirt can start. */
export function beyondLimit(facts: ChainFacts): Finding[] {
  const { domain, images, daemonVersion } = facts;
  const limit = limitOf(daemonVersion);
  return allDepths(domain, images)
    .filter(({ overlays }) => overlays > limit.most)
    .map(({ target, overlays }) => {
      const what = `disk ${target} has a chain of ${overlays} overlays, and ${reasonOf(daemonVersion, limit)}`;
      return isActive(domain.state)
        ? {
            what: `${what}; when libvirtd restarts, the running VM may be stopped, and its memory lost`,
            ...whileItRuns(facts, target, overlays - limit.safe),
          }
        : {
            what: `${what}, or delete its snapshots while it is off`,
            ...whileItIsOff(facts, target),
          };
    });
}

/** The disks that come close to the limit. */
export function nearLimit(facts: ChainFacts): Finding[] {
  const { domain, images, daemonVersion } = facts;
  const limit = limitOf(daemonVersion);
  return allDepths(domain, images)
    .filter(({ overlays }) => overlays >= limit.safe && overlays <= limit.most)
    .map(({ target, overlays }) => ({
      what: `disk ${target} has a chain of ${overlays} overlays, and ${reasonOf(daemonVersion, limit)}: kvmsnap takes no further external snapshot`,
      ...whileItRuns(facts, target, Math.ceil(limit.safe / 2)),
    }));
}

const allDepths = (domain: Domain, images: Images): Deep[] =>
  depths(
    images,
    domain.disks.map(({ target }) => target),
  );

/** The advice to delete the oldest snapshots first, because each is merged into its backing file. */
function whileItRuns(
  { domain, snapshots }: ChainFacts,
  target: string,
  count: number,
): Pick<Finding, 'hint' | 'command' | 'commands'> {
  const oldest = snapshots.filter((each) => externalDisks(each).some((disk) => disk.target === target));
  // a snapshot that is not on hold can be deleted at once
  const free = oldest.filter((each) => !isOnHold(each));
  const names = (free.length > 0 ? free : oldest).slice(0, Math.max(1, count)).map(({ name }) => name);
  if (names.length === 0)
    return {
      hint: 'these overlays belong to no snapshot: merge some with virsh blockcommit while the VM runs',
    };
  const start = isActive(domain.state) ? [] : [`virsh start ${virshWord(domain)}`];
  return adviseDeletion({ domain, snapshots }, names, {
    hint: 'delete the oldest snapshots that you do not need, while the VM runs',
    lines: [...start, kvmsnapLine('delete', [domain.name, ...names])],
  });
}

/** A path without characters that are special for a shell, for sed or in XML. */
const PLAIN = /^[\w./@%+:-]+$/;

/**
 * The advice if libvirt itself can do nothing: merge the newest overlay without libvirt, and change the VM's definition
 * to its backing file.
 */
function whileItIsOff(
  { domain, snapshots, images }: ChainFacts,
  target: string,
): Pick<Finding, 'hint' | 'command' | 'commands'> {
  const [top, below] = chainOf(images.get(target));
  const made = snapshots.find((each) =>
    externalDisks(each).some((disk) => disk.target === target && disk.source === top?.path),
  );
  const isAlone = made !== undefined && externalDisks(made).length === 1;
  if (!top || !below || !isAlone || ![top, below].every(({ path }) => PLAIN.test(path)))
    return { hint: 'update libvirt to 12.0 or newer; the snapshots and the disks are intact' };
  const vm = virshWord(domain);
  return adviseDeletion({ domain, snapshots }, [made.name], {
    hint: `update libvirt to 12.0 or newer; or merge the newest overlay, which loses the snapshot ${inText(made.name)} and keeps the present content of the disk (repeat this for each overlay too many)`,
    lines: [
      `qemu-img commit -q -f ${top.format} ${top.path}`,
      `virsh dumpxml --inactive --security-info ${vm} | sed "s|'${top.path}'|'${below.path}'|" | virsh define /dev/stdin`,
      kvmsnapLine('delete', [domain.name, made.name], '--metadata'),
      `rm ${top.path}`,
    ],
  });
}

/** Whether so many overlays are too many for any libvirtd; only then its version has to be read. */
export const mayBeTooDeep = (kept: number): boolean => LIMITS.some(({ safe }) => kept > safe);

/** Why keep rules must not keep so many external snapshots; null if they may. */
export function keptTooDeep(kept: number, version: DaemonVersion): string | null {
  const limit = limitOf(version);
  return kept > limit.safe
    ? `the keep rules keep up to ${kept} external snapshots, each of which adds one overlay, and ${reasonOf(version, limit)}`
    : null;
}
