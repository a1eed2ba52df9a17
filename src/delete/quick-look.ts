import { isBusy, parseState, splitLines } from '../libvirt/answers.ts';
import type { VirshCommand } from '../libvirt/batch.ts';
import type { DomainReading } from '../libvirt/domains.ts';
import { dumpCommand } from '../libvirt/snapshots.ts';
import { createSnapshotParser } from '../libvirt/xml/snapshot.ts';
import { isActive } from '../model/domain.ts';
import { chainOf, type Images } from '../model/image.ts';
import { readMarks } from '../model/marks/marks.ts';
import type { SnapshotReport } from '../model/report.ts';
import type { Snapshot } from '../model/snapshot.ts';
import type { Vm } from '../vm/load.ts';

/**
 * Checks whether a VM is as its deletions should have left it, with few questions whose number and answers do not grow with
 * its snapshots. If anything differs, the VM is read completely.
 */

/** What libvirt is asked before the deletion of this snapshot. */
export function quickCommands({ domain, current }: Vm, name: string): VirshCommand[] {
  const of = ['--domain', domain.uuid];
  return [
    ['dumpxml', ...of],
    ['snapshot-list', ...of, '--name'],
    ['domstate', ...of, '--reason'],
    dumpCommand(domain.uuid, name),
    // these two fail for a VM without a current snapshot, or that is off
    ...(current === null ? [] : [['snapshot-current', ...of, '--name']]),
    ...(isActive(domain.state) ? [['domcontrol', ...of]] : []),
  ];
}

/** Whether the answers to `quickCommands` show only what is foreseen. `definition`: the VM's definition before. */
export function isAsForeseen(
  { domain, current, snapshotNames, snapshots }: Vm,
  name: string,
  answers: readonly (string | null)[],
  definition: string | null,
): boolean {
  if (answers.some((text) => text === null)) return false;
  const [xml = '', list = '', state = '', record = '', ...others] = answers.map((text) => text ?? '');
  const now = current === null ? null : splitLines(others[0] ?? '').join('\n');
  const control = isActive(domain.state) ? (others.at(-1) ?? '') : '';
  const known = snapshots.find((snapshot) => snapshot.name === name);
  return (
    xml !== '' &&
    (definition === null || xml === definition) &&
    isSameList(splitLines(list), snapshotNames) &&
    parseState(state).state === domain.state &&
    now === current &&
    !isBusy(control) &&
    known !== undefined &&
    isSameSnapshot(known, record)
  );
}

/** The definition among the answers. */
export const definitionIn = ([xml]: readonly (string | null)[]): string | null => xml ?? null;

const isSameList = (one: readonly string[], other: readonly string[]): boolean =>
  [...one].sort().join('\n') === [...other].sort().join('\n');

/** Whether nobody has held, described or registered the snapshot again since. */
function isSameSnapshot(known: SnapshotReport, record: string): boolean {
  if (record === '') return false;
  const now = createSnapshotParser()(record);
  const { held, text } = readMarks(now.description);
  return held === known.held && text === known.description && identityOf(now) === identityOf(known);
}

/** What identifies a snapshot; a path as libvirt spells it, which a volume does not have. */
const identityOf = ({ name, parent, createdAtSeconds, state, memory, disks }: Snapshot): string =>
  JSON.stringify([
    ...[name, parent, createdAtSeconds, state, memory.location],
    ...disks.map(({ target, location, source, spelled }) => [target, location, spelled ?? source]),
  ]);

/** The same for a complete reading with the images, after deletions: what is gone from libvirt is gone from every disk. */
export function isLeftAsForeseen(foreseen: Vm, now: DomainReading, images: Images): boolean {
  const { domain } = foreseen;
  return (
    isSameList(now.snapshotNames, foreseen.snapshotNames) &&
    now.current === foreseen.current &&
    now.domain.state === domain.state &&
    !now.domain.busy &&
    JSON.stringify(now.domain.disks) === JSON.stringify(domain.disks) &&
    tagsOfAll(images) === tagsOfAll(foreseen.images)
  );
}

const tagsOfAll = (images: Images): string =>
  JSON.stringify(
    [...images].map(([target, image]) => [
      target,
      image.kind,
      chainOf(image).map(({ path, tags }) => [path, tags.map(({ name }) => name)]),
    ]),
  );
