import { KvmsnapError } from '../errors.ts';
import type { Snapshot } from '../model/snapshot.ts';
import { inText } from '../model/text.ts';
import { allAnswered, splitLines } from './answers.ts';
import type { VirshCommand } from './batch.ts';
import type { Virsh } from './virsh.ts';
import { virshFailure } from './virsh-error.ts';
import { withStoredVolumePaths } from './volumes.ts';
import { createSnapshotParser, registrable } from './xml/snapshot.ts';

/** Reads snapshots by their names, of one VM or of many. */

/** The command that prints a snapshot's XML without secrets. */
export function dumpCommand(uuid: string, name: string): VirshCommand {
  return ['snapshot-dumpxml', '--domain', uuid, '--snapshotname', name];
}

/**
 * A snapshot's XML as libvirt has it and can register it again, with a line feed at its end. `secrets`: with what libvirt hides
 * otherwise (passwords of displays). Throws virsh's error if there is no such snapshot.
 */
export async function readSnapshotXml(
  virsh: Virsh,
  { uuid, name: vm }: { readonly uuid: string; readonly name: string },
  name: string,
  secrets: boolean,
): Promise<string> {
  const command = [...dumpCommand(uuid, name), ...(secrets ? ['--security-info'] : [])];
  const { texts, stderr } = await virsh.read([command]);
  const [xml] = texts;
  if (!xml) throw virshFailure(`cannot read the snapshot ${inText(name)} of ${inText(vm)}`, stderr);
  return registrable(xml);
}

/** A snapshot that libvirt lists but does not describe. */
export interface UnreadSnapshot {
  readonly name: string;
  /** The reason: virsh's error, or an XML that cannot be parsed. */
  readonly failure: KvmsnapError;
}

/** The snapshots of a VM that could be read, and those that could not. */
export interface SnapshotsRead {
  readonly snapshots: readonly Snapshot[];
  readonly unread: readonly UnreadSnapshot[];
}

/** The result for a VM without snapshots. */
export const NO_SNAPSHOTS: SnapshotsRead = { snapshots: [], unread: [] };

interface Wanted {
  readonly uuid: string;
  /** The VM's name, for messages. */
  readonly name: string;
  readonly names: readonly string[];
}

/**
 * The snapshots from the output of `dumpCommand`; needs one process if they name volumes. Throws `refused` for other
 * texts.
 */
export async function parseSnapshots(virsh: Virsh, texts: readonly string[]): Promise<SnapshotsRead> {
  const [snapshots = []] = await withStoredVolumePaths(virsh, [texts.map(createSnapshotParser())]);
  return { snapshots, unread: [] };
}

/** The named snapshots of one VM, in one process. A name that libvirt does not know is left out. */
export async function readSnapshots(virsh: Virsh, wanted: Wanted): Promise<SnapshotsRead> {
  const [read = NO_SNAPSHOTS] = await readSnapshotsOf(virsh, [wanted]);
  return read;
}

/**
 * The named snapshots of several VMs, in one process per 100 KB of commands, and one more if some were not printed: a
 * snapshot that is gone by then is left out, and one that is still listed counts as unread. `parseOne`: parses the XML
 * of one snapshot.
 */
export async function readSnapshotsOf(
  virsh: Virsh,
  wanted: readonly Wanted[],
  parseOne: SnapshotParser = createSnapshotParser(),
): Promise<SnapshotsRead[]> {
  const parse = parserOfAny(parseOne);
  const read = async (wanted: readonly Wanted[]) => {
    const commands = wanted.flatMap(({ uuid, names }) => names.map((name) => dumpCommand(uuid, name)));
    const texts = commands.length === 0 ? [] : allAnswered(await virsh.read(commands));
    let next = 0;
    return wanted.map(({ names }) =>
      names.map((name) => ({ name, text: texts[next++] })).map(({ name, text }) => parse(name, text)),
    );
  };
  const unique = wanted.map((each) => ({ ...each, names: [...new Set(each.names)] }));
  const found = await read(unique);
  const rest = await read(
    wanted.map(({ names, ...vm }, i) => {
      const lost = unique[i]?.names.filter((_, j) => !found[i]?.[j]) ?? [];
      const parts = new Set([...lost, ...repeated(names)]);
      return { ...vm, names: parts.size === 0 ? [] : namesWithNewlines(names, parts) };
    }),
  );
  const known = wanted.map((vm, i) => {
    const answers = [...(found[i] ?? []), ...(rest[i] ?? [])].filter((answer) => answer !== null);
    return { ...vm, answers, names: linesWithout(vm.names, answers.map(nameOf)) };
  });
  const late = await readLost(virsh, known, parse);
  const all = known.map(({ answers }, i) => sorted([...answers, ...(late[i] ?? [])]));
  const placed = await withStoredVolumePaths(
    virsh,
    all.map(({ snapshots }) => snapshots),
  );
  return all.map((one, i) => ({ ...one, snapshots: placed[i] ?? [] }));
}

type SnapshotParser = ReturnType<typeof createSnapshotParser>;

type Answer = Snapshot | UnreadSnapshot;

const nameOf = ({ name }: Answer): string => name;

const sorted = (answers: readonly Answer[]): SnapshotsRead => ({
  snapshots: answers.flatMap((answer) => ('failure' in answer ? [] : [answer])),
  unread: answers.flatMap((answer) => ('failure' in answer ? [answer] : [])),
});

/**
 * A parser that never throws: a snapshot that cannot be parsed counts as unread. Null for a snapshot that virsh did not
 * print.
 */
function parserOfAny(parse: SnapshotParser): (name: string, text: string | undefined) => Answer | null {
  return (name, text) => {
    if (!text) return null;
    try {
      return parse(text);
    } catch (error) {
      if (error instanceof KvmsnapError) return { name, failure: error };
      throw error;
    }
  };
}

/** The lines of a list that belong to none of the names, each as often as it is left over. */
function linesWithout(lines: readonly string[], names: readonly string[]): string[] {
  const left = lines.flatMap((line) => line.split('\n'));
  for (const line of names.flatMap((name) => name.split('\n'))) {
    const at = left.indexOf(line);
    if (at >= 0) left.splice(at, 1);
  }
  return [...new Set(left)];
}

/**
 * Asks again for the snapshots that virsh did not print, and whether they still exist; one process, or none if there
 * are none.
 */
async function readLost(
  virsh: Virsh,
  vms: readonly Wanted[],
  parse: ReturnType<typeof parserOfAny>,
): Promise<Answer[][]> {
  const commands = vms.flatMap(({ uuid, names }): VirshCommand[] =>
    names.length === 0
      ? []
      : [['snapshot-list', '--domain', uuid, '--name'], ...names.map((name) => dumpCommand(uuid, name))],
  );
  if (commands.length === 0) return [];
  const answers = await virsh.read(commands);
  const texts = allAnswered(answers);
  const reasons = answers.stderr.split(/^(?=error: )/m).filter((text) => text.startsWith('error: '));
  const silent = texts.filter((text, i) => text === '' && commands[i]?.[0] === 'snapshot-dumpxml').length;
  const isEachExplained = reasons.length === silent;
  let next = 0;
  return vms.map(({ names, name: vm }) => {
    if (names.length === 0) return [];
    const listed = splitLines(texts[next++] ?? '');
    // a failed list does not prove that a snapshot is gone
    const isThere = (name: string) => listed.includes(name) || (listed.length === 0 && !isEachExplained);
    return names.flatMap((name): Answer[] => {
      const text = texts[next++];
      const answer = parse(name, text);
      if (answer) return [answer];
      const reason = isEachExplained ? reasons.shift() : answers.stderr;
      const failure = virshFailure(`cannot read the snapshot ${inText(name)} of ${inText(vm)}`, reason ?? '');
      return isThere(name) ? [{ name, failure }] : [];
    });
  });
}

/** Two snapshots cannot have the same name, so a line that occurs twice is part of another name. */
function repeated(lines: readonly string[]): string[] {
  const seen = new Set<string>();
  return lines.filter((line) => seen.size === seen.add(line).size);
}

/**
 * `--name` prints a name with a line feed as two lines. Each run of two to four lines that contains a line that is not
 * a snapshot, or that occurs several times, is tried as one name.
 */
function namesWithNewlines(lines: readonly string[], lost: ReadonlySet<string>): string[] {
  const joints = new Set<string>();
  for (let from = 0; from < lines.length; from++) {
    for (let length = 2; length <= 4 && from + length <= lines.length; length++) {
      const piece = lines.slice(from, from + length);
      if (piece.some((line) => lost.has(line))) joints.add(piece.join('\n'));
    }
  }
  return [...joints];
}
