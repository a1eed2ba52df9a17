import { KvmsnapError } from '../errors.ts';
import type { VirshCommand } from '../libvirt/batch.ts';
import { registerCommand } from '../libvirt/create-command.ts';
import { type DomainReading, readByUuid } from '../libvirt/domains.ts';
import { readSnapshotXml } from '../libvirt/snapshots.ts';
import { virshFailure } from '../libvirt/virsh-error.ts';
import { parseWholeSnapshot } from '../libvirt/xml/snapshot-request.ts';
import type { Images } from '../model/image.ts';
import type { SnapshotReport } from '../model/report.ts';
import { applyRules } from '../model/rule.ts';
import type { Snapshot } from '../model/snapshot.ts';
import { inText } from '../model/text.ts';
import type { Context } from '../run/context.ts';
import { type Operation, skip } from '../run/operation.ts';
import { carryOut, readAfter, type WriteEnd } from '../run/write.ts';
import { callAsNow, completeVm, type Vm } from '../vm/load.ts';
import { readStoredImages } from '../vm/stored-disks.ts';
import { REDEFINE_RULES } from './rules.ts';

export interface Redefinition {
  readonly path: string;
  readonly text: string;
  readonly makeCurrent: boolean;
}

interface Facts {
  readonly vm: Vm;
  /** The snapshot of the file. */
  readonly wanted: Snapshot;
  readonly stored: Images;
  /** What libvirt has under that name. */
  readonly before: SnapshotReport | undefined;
  readonly command: VirshCommand;
}

export interface PlannedRedefinition {
  readonly command: VirshCommand;
  readonly name: string;
}

/**
 * Has libvirt know a snapshot by its XML, as `virsh snapshot-dumpxml` printed it once; the images are not touched. What it
 * knew under that name is kept in a file first. Returns the snapshot as it is then.
 */
export const registerSnapshot = (
  reading: DomainReading,
  { path, text, makeCurrent }: Redefinition,
): Operation<Facts, null, SnapshotReport, PlannedRedefinition> => ({
  async load(ctx, again) {
    const { uuid } = reading.domain;
    const vm = await completeVm(ctx, again ? await readByUuid(ctx.virsh, uuid) : reading);
    const wanted = parseWholeSnapshot(path, text);
    const [called = wanted] = await callAsNow(ctx, vm, vm.images, [wanted]);
    const stored = await readStoredImages(ctx, vm, called);
    const before = vm.snapshots.find(({ name }) => name === wanted.name);
    const isCurrent = makeCurrent || (before?.isCurrent ?? false);
    return { vm, wanted, stored, before, command: registerCommand(vm.domain.uuid, path, isCurrent) };
  },
  rules: [
    {
      cannot: ({ vm, wanted }) => `cannot redefine ${inText(wanted.name)} of ${inText(vm.domain.name)}`,
      find: ({ vm, wanted, stored }) => applyRules(REDEFINE_RULES, { ...vm, wanted, stored }),
      force: false,
    },
  ],
  settled: skip('whether the file says what libvirt has already is not looked at'),
  plan: (_, { command, wanted: { name } }) => ({ command, name }),
  consent: skip('the images stay as they are, and the XML of before is kept'),
  async prepare(ctx, facts) {
    const { vm, wanted, before } = facts;
    if (!before) return facts;
    const old = await readSnapshotXml(ctx.virsh, vm.domain, wanted.name, true);
    const kept = await ctx.stateFiles.keep(`${vm.domain.uuid}.${ctx.clock.now()}.xml`, old);
    ctx.terminal.note(`note: what libvirt knows of ${inText(wanted.name)} now is kept in ${kept}`);
    return facts;
  },
  write: {
    subject: (_, { vm, wanted }) => `the definition of ${inText(wanted.name)} of ${inText(vm.domain.name)}`,
    run: (ctx, { command, wanted: { name } }) =>
      carryOut(ctx, { command, label: `redefining ${inText(name)}`, growing: null }),
  },
  async verify(ctx, { vm, wanted }, end) {
    const { name } = wanted;
    const { after, now } = await readRegistered(ctx, vm, name, end);
    if (end.kind === 'refused') {
      const what = `${inText(name)} of ${inText(vm.domain.name)} was not redefined`;
      return { failure: virshFailure(what, end.stderr), seen: null };
    }
    const isAsWanted =
      now?.parent === wanted.parent && (!makeCurrent || after.current === name) && now.state === wanted.state;
    if (now && isAsWanted) return { done: now };
    const what = `virsh reported success, but ${inText(name)} is not as ${path} says`;
    return { failure: new KvmsnapError('refused', what), seen: null };
  },
  residue: skip('what libvirt knew before is kept in a file, and was told'),
});

/** The VM and the snapshot as they are after libvirt was told of it: all of them, for it may have children. */
export async function readRegistered(
  ctx: Context,
  { domain }: Vm,
  name: string,
  end: WriteEnd,
): Promise<{ readonly after: Vm; readonly now: SnapshotReport | undefined }> {
  const after = await completeVm(ctx, await readAfter(ctx, domain.uuid, end));
  return { after, now: after.snapshots.find((snapshot) => snapshot.name === name) };
}
