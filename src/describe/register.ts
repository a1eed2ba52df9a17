import { readFile } from 'node:fs/promises';
import { KvmsnapError } from '../errors.ts';
import type { VirshCommand } from '../libvirt/batch.ts';
import { registerCommand } from '../libvirt/create-command.ts';
import { FROM_PIPE, pipedLine, redescribing } from '../libvirt/paste.ts';
import { readSnapshotXml } from '../libvirt/snapshots.ts';
import { virshFailure } from '../libvirt/virsh-error.ts';
import { withDescription } from '../libvirt/xml/snapshot.ts';
import { parseWholeSnapshot } from '../libvirt/xml/snapshot-request.ts';
import { withHold } from '../model/hold.ts';
import type { SnapshotReport } from '../model/report.ts';
import { applyRules } from '../model/rule.ts';
import type { Context } from '../run/context.ts';
import { refuseOn } from '../run/enforce.ts';
import { carryOut, readAfter } from '../run/write.ts';
import { callAsNow, completeVm, stillBeingTaken, type Vm } from '../vm/load.ts';
import { lookAtStoredDisks } from '../vm/stored-disks.ts';
import { REDEFINE_RULES } from './rules.ts';

export interface Described {
  readonly description: string | null;
  readonly held: boolean;
}

/**
 * Gives a snapshot another description. libvirt has one door for that, `snapshot-create --redefine` with the snapshot's
 * whole XML, so a copy of the old XML is kept first, and afterwards all but the description must be as before. The images
 * are not touched, and nothing at all is done where it is so already. Returns the snapshot as it is then; with `--dry-run`
 * the line to paste.
 */
export async function redescribe(
  ctx: Context,
  vm: Vm,
  snapshot: SnapshotReport,
  wanted: Described,
): Promise<SnapshotReport | { readonly planned: string }> {
  const { domain } = vm;
  if (snapshot.held === wanted.held && snapshot.description === wanted.description) return snapshot;
  if (snapshot.underWay) throw stillBeingTaken(vm, snapshot);
  const text = wanted.held ? withHold(wanted.description) : wanted.description;
  const redefinition = (file: string) => registerCommand(domain.uuid, file, snapshot.isCurrent);
  if (ctx.settings.dryRun) {
    const source = redescribing(ctx.virsh, { uuid: domain.uuid, name: snapshot.name }, text);
    return { planned: pipedLine(ctx.virsh, source, redefinition(FROM_PIPE)) };
  }
  // with its secrets: a redefinition without them would lose them
  const xml = await readSnapshotXml(ctx.virsh, domain, snapshot.name, true);
  const stem = `${domain.uuid}.${ctx.clock.now()}`;
  const kept = await ctx.files.keep(`${stem}.xml`, xml);
  const changed = await ctx.files.keep(`${stem}.new.xml`, withDescription(xml, text));
  return ctx.interrupts.protect(`the description of '${snapshot.name}' of '${domain.name}'`, async () => {
    const { after, now } = await carryOutAndLook(ctx, vm, snapshot.name, {
      command: redefinition(changed),
      label: `describing '${snapshot.name}'`,
      undone: 'was not described',
      servedBy: changed,
    });
    const wrong = [
      ...(now?.description === wanted.description && now?.held === wanted.held
        ? []
        : ['the description is not as asked']),
      ...(after.current === vm.current ? [] : [`the current snapshot is now ${after.current ?? 'none'}`]),
      ...(now?.parent === snapshot.parent ? [] : ['its parent changed']),
    ];
    if (now && wrong.length === 0) return now;
    throw new KvmsnapError('refused', `virsh reported success, but ${wrong.join('; ')}`, {
      hint: 'the definition of before is kept; this brings it back',
      command: ctx.virsh.line(redefinition(kept)),
    });
  });
}

interface Redefining {
  readonly command: VirshCommand;
  readonly label: string;
  /** What is said when virsh refuses. */
  readonly undone: string;
  /** A file that is of no use once virsh has read it; null: none. */
  readonly servedBy: string | null;
}

/** The VM and the snapshot as they are then. Throws when virsh refuses. */
async function carryOutAndLook(
  ctx: Context,
  { domain }: Vm,
  name: string,
  { command, label, undone, servedBy }: Redefining,
): Promise<{ readonly after: Vm; readonly now: SnapshotReport | undefined }> {
  const end = await carryOut(ctx, { command, label, growing: null });
  if (servedBy !== null) await ctx.files.drop(servedBy);
  // all of them: what is redefined may have children
  const after = await completeVm(ctx, await readAfter(ctx, domain.uuid, end));
  if (end.kind === 'refused') throw virshFailure(`'${name}' of '${domain.name}' ${undone}`, end.stderr);
  return { after, now: after.snapshots.find((snapshot) => snapshot.name === name) };
}

/** Throws `usage` for a file that cannot be read. */
export async function readXmlFile(path: string): Promise<string> {
  return readFile(path, 'utf8').catch((error: Error) => {
    throw new KvmsnapError('usage', `cannot read the file of --xml: ${error.message}`);
  });
}

export interface Redefinition {
  readonly path: string;
  readonly text: string;
  readonly makeCurrent: boolean;
}

/**
 * Has libvirt know a snapshot by its XML, as `virsh snapshot-dumpxml` printed it once; the images are not touched. What it
 * knew under that name is kept in a file first. Returns the snapshot as it is then; with `--dry-run` the command.
 */
export async function registerSnapshot(
  ctx: Context,
  vm: Vm,
  { path, text, makeCurrent }: Redefinition,
): Promise<SnapshotReport | { readonly planned: VirshCommand; readonly name: string }> {
  const { domain } = vm;
  const wanted = parseWholeSnapshot(path, text);
  const { name } = wanted;
  const [called = wanted] = await callAsNow(vm, vm.images, [wanted]);
  const stored = await lookAtStoredDisks(ctx, vm, called);
  refuseOn(
    ctx,
    `cannot redefine '${name}' of '${domain.name}'`,
    applyRules(REDEFINE_RULES, { ...vm, wanted, stored }),
    false,
  );
  const before = vm.snapshots.find((snapshot) => snapshot.name === name);
  const command = registerCommand(domain.uuid, path, makeCurrent || (before?.isCurrent ?? false));
  if (ctx.settings.dryRun) return { planned: command, name };
  if (before) {
    const old = await readSnapshotXml(ctx.virsh, domain, name, true);
    const kept = await ctx.files.keep(`${domain.uuid}.${ctx.clock.now()}.xml`, old);
    ctx.terminal.note(`note: what libvirt knows of '${name}' now is kept in ${kept}`);
  }
  return ctx.interrupts.protect(`the definition of '${name}' of '${domain.name}'`, async () => {
    const { after, now } = await carryOutAndLook(ctx, vm, name, {
      command,
      label: `redefining '${name}'`,
      undone: 'was not redefined',
      servedBy: null,
    });
    const isAsWanted =
      now?.parent === wanted.parent && (!makeCurrent || after.current === name) && now.state === wanted.state;
    if (now && isAsWanted) return now;
    throw new KvmsnapError('refused', `virsh reported success, but '${name}' is not as ${path} says`);
  });
}
