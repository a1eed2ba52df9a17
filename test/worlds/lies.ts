// What must be true of a VM after an action on it that has succeeded. Each rule hands back what is untrue, in words.
import type { Contents, VmState } from './sight.ts';

/** The VM's disks hold what they held. */
export const sameDisks = (before: VmState, after: VmState): string[] =>
  differences(before.disks, after.disks, 'the disk has changed');

/** What is wrong with the snapshots that were there, but for those that were to go. */
export function sameSnapshots(before: VmState, after: VmState, gone: readonly string[] = []): string[] {
  return Object.entries(before.snapshots).flatMap(([name, { content }]) => {
    if (gone.includes(name)) return [];
    const now = after.snapshots[name];
    return now
      ? differences(content, now.content, `snapshot ${name} has changed`)
      : [`snapshot ${name} is gone`];
  });
}

/** A snapshot whose content could be read has it still. */
export const keptContent = (before: VmState, after: VmState): string[] => {
  const uneven = Object.entries(before.snapshots).filter(([, { content }]) =>
    Object.values(content).includes(null),
  );
  return sameSnapshots(
    before,
    after,
    uneven.map(([name]) => name),
  );
};

export const unchanged = (before: VmState, after: VmState): string[] => [
  ...sameDisks(before, after),
  ...sameSnapshots(before, after),
];

/** The snapshot is there and holds this. */
export const holds = (after: VmState, name: string, disks: Contents): string[] =>
  after.snapshots[name]
    ? differences(disks, after.snapshots[name].content, `snapshot ${name} does not hold the disk`)
    : [`there is no snapshot ${name}`];

/** Where the second lacks or contradicts what the first has. */
export const differences = (wanted: Contents, found: Contents, what: string): string[] =>
  Object.entries(wanted)
    .filter(([target, content]) => found[target] !== content)
    .map(([target]) => `${what}: ${target}`);

/** The names of snapshots that the first has and the second has not. */
export const missing = (from: VmState, to: VmState): string[] =>
  Object.keys(from.snapshots).filter((name) => !(name in to.snapshots));

export function descendants(vmState: VmState, name: string): string[] {
  const children = Object.entries(vmState.snapshots)
    .filter(([, { xml }]) => xml.includes(`<parent>\n    <name>${name}</name>`))
    .map(([child]) => child);
  return children.flatMap((child) => [child, ...descendants(vmState, child)]);
}
