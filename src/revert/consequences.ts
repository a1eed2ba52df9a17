import { isActive } from '../model/domain.ts';
import { chainOf, type DiskImage } from '../model/image.ts';
import { isBefore, STARTS_ANEW } from '../model/libvirt-versions.ts';
import { externalDisks, locationOf, type Snapshot } from '../model/snapshot.ts';
import { disksInText, inText } from '../model/text.ts';
import { isWrittenSince, secondsText } from '../vm/external-state.ts';
import { participants } from '../vm/findings/disks.ts';
import { removedFiles } from './rules/external-state.ts';
import type { RevertFacts } from './rules/facts.ts';
import { storedDifferences } from './rules/stored-definition.ts';

/** What a revert changes, as far as that is known beforehand. */

/**
 * Sentences about what a revert changes apart from the content of the disks (hazards 16, 18, 29). `end`: the state of the
 * VM afterwards.
 */
export function revertConsequences(facts: RevertFacts, end: string): string[] {
  const { domain, snapshot, daemonVersion } = facts;
  const kept = new Set(snapshot.definedDisks.map((disk) => disk.target));
  const others =
    snapshot.definedDisks.length === 0 ? [] : participants(domain).filter((disk) => !kept.has(disk.target));
  const before = new Map(
    snapshot.definedDisks.flatMap(({ target, source }) => (source === null ? [] : [[source, target]])),
  );
  const renamed = others.flatMap(({ target, source }) => {
    const then = source === null ? undefined : before.get(source);
    return then === undefined ? [] : [{ target, then }];
  });
  const lost = others.filter(({ target }) => !renamed.some((disk) => disk.target === target));
  const lines: string[] = renamed.map(
    ({ target, then }) => `disk ${target} will be ${then} again, as it was when the snapshot was taken`,
  );
  const differences = storedDifferences(facts);
  if (differences !== null) lines.push(...differences);
  else if (lost.length > 0) {
    const those = disksInText(lost.map((disk) => `${disk.target} (${disk.source ?? disk.storage})`));
    lines.push(
      `${those} will be removed from the VM, because the snapshot does not contain ${lost.length === 1 ? 'it; the file stays' : 'them; the files stay'}`,
    );
  }
  lines.push(...newOverlays(facts), ...doubtsAbout(facts));
  if (end === 'shutoff' && snapshot.state === 'disk-snapshot')
    lines.push(
      `${inText(snapshot.name)} was taken of a running VM, without its memory; --running starts the VM from its disks`,
    );
  if (isActive(domain.state) && end === 'shutoff')
    lines.push(`the VM is ${domain.state} and will be stopped as if its power were cut`);
  const isRestarted = !isBefore(daemonVersion, STARTS_ANEW) || snapshot.state === 'shutoff';
  if (isActive(domain.state) && end !== 'shutoff' && isRestarted) {
    const isSure = daemonVersion !== null || snapshot.state === 'shutoff';
    const restarted = isSure ? 'will be restarted' : 'may be restarted (libvirtd does not tell its version)';
    lines.push(`QEMU ${restarted}: consoles and displays disconnect, and the id of the VM changes`);
  }
  return lines;
}

/**
 * What libvirt does with the overlays in use: it creates new ones on top of the snapshot's files, and removes some of the
 * old ones.
 */
function newOverlays(facts: RevertFacts): string[] {
  const { domain, snapshot, images } = facts;
  const now = new Map(domain.disks.map((disk) => [disk.target, disk.source]));
  const removed = removedFiles(facts);
  const ofDisks = externalDisks(snapshot).flatMap(({ target }) => {
    const state = topOf(images.get(target));
    const active = now.get(target) ?? null;
    if (state === null || active === null) return [];
    const whatHappens = removed.includes(active)
      ? `${facts.daemonVersion === null ? 'may be' : 'will be'} removed, with everything written to it (--backup keeps it)`
      : 'stays, with everything written to it';
    return [`disk ${target} gets a new overlay on top of ${state}; ${active} ${whatHappens}`];
  });
  const inUse = new Set(now.values());
  const others = removed.filter((path) => !inUse.has(path));
  const media = ofDisks.length === 0 ? [] : (snapshot.otherDisks ?? []);
  return [
    ...ofDisks,
    ...media.map(
      ({ target, source }) =>
        `disk ${target} also gets a new overlay on top of ${source}, and uses that from then on`,
    ),
    ...others.map((path) => `${path} will be removed, with everything written to it`),
  ];
}

/** What no rule refuses, although it may mean that a file no longer holds what the snapshot left in it. */
function doubtsAbout({ snapshot, states = [] }: RevertFacts): string[] {
  const name = inText(snapshot.name);
  const isInternal = locationOf(snapshot) === 'internal';
  return states.flatMap((state) => {
    const { target, path, isBelow, isCopiedWithOverlay } = state;
    if (isInternal) {
      return isWrittenSince(state)
        ? [
            `disk ${target}: the backing file ${path} was written to after ${name} was taken (${secondsText(state.writtenAtSeconds ?? 0)}), so ${name} may not have the content that it had then`,
          ]
        : [];
    }
    return isCopiedWithOverlay && !isBelow
      ? [
          `disk ${target}: ${path} and the files on top of it were copied or moved after ${name} was taken, so their dates do not show whether the content is that of ${name}`,
        ]
      : [];
  });
}

/** The path of the image itself, above all that it is backed by; null if it was not read. */
export const topOf = (image: DiskImage | undefined): string | null => chainOf(image)[0]?.path ?? null;

/**
 * Whether virsh needs `--force` to do what the user asked for: an older libvirtd requires it if a running VM will run again
 * from a snapshot without memory. Only the running QEMU process is lost by it.
 */
export function revertNeedsForce({ domain, snapshot, daemonVersion }: RevertFacts, end: string): boolean {
  return (
    isActive(domain.state) &&
    end !== 'shutoff' &&
    snapshot.state === 'shutoff' &&
    isBefore(daemonVersion, STARTS_ANEW)
  );
}

/** The state in which a revert leaves the VM (libvirt 7.0 to 12.8). */
export function stateAfterRevert(snapshot: Snapshot, want: { running?: boolean; paused?: boolean }): string {
  if (want.running) return 'running';
  if (want.paused) return 'paused';
  return snapshot.state === 'disk-snapshot' ? 'shutoff' : snapshot.state;
}
