import type { VirshCommand } from '../libvirt/batch.ts';
import { virshFailure } from '../libvirt/virsh-error.ts';
import type { Domain } from '../model/domain.ts';
import type { SnapshotReport } from '../model/report.ts';
import { inText } from '../model/text.ts';
import { type Operation, skip } from '../run/operation.ts';
import { carryOut, readAfter } from '../run/write.ts';
import { completeVm, findSnapshot, loadVm, stillBeingTaken, type Vm } from '../vm/load.ts';

interface Facts {
  readonly vm: Vm;
  readonly snapshot: SnapshotReport;
  readonly command: VirshCommand;
}

/** What `--dry-run` tells. */
interface PlannedMark {
  readonly vm: Domain;
  readonly command: VirshCommand;
}

/**
 * Makes a snapshot the current one. Only libvirt's mark moves; no disk and no guest changes. The next snapshot becomes
 * a child of this one. Returns the VM afterwards.
 */
export const setCurrent = (vmName: string, name: string): Operation<Facts, null, Vm, PlannedMark> => ({
  async load(ctx) {
    const vm = await loadVm(ctx, vmName);
    const snapshot = findSnapshot(vm, name);
    if (snapshot.underWay) throw stillBeingTaken(vm, snapshot);
    const command = ['snapshot-current', '--domain', vm.domain.uuid, '--snapshotname', name];
    return { vm, snapshot, command };
  },
  rules: skip('any complete snapshot can be the current one'),
  settled: ({ vm, snapshot }) => (snapshot.isCurrent ? vm : null),
  plan: (_, { vm, command }) => ({ vm: vm.domain, command }),
  consent: skip('nothing is lost, and the same command undoes it'),
  prepare: skip('virsh needs no file'),
  write: {
    subject: (_, { vm }) => `the mark on ${inText(name)} of ${inText(vm.domain.name)}`,
    run: (ctx, { command }) => carryOut(ctx, { command, label: `marking ${inText(name)}`, growing: null }),
  },
  log: skip('nothing is lost'),
  async verify(ctx, { vm: { domain } }, end) {
    const after = await completeVm(ctx, await readAfter(ctx, domain.uuid, end));
    if (after.current === name) return { done: after };
    const failure = virshFailure(
      `${inText(name)} is not the current snapshot of ${inText(domain.name)}`,
      end.stderr,
    );
    return { failure, seen: null };
  },
  residue: skip('the command changes either the mark or nothing'),
});
