import { type AdviceFacts, adviseDeletion } from '../model/deletion-advice.ts';
import { chainPaths, type Images } from '../model/image.ts';
import { kvmsnapLine } from '../model/quote.ts';
import type { Finding } from '../model/rule.ts';
import { externalDisks, type MovedFiles, type Snapshot, stateFile } from '../model/snapshot.ts';
import { inText } from '../model/text.ts';
import { ancestors } from '../model/tree.ts';

/**
 * Finds files of external snapshots that were moved or renamed: overlays, their backing files, and memory files.
 * libvirt looks for each by its old path. The VM's own backing chain proves where a file is now: it is the file at the
 * same place in the chain, between files that are where they were.
 */

/** The files that external snapshots name and that are not on this host, and the files that may be these. */
export interface FileEvidence {
  readonly snapshots: readonly Snapshot[];
  readonly current: string | null;
  /** By target, the disks in use now. */
  readonly images: Images;
  /** Paths at which there is no file any more. */
  readonly gone: ReadonlySet<string>;
  /** Files with saved memory of this VM that no snapshot names. */
  readonly memories: readonly WrittenMemory[];
}

export interface WrittenMemory {
  readonly path: string;
  /** When it was last written to, in seconds since the epoch. */
  readonly writtenAtSeconds: number;
}

/** By name, the snapshots of which a file is gone. */
export function findMovedFiles(evidence: FileEvidence): ReadonlyMap<string, MovedFiles> {
  const { snapshots, gone } = evidence;
  if (gone.size === 0) return new Map();
  const known = new Map([...movedInChains(evidence), ...movedMemories(evidence)]);
  return new Map(
    snapshots.flatMap((snapshot) => {
      const own = externalFiles(snapshot);
      const lost = [...new Set(neededFiles(snapshot))].filter((path) => gone.has(path) && !known.has(path));
      // the stored definition names the backing files too
      const beneath = own.length === 0 ? [] : snapshot.definedDisks.flatMap(({ backing = [] }) => backing);
      const moved = [...new Set([...own, ...beneath])].flatMap((path) => {
        const to = known.get(path);
        return to === undefined ? [] : [[path, to] as const];
      });
      return moved.length + lost.length === 0 ? [] : [[snapshot.name, { moved, lost }] as const];
    }),
  );
}

/** The files that an external snapshot names: its overlays, and the files that hold its state. */
export const externalFiles = (snapshot: Snapshot): string[] => [
  ...externalDisks(snapshot).flatMap(({ source }) => source ?? []),
  ...neededFiles(snapshot),
];

/** The backing files of the overlays, and the memory. An overlay may be gone, because libvirt removes it in a revert. */
function neededFiles(snapshot: Snapshot): string[] {
  const states = externalDisks(snapshot).map((disk) => stateFile(snapshot, disk));
  const memory = snapshot.memory.location === 'external' ? snapshot.memory.file : null;
  return [...states, memory].filter((path) => path !== null);
}

/** For each disk, the chain that the snapshots on the way to the current one describe, and the present chain. */
function movedInChains({ snapshots, current, images, gone }: FileEvidence): Map<string, string> {
  const named = new Set(snapshots.flatMap(externalFiles));
  const moved = new Map<string, string>();
  for (const [target, image] of images) {
    const now = chainPaths(image);
    const then = toldChain(snapshots, current, target);
    if (then.length === 0 || then.length > now.length) continue;
    const pairs = then.map((path, i) => [path, now[i] as string] as const);
    const isAligned = pairs.every(
      ([from, to]) => from === null || from === to || (gone.has(from) && !named.has(to)),
    );
    if (!isAligned) continue;
    for (const [from, to] of pairs) if (from !== null && from !== to) moved.set(from, to);
  }
  return moved;
}

/** The newest first; null: a file that a revert has made and that is the overlay of no snapshot. */
function toldChain(
  snapshots: readonly Snapshot[],
  current: string | null,
  target: string,
): (string | null)[] {
  if (current === null) return [];
  const byName = new Map(snapshots.map((each) => [each.name, each]));
  const chain: (string | null)[] = [];
  for (const name of [current, ...ancestors(snapshots, current)]) {
    const snapshot = byName.get(name);
    const disk = snapshot && externalDisks(snapshot).find((each) => each.target === target);
    if (!snapshot || !disk) continue;
    if (chain.length === 0) chain.push(snapshot.revertOverlays ? null : disk.source);
    const state = stateFile(snapshot, disk);
    if (state !== null && state !== chain.at(-1)) chain.push(state);
  }
  return chain;
}

/** libvirt begins to write the memory when the snapshot begins. */
const MOST_SECONDS_LATER = 3600;
const MARGIN_SECONDS = 2;

/** Chosen by the time at which it was written, and by its name if several were written within the hour. */
function movedMemories({ snapshots, gone, memories }: FileEvidence): Map<string, string> {
  const fits = (snapshot: Snapshot, { writtenAtSeconds }: WrittenMemory): boolean =>
    writtenAtSeconds >= snapshot.createdAtSeconds - MARGIN_SECONDS &&
    writtenAtSeconds <= snapshot.createdAtSeconds + MOST_SECONDS_LATER;
  const lacking = snapshots.filter(({ memory }) => memory.file !== null && gone.has(memory.file));
  return new Map(
    lacking.flatMap((snapshot) => {
      const from = snapshot.memory.file as string;
      const fitting = memories.filter((file) => fits(snapshot, file));
      const rivals = lacking.filter((other) => fitting.some((file) => fits(other, file)));
      const called = fitting.filter(({ path }) => baseName(path) === baseName(from));
      const [only] =
        fitting.length === 1 && rivals.length === 1 ? fitting : called.length === 1 ? called : [];
      return only ? [[from, only.path] as const] : [];
    }),
  );
}

const baseName = (path: string): string => path.slice(path.lastIndexOf('/') + 1);

/** The finding about one snapshot, for check and for the actions that it prevents. */
export function movedFileFindings(
  { domain, snapshots }: AdviceFacts,
  { name, movedFiles }: Pick<Snapshot, 'name' | 'movedFiles'>,
): Finding[] {
  const { moved = [], lost = [] } = movedFiles ?? {};
  if (moved.length === 0) return [];
  const what = moved
    .map(([from, to]) => `libvirt looks for ${from} of ${inText(name)}, which was moved or renamed to ${to}`)
    .join('; ');
  if (lost.length === 0)
    return [
      {
        snapshot: name,
        what,
        hint: 'this command registers the snapshot with the new path',
        command: kvmsnapLine('check', [domain.name], '--fix'),
      },
    ];
  return [
    {
      snapshot: name,
      what: `${what}; and ${lost.join(', ')} is gone, and kvmsnap cannot find out where it is now`,
      ...adviseDeletion({ domain, snapshots }, [name], {
        hint: `put ${lost.join(', ')} back; or, if the file is lost, unregister the snapshot`,
        options: ['--metadata'],
      }),
    },
  ];
}
