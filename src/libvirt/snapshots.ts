import type { Snapshot } from '../core/snapshot.ts';
import { allAnswered } from './answers.ts';
import type { VirshCommand } from './batch.ts';
import { createSnapshotParser } from './snapshot-xml.ts';
import type { Virsh } from './virsh.ts';
import { virshFailure } from './virsh-error.ts';

/** Reading snapshots by their names, of one machine or of many. */

/** Prints a snapshot's XML, without what libvirt hides. */
export function dumpCommand(uuid: string, name: string): VirshCommand {
  return ['snapshot-dumpxml', '--domain', uuid, '--snapshotname', name];
}

/**
 * A snapshot's XML as libvirt has it, a line feed at its end. `secrets`: with what libvirt hides otherwise (passwords of
 * displays). Throws what virsh says where there is no such snapshot.
 */
export async function readSnapshotXml(
  virsh: Virsh,
  { uuid, name: machine }: { readonly uuid: string; readonly name: string },
  name: string,
  secrets: boolean,
): Promise<string> {
  const command = [...dumpCommand(uuid, name), ...(secrets ? ['--security-info'] : [])];
  const { texts, stderr } = await virsh.read([command]);
  const [xml] = texts;
  if (!xml) throw virshFailure(`cannot read the snapshot '${name}' of '${machine}'`, stderr);
  return xml;
}

/** The named snapshots of one machine, in one process. A name that libvirt does not know is left out. */
export async function readSnapshots(
  virsh: Virsh,
  uuid: string,
  names: readonly string[],
): Promise<Snapshot[]> {
  const [snapshots = []] = await readSnapshotsOf(virsh, [{ uuid, names }]);
  return snapshots;
}

interface Wanted {
  readonly uuid: string;
  readonly names: readonly string[];
}

/** The named snapshots of several machines, in one process per 100 KB of commands. */
export async function readSnapshotsOf(virsh: Virsh, wanted: readonly Wanted[]): Promise<Snapshot[][]> {
  const parse = createSnapshotParser();
  const read = async (wanted: readonly Wanted[]) => {
    const commands = wanted.flatMap(({ uuid, names }) => names.map((name) => dumpCommand(uuid, name)));
    const texts = commands.length === 0 ? [] : allAnswered(await virsh.read(commands));
    let next = 0;
    return wanted.map(({ names }) =>
      names.map(() => texts[next++]).map((text) => (text ? parse(text) : null)),
    );
  };
  const unique = wanted.map(({ uuid, names }) => ({ uuid, names: [...new Set(names)] }));
  const found = await read(unique);
  const rest = await read(
    wanted.map(({ uuid, names }, i) => {
      const lost = unique[i]?.names.filter((_, j) => !found[i]?.[j]) ?? [];
      const parts = new Set([...lost, ...repeated(names)]);
      return { uuid, names: parts.size === 0 ? [] : namesWithNewlines(names, parts) };
    }),
  );
  return found.map((snapshots, i) =>
    [...snapshots, ...(rest[i] ?? [])].filter((snapshot) => snapshot !== null),
  );
}

/** No two snapshots have one name: a line that comes twice is a part of another's. */
function repeated(lines: readonly string[]): string[] {
  const seen = new Set<string>();
  return lines.filter((line) => seen.size === seen.add(line).size);
}

/**
 * `--name` prints a name with a line feed as two lines. For lines that are no snapshot, or more than one, every joint of up
 * to four neighbours that holds one is tried.
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
