import { KvmsnapError } from '../errors.ts';
import { registerCommand } from '../libvirt/create-command.ts';
import { FROM_PIPE, pipedLine, redescribing } from '../libvirt/piped-lines.ts';
import { readSnapshotXml } from '../libvirt/snapshots.ts';
import { virshFailure } from '../libvirt/virsh-error.ts';
import { withDescription } from '../libvirt/xml/snapshot.ts';
import type { Domain } from '../model/domain.ts';
import { withMarks } from '../model/marks/marks.ts';
import { type Verified, withVerified } from '../model/marks/verified.ts';
import type { SnapshotReport } from '../model/report.ts';
import { inText } from '../model/text.ts';
import { type Operation, skip } from '../run/operation.ts';
import { carryOut } from '../run/write.ts';
import { findSnapshot, loadVm, stillBeingTaken, type Vm } from '../vm/load.ts';
import { readRegistered } from './register.ts';

export interface Described {
  readonly description: string | null;
  readonly held: boolean;
  /** A result of `verify` to keep with it; absent: the one that it has. */
  readonly verified?: Verified;
}

export interface Redescribed {
  readonly vm: Vm;
  /** The snapshot afterwards. */
  readonly snapshot: SnapshotReport;
}

interface Facts extends Redescribed {
  readonly wanted: Described;
  /** The whole description, including the marks of kvmsnap. */
  readonly text: string | null;
  /** The files with the old and the new XML, once they are written. */
  readonly kept: string;
  readonly changed: string;
}

/** What `--dry-run` tells: a line to paste. */
interface PlannedDescription {
  readonly vm: Domain;
  readonly line: string;
}

/**
 * Changes the description of a snapshot. libvirt offers only one way, `snapshot-create --redefine` with the whole XML
 * of the snapshot. So the old XML is saved first, and afterwards everything except the description must be unchanged.
 * The images are not changed. If the description is as wanted already, nothing is done. The plan is a line to paste.
 */
export const redescribe = (
  vmName: string,
  name: string,
  change: (snapshot: SnapshotReport) => Described,
): Operation<Facts, null, Redescribed, PlannedDescription> => ({
  async load(ctx) {
    const vm = await loadVm(ctx, vmName);
    const snapshot = findSnapshot(vm, name);
    const wanted = change(snapshot);
    if (snapshot.underWay && !isSo(snapshot, wanted)) throw stillBeingTaken(vm, snapshot);
    const { together, verified } = snapshot;
    const text = withMarks(wanted.description, { together, verified, ...wanted });
    return { vm, snapshot, wanted, text, kept: '', changed: '' };
  },
  rules: skip('any complete snapshot can be described'),
  settled: ({ vm, snapshot, wanted }) => (isSo(snapshot, wanted) ? { vm, snapshot } : null),
  plan({ virsh }, { vm, snapshot, text }) {
    const { uuid } = vm.domain;
    const source = redescribing(virsh, { uuid, name: snapshot.name }, text);
    const line = pipedLine(virsh, source, registerCommand(uuid, FROM_PIPE, snapshot.isCurrent));
    return { vm: vm.domain, line };
  },
  consent: skip('the images are not changed, and the old XML is saved'),
  async prepare(ctx, facts) {
    const { domain } = facts.vm;
    // includes the secrets, because a redefinition without them would lose them
    const xml = await readSnapshotXml(ctx.virsh, domain, facts.snapshot.name, true);
    const stem = `${domain.uuid}.${ctx.clock.now()}`;
    const kept = await ctx.savedXml.keep(`${stem}.xml`, xml);
    const changed = await ctx.savedXml.keep(`${stem}.new.xml`, withDescription(xml, facts.text));
    return { ...facts, kept, changed };
  },
  write: {
    subject: (_, { vm, snapshot }) =>
      `the description of ${inText(snapshot.name)} of ${inText(vm.domain.name)}`,
    async run(ctx, { vm, snapshot, changed }) {
      const command = registerCommand(vm.domain.uuid, changed, snapshot.isCurrent);
      const end = await carryOut(ctx, {
        command,
        label: `describing ${inText(snapshot.name)}`,
        growing: null,
      });
      await ctx.savedXml.drop(changed); // virsh has read the file
      return end;
    },
  },
  log: ({ vm, snapshot, wanted }) => ({
    action: wanted.verified
      ? 'verify'
      : wanted.held === snapshot.held
        ? 'describe'
        : wanted.held
          ? 'hold'
          : 'unhold',
    vm: vm.domain.name,
    snapshots: [snapshot.name],
  }),
  async verify(ctx, { vm, snapshot, wanted, kept }, end) {
    const { after, now } = await readRegistered(ctx, vm, snapshot.name, end);
    if (end.kind === 'refused') {
      const what = `${inText(snapshot.name)} of ${inText(vm.domain.name)} was not described`;
      return { failure: virshFailure(what, end.stderr), seen: null };
    }
    const wrong = [
      ...(now && isSo(now, wanted) ? [] : ['the description is not as requested']),
      ...(after.current === vm.current ? [] : [`the current snapshot is now ${after.current ?? 'none'}`]),
      ...(now?.parent === snapshot.parent ? [] : ['its parent changed']),
    ];
    if (now && wrong.length === 0) return { done: { vm, snapshot: now } };
    const failure = new KvmsnapError('refused', `virsh reported success, but ${wrong.join('; ')}`, {
      hint: 'the old metadata was saved; this command restores it',
      command: ctx.virsh.line(registerCommand(vm.domain.uuid, kept, snapshot.isCurrent)),
    });
    return { failure, seen: null };
  },
  residue: skip('the failure contains the command that restores the old metadata'),
});

const isSo = (snapshot: SnapshotReport, { description, held, verified }: Described): boolean =>
  snapshot.held === held &&
  snapshot.description === description &&
  (verified === undefined || withVerified(null, verified) === withVerified(null, snapshot.verified));
