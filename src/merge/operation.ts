import { clearUnusedFiles, type UnusedFilesFound } from '../delete/remove-unused-files.ts';
import { KvmsnapError } from '../errors.ts';
import { freeBytes } from '../host/files.ts';
import type { VirshCommand } from '../libvirt/batch.ts';
import { virshFailure } from '../libvirt/virsh-error.ts';
import { chainPaths } from '../model/image.ts';
import { commandLine, kvmsnapLine } from '../model/quote.ts';
import { applyRules, type Finding } from '../model/rule.ts';
import { disksInText, inText } from '../model/text.ts';
import type { Context } from '../run/context.ts';
import { residue } from '../run/failed-write.ts';
import { type Operation, skip } from '../run/operation.ts';
import { readAfter, type WriteEnd } from '../run/write.ts';
import { completeVm, type Vm } from '../vm/load.ts';
import { type MergeFacts, readMergeFacts, readNextStart } from './facts.ts';
import { type LeftOverlays, leftCompareWords, whyKept } from './left-overlays.ts';
import type { DiskMerge, Wanted } from './plan.ts';
import { MERGE_RULES } from './rules.ts';
import { mergeDisk, mergeLines } from './write.ts';

/** The merge of all overlays of a VM that belong to no snapshot. */

/** What was merged, and the overlays that are not used any more. */
export interface Merged extends UnusedFilesFound {
  readonly facts: MergeFacts;
  readonly vm: Vm;
}

export interface PlannedMerge {
  readonly vm: Vm;
  readonly lines: readonly (VirshCommand | string)[];
}

/** How the merges of the disks have ended; the last one may have failed, and the others did not begin then. */
type End = readonly WriteEnd[];

interface Seen {
  readonly after: Vm;
  readonly unmerged: readonly DiskMerge[];
}

/** The operation for the VM with this UUID. */
export const mergeOverlays = (
  uuid: string,
  wanted: Wanted,
): Operation<MergeFacts, Seen, Merged, PlannedMerge, End> => ({
  load: (ctx) => readMergeFacts(ctx, uuid, wanted),
  rules: [
    {
      cannot: ({ vm }) => `cannot merge the overlays of ${inText(vm.domain.name)}`,
      find: (facts) => applyRules(MERGE_RULES, facts),
      force: false,
    },
  ],
  settled: (facts) =>
    facts.merges.length + facts.left.length === 0
      ? { facts, vm: facts.vm, unusedFiles: [], unremoved: [] }
      : null,
  plan: (_, facts) => ({
    vm: facts.vm,
    lines: [...facts.merges.flatMap((merge) => mergeLines(facts, merge)), ...facts.left.map(leftLine)],
  }),
  consent: {
    mustConsent: true,
    asks: (_, { vm, merges, left }) => {
      const consequences = [...merges.flatMap(consequencesOf), ...left.flatMap(removalsOf)];
      const what = merges.length > 0 ? 'Merge the overlays' : 'Remove the unused overlays';
      return {
        consequences,
        question: async () => ({
          details: consequences,
          asks: `${what} of ${inText(vm.domain.name)}? No backup tool may be using them now.`,
        }),
      };
    },
    backup: skip('the content of the disks stays the same'),
  },
  // not while Ctrl-C would have to wait for it
  prepare: async (ctx, facts) => ({ ...facts, left: await provenOf(ctx, facts.left) }),
  write: {
    subject: (_, { vm }) => `the merge of the overlays of ${inText(vm.domain.name)}`,
    async run(ctx, facts) {
      const ends: WriteEnd[] = [];
      for (const merge of facts.merges) {
        if (ends.length > 0 && ctx.interrupts.pending) break;
        const end = await mergeDisk(ctx, facts, merge);
        ends.push(end);
        if (end.kind !== 'done') break;
      }
      return ends;
    },
  },
  log: ({ vm }) => ({ action: 'merge', vm: vm.domain.name, snapshots: [] }),
  verify: verifyMerge,
  residue: async (ctx, { vm }, { after, unmerged }) => [
    ...residue(ctx, after.domain, vm.domain.state),
    ...unfinished(after, unmerged),
    ...(await fullFilesystems(ctx, unmerged)),
  ],
});

const consequencesOf = ({ target, overlays, base, job }: DiskMerge): string[] => [
  job === 'ready'
    ? `disk ${target}: the merge into ${base.path}, which another program has begun, is completed`
    : `disk ${target}: the content of ${overlays.map(({ path }) => path).join(' and ')} is written into ${base.path}, which the VM uses from then on`,
  ...overlays.map(({ path }) => `${path} is removed afterwards`),
];

const removalsOf = ({ overlays, base }: LeftOverlays): string[] =>
  overlays.map((path) => `${path}, which nothing uses, is removed if its content is in ${base.path}`);

const leftLine = (left: LeftOverlays): string =>
  `${commandLine('qemu-img', leftCompareWords(left))} && ${commandLine('rm', left.overlays)}`;

/** Those whose content is in the file below; prints why the others stay. */
async function provenOf(ctx: Context, left: readonly LeftOverlays[]): Promise<LeftOverlays[]> {
  const proven: LeftOverlays[] = [];
  for (const each of left) {
    const why = await whyKept(ctx, each);
    if (why === null) proven.push(each);
    else
      ctx.terminal.note(
        `note: ${each.overlays[0]} is kept: ${why}. If nobody needs it, remove it:\n  ${commandLine('rm', each.overlays)}`,
      );
  }
  return proven;
}

async function verifyMerge(ctx: Context, facts: MergeFacts, ends: End) {
  const last = ends.at(-1) ?? { kind: 'done', stderr: '' };
  const { domain } = facts.vm;
  const after = await completeVm(ctx, await readAfter(ctx, domain.uuid, last));
  const next = await readNextStart(ctx, domain.uuid);
  const uses = ({ target }: DiskMerge) => [chainPaths(after.images.get(target))[0], next.get(target)];
  const unmerged = facts.merges.filter((merge) => uses(merge).some((path) => path !== merge.base.path));
  const merged = facts.merges.filter((each) => !unmerged.includes(each));
  const overlays = merged.flatMap((each) => each.overlays.map(({ path }) => path));
  const left = facts.left.flatMap((each) => each.overlays);
  const cleared = await clearUnusedFiles(ctx, after, [...overlays, ...left], true);
  if (unmerged.length === 0) return { done: { facts, vm: after, ...cleared } };
  return { failure: failureOf(ctx, domain.name, { last, merged, unmerged }), seen: { after, unmerged } };
}

interface Standing {
  readonly last: WriteEnd;
  readonly merged: readonly DiskMerge[];
  readonly unmerged: readonly DiskMerge[];
}

function failureOf(ctx: Context, vm: string, { last, merged, unmerged }: Standing): KvmsnapError {
  const disks = (all: readonly DiskMerge[]) => disksInText(all.map(({ target }) => target));
  const done = merged.length === 0 ? '' : `; ${disks(merged)} was merged before`;
  const what = `the overlays of ${inText(vm)} were not merged: ${disks(unmerged)} still uses an overlay, and its content is unchanged${done}`;
  if (ctx.interrupts.pending && last.kind === 'done') return ctx.interrupts.pending.prefixed(`${what}: `);
  return last.kind === 'done' ? new KvmsnapError('refused', what) : virshFailure(what, last.stderr);
}

/** A merge that is left without its last step. */
const unfinished = ({ domain }: Vm, unmerged: readonly DiskMerge[]): Finding[] =>
  domain.disks
    .filter(({ target, mirror }) => mirror !== undefined && unmerged.some((each) => each.target === target))
    .map(({ target }) => ({
      what: `disk ${target}: a merge is still under way`,
      hint: 'the same command completes it',
      command: kvmsnapLine('merge', [domain.name]),
    }));

/** With less than this, a file system counts as full: QEMU needs a few clusters at once. */
const FULL_BYTES = 1024 * 1024;

/** While the VM runs, virsh does not say that QEMU had no space to write. */
async function fullFilesystems(
  { files }: Pick<Context, 'files'>,
  unmerged: readonly DiskMerge[],
): Promise<Finding[]> {
  const found: Finding[] = [];
  for (const { target, base } of unmerged) {
    const free = await freeBytes(files, base.path);
    if (free !== null && free < FULL_BYTES)
      found.push({
        what: `disk ${target}: the file system of ${base.path} is full`,
        hint: 'free some space there, then run the same command again',
      });
  }
  return found;
}
