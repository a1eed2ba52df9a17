import { adviseDeletion, isOnHold } from '../model/deletion-advice.ts';
import { type Domain, isActive } from '../model/domain.ts';
import { chainOf, type Images } from '../model/image.ts';
import { type DaemonVersion, spelled } from '../model/libvirt-versions.ts';
import { kvmsnapLine, virshWord } from '../model/quote.ts';
import type { Finding } from '../model/rule.ts';
import { externalDisks, type Snapshot } from '../model/snapshot.ts';
import { inText } from '../model/text.ts';

/** How many overlays a disk may lie on: a VM with more of them runs on, and never starts again. */

interface Limit {
  /** The first version of libvirtd for which it holds. */
  readonly since: number;
  /** With so many overlays a VM starts, and no external snapshot is deleted while it is off with more. */
  readonly most: number;
  /** No snapshot by kvmsnap goes beyond this: a revert, a backup and the next snapshot must still have room. */
  readonly safe: number;
}

/**
 * Found with chains of qcow2 images. From 10.8 to 11.x libvirt's JSON parser ends at 32 levels, of which each overlay of
 * QEMU's answer takes one: 24 overlays, 21 where the last image has dirty bitmaps. Else its own limit is 200 images.
 */
const LIMITS: readonly Limit[] = [
  { since: 12_000_000, most: 199, safe: 180 },
  { since: 10_008_000, most: 24, safe: 18 },
  { since: 0, most: 199, safe: 180 },
];
const STRICTEST = 10_008_000;

/** What holds for this libvirtd; for one that does not tell its version the strictest. */
const limitOf = (version: DaemonVersion): Limit =>
  LIMITS.find(({ since }) => (version ?? STRICTEST) >= since) as Limit;

const reasonOf = (version: DaemonVersion, { since, most }: Limit): string => {
  const who =
    version === null
      ? 'libvirtd does not tell its version, and from 10.8 on before 12.0 it'
      : since === STRICTEST
        ? `this libvirtd (from ${spelled(STRICTEST)} on, before 12.0)`
        : 'libvirtd';
  return `${who} starts no VM with more than ${most} overlays`;
};

interface Deep {
  readonly target: string;
  readonly overlays: number;
}

/** How many overlays each of these disks lies on, as far as they were looked at. */
const depths = (images: Images, targets: readonly string[]): Deep[] =>
  targets.flatMap((target) => {
    const chain = chainOf(images.get(target));
    return chain.length === 0 ? [] : [{ target, overlays: chain.length - 1 }];
  });

/** The disks of these targets that one more overlay would bring too near to the limit. */
export function tooDeepForMore(
  { domain, images, daemonVersion }: Omit<ChainFacts, 'snapshots'>,
  targets: readonly string[],
): Finding[] {
  const limit = limitOf(daemonVersion);
  return depths(images, targets)
    .filter(({ overlays }) => overlays >= limit.safe)
    .map(({ target, overlays }) => ({
      what: `disk ${target} lies on ${overlays} overlays, and ${reasonOf(daemonVersion, limit)}`,
      hint: 'delete old snapshots first, while the VM runs; kvmsnap check tells how',
      command: kvmsnapLine('check', [domain.name]),
    }));
}

/** What is known of a VM whose chains are measured. */
interface ChainFacts {
  readonly domain: Domain;
  readonly snapshots: readonly Snapshot[];
  readonly images: Images;
  readonly daemonVersion: DaemonVersion;
}

/** The disks of a VM that is off whose overlays are too many for libvirt to delete any. */
export const undeletable = (facts: ChainFacts): Finding[] =>
  isActive(facts.domain.state) ? [] : beyondLimit(facts);

/** The disks with more overlays than libvirt starts. */
export function beyondLimit(facts: ChainFacts): Finding[] {
  const { domain, images, daemonVersion } = facts;
  const limit = limitOf(daemonVersion);
  return allDepths(domain, images)
    .filter(({ overlays }) => overlays > limit.most)
    .map(({ target, overlays }) => {
      const what = `disk ${target} lies on ${overlays} overlays, and ${reasonOf(daemonVersion, limit)}`;
      return isActive(domain.state)
        ? {
            what: `${what}; the running VM may be lost when libvirtd restarts`,
            ...whileItRuns(facts, target, overlays - limit.safe),
          }
        : {
            what: `${what}, and deletes none of their snapshots while it is off`,
            ...whileItIsOff(facts, target),
          };
    });
}

/** The disks that come near to the limit. */
export function nearLimit(facts: ChainFacts): Finding[] {
  const { domain, images, daemonVersion } = facts;
  const limit = limitOf(daemonVersion);
  return allDepths(domain, images)
    .filter(({ overlays }) => overlays >= limit.safe && overlays <= limit.most)
    .map(({ target, overlays }) => ({
      what: `disk ${target} lies on ${overlays} overlays, and ${reasonOf(daemonVersion, limit)}: no further external snapshot is taken`,
      ...whileItRuns(facts, target, Math.ceil(limit.safe / 2)),
    }));
}

const allDepths = (domain: Domain, images: Images): Deep[] =>
  depths(
    images,
    domain.disks.map(({ target }) => target),
  );

/** The oldest go first: each is merged into the file below it. */
function whileItRuns(
  { domain, snapshots }: ChainFacts,
  target: string,
  count: number,
): Pick<Finding, 'hint' | 'command'> {
  const oldest = snapshots.filter((each) => externalDisks(each).some((disk) => disk.target === target));
  // one that is not on hold goes without more ado
  const free = oldest.filter((each) => !isOnHold(each));
  const names = (free.length > 0 ? free : oldest).slice(0, Math.max(1, count)).map(({ name }) => name);
  if (names.length === 0)
    return { hint: 'no snapshot accounts for them: merge some with virsh blockcommit while the VM runs' };
  const start = isActive(domain.state) ? '' : `virsh start ${virshWord(domain)} && `;
  return adviseDeletion({ domain, snapshots }, names, {
    hint: 'delete the oldest snapshots that you can do without, while the VM runs',
    lines: [start + kvmsnapLine('delete', [domain.name, ...names])],
  });
}

/** A path that a shell, sed and XML take as it is. */
const PLAIN = /^[\w./@%+:-]+$/;

/** libvirt can do nothing then: the newest overlay is merged without it, and the VM pointed at the file below. */
function whileItIsOff(
  { domain, snapshots, images }: ChainFacts,
  target: string,
): Pick<Finding, 'hint' | 'command'> {
  const [top, below] = chainOf(images.get(target));
  const made = snapshots.find((each) =>
    externalDisks(each).some((disk) => disk.target === target && disk.source === top?.path),
  );
  const isAlone = made !== undefined && externalDisks(made).length === 1;
  if (!top || !below || !isAlone || ![top, below].every(({ path }) => PLAIN.test(path)))
    return { hint: 'update libvirt to 12.0 or newer; the snapshots and the disks are whole' };
  const vm = virshWord(domain);
  return adviseDeletion({ domain, snapshots }, [made.name], {
    hint: `update libvirt to 12.0 or newer; or give up the newest snapshot ${inText(made.name)}, and keep what the disk holds now (once for each overlay too many)`,
    lines: [
      [
        `qemu-img commit -q -f ${top.format} ${top.path}`,
        `virsh dumpxml --inactive --security-info ${vm} | sed "s|'${top.path}'|'${below.path}'|" | virsh define /dev/stdin`,
        kvmsnapLine('delete', [domain.name, made.name], '--metadata'),
        `rm ${top.path}`,
      ].join(' && '),
    ],
  });
}

/** Whether so many are too many for some libvirtd; only then its version has to be asked for. */
export const mayBeTooDeep = (kept: number): boolean => LIMITS.some(({ safe }) => kept > safe);

/** Why rules that keep so many external snapshots cannot be meant; null: they can. */
export function keptTooDeep(kept: number, version: DaemonVersion): string | null {
  const limit = limitOf(version);
  return kept > limit.safe
    ? `the keep rules keep up to ${kept} external snapshots, each one overlay more, and ${reasonOf(version, limit)}`
    : null;
}
