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
  /** The snapshot that the file describes. */
  readonly wanted: Snapshot;
  readonly stored: Images;
  /** The snapshot that libvirt has under that name. */
  readonly before: SnapshotReport | undefined;
  readonly command: VirshCommand;
}

export interface PlannedRedefinition {
  readonly command: VirshCommand;
  readonly name: string;
}

/**
 * Registers a snapshot from its XML, as `virsh snapshot-dumpxml` printed it once. The images are not changed. If
 * libvirt has a snapshot of that name, its metadata is saved in a file first. Returns the snapshot afterwards.
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
      cannot: ({ vm, wanted }) => `cannot register ${inText(wanted.name)} of ${inText(vm.domain.name)}`,
      find: ({ vm, wanted, stored }) => applyRules(REDEFINE_RULES, { ...vm, wanted, stored }),
      force: false,
    },
  ],
  settled: skip('the file is not compared with what libvirt has already'),
  plan: (_, { command, wanted: { name } }) => ({ command, name }),
  consent: skip('the images are not changed, and the old XML is saved'),
  async prepare(ctx, facts) {
    const { vm, wanted, before } = facts;
    if (!before) return facts;
    const old = await readSnapshotXml(ctx.virsh, vm.domain, wanted.name, true);
    const kept = await ctx.savedXml.keep(`${vm.domain.uuid}.${ctx.clock.now()}.xml`, old);
    ctx.terminal.note(`note: the present metadata of ${inText(wanted.name)} is saved in ${kept}`);
    return facts;
  },
  write: {
    subject: (_, { vm, wanted }) => `the definition of ${inText(wanted.name)} of ${inText(vm.domain.name)}`,
    run: (ctx, { command, wanted: { name } }) =>
      carryOut(ctx, { command, label: `registering ${inText(name)}`, growing: null }),
  },
  log: skip('nothing is lost'),
  async verify(ctx, { vm, wanted }, end) {
    const { name } = wanted;
    const { after, now } = await readRegistered(ctx, vm, name, end);
    if (end.kind === 'refused') {
      const what = `${inText(name)} of ${inText(vm.domain.name)} was not registered`;
      return { failure: virshFailure(what, end.stderr), seen: null };
    }
    const isAsWanted =
      now?.parent === wanted.parent && (!makeCurrent || after.current === name) && now.state === wanted.state;
    if (now && isAsWanted) return { done: now };
    const what = `virsh reported success, but ${inText(name)} differs from ${path}`;
    return { failure: new KvmsnapError('refused', what), seen: null };
  },
  residue: skip('the old metadata is saved in a file, which was reported'),
});

/** The VM and the snapshot afterwards, with all snapshots, because this one may have children. */
export async function readRegistered(
  ctx: Context,
  { domain }: Vm,
  name: string,
  end: WriteEnd,
): Promise<{ readonly after: Vm; readonly now: SnapshotReport | undefined }> {
  const after = await completeVm(ctx, await readAfter(ctx, domain.uuid, end));
  return { after, now: after.snapshots.find((snapshot) => snapshot.name === name) };
}
