// A revert to a stored definition that needs what this host lacks: raw virsh stops the guest, kvmsnap refuses.
import { spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'vitest';
import { kvmsnap } from '../../lab/cli.ts';
import { scratch, type ToolResult, tryVirsh, virsh } from '../../lab/lab.ts';
import { snapshotXml } from '../../scene/snapshot.ts';
import { succeed, take } from '../../scene/steps.ts';
import { defineVm, destroy, qemuPid, start, state, stateAndReason, type Vm } from '../../scene/vm.ts';
import { hazard } from '../promise/promise.ts';
import { refusesAll } from '../promise/refusing.ts';

/** Gives the definition that `s1` stores other words. */
function restore(vm: Vm, change: (xml: string) => string): void {
  const path = join(scratch, 'stored.xml');
  const xml = snapshotXml(vm, 's1');
  const changed = change(xml);
  expect(changed).not.toBe(xml);
  writeFileSync(path, changed);
  // libvirt would compare it with the definition that it has
  virsh('snapshot-delete', '--domain', vm.uuid, '--snapshotname', 's1', '--metadata');
  virsh('snapshot-create', '--domain', vm.uuid, '--xmlfile', path, '--redefine', '--current');
}

/** Other words in the definition that `s1` stores, each time they occur. */
export const words = (from: string | RegExp, to: string) => (vm: Vm) =>
  restore(vm, (xml) => xml.replace(from instanceof RegExp ? from : new RegExp(from, 'g'), to));

/** A way in which the host lacks what the stored definition needs. */
export interface LackCase {
  readonly what: string;
  readonly devices?: string;
  /** Before the VM is started. */
  readonly prepare?: (vm: Vm) => void;
  readonly lack: (vm: Vm) => void;
  readonly says: RegExp;
  /** The start of QEMU never ends. */
  readonly hangs?: boolean;
}

/** Raw virsh, which may never end: then the QEMU that it waits for is ended. */
async function rawRevert(raw: Vm, hangs: boolean): Promise<Pick<ToolResult, 'code'>> {
  const words = ['snapshot-revert', '--domain', raw.uuid, '--snapshotname', 's1'];
  if (!hangs) return tryVirsh(...words);
  const child = spawn('virsh', words, { stdio: 'ignore' });
  const ended = new Promise<number>((resolve) => child.once('exit', (code) => resolve(code ?? 128)));
  const code = await Promise.race([ended, sleep(8_000, null)]);
  if (code === null) destroy(raw);
  return { code: await ended };
}

/** Shows that a revert of a running VM is refused, and that raw virsh stops the guest or prevents its next start. */
export const lacking = ({ what, devices = '', prepare, lack, says, hangs = false }: LackCase): void =>
  hazard(44, `revert to a definition that needs ${what}, VM running`, async () => {
    const [raw, vm] = ['twin', 'web-1'].map((name): Vm => {
      const made = defineVm({ name, boot: 'counter', disks: [{ size: '8M' }], extraDevicesXml: devices });
      prepare?.(made);
      start(made);
      take(made, 's1');
      return made;
    }) as [Vm, Vm];
    lack(raw);
    lack(vm);
    const { code } = await rawRevert(raw, hangs);
    const end = stateAndReason(raw);
    const pid = qemuPid(vm);
    if (code !== 0 && state(raw) === 'running') {
      // 7.0 compares the definitions before it loads the memory
      expect((await kvmsnap(['revert', 'web-1', 's1'])).code).not.toBe(0);
      expect([qemuPid(vm), state(vm)]).toEqual([pid, 'running']);
      return {
        virsh: `cannot, exit ${code}; the guest keeps running`,
        kvmsnap: 'cannot either, and the guest keeps running',
      };
    }
    destroy(raw);
    if (!hangs && tryVirsh('start', raw.uuid).code === 0) {
      await succeed('revert', 'web-1', 's1');
      return { virsh: 'works', kvmsnap: 'works' };
    }
    const { words: refuses, refusal } = await refusesAll(vm, 'revert', 'web-1', 's1');
    expect(refusal.message).toMatch(says);
    expect([qemuPid(vm), state(vm)]).toEqual([pid, 'running']);
    return {
      // 7.0 loads the memory into the QEMU that runs
      virsh:
        code === 0
          ? `the VM cannot be started again, exit ${code}`
          : `stops the guest, and its memory is lost: ${end}, exit ${code}`,
      kvmsnap: `${refuses}, the guest keeps running`,
    };
  });
