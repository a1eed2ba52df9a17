// Reverts to external snapshots whose files were written to or replaced, or are still in use.
import { existsSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterAll, afterEach, expect } from 'vitest';
import { startLibvirtd } from '../lab/daemon.ts';
import { pasteOk } from '../lab/evidence.ts';
import { tool, tryVirsh, virsh } from '../lab/lab.ts';
import { hasPattern, writePattern } from '../scene/disk.ts';
import { succeed, take } from '../scene/steps.ts';
import { cleanUp, defineVm, pathOf, start, type Vm } from '../scene/vm.ts';
import { EARLY, inUse, LATE, MiB, overlay } from './merge.ts';
import { hazard } from './promise/promise.ts';
import { refusesAll } from './promise/refusing.ts';

afterEach(cleanUp);

afterAll(cleanUp);

/** A file beside the disk with this XML. */
function defined(vm: Vm, xml: string): string {
  const file = join(dirname(pathOf(vm)), 'defined.xml');
  writeFileSync(file, xml);
  return file;
}

/** Puts the file that keeps e1 back into the VM's XML by hand, as one does who knows no other way back. */
function putBack(vm: Vm, from: string, to: string): void {
  const xml = virsh('dumpxml', '--inactive', vm.uuid).replace(
    `<source file='${from}'`,
    `<source file='${to}'`,
  );
  virsh('define', defined(vm, xml));
}

/** What another program does to the file that keeps the state, without a trace in the chain or in libvirt. */
const CHANGES: readonly {
  readonly what: string;
  readonly change: (path: string) => void;
  readonly says: RegExp;
}[] = [
  {
    what: 'written to at once',
    change: (path) => writePattern(path, LATE, 0, MiB),
    says: /was written to later/,
  },
  {
    what: 'replaced by another file with its date',
    change: (path) => {
      tool('qemu-img', ['create', '-q', '-f', 'qcow2', `${path}.new`, '8M']);
      writePattern(`${path}.new`, LATE, 0, MiB);
      tool('touch', ['-r', path, `${path}.new`]);
      tool('mv', [`${path}.new`, path]);
    },
    says: /is another file, which was made later/,
  },
  {
    what: 'cut off, with its date kept',
    change: (path) => {
      tool('touch', ['-r', path, `${path}.date`]);
      tool('truncate', ['-s', '512K', path]);
      tool('touch', ['-r', `${path}.date`, path]);
      tool('rm', [`${path}.date`]);
    },
    says: /has lost a part of its content: it has data at offset/,
  },
];

hazard(41, 'revert after the VM was set to use the file of the state and wrote to it', async () => {
  const make = (name: string): Vm => {
    const vm = defineVm({ name, disks: [{ size: '8M' }] });
    writePattern(pathOf(vm), EARLY, 0, MiB);
    take(vm, 'e1', '--disk-only');
    putBack(vm, overlay(vm, 'e1'), pathOf(vm));
    writePattern(pathOf(vm), LATE, 0, MiB);
    return vm;
  };
  const [twin, vm] = [make('twin'), make('web-1')];
  const code = tryVirsh('snapshot-revert', twin.uuid, 'e1').code;
  expect(hasPattern(inUse(twin), LATE, 0, MiB)).toBe(true);
  const { words, refusal } = await refusesAll(vm, 'revert', 'web-1', 'e1', '--force');
  if (code === 0) expect(refusal.message).toContain(`${pathOf(vm)}, which contained the state of e1`);
  // and no advice to copy from there
  expect(refusal.command ?? '').not.toContain('convert');
  return {
    virsh: code === 0 ? 'reports success with wrong data, exit 0' : `cannot, exit ${code}`,
    kvmsnap: words,
  };
});

hazard(
  41,
  'revert after the VM was set to use the file of the state, wrote to it, and was set back to its overlay',
  async () => {
    const make = async (name: string): Promise<Vm> => {
      const vm = defineVm({ name, disks: [{ size: '8M' }] });
      writePattern(pathOf(vm), EARLY, 0, MiB);
      take(vm, 'e1', '--disk-only');
      putBack(vm, overlay(vm, 'e1'), pathOf(vm));
      // more than the tolerance for the ticks of the clock
      await new Promise((resolve) => setTimeout(resolve, 200));
      writePattern(pathOf(vm), LATE, 0, MiB);
      putBack(vm, pathOf(vm), overlay(vm, 'e1'));
      return vm;
    };
    const [twin, vm] = [await make('twin'), await make('web-1')];
    const code = tryVirsh('snapshot-revert', twin.uuid, 'e1').code;
    if (code === 0) expect(hasPattern(inUse(twin), LATE, 0, MiB)).toBe(true);
    const { words, refusal } = await refusesAll(vm, 'revert', 'web-1', 'e1');
    expect(refusal.command ?? '').not.toContain('convert');
    // who knows better is believed
    if (code === 0) await succeed('revert', 'web-1', 'e1', '--force');
    return {
      virsh: code === 0 ? 'reports success with wrong data, exit 0' : `cannot, exit ${code}`,
      kvmsnap: code === 0 ? `${words}; --force overrides` : words,
    };
  },
);

for (const { what, change, says } of CHANGES)
  hazard(41, `revert after the file of the state was ${what}`, async () => {
    const make = (name: string): Vm => {
      const vm = defineVm({ name, disks: [{ size: '8M' }] });
      writePattern(pathOf(vm), EARLY, 0, MiB);
      take(vm, 'e1', '--disk-only');
      return vm;
    };
    const [twin, vm] = [make('twin'), make('web-1')];
    // as it is, nothing speaks against it
    if (tryVirsh('snapshot-revert', twin.uuid, 'e1').code === 0) await succeed('revert', 'web-1', 'e1');
    // 12.8 cannot revert twice within one second (hazard 56)
    await new Promise((resolve) => setTimeout(resolve, 1100));
    change(pathOf(twin));
    change(pathOf(vm));
    const code = tryVirsh('snapshot-revert', twin.uuid, 'e1').code;
    if (code === 0) expect(hasPattern(inUse(twin), EARLY, 0, MiB)).toBe(false);
    const { words, refusal } = await refusesAll(vm, 'revert', 'web-1', 'e1');
    if (code === 0) expect(refusal.message).toMatch(says);
    return {
      virsh: code === 0 ? 'reports success with wrong data, exit 0' : `cannot, exit ${code}`,
      kvmsnap: words,
    };
  });

hazard(42, 'revert to an external snapshot with an overlay in use', async () => {
  const make = (name: string): Vm => {
    const vm = defineVm({ name, disks: [{ size: '8M' }] });
    take(vm, 'e1', '--disk-only');
    writePattern(overlay(vm, 'e1'), LATE, 0, MiB);
    return vm;
  };
  const [twin, vm] = [make('twin'), make('web-1')];
  const code = tryVirsh('snapshot-revert', twin.uuid, 'e1').code;
  if (code !== 0) {
    const { words } = await refusesAll(vm, 'revert', 'web-1', 'e1');
    return { virsh: `cannot, exit ${code}`, kvmsnap: words };
  }
  expect(existsSync(overlay(twin, 'e1'))).toBe(false);
  const { stderr } = await succeed('revert', 'web-1', 'e1', '--backup-name', 'kept');
  expect(stderr).toContain(`${overlay(vm, 'e1')} stays, with everything written to it`);
  expect(existsSync(overlay(vm, 'e1'))).toBe(true);
  await succeed('revert', 'web-1', 'kept', '--force');
  expect(hasPattern(inUse(vm), LATE, 0, MiB)).toBe(true);

  await succeed('delete', 'web-1', 'kept');
  const other = make('web-2');
  const said = (await succeed('revert', 'web-2', 'e1')).stderr;
  expect(said).toContain(`${overlay(other, 'e1')} will be removed, with everything written to it`);
  expect(existsSync(overlay(other, 'e1'))).toBe(false);
  return {
    virsh: 'removes the overlay and everything written to it, exit 0',
    kvmsnap: 'says so; --backup keeps it, and it can be reverted to',
  };
});

hazard(42, 'revert to an external snapshot while an older snapshot is marked as current', async () => {
  const make = (name: string): Vm => {
    const vm = defineVm({ name, disks: [{ size: '8M' }] });
    for (const each of ['e1', 'e2']) take(vm, each, '--disk-only');
    virsh('snapshot-current', '--domain', vm.uuid, '--snapshotname', 'e1');
    return vm;
  };
  const [twin, vm] = [make('twin'), make('web-1')];
  const code = tryVirsh('snapshot-revert', twin.uuid, 'e2').code;
  const { words, refusal } = await refusesAll(vm, 'revert', 'web-1', 'e2', '--force');
  if (code !== 0) return { virsh: `cannot, exit ${code}`, kvmsnap: words };
  expect(tryVirsh('start', twin.uuid).code).toBe(1);
  pasteOk(refusal.command ?? null);
  await succeed('revert', 'web-1', 'e2');
  start(vm);
  return {
    virsh: 'removes the file that it has just reverted to: the VM never starts again, exit 0',
    kvmsnap: words,
  };
});

hazard(42, 'revert to an external snapshot while there is no current snapshot', async () => {
  const make = (name: string): Vm => {
    const vm = defineVm({ name, disks: [{ size: '8M' }] });
    take(vm, 'e1', '--disk-only');
    const xml = virsh('snapshot-dumpxml', vm.uuid, 'e1');
    virsh('snapshot-delete', vm.uuid, 'e1', '--metadata');
    virsh('snapshot-create', vm.uuid, defined(vm, xml), '--redefine');
    return vm;
  };
  const [twin, vm] = [make('twin'), make('web-1')];
  const { code, stderr } = tryVirsh('snapshot-revert', twin.uuid, 'e1');
  const crashed = /end of file|End of file/.test(stderr);
  if (crashed) await startLibvirtd();
  const { words, refusal } = await refusesAll(vm, 'revert', 'web-1', 'e1', '--force');
  if (!crashed) return { virsh: `cannot, exit ${code}`, kvmsnap: words };
  pasteOk(refusal.command ?? null);
  await succeed('revert', 'web-1', 'e1');
  return { virsh: `libvirtd crashes, exit ${code}`, kvmsnap: words };
});
