import { listDomains, readSnapshotNames, readSnapshotNamesOf } from '../libvirt/domains.ts';
import { readSnapshotsOf } from '../libvirt/snapshots.ts';
import type { Virsh } from '../libvirt/virsh.ts';
import { labelOf } from '../model/labels.ts';
import { readMarks } from '../model/marks/marks.ts';
import { localTime, visible } from '../output/format.ts';
import type { WantedNames } from './grammar.ts';

/** The names that are possible at the cursor, as libvirt has them, each with a description that a shell may show. */
export type FoundNames = ReadonlyMap<string, string>;

/**
 * Reads the names. `explained`: with the time and the description of snapshots. Throws the failures of reading from
 * libvirt.
 */
export async function findNames(
  virsh: Virsh,
  { what, vms }: Pick<WantedNames, 'what' | 'vms'>,
  explained: boolean,
): Promise<FoundNames> {
  switch (what) {
    case 'vm':
      return new Map((await listDomains(virsh)).map(({ name }) => [name, '']));
    case 'policy':
    case 'host':
      return NO_NAMES;
    case 'label':
      return labelsIn(await readSnapshotNames(virsh, vms.length > 0 ? vms : ['*']));
    case 'snapshot': {
      const found = await readSnapshotNamesOf(virsh, vms);
      const names = found.flatMap((each) => each.names);
      const texts = explained ? await readTexts(virsh, found).catch(() => NO_NAMES) : NO_NAMES;
      return new Map(names.map((name) => [name, texts.get(name) ?? '']));
    }
  }
}

const NO_NAMES: FoundNames = new Map();

/** Each label, with the number of its snapshots. */
function labelsIn(names: readonly string[]): FoundNames {
  const counts = new Map<string, number>();
  for (const label of names.flatMap((name) => labelOf(name) ?? []))
    counts.set(label, (counts.get(label) ?? 0) + 1);
  return new Map([...counts].map(([label, count]) => [label, `${count} snapshot${count === 1 ? '' : 's'}`]));
}

/** By the names of the snapshots: `2026-11-23 22:52, before the upgrade`. */
async function readTexts(
  virsh: Virsh,
  vms: Awaited<ReturnType<typeof readSnapshotNamesOf>>,
): Promise<FoundNames> {
  const found = await readSnapshotsOf(virsh, vms);
  return new Map(
    found
      .flatMap(({ snapshots }) => snapshots)
      .map(({ name, createdAtSeconds, description }) => {
        const [text = ''] = (readMarks(description).text ?? '').split('\n');
        const minutes = localTime(createdAtSeconds).slice(0, -':00'.length);
        return [name, [minutes, ...(text === '' ? [] : [visible(text)])].join(', ')];
      }),
  );
}
