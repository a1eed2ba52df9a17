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
import { humanSpan } from '../output/format.ts';
import type { Context } from '../run/context.ts';
import { withConnection } from '../run/enforce.ts';
import { residue } from '../run/failed-write.ts';
import type { Verified } from '../run/operation.ts';
import { readAfter, type WriteEnd } from '../run/write.ts';
import { identifyFiles } from '../vm/file-identity.ts';
import { completeVm, type Vm } from '../vm/load.ts';
import type { Checked, Reverted } from './revert.ts';
import { lackingNow } from './stored-definitions.ts';

/** Looking whether a revert has done what it was to do, and what a failed one has left. */

/** What a failed revert has come to. */
export interface Failed {
  readonly vm: Vm;
  readonly end: WriteEnd;
}

/** Looks whether the VM is as the snapshot says, and clears away the overlays that it does not use any more. */
export async function verifyRevert(
  ctx: Context,
  checked: Checked,
  end: WriteEnd,
): Promise<Verified<Failed, Omit<Reverted, 'backup'>>> {
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
      ? new KvmsnapError('refused', `virsh reported ${inText(name)} as reverted, but ${wrong.join('; ')}`)
      : virshFailure(`the revert of ${inText(name)} to ${inText(snapshot.name)} failed`, end.stderr);
  return { failure, seen: { vm, end } };
}

/** What a failed revert has left behind, each with its cure. */
export async function leftBehind(
  ctx: Context,
  { vm: before }: Checked,
  { vm, end }: Failed,
  { code }: KvmsnapError,
): Promise<Finding[]> {
  if (code === 'busy') return []; // it never began
  return [
    ...(await lackingNow(ctx, vm)), // before it can be started
    ...residue(ctx, vm.domain, before.domain.state),
    ...(before.current !== null && vm.current === null ? [NO_CURRENT] : []),
    ...(end.kind === 'done' ? [] : [UNKNOWN_END[end.kind]]),
  ];
}

/** A guest whose memory was loaded goes on with the time of then. */
function noteClock(ctx: Context, { domain }: Vm, snapshot: SnapshotReport): void {
  if (!isActive(domain.state) || !hasMemory(snapshot)) return;
  const age = humanSpan(ctx.clock.now() / 1000 - snapshot.createdAtSeconds);
  const { command } = withConnection(ctx, {
    what: '',
    command: `virsh domtime ${virshWord(domain)} --sync`,
  });
  const cure = domain.agentChannel === 'none' ? '' : `; its guest agent can set it: ${command}`;
  ctx.terminal.note(`note: the guest's clock is behind, by ${age}${cure}`);
}

/** The files in use that lie on another one. */
const overlaysIn = ({ images }: Vm): string[] =>
  [...images.values()].flatMap((image) => {
    const [top] = chainOf(image);
    return top && top.backing !== null ? [top.path] : [];
  });

/** libvirt could not write down what it has done (hazard 22); the next revert does. */
const NO_CURRENT = { what: 'libvirt forgot which snapshot is the current one' };

/** Neither the state nor the current snapshot tells how far a revert has come: libvirtd goes from disk to disk. */
const UNKNOWN_END = {
  unknown: {
    what: 'whether libvirtd has carried it out is not known, and neither is what the disks hold now',
    hint: 'run the same revert again to be sure',
  },
  refused: {
    what: 'how far libvirtd came is not known: some of the disks, or all, may hold the snapshot by now',
    hint: 'when the cause is fixed, run the same revert again to be sure',
  },
};

async function mismatches(ctx: Pick<Context, 'files'>, vm: Vm, checked: Checked): Promise<string[]> {
  const { domain, current } = vm;
  const { snapshot, end } = checked;
  return [
    ...(current === snapshot.name
      ? []
      : [`the current snapshot is ${current === null ? 'none' : inText(current)}`]),
    ...(domain.state === end ? [] : [`the VM is ${domain.state} and not ${end}`]),
    ...(await wrongDisks(ctx, vm, checked)),
  ];
}

/** The disks that are not what they should be after a revert; the definition may spell the same file otherwise now. */
async function wrongDisks(
  { files }: Pick<Context, 'files'>,
  { images }: Vm,
  { snapshot, images: stored }: Pick<Checked, 'snapshot' | 'images'>,
): Promise<string[]> {
  const links = [...images.values(), ...stored.values()].flatMap(chainOf);
  const key = await identifyFiles(
    files,
    links.flatMap(({ path, backing }) => [path, backing ?? path]),
  );
  return snapshot.disks.flatMap(({ target, location }) => {
    const [[top], [state]] = [chainOf(images.get(target)), chainOf(stored.get(target))];
    if (!top || !state) return [];
    // over one that was left to its storage an overlay may be laid, too
    const isOver = location === 'external' || (location === 'manual' && key(top.path) !== key(state.path));
    const lies = isOver ? top.backing : top.path;
    if (lies !== null && key(lies) === key(state.path)) return [];
    return [`disk ${target} is ${top.path}, and not ${isOver ? 'over ' : ''}${state.path}`];
  });
}
