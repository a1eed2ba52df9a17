import { KvmsnapError } from '../errors.ts';
import { NO_SNAPSHOTS } from '../libvirt/snapshots.ts';
import { isActive } from '../model/domain.ts';
import type { Selection } from '../model/input/selection.ts';
import { errorDocument } from '../output/documents.ts';
import { counted, humanBytes, stateWord } from '../output/format.ts';
import { barColumn, type Column, LEAVES, section, vmColumn } from '../output/view.ts';
import type { Context, Output } from '../run/context.ts';
import { facts } from '../run/facts.ts';
import { concludeDomains, type DomainOutcome, forEachDomain } from '../run/for-each-domain.ts';
import { adviceBeneath } from '../run/results.ts';
import { show } from '../run/show.ts';
import { assembleVm, type Vm } from '../vm/load.ts';
import { readAllSnapshots, readSelection } from '../vm/select.ts';
import type { SpaceOptions } from './command.ts';
import { whyNot } from './cost-document.ts';
import { measureVm, type VmSpace } from './measure.ts';
import { spaceDocument } from './space-document.ts';

/** `space` of all VMs: what the snapshots of each cost together, the most expensive VM first. */

interface Measured {
  readonly vm: Vm;
  readonly space: VmSpace;
  /** Why it is not known; null if it is. */
  readonly problem: string | null;
}

export type SpaceResult = DomainOutcome<Measured>;

const ALL: Selection = { words: [], all: true, exclude: [], states: [] };

/** Measures all VMs of the connection. Throws `check` if one cannot be measured, `usage` for options of one VM. */
export async function spaceOfAll(ctx: Context, { disks, exact, sort }: SpaceOptions): Promise<void> {
  const [option] = [
    ...(disks ? ['--disks'] : []),
    ...(exact ? ['--exact'] : []),
    ...(sort ? ['--sort'] : []),
  ];
  if (option !== undefined) throw new KvmsnapError('usage', `${option} needs a VM`);
  const selected = await readSelection(ctx, ALL);
  const known = await readAllSnapshots(ctx, selected);
  const run = { jobs: 1, skips: () => false };
  const results = await forEachDomain(ctx, selected, run, async (ctx, reading) => {
    const vm = await assembleVm(ctx, reading, known.get(reading.domain.uuid) ?? NO_SNAPSHOTS);
    return { value: await measure(ctx, vm), failures: vm.unread.map(({ failure }) => failure), succeeded: 1 };
  });
  await showAll(ctx, results);
}

/** Shows the results for all VMs. Throws as `spaceOfAll`. */
export async function showAll(ctx: Output, results: readonly SpaceResult[]): Promise<void> {
  const sorted = [...results].sort((a, b) => (bytesOf(b) ?? -1) - (bytesOf(a) ?? -1));
  const conclusion = concludeDomains(ctx, sorted, { strict: false, parts: 'reads', inTable: () => true });
  await show(ctx, {
    kind: 'space',
    document: {
      domains: sorted.flatMap(({ value }) => (value ? [spaceDocument(value.vm, value.space)] : [])),
      failed: sorted
        .filter(({ failures }) => failures.length > 0)
        .flatMap(({ vm, failures }) => failures.map((each) => ({ vm: vm.name, ...errorDocument(each) }))),
    },
    sections: [
      section({
        columns: columnsOf(sorted),
        rows: sorted,
        ...adviceBeneath<SpaceResult>(ctx, (row) => row.failures),
      }),
      facts([{ label: 'freed if all are deleted', value: sumOf(sorted) }]),
    ],
    csv: section({ columns: CSV, rows: sorted }),
    names: sorted.map(({ vm }) => vm.name),
    remarks: [`${counted(sorted.length, 'VM')}; kvmsnap space VM shows each snapshot`],
  });
  const unknown = sorted.filter(({ value }) => value?.problem);
  if (conclusion) throw conclusion;
  if (unknown.length > 0)
    throw new KvmsnapError(
      'check',
      `${unknown.length} of ${counted(sorted.length, 'VM')} cannot be measured`,
    );
}

/** Without snapshots there is nothing to read. */
async function measure(ctx: Context, vm: Vm): Promise<Measured> {
  if (vm.snapshots.length === 0) return { vm, space: NOTHING, problem: null };
  const space = await measureVm(ctx, vm, []);
  if (space.together.frees) return { vm, space, problem: null };
  const problems = space.snapshots.flatMap(({ disks }) => whyNot(disks) ?? []);
  return { vm, space, problem: [...new Set(problems)].join('; ') || 'it could not be measured' };
}

const NOTHING: VmSpace = {
  approximate: false,
  snapshots: [],
  disks: [],
  together: { names: [], frees: { hostBytes: 0, clusterBytes: 0 } },
};

/** What deleting all snapshots of a VM gives back to the host; null if unknown. */
const bytesOf = ({ value }: SpaceResult): number | null => value?.space.together.frees?.hostBytes ?? null;

const isApproximate = ({ value }: SpaceResult): boolean =>
  value !== null &&
  value.vm.snapshots.length > 0 &&
  (value.space.approximate || isActive(value.vm.domain.state));

const VM = vmColumn<SpaceResult>(({ vm }) => vm.name);
const STATE: Column<SpaceResult> = {
  key: 'state',
  title: 'STATE',
  kind: 'text',
  leaves: LEAVES.state,
  value: ({ state }) => state && stateWord(state),
  data: ({ state }) => state,
};
const SNAPSHOTS: Column<SpaceResult> = {
  key: 'snapshots',
  title: 'SNAPSHOTS',
  kind: 'count',
  value: ({ value }) => value && value.vm.snapshots.length + value.vm.unread.length,
};
const FREES: Column<SpaceResult> = {
  key: 'freesBytes',
  title: 'FREES',
  kind: 'bytes',
  value: bytesOf,
  approximate: isApproximate,
};
const PROBLEM: Column<SpaceResult> = {
  key: 'problem',
  title: 'WHY UNKNOWN',
  kind: 'text',
  wraps: true,
  ifAny: true,
  value: ({ value, failures }) =>
    [value?.problem, ...failures.map(({ message }) => message)].filter(Boolean).join('; ') || null,
  tone: () => 'bad',
};

const columnsOf = (rows: readonly SpaceResult[]): Column<SpaceResult>[] => [
  VM,
  STATE,
  SNAPSHOTS,
  FREES,
  barColumn(rows, (row) => bytesOf(row) ?? 0),
  PROBLEM,
];

const CSV: readonly Column<SpaceResult>[] = [
  VM,
  STATE,
  SNAPSHOTS,
  FREES,
  PROBLEM,
  { key: 'approximate', title: '', kind: 'mark', value: isApproximate },
];

/** Over those that are known. */
function sumOf(rows: readonly SpaceResult[]): string {
  const known = rows.map(bytesOf).filter((bytes) => bytes !== null);
  const mark = rows.some(isApproximate) ? '~' : '';
  const rest =
    rows.length > known.length ? ` (unknown for ${counted(rows.length - known.length, 'VM')})` : '';
  return `${mark}${humanBytes(known.reduce((sum, bytes) => sum + bytes, 0))}${rest}`;
}
