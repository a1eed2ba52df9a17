import { isActive } from '../model/domain.ts';
import { chainOf, type DiskImage } from '../model/image.ts';
import { isBefore, STARTS_ANEW } from '../model/libvirt-versions.ts';
import { externalDisks, type Snapshot } from '../model/snapshot.ts';
import { inText } from '../model/text.ts';
import { participants } from '../vm/disk-findings.ts';
import { removedFiles } from './rules/external-state.ts';
import type { RevertFacts } from './rules/facts.ts';
import { storedDifferences } from './rules/stored-definition.ts';

/** What a revert changes, as far as it can be told beforehand. */

/**
 * Sentences about what a revert changes beside the content of the disks (hazards 16, 18, 29). `end`: the state
 * afterwards.
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
  const said: string[] = renamed.map(
    ({ target, then }) => `disk ${target} will be ${then} again, as it was when the snapshot was taken`,
  );
  const differences = storedDifferences(facts);
  if (differences !== null) said.push(...differences);
  else if (lost.length > 0) {
    const names = lost.map((disk) => `${disk.target} (${disk.source ?? disk.storage})`).join(', ');
    said.push(`added since and taken away from the VM by the revert: disk ${names}; the file itself stays`);
  }
  said.push(...newOverlays(facts));
  if (end === 'shutoff' && snapshot.state === 'disk-snapshot')
    said.push(
      `${inText(snapshot.name)} was taken of a running VM, without its memory: --running starts it from its disks`,
    );
  if (isActive(domain.state) && end === 'shutoff')
    said.push(`the VM is ${domain.state}, and will be stopped as if its power were cut`);
  const anew = !isBefore(daemonVersion, STARTS_ANEW) || snapshot.state === 'shutoff';
  if (isActive(domain.state) && end !== 'shutoff' && anew) {
    const isSure = daemonVersion !== null || snapshot.state === 'shutoff';
    const started = isSure ? 'is started anew' : 'may be started anew (libvirtd does not tell its version)';
    said.push(`QEMU ${started}: consoles and displays drop, and the id changes`);
  }
  return said;
}

/**
 * What libvirt does with the overlays in use: it creates new ones over the snapshot's files, and removes some of the
 * old.
 */
function newOverlays(facts: RevertFacts): string[] {
  const { domain, snapshot, images } = facts;
  const now = new Map(domain.disks.map((disk) => [disk.target, disk.source]));
  const removed = removedFiles(facts);
  const said = externalDisks(snapshot).flatMap(({ target }) => {
    const state = topOf(images.get(target));
    const active = now.get(target) ?? null;
    if (state === null || active === null) return [];
    const fate = removed.includes(active)
      ? `${facts.daemonVersion === null ? 'may be' : 'is'} removed, with all that was written to it (--backup keeps it)`
      : 'is left, with all that was written to it';
    return [`disk ${target}: a new overlay is laid over ${state}; ${active} ${fate}`];
  });
  const inUse = new Set(now.values());
  const others = removed.filter((path) => !inUse.has(path));
  const media = said.length === 0 ? [] : (snapshot.otherDisks ?? []);
  return [
    ...said,
    ...media.map(
      ({ target, source }) => `disk ${target}: a new overlay is laid over ${source} too, and takes its place`,
    ),
    ...others.map((path) => `${path} is removed, with all that was written to it`),
  ];
}

export const topOf = (image: DiskImage | undefined): string | null => chainOf(image)[0]?.path ?? null;

/**
 * Whether virsh must be told `--force` to do what the user asked for: an older libvirtd requires it where a running VM
 * will run again from a snapshot without memory. All that is lost by it is the running QEMU process.
 */
export function revertNeedsForce({ domain, snapshot, daemonVersion }: RevertFacts, end: string): boolean {
  return (
    isActive(domain.state) &&
    end !== 'shutoff' &&
    snapshot.state === 'shutoff' &&
    isBefore(daemonVersion, STARTS_ANEW)
  );
}

/** The state in which a revert leaves the VM, as 7.0 to 12.8 do it. */
export function stateAfterRevert(snapshot: Snapshot, want: { running?: boolean; paused?: boolean }): string {
  if (want.running) return 'running';
  if (want.paused) return 'paused';
  return snapshot.state === 'disk-snapshot' ? 'shutoff' : snapshot.state;
}
