import { clearUnusedFiles } from '../delete/remove-unused-files.ts';
import { KvmsnapError } from '../errors.ts';
import { virshFailure } from '../libvirt/virsh-error.ts';
import { isActive } from '../model/domain.ts';
import { chainOf } from '../model/image.ts';
import { virshWord } from '../model/quote.ts';
import type { SnapshotReport } from '../model/report.ts';
import type { Finding } from '../model/rule.ts';
import { hasMemory, locationOf } from '../model/snapshot.ts';
import { inText } from '../model/text.ts';
import { humanSpan, stateWord } from '../output/format.ts';
import type { Context, VmReader } from '../run/context.ts';
import { withConnection } from '../run/enforce.ts';
import { residue } from '../run/failed-write.ts';
import type { Verified } from '../run/operation.ts';
import { readAfter, type WriteEnd } from '../run/write.ts';
import { identifyFiles } from '../vm/file-identity.ts';
import { completeVm, type Vm } from '../vm/load.ts';
import type { PlannedRevert, Reverted } from './operation.ts';
import { lackingNow } from './stored-definitions.ts';

/** Verifies a revert, and finds what a failed one has left behind. */

/** What was found after a failed revert. */
export interface FailedRevert {
  readonly vm: Vm;
  readonly end: WriteEnd;
}

/** Verifies that the VM is as the snapshot describes it, and reports the overlays that it does not use any more. */
export async function verifyRevert(
  ctx: Context,
  checked: PlannedRevert,
  end: WriteEnd,
): Promise<Verified<FailedRevert, Omit<Reverted, 'backup'>>> {
  const { vm: before, snapshot } = checked;
  const { name } = before.domain;
  const vm = await completeVm(ctx, await readAfter(ctx, before.domain.uuid, end));
  const wrong = await mismatches(ctx, vm, checked);
  const now = vm.snapshots.find((each) => each.name === snapshot.name);
  if (end.kind === 'done' && now && wrong.length === 0) {
    noteClock(ctx, vm, now);
    if (vm.snapshots.some((each) => locationOf(each) === 'external'))
      await clearUnusedFiles(ctx, vm, overlaysIn(before), false);
    return { done: { vm, snapshot: now } };
  }
  const failure =
    end.kind === 'done'
      ? new KvmsnapError(
          'refused',
          `virsh reported that it reverted ${inText(name)} to ${inText(snapshot.name)}, but ${wrong.join('; ')}`,
        )
      : virshFailure(`the revert of ${inText(name)} to ${inText(snapshot.name)} failed`, end.stderr);
  return { failure, seen: { vm, end } };
}

/** What a failed revert has left behind, each with the fix. */
export async function leftBehind(
  ctx: VmReader,
  { vm: before }: PlannedRevert,
  { vm, end }: FailedRevert,
  { code }: KvmsnapError,
): Promise<Finding[]> {
  if (code === 'busy') return []; // the revert did not begin
  return [
    ...(await lackingNow(ctx, vm)), // to be fixed before the VM can be started
    ...residue(ctx, vm.domain, before.domain.state),
    ...(before.current !== null && vm.current === null ? [NO_CURRENT] : []),
    ...(end.kind === 'done' ? [] : [UNKNOWN_END[end.kind]]),
  ];
}

/** A guest whose memory was loaded continues with the time of the snapshot. */
function noteClock(ctx: Context, { domain }: Vm, snapshot: SnapshotReport): void {
  if (!isActive(domain.state) || !hasMemory(snapshot)) return;
  const age = humanSpan(ctx.clock.now() / 1000 - snapshot.createdAtSeconds);
  const { command } = withConnection(ctx, {
    what: '',
    command: `virsh domtime ${virshWord(domain)} --sync`,
  });
  const fix = domain.agentChannel === 'none' ? '' : `. The guest agent can set it:\n  ${command}`;
  ctx.terminal.note(`note: the guest's clock is now ${age} behind${fix}`);
}

/** The images in use that have a backing file. */
const overlaysIn = ({ images }: Vm): string[] =>
  [...images.values()].flatMap((image) => {
    const [top] = chainOf(image);
    return top && top.backing !== null ? [top.path] : [];
  });

/** libvirt could not save its metadata (hazard 22); the next revert saves it. */
const NO_CURRENT = { what: 'libvirt no longer has a current snapshot for the VM' };

/** Neither the state nor the current snapshot tells how far a revert has come: libvirtd reverts one disk after another. */
const UNKNOWN_END = {
  unknown: {
    what: 'libvirtd may or may not have carried out the revert, so the content of the disks is uncertain',
    hint: 'run the same revert again to be sure',
  },
  refused: {
    what: 'libvirtd may have reverted some of the disks, or all of them, before it failed',
    hint: 'fix the cause, then run the same revert again to be sure',
  },
};

/** The hints that a revert should be repeated. */
export const AGAIN: ReadonlySet<string> = new Set(Object.values(UNKNOWN_END).map(({ hint }) => hint));

async function mismatches(ctx: Pick<Context, 'files'>, vm: Vm, checked: PlannedRevert): Promise<string[]> {
  const { domain, current } = vm;
  const { snapshot, end } = checked;
  return [
    ...(current === snapshot.name
      ? []
      : [current === null ? 'there is no current snapshot' : `the current snapshot is ${inText(current)}`]),
    ...(domain.state === end ? [] : [`the VM is ${stateWord(domain.state)} and not ${stateWord(end)}`]),
    ...(await wrongDisks(ctx, vm, checked)),
  ];
}

/** The disks that do not use the right image after a revert; the definition may now have another path of the same file. */
async function wrongDisks(
  { files }: Pick<Context, 'files'>,
  { images }: Vm,
  { snapshot, images: stored }: Pick<PlannedRevert, 'snapshot' | 'images'>,
): Promise<string[]> {
  const links = [...images.values(), ...stored.values()].flatMap(chainOf);
  const key = await identifyFiles(
    files,
    links.flatMap(({ path, backing }) => [path, backing ?? path]),
  );
  return snapshot.disks.flatMap(({ target, location }) => {
    const [[top], [state]] = [chainOf(images.get(target)), chainOf(stored.get(target))];
    if (!top || !state) return [];
    // libvirt may also create an overlay for a disk that was left to its storage
    const isOver = location === 'external' || (location === 'manual' && key(top.path) !== key(state.path));
    const used = isOver ? top.backing : top.path;
    if (used !== null && key(used) === key(state.path)) return [];
    return [
      `disk ${target} uses ${top.path}, ${isOver ? 'which is not on top of' : 'and not'} ${state.path}`,
    ];
  });
}
