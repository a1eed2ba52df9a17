import { checkpointFinding, participants, tagWithId } from './disk-findings.ts';
import { type Domain, isActive } from './domain.ts';
import { type DiskImage, tagsNamed } from './image.ts';
import type { Finding, Rule } from './preflight.ts';
import { kvmsnapLine, quote, virshWord } from './quote.ts';
import { hasMemory, internalDisks, type Snapshot } from './snapshot.ts';

/** The rules that decide, before anything is touched, whether a revert can work, and what it will change. */

/** What is known before a revert. */
export interface RevertFacts {
  readonly domain: Domain;
  readonly snapshot: Snapshot;
  /** The images that libvirt would revert, by disk target: those of the definition stored with the snapshot. */
  readonly images: ReadonlyMap<string, DiskImage>;
  readonly daemonVersion: number;
}

/** libvirt 9.9 reverts external snapshots. */
const REVERTS_EXTERNAL = 9_009_000;

/** libvirt 7.10 starts QEMU anew for every revert of a running machine; before, it loads the memory into the old one. */
const STARTS_ANEW = 7_010_000;

export const REVERT_RULES: readonly Rule<RevertFacts>[] = [
  {
    id: 'missing-tag',
    hazards: [2, 3, 24],
    severity: 'error',
    find: ({ domain, snapshot, images }) =>
      internalDisks(snapshot).flatMap(
        ({ target, source }) => tagFinding(domain, snapshot, target, source, images.get(target)) ?? [],
      ),
  },
  {
    id: 'name-is-an-id',
    hazards: [31],
    severity: 'error',
    find: ({ snapshot, images }) =>
      internalDisks(snapshot).flatMap(({ target, source }) => {
        const other = tagWithId(images.get(target), snapshot.name);
        if (!other) return [];
        const path = source ?? '';
        return [
          {
            what: `disk ${target}: in ${source} the snapshot '${other.name}' has the id ${other.id}, and QEMU, which looks for an id before a name, would bring that one back`,
            hint: `delete '${other.name}' if you can do without it; or copy what '${snapshot.name}' holds into a new image`,
            command: `qemu-img convert -U -l ${quote(`snapshot.name=${snapshot.name}`)} -O qcow2 ${quote(path)} ${quote(`${path}.${snapshot.name}`)}`,
          },
        ];
      }),
  },
  {
    id: 'missing-memory',
    hazards: [3],
    severity: 'error',
    find: ({ snapshot, images }) => {
      if (snapshot.memory.location !== 'internal') return [];
      const tags = internalDisks(snapshot).map(({ target }) => tagsNamed(images.get(target), snapshot.name));
      const allSeen = internalDisks(snapshot).every(({ target }) => images.get(target)?.kind === 'seen');
      if (
        !allSeen ||
        tags.some((found) => found.length !== 1) ||
        tags.flat().some((tag) => tag.vmStateBytes > 0)
      )
        return [];
      return [
        { what: `'${snapshot.name}' is a snapshot of a running machine, but no disk holds its memory` },
      ];
    },
  },
  {
    id: 'checkpoints',
    hazards: [3, 30],
    severity: 'error',
    find: ({ domain }) =>
      checkpointFinding(domain, 'QEMU reverts no image that has them: a running guest would be lost'),
  },
  {
    id: 'external-on-old-daemon',
    hazards: [17],
    severity: 'error',
    find: ({ snapshot, daemonVersion }) =>
      daemonVersion > 0 && daemonVersion < REVERTS_EXTERNAL && isExternal(snapshot)
        ? [
            {
              what: `'${snapshot.name}' is external, and this libvirtd (before 9.9) cannot revert to external snapshots`,
            },
          ]
        : [],
  },
  {
    id: 'managed-save',
    hazards: [11],
    severity: 'judgement',
    find: ({ domain, snapshot }) =>
      domain.managedSave && !hasMemory(snapshot)
        ? [
            {
              what: 'the machine has a managed save, and its memory would not fit the disks after the revert',
              hint: 'drop the saved memory, or use --force',
              command: `virsh managedsave-remove ${virshWord(domain)}`,
            },
          ]
        : [],
  },
  {
    id: 'abandoned-overlay',
    hazards: [17],
    severity: 'judgement',
    find: ({ domain, snapshot }) => {
      const now = new Map(domain.disks.map((disk) => [disk.target, disk.source]));
      return internalDisks(snapshot).flatMap(({ target, source }) => {
        const active = now.get(target);
        if (source === null || active === undefined || active === null || active === source) return [];
        return [
          {
            what: `disk ${target}: the machine now uses ${active}, but the snapshot is in ${source}; a revert leaves ${active} behind, with all that was written to it`,
            hint: '--force if that is what you want; the file itself stays',
          },
        ];
      });
    },
  },
];

/** What a revert changes beside the disks' content, to be said before it (hazards 16, 18, 29). */
export function revertConsequences({ domain, snapshot, daemonVersion }: RevertFacts, end: string): string[] {
  const kept = new Set(snapshot.definedDisks.map((disk) => disk.target));
  const lost =
    snapshot.definedDisks.length === 0 ? [] : participants(domain).filter((disk) => !kept.has(disk.target));
  const said: string[] = [];
  if (lost.length > 0) {
    const names = lost.map((disk) => `${disk.target} (${disk.source ?? disk.storage})`).join(', ');
    said.push(
      `added since and taken away from the machine by the revert: disk ${names}; the file itself stays`,
    );
  }
  if (isActive(domain.state) && end === 'shutoff')
    said.push(`the machine is ${domain.state}, and will be stopped as if its power were cut`);
  const anew = daemonVersion >= STARTS_ANEW || snapshot.state === 'shutoff';
  if (isActive(domain.state) && end !== 'shutoff' && anew) {
    said.push('QEMU is started anew: consoles and displays drop, and the id changes');
  }
  return said;
}

/**
 * Whether virsh must be told `--force` to do what the user asked for: an older libvirtd wants it where a running machine
 * is to run again from a snapshot that holds no memory, and all that it gives up there is the running QEMU.
 */
export function revertNeedsForce({ domain, snapshot, daemonVersion }: RevertFacts, end: string): boolean {
  return (
    isActive(domain.state) && end !== 'shutoff' && snapshot.state === 'shutoff' && daemonVersion < STARTS_ANEW
  );
}

/** The state in which a revert leaves the machine (libvirt.md 2.4 and 2.5). */
export function stateAfterRevert(snapshot: Snapshot, want: { running?: boolean; paused?: boolean }): string {
  if (want.running) return 'running';
  if (want.paused) return 'paused';
  return snapshot.state === 'disk-snapshot' ? 'shutoff' : snapshot.state;
}

const isExternal = (snapshot: Snapshot): boolean =>
  snapshot.memory.location === 'external' || snapshot.disks.some((disk) => disk.location === 'external');

function tagFinding(
  domain: Domain,
  snapshot: Snapshot,
  target: string,
  source: string | null,
  image: DiskImage | undefined,
): Finding | null {
  if (image?.kind === 'broken')
    return {
      what: `disk ${target}: ${image.path} ${image.why === 'unreadable' ? image.detail : 'is missing'}`,
    };
  if (image?.kind !== 'seen') return null;
  const found = tagsNamed(image, snapshot.name);
  if (found.length === 1) return null;
  if (found.length === 0) {
    return {
      what: `disk ${target}: ${source} does not hold the snapshot '${snapshot.name}'; a revert would change the other disks only, or lose the running guest`,
      hint: 'restore the image from a backup, or drop this snapshot',
      command: kvmsnapLine('delete', [domain.name, snapshot.name]),
    };
  }
  const ids = found.map((tag) => tag.id).join(', ');
  return {
    what: `disk ${target}: ${source} holds ${found.length} snapshots called '${snapshot.name}' (ids ${ids}), and which one a revert takes is chance`,
    hint: 'with the machine off, this deletes the older one of them',
    command: `qemu-img snapshot -d ${quote(snapshot.name)} ${quote(source ?? '')}`,
  };
}
