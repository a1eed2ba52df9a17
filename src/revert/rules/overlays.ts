import { formatOfDriver } from '../../model/domain.ts';
import { tagsIn } from '../../model/image.ts';
import { kvmsnapLine } from '../../model/quote.ts';
import type { Rule } from '../../model/rule.ts';
import { internalDisks, type Snapshot, stateFile } from '../../model/snapshot.ts';
import { allInText, inText } from '../../model/text.ts';
import { oldestFirst } from '../../model/tree.ts';
import { bitmapFindings } from '../../vm/findings/bitmaps.ts';
import { copyCommand, nextTagId } from '../../vm/findings/disks.ts';
import { topOf } from '../consequences.ts';
import { removedFiles } from './external-state.ts';
import type { RevertFacts } from './facts.ts';
import { moved } from './internal.ts';

/**
 * Rules about the images in use now: overlays that a revert leaves behind or removes, the backup before it, and
 * damaged bitmaps.
 */

export const OVERLAY_RULES: readonly Rule<RevertFacts>[] = [
  {
    id: 'abandoned-overlay',
    hazards: [17],
    severity: 'overridable',
    find: (facts) =>
      abandoned(facts).map(({ target, active, source, ruined }) => ({
        what: `disk ${target}: the VM now uses ${active}, but the snapshot is in ${source} below it. A revert abandons ${active}, with everything written to it${ruined.length === 0 ? '' : `, and makes the snapshots on top of ${source} unusable: ${allInText(ruined)}`}`,
        hint: 'revert --force does it anyway; the file itself stays',
      })),
  },
  {
    id: 'backup-in-overlay',
    hazards: [17],
    severity: 'error',
    find: (facts) =>
      facts.backup
        ? abandoned(facts).map(({ target, active, format, source }) => ({
            what: `disk ${target}: the backup would be in ${active}, but the revert changes its backing file ${source}, so the backup would be useless`,
            hint: 'leave out --backup; if you need the present content of the disk, copy it first',
            command: copyCommand({ path: active, format }, 'backup'),
          }))
        : [],
  },
  {
    id: 'backup-takes-the-id',
    hazards: [31],
    severity: 'error',
    find: ({ backup, domain, snapshot, active }) => {
      const { name } = snapshot;
      if (!backup) return [];
      return internalDisks(snapshot).flatMap(({ target, source }) => {
        if (nextTagId(active.get(target)) !== name) return [];
        const line = (command: string, other: string) =>
          kvmsnapLine(command, [domain.name, `${other}-${name}`]);
        return {
          what: `disk ${target}: in ${source ?? 'the image'}, the backup would get the id ${name}. QEMU looks for an id before a name, so the revert would restore the backup instead of ${inText(name)}`,
          hint: 'take a snapshot that uses up this id, then one as the backup, delete the first, and revert without --backup',
          commands: [line('create-as', 'id'), line('create-as', 'before'), line('delete', 'id')],
        };
      });
    },
  },
  {
    id: 'tags-in-overlay',
    hazards: [32],
    severity: 'overridable',
    find: (facts) => {
      const removed = removedFiles(facts);
      return facts.domain.disks.flatMap(({ target }) => {
        const image = facts.active.get(target);
        const path = topOf(image);
        const names = tagsIn(image).map(({ name }) => inText(name));
        if (names.length === 0 || path === null || !removed.includes(path)) return [];
        return {
          what: `disk ${target}: ${path}, which the VM now uses, contains the internal ${names.length === 1 ? 'snapshot' : 'snapshots'} ${names.join(', ')}, and libvirt removes this file in the revert`,
          hint: 'copy what you need of the file first, or use --force if you can do without it',
        };
      });
    },
  },
  {
    id: 'dirty-bitmaps',
    hazards: [43],
    severity: 'error',
    find: ({ domain, images, snapshot }) =>
      bitmapFindings(
        { domain, images },
        internalDisks(snapshot).map(({ target }) => target),
        'QEMU cannot revert to a snapshot in such an image: a running VM would stop, and its memory would be lost',
      ),
  },
];

interface Abandoned {
  readonly target: string;
  readonly active: string;
  /** The format of the active image. */
  readonly format: string;
  /** The image below it that contains the snapshot, and that a revert changes. */
  readonly source: string;
  /** The snapshots whose overlays are on top of the image that is changed, and that become useless. */
  readonly ruined: readonly string[];
}

/**
 * The active overlays that a revert to an internal snapshot leaves behind, because the snapshot is in an image below
 * them.
 */
function abandoned(facts: RevertFacts): Abandoned[] {
  const { domain, snapshot, snapshots } = facts;
  const now = new Map(domain.disks.map((disk) => [disk.target, disk]));
  const isMoved = new Set(moved(facts).map(({ target }) => target));
  // two disks may have been exchanged since: then both images stay in use
  const staying = new Set(snapshot.definedDisks.map(({ source }) => source));
  return internalDisks(snapshot).flatMap(({ target, source }) => {
    const disk = now.get(target);
    const active = disk?.source ?? null;
    if (!disk || source === null || active === null || staying.has(active) || isMoved.has(target)) return [];
    const format = formatOfDriver(disk.driver);
    return [{ target, active, format, source, ruined: dependingOn(snapshots, target, source) }];
  });
}

/** The snapshots whose state of this disk depends on this file through overlays, oldest first. */
function dependingOn(snapshots: readonly Snapshot[], target: string, base: string): string[] {
  const changed = new Set([base]);
  const ruined: string[] = [];
  for (const snapshot of oldestFirst(snapshots)) {
    const disk = snapshot.disks.find((each) => each.target === target);
    if (!disk) continue;
    const state = stateFile(snapshot, disk);
    const overlay = disk.location === 'external' ? disk.source : null;
    const isOwn = overlay === null && state === base; // these are inside the image itself
    if (state === null || isOwn || !changed.has(state)) continue;
    ruined.push(snapshot.name);
    if (overlay !== null) changed.add(overlay);
  }
  return ruined;
}
