// A merge that was not brought to its end, and files that were written behind libvirt's back: is the state still there?
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterAll, afterEach, expect } from 'vitest';
import { killLibvirtd, libvirtdPid, startLibvirtd } from '../lab/daemon.ts';
import { paste, pasteOk } from '../lab/evidence.ts';
import { tool, tryVirsh, virsh, waitFor } from '../lab/lab.ts';
import { hasPattern, writePattern } from '../scene/disk.ts';
import { snapshotNames } from '../scene/snapshot.ts';
import { succeed, take } from '../scene/steps.ts';
import {
  cleanUp,
  continueQemu,
  defineVm,
  destroy,
  domainXml,
  pathOf,
  qemuPid,
  start,
  state,
  stopQemu,
  type Vm,
} from '../scene/vm.ts';
import { errorsOf } from './promise/findings.ts';
import { hazard } from './promise/promise.ts';
import { refusesAll } from './promise/refusing.ts';

afterEach(cleanUp);
afterAll(cleanUp);

const MiB = 1024 * 1024;
/** What a snapshot holds, what came after it, and what came only after it: the merge grows the file by that. */
const EARLY = 0x11;
const LATE = 0x22;
const BOTH = [0, 8 * MiB] as const;
const ONLY_LATE = [8 * MiB, 96 * MiB] as const;

const overlay = (vm: Vm, name: string) => pathOf(vm).replace(/qcow2$/, name);
const fileOf = (vm: Vm, name: string) => (name === 'base' ? pathOf(vm) : overlay(vm, name));

/** The file that the VM's disk is on now. */
const inUse = (vm: Vm) => /<source file='([^']*)'/.exec(domainXml(vm))?.[1] ?? '';

/** External snapshots e1 to e3 of a VM that is off; `deleted` holds EARLY, and its overlay LATE. */
function layered(name: string, deleted: string): Vm {
  const vm = defineVm({ name, disks: [{ size: '128M' }] });
  for (const each of ['e1', 'e2', 'e3']) {
    if (each === deleted) writePattern(inUse(vm), EARLY, ...BOTH);
    take(vm, each, '--disk-only');
    if (each !== deleted) continue;
    for (const range of [BOTH, ONLY_LATE]) writePattern(inUse(vm), LATE, ...range);
  }
  return vm;
}

/** What the disk must hold, whatever became of the snapshots. */
const holdsNow = (vm: Vm): boolean =>
  hasPattern(inUse(vm), LATE, ...BOTH) && hasPattern(inUse(vm), LATE, ...ONLY_LATE);

/** Starts a raw deletion, and waits until half of the overlay is written into that file; null where it ended before. */
async function halfDelete(vm: Vm, deleted: string, into: string): Promise<ChildProcess | null> {
  const size = () => statSync(into).blocks * 512;
  const before = size();
  const child = spawn('virsh', ['snapshot-delete', vm.uuid, deleted], { stdio: 'ignore' });
  const ended = new Promise<true>((resolve) => child.on('close', () => resolve(true)));
  let isOver = false;
  void ended.then(() => {
    isOver = true;
  });
  await waitFor(() => isOver || size() > before + MiB, { what: 'a merge', intervalMs: 0 });
  return isOver ? null : child;
}

/** Kills QEMU in the middle of a merge; the VM runs. False where this libvirt merges nothing. */
async function killQemuIn(vm: Vm, deleted: string, into: string): Promise<boolean> {
  const pid = qemuPid(vm);
  const child = await halfDelete(vm, deleted, into);
  if (!child) return false;
  process.kill(pid, 'SIGKILL');
  await waitFor(() => state(vm) === 'shut off' && child.exitCode !== null, { what: 'the end of QEMU' });
  return true;
}

hazard(40, 'QEMU dies while an external snapshot is merged, and it is reverted to', async () => {
  const [twin, vm] = [layered('twin', 'e2'), layered('web-1', 'e2')];
  for (const one of [twin, vm]) start(one);
  if (!(await killQemuIn(twin, 'e2', fileOf(twin, 'e1')))) {
    const { words } = await refusesAll(vm, 'delete', 'web-1', 'e2');
    return { virsh: 'merges nothing, exit 1', kvmsnap: words };
  }
  expect(await killQemuIn(vm, 'e2', fileOf(vm, 'e1'))).toBe(true);
  const code = tryVirsh('snapshot-revert', twin.uuid, 'e2').code;
  if (code === 0) expect(hasPattern(inUse(twin), EARLY, ...BOTH)).toBe(false);

  const { words, refusal } = await refusesAll(vm, 'revert', 'web-1', 'e2', '--force');
  expect(refusal.message).toContain('a deletion of e2 was interrupted');
  await refusesAll(vm, 'delete', 'web-1', 'e1');
  const [finding] = (await errorsOf(vm)).filter(({ rule }) => rule === 'merge-interrupted');
  expect(finding?.snapshot).toBe('e2');
  for (const line of finding?.commands ?? []) pasteOk(line);
  expect([snapshotNames(vm), await errorsOf(vm)]).toEqual([['e1', 'e3'], expect.any(Array)]);
  expect((await errorsOf(vm)).some(({ rule }) => rule === 'merge-interrupted')).toBe(false);
  expect(holdsNow(vm)).toBe(true);
  return {
    virsh:
      code === 0
        ? 'a mixture of two states, exit 0'
        : `cannot revert, exit ${code}; the deletion stays incomplete`,
    kvmsnap: `${words}; the command from check finishes the deletion`,
  };
});

hazard(
  40,
  'QEMU dies while the oldest external snapshot is merged, which libvirt does not mark',
  async () => {
    const [twin, vm] = [layered('twin', 'e1'), layered('web-1', 'e1')];
    for (const one of [twin, vm]) start(one);
    if (!(await killQemuIn(twin, 'e1', fileOf(twin, 'base')))) {
      const { words } = await refusesAll(vm, 'delete', 'web-1', 'e1');
      return { virsh: 'merges nothing, exit 1', kvmsnap: words };
    }
    // libvirt's records tell whole seconds only
    await new Promise((resolve) => setTimeout(resolve, 3000));
    expect(await killQemuIn(vm, 'e1', fileOf(vm, 'base'))).toBe(true);
    const code = tryVirsh('snapshot-revert', twin.uuid, 'e1').code;
    if (code === 0) expect(hasPattern(inUse(twin), EARLY, ...BOTH)).toBe(false);

    const { words } = await refusesAll(vm, 'revert', 'web-1', 'e1');
    const [finding] = (await errorsOf(vm)).filter(({ rule }) => rule === 'state-written');
    expect(finding?.snapshot).toBe('e1');
    for (const line of finding?.commands ?? []) pasteOk(line);
    expect([snapshotNames(vm), holdsNow(vm)]).toEqual([['e2', 'e3'], true]);
    return {
      virsh:
        code === 0
          ? 'a mixture of two states, exit 0'
          : `cannot revert, exit ${code}; the deletion stays incomplete`,
      kvmsnap: `${words}; the command from check finishes the deletion`,
    };
  },
);

hazard(40, 'libvirtd dies while an external snapshot is merged, VM off', async () => {
  const [twin, vm] = [layered('twin', 'e3'), layered('web-1', 'e3')];
  const interrupt = async (one: Vm): Promise<boolean> => {
    const child = await halfDelete(one, 'e3', fileOf(one, 'e2'));
    if (!child) return false;
    stopQemu(one);
    await killLibvirtd();
    continueQemu(one);
    await startLibvirtd();
    const progress = () => Object.values(tryVirsh('blockjob', one.uuid, 'vda', '--info')).join(' ');
    await waitFor(() => /\[ ?(99|100)/.test(progress()), { what: 'the end of the merge' });
    return true;
  };
  if (!(await interrupt(twin))) {
    const { words } = await refusesAll(vm, 'delete', 'web-1', 'e3');
    return { virsh: 'merges nothing, exit 1', kvmsnap: words };
  }
  expect(await interrupt(vm)).toBe(true);
  const again = tryVirsh('snapshot-delete', twin.uuid, 'e3').code;

  // what older libvirt makes by itself, modes of files among it, is no matter here
  const found = async () =>
    (await errorsOf(vm)).filter(({ rule }) => !['external-on-old-daemon', 'readable-file'].includes(rule));
  const findings = await found();
  expect(findings.map(({ rule }) => rule)).toEqual(['block-job', 'merge-interrupted']);
  let lines = findings.flatMap(({ commands }) => commands);
  for (let line = lines.shift(); line !== undefined; line = lines.shift()) {
    const { code, stderr } = paste(line);
    // seldom, a loaded libvirtd crashes when it aborts a job from before its restart; systemd starts it again, and check knows more
    if (code !== 0 && libvirtdPid() === undefined) {
      await startLibvirtd();
      lines = (await found()).flatMap(({ commands }) => commands);
    } else expect({ line, code, stderr }).toMatchObject({ code: 0 });
  }
  expect(snapshotNames(vm)).toEqual(['e1', 'e2']);
  destroy(vm);
  expect(holdsNow(vm)).toBe(true);
  return {
    virsh: `the VM is left paused, and no deletion works, exit ${again}`,
    kvmsnap: 'check names what is left; its commands finish the deletion',
  };
});

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

hazard(41, 'revert after the file of the state was put back by hand and written to', async () => {
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
  'revert after the file of the state was put back by hand, written to, and taken out again',
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
