import { type AdviceFacts, adviseDeletion } from '../model/deletion-advice.ts';
import { chainPaths, type Images } from '../model/image.ts';
import { kvmsnapLine } from '../model/quote.ts';
import type { Finding } from '../model/rule.ts';
import { externalDisks, type MovedFiles, type Snapshot, stateFile } from '../model/snapshot.ts';
import { inText } from '../model/text.ts';
import { ancestors } from '../model/tree.ts';

/**
 * Files of external snapshots that were moved or renamed since: the overlays, the files that they were laid over, and the
 * memory. libvirt looks for each by its old path. Where one is now is proven by the VM's own chain of images: what a path
 * that is gone named is what lies there now, at the same place between files that are where they were.
 */

/** What external snapshots name and is not on this host, with what may be it. */
export interface FileEvidence {
  readonly snapshots: readonly Snapshot[];
  readonly current: string | null;
  /** By target, the disks in use now. */
  readonly images: Images;
  /** Paths that name nothing any more. */
  readonly gone: ReadonlySet<string>;
  /** Files with a memory of this VM that no snapshot names. */
  readonly memories: readonly MemoryFile[];
}

export interface MemoryFile {
  readonly path: string;
  /** When it was last written to, in seconds since the epoch. */
  readonly writtenAtSeconds: number;
}

/** By snapshot, of those of which a file is gone. */
export function findMovedFiles(evidence: FileEvidence): ReadonlyMap<string, MovedFiles> {
  const { snapshots, gone } = evidence;
  if (gone.size === 0) return new Map();
  const known = new Map([...movedInChains(evidence), ...movedMemories(evidence)]);
  return new Map(
    snapshots.flatMap((snapshot) => {
      const own = externalFiles(snapshot);
      const lost = [...new Set(neededFiles(snapshot))].filter((path) => gone.has(path) && !known.has(path));
      // what lay beneath is named by the stored definition too
      const beneath = own.length === 0 ? [] : snapshot.definedDisks.flatMap(({ backing = [] }) => backing);
      const moved = [...new Set([...own, ...beneath])].flatMap((path) => {
        const to = known.get(path);
        return to === undefined ? [] : [[path, to] as const];
      });
      return moved.length + lost.length === 0 ? [] : [[snapshot.name, { moved, lost }] as const];
    }),
  );
}

/** The files that an external snapshot names: its overlays, and what it needs. */
export const externalFiles = (snapshot: Snapshot): string[] => [
  ...externalDisks(snapshot).flatMap(({ source }) => source ?? []),
  ...neededFiles(snapshot),
];

/** What the overlays were laid over, and the memory. An overlay may be gone: libvirt removes it in a revert. */
function neededFiles(snapshot: Snapshot): string[] {
  const states = externalDisks(snapshot).map((disk) => stateFile(snapshot, disk));
  const memory = snapshot.memory.location === 'external' ? snapshot.memory.file : null;
  return [...states, memory].filter((path) => path !== null);
}

/** The chain of each disk as the snapshots on the way to the current one tell it, beside the chain of now. */
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

/** The newest first; null: a file that a revert has made, which is nobody's overlay. */
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

/** A memory is written from when the snapshot begins on. */
const MOST_SECONDS_LATER = 3600;
const MARGIN_SECONDS = 2;

/** By the time at which it was written, and by its name where several were written within the hour. */
function movedMemories({ snapshots, gone, memories }: FileEvidence): Map<string, string> {
  const fits = (snapshot: Snapshot, { writtenAtSeconds }: MemoryFile): boolean =>
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

/** What is said of one snapshot, by a check and by whatever this keeps from being done. */
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
        hint: 'this registers the snapshot with the new path',
        command: kvmsnapLine('check', [domain.name], '--fix'),
      },
    ];
  return [
    {
      snapshot: name,
      what: `${what}; and ${lost.join(', ')} is gone, and nothing shows where it is now`,
      ...adviseDeletion({ domain, snapshots }, [name], {
        hint: `put ${lost.join(', ')} back; or, if it will not come back, have libvirt alone forget the snapshot`,
        options: ['--metadata'],
      }),
    },
  ];
}
