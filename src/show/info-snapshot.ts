import { isActive } from '../model/domain.ts';
import type { Verified } from '../model/marks/verified.ts';
import { readerInText } from '../model/reader.ts';
import { type SnapshotReport, tagsOf } from '../model/report.ts';
import { kindOf, stateFile } from '../model/snapshot.ts';
import { allInText } from '../model/text.ts';
import { domainDocument, snapshotDocument } from '../output/documents.ts';
import { agoWords, humanBytes, localTime, rfc3339, stateWord } from '../output/format.ts';
import { type Column, section } from '../output/view.ts';
import type { Context, Output } from '../run/context.ts';
import { type Fact, facts, factsCsv } from '../run/facts.ts';
import { shownName } from '../run/results.ts';
import { show } from '../run/show.ts';
import { costDocument, whyNot } from '../space/cost-document.ts';
import type { Cost } from '../space/measure.ts';
import { measureIfPossible } from '../space/reclaimed.ts';
import type { Vm } from '../vm/load.ts';
import { withMemoryFiles } from '../vm/memory-sizes.ts';

interface Part {
  readonly target: string;
  readonly source: string | null;
  /** The file that holds the state; for an external snapshot the backing file of its overlay. */
  readonly stateFile: string | null;
  readonly location: string;
  /** How often the image holds the snapshot; null if it could not be inspected or is external. */
  readonly copies: number | null;
}

/** A part of a snapshot that may still be taken. */
interface ShownPart extends Part {
  readonly underWay: boolean;
  /** Whether libvirt looks for it at an old path. */
  readonly moved: boolean;
}

const PART_COLUMNS: readonly Column<ShownPart>[] = [
  { key: 'target', title: 'DISK', kind: 'text', value: ({ target }) => target },
  { key: 'location', title: 'KIND', kind: 'text', value: ({ location }) => location },
  {
    key: 'copies',
    title: 'IN THE IMAGE',
    kind: 'text',
    value: (part) => presence(part),
    tone: ({ copies, location, underWay }) =>
      location === 'internal' && copies !== 1 && !underWay ? 'bad' : 'good',
  },
  { key: 'stateFile', title: 'FILE', kind: 'text', ownLine: true, value: ({ stateFile }) => stateFile },
];

/** The VMs of the same moment. */
const togetherFact = (together: readonly string[]) => ({
  label: 'together',
  value:
    together.length === 0
      ? 'create --together did not finish, so it may not be of the same moment as the others'
      : `${allInText(together)} (all taken at the same moment)`,
  data: together.join('\n'),
});

function presence({ copies, location, underWay, moved }: ShownPart): string {
  if (moved && copies === null) return 'moved';
  if (location !== 'internal') return '-';
  if (copies === null) return 'not inspected';
  if (copies === 0 && underWay) return 'not yet';
  return copies === 1 ? 'yes' : copies === 0 ? 'missing' : `duplicate (${copies})`;
}

/** `info` of a snapshot: its facts and what it costs, and whether each disk holds it. */
export async function infoSnapshot(ctx: Context, vm: Vm, found: SnapshotReport): Promise<void> {
  const [snapshot = found] = await withMemoryFiles(ctx, vm.uri, [found]);
  const parts = snapshot.disks.map((disk): Part => {
    const { target, source, location } = disk;
    const tags = location === 'internal' ? tagsOf(snapshot, { target, source }, vm.images) : null;
    return { target, source, location, stateFile: stateFile(snapshot, disk), copies: tags?.length ?? null };
  });
  const gone = snapshot.movedFiles?.moved.map(([from]) => from) ?? [];
  const isMoved = ({ location, source }: Part) =>
    location === 'internal' ? snapshot.moved : gone.includes(source ?? '');
  const document = snapshotDocument(snapshot);
  const { cost, approximate, problem } = await costOf(ctx, vm, snapshot);
  const told = [
    { label: 'snapshot', value: snapshot.name },
    { label: 'VM', value: vm.domain.name },
    { label: 'created', value: createdFact(ctx, snapshot), data: document.createdAt },
    { label: 'current', value: snapshot.isCurrent ? 'yes' : 'no', data: snapshot.isCurrent },
    ...(snapshot.held
      ? [{ label: 'held', value: 'yes: neither delete nor prune removes it', data: true }]
      : []),
    ...(snapshot.verified === null ? [] : [verifiedFact(ctx, snapshot.verified)]),
    ...snapshot.readers.map((reader) => ({
      label: 'being read',
      value: `by ${readerInText(reader)}: neither delete nor prune removes it meanwhile`,
      data: readerInText(reader),
    })),
    ...(snapshot.together === null ? [] : [togetherFact(snapshot.together)]),
    {
      label: 'state',
      value: snapshot.underWay ? 'under way' : stateWord(snapshot.state),
      data: snapshot.state,
    },
    { label: 'kind', value: kindOf(snapshot) },
    { label: 'parent', value: snapshot.parent },
    { label: 'children', value: snapshot.children.join(', '), data: snapshot.children.join('\n') },
    { label: 'memory', value: memoryFact(snapshot), data: snapshot.memoryBytes },
    ...costFacts(cost, approximate, problem),
    { label: 'description', value: snapshot.description },
  ];
  await show(ctx, {
    kind: 'info-snapshot',
    document: {
      domain: domainDocument(vm.domain),
      snapshot: {
        ...document,
        memory: snapshot.memory,
        ...spaceDocument(cost),
        approximate,
        problem,
        disks: parts,
      },
    },
    sections: [
      facts(told),
      section({
        title: 'DISKS',
        columns: PART_COLUMNS,
        rows: parts.map((part) => ({ ...part, underWay: snapshot.underWay, moved: isMoved(part) })),
      }),
    ],
    csv: factsCsv([...told, ...diskFacts(parts)]),
    names: [shownName(ctx, vm.domain, snapshot.name)],
  });
}

interface Costs {
  /** null if it cannot be measured; `problem` says why. */
  readonly cost: Cost | null;
  readonly approximate: boolean;
  readonly problem: string | null;
}

async function costOf(ctx: Context, vm: Vm, { name, underWay }: SnapshotReport): Promise<Costs> {
  if (underWay) return { cost: null, approximate: true, problem: 'it is still being taken' };
  const measured = await measureIfPossible(ctx, vm, [name]);
  const found = measured?.snapshots.find(({ snapshot }) => snapshot.name === name);
  const approximate = found?.approximate ?? isActive(vm.domain.state);
  if (found?.cost) return { cost: found.cost, approximate, problem: null };
  return { cost: null, approximate, problem: whyNot(found?.disks ?? []) ?? 'it could not be measured' };
}

/** Without the memory, which the document contains already, from libvirt and the images. */
function spaceDocument(cost: Cost | null) {
  const { vmStateBytes: _, ...rest } = costDocument(cost);
  return rest;
}

function verifiedFact({ terminal, clock }: Output, { atSeconds, outcome, seen }: Verified): Fact {
  const at = terminal.out.isTerminal ? agoWords(clock.now() / 1000 - atSeconds) : rfc3339(atSeconds);
  return { label: 'verified', value: `${outcome}, ${at}: ${seen}`, data: outcome };
}

function createdFact({ terminal, clock }: Output, { createdAtSeconds }: SnapshotReport): string {
  if (!terminal.out.isTerminal) return rfc3339(createdAtSeconds);
  return `${localTime(createdAtSeconds)} (${agoWords(clock.now() / 1000 - createdAtSeconds)})`;
}

function costFacts(cost: Cost | null, approximate: boolean, problem: string | null): Fact[] {
  if (!cost) return [{ label: 'space', value: `unknown: ${problem}`, data: null }];
  const { frees, holds, changedBytes } = cost;
  const fact = (label: string, bytes: number | null, says: string, key = label): Fact => ({
    label,
    key,
    value: bytes === null ? null : `${approximate ? '~' : ''}${humanBytes(bytes)} ${says}`,
    data: bytes,
  });
  return [
    fact('frees', frees.hostBytes, 'if only this snapshot is deleted'),
    fact('uses', holds.hostBytes, 'including shared data', 'holds'),
    fact('changed', changedBytes, 'since its parent'),
  ];
}

/** For CSV, which has one table only. */
const diskFacts = (parts: readonly Part[]): Fact[] =>
  parts.flatMap(({ target, location, copies, stateFile }) => [
    { label: `disk ${target} kind`, value: location },
    { label: `disk ${target} copies`, value: copies },
    { label: `disk ${target} file`, value: stateFile },
  ]);

function memoryFact({ memory, memoryBytes, underWay }: SnapshotReport): string {
  if (underWay && memory.location !== 'no') return 'being saved';
  if (memory.location !== 'internal' && memory.location !== 'external')
    return 'not saved (the VM was off, or only its disks were taken)';
  const saved = memoryBytes === null ? 'saved' : `saved, ${humanBytes(memoryBytes)}`;
  return memory.location === 'external' ? `${saved}, in ${memory.file}` : `${saved}, in the image`;
}
