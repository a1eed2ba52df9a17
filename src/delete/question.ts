import type { SnapshotReport } from '../model/report.ts';
import { locationOf } from '../model/snapshot.ts';
import { inText } from '../model/text.ts';
import { humanSpan, localTime } from '../output/format.ts';
import { fold, type Question } from '../output/question.ts';
import type { Told } from '../run/confirm.ts';
import type { Context } from '../run/context.ts';
import { type Freed, foreseeQuickly } from '../space/reclaimed.ts';
import { type FreedOf, freedLines } from '../space/reclaimed-report.ts';
import type { Vm } from '../vm/load.ts';
import type { DeleteRequest, TellLoss } from './deletion.ts';
import type { Share } from './request.ts';

/** What a delete means for the user, and the question before it. */

/** A snapshot in words that change only if the snapshot does. */
const describe = (member: SnapshotReport): string =>
  `${inText(member.name)}, taken ${localTime(member.createdAtSeconds)}${purposeOf(member)}`;

const firstLine = (text: string): string => text.split('\n')[0] ?? '';

/** All that one VM loses, in the words by which consents are compared. */
export const goingOf = (vm: { readonly name: string }, deletionSet: readonly SnapshotReport[]): string[] =>
  deletionSet.map((member) => `${inText(vm.name)} loses ${describe(member)}`);

/** What all VMs lose, and the question about it. */
export function tellDeletion(ctx: Context, shares: readonly Share[], request: DeleteRequest): Told {
  const losing = shares.filter(({ deletionSet }) => deletionSet.length > 0);
  return {
    consequences: losing.flatMap(({ vm, deletionSet }) => goingOf(vm.domain, deletionSet)),
    question: losing.length === 0 ? null : () => questionOf(ctx, shares, request),
  };
}

async function questionOf(ctx: Context, shares: readonly Share[], request: DeleteRequest): Promise<Question> {
  const losing = shares.filter(({ deletionSet }) => deletionSet.length > 0);
  const isOne = shares.length === 1;
  const of = ({ vm }: Share) => (isOne ? '' : `${vm.domain.name}: `);
  const now = ctx.clock.now() / 1000;
  const going = losing.flatMap((share) =>
    share.deletionSet.map((member) => `${of(share)}${line(member, share, now)}`),
  );
  const not = shares.flatMap((share) => [
    ...share.missing.map((name) => `${of(share)}${inText(name)} does not exist`),
    ...share.refused.map(({ failure }) => `${of(share)}not deleted: ${failure.message}`),
  ]);
  const freed = request.metadataOnly ? [] : freedLines(true, await freedBy(ctx, losing));
  return {
    details: [...fold(going), ...fold(not), ...freed.map((each) => `this ${each}`)],
    asks: `Delete ${whatGoes(losing)}${howFar(request)}?`,
  };
}

/** The notes about what is deleted if nobody was asked; with JSON, the document contains it. */
export const tellLoss =
  ({ metadataOnly }: DeleteRequest): TellLoss =>
  ({ clock, settings }, { vm, deletionSet }) => {
    if (settings.output === 'json') return [];
    const fate = metadataOnly
      ? 'will be unregistered from libvirt; its data stay'
      : 'will be deleted permanently';
    const now = clock.now() / 1000;
    return fold(
      deletionSet.map((member) => {
        const facts = [takenAt(member, now), ...marksOf(member, vm)].join(', ');
        return `snapshot ${inText(member.name)} ${fate} (${facts})${purposeOf(member)}`;
      }),
    );
  };

/** `s1, taken 2026-11-23 22:52:34, 3 d ago (current): before the upgrade`. */
function line(member: SnapshotReport, { vm }: Pick<Share, 'vm'>, now: number): string {
  const marks = marksOf(member, vm);
  const marked = marks.length === 0 ? '' : ` (${marks.join(', ')})`;
  return `${inText(member.name)}, ${takenAt(member, now)}${marked}${purposeOf(member)}`;
}

const takenAt = ({ createdAtSeconds }: SnapshotReport, now: number): string =>
  `taken ${localTime(createdAtSeconds)}, ${humanSpan(now - createdAtSeconds)} ago`;

const marksOf = (member: SnapshotReport, { current }: Pick<Vm, 'current'>): string[] => [
  ...(member.name === current ? ['current'] : []),
  ...(locationOf(member) === 'external' ? ['external'] : []),
];

const purposeOf = ({ description }: SnapshotReport): string =>
  description === null ? '' : `: ${firstLine(description)}`;

/** `s1 of web`, `3 snapshots of 2 VMs (db, web)`. */
function whatGoes(losing: readonly Share[]): string {
  const deletionSet = losing.flatMap(({ deletionSet }) => deletionSet);
  const [first] = deletionSet;
  const what = first && deletionSet.length === 1 ? inText(first.name) : `${deletionSet.length} snapshots`;
  const vms = fold(losing.map(({ vm }) => inText(vm.domain.name))).join(', ');
  return losing.length === 1 ? `${what} of ${vms}` : `${what} of ${losing.length} VMs (${vms})`;
}

const howFar = ({ metadataOnly, removeUnused }: DeleteRequest): string =>
  metadataOnly
    ? ' from libvirt only, and leave the data in the images'
    : removeUnused
      ? ' permanently, and remove the files that nothing uses afterwards'
      : ' permanently';

/** The question is not delayed longer than this for the figures. */
const MOST_MILLISECONDS = 2000;
const UNKNOWN: Freed = { bytes: null, approximate: false };

async function freedBy(ctx: Context, losing: readonly Share[]): Promise<FreedOf[]> {
  const until = ctx.clock.now() + MOST_MILLISECONDS;
  const each: FreedOf[] = [];
  for (const { vm, deletionSet } of losing) {
    const names = deletionSet.map(({ name }) => name);
    const left = until - ctx.clock.now();
    const foreseen = left > 0 ? await foreseeQuickly(ctx, vm, names, left) : null;
    each.push({ vm: vm.domain, freed: foreseen?.together ?? UNKNOWN });
  }
  return each;
}
