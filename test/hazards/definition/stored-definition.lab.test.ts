// Reverts to a definition that names what is gone from the host.
import { mkdirSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, expect } from 'vitest';
import { pasteOk } from '../../lab/evidence.ts';
import { scratch, type ToolResult, tool, tryVirsh, virsh, waitFor } from '../../lab/lab.ts';
import { libvirtVersion } from '../../lab/version.ts';
import { snapshotXml } from '../../scene/snapshot.ts';
import {
  byteIn,
  bytes,
  count,
  countTo,
  movedOn,
  NOW,
  succeed,
  THEN,
  take,
  twoDisks,
} from '../../scene/steps.ts';
import {
  cleanUp,
  type DiskSpec,
  destroy,
  domainXml,
  pathOf,
  qemuPid,
  start,
  state,
  stateAndReason,
  type Vm,
} from '../../scene/vm.ts';
import { hazard } from '../promise/promise.ts';
import { refusesAll } from '../promise/refusing.ts';

afterEach(cleanUp);
afterAll(cleanUp);

function revert(vm: Vm, ...options: string[]): ToolResult {
  return tryVirsh('snapshot-revert', '--domain', vm.uuid, '--snapshotname', 's1', ...options);
}

/** A VM with an ISO in its drive when `s1` is taken; the ISO is ejected and removed afterwards. */
async function withoutIso(
  name: string,
  { running, runsNow = running }: { running: boolean; runsNow?: boolean },
) {
  const iso = join(scratch, `${name}.iso`);
  const drive: DiskSpec = { device: 'cdrom', source: iso, driver: 'raw', readonly: true };
  const made = twoDisks(name, { boot: 'counter', disks: [{ size: '16M' }, drive] });
  writeFileSync(iso, '');
  truncateSync(iso, 1024 * 1024);
  if (running) start(made);
  take(made, 's1');
  const eject = ['change-media', made.uuid, 'hda', '--eject', '--config', ...(running ? ['--live'] : [])];
  // QEMU may not have opened the tray yet when libvirt removes the medium
  await waitFor(() => [[], ['--force']].some((more) => tryVirsh(...eject, ...more).code === 0), {
    what: 'an empty drive',
  });
  if (!runsNow && running) destroy(made);
  if (runsNow && !running) start(made);
  rmSync(iso);
  return { vm: made, iso };
}

hazard(44, 'revert to a definition whose ISO is gone, VM running', async () => {
  const { vm: raw } = await withoutIso('twin', { running: true });
  const { code } = revert(raw);
  const end = stateAndReason(raw);
  destroy(raw);
  const starts = tryVirsh('start', raw.uuid).code === 0;

  const { vm, iso } = await withoutIso('web-1', { running: true });
  const [pid, counted] = [qemuPid(vm), count(vm)];
  const force = code === 0 ? [] : ['--force']; // where QEMU continues, nothing is lost by force
  const { words, refusal } = await refusesAll(vm, 'revert', 'web-1', 's1', ...force);
  expect(refusal.message).toContain(`${iso} (medium of hda), which does not exist`);
  expect(qemuPid(vm)).toBe(pid);
  await countTo(vm, counted + 5);
  writeFileSync(iso, '');
  truncateSync(iso, 1024 * 1024);
  await succeed('revert', 'web-1', 's1');
  expect(state(vm)).toBe('running');
  expect([code === 0, starts]).toEqual([libvirtVersion === '7.0', false]);
  return {
    virsh: `${code === 0 ? '' : `stops the guest, and its memory is lost: ${end}; `}the VM cannot be started again, exit ${code}`,
    kvmsnap: `${words}, the guest keeps running; its advice works`,
  };
});

hazard(44, 'revert to a definition whose ISO is gone, VM off', async () => {
  const { vm: raw } = await withoutIso('twin', { running: false });
  expect(tryVirsh('start', raw.uuid).code).toBe(0);
  destroy(raw);
  expect(revert(raw).code).toBe(0);
  expect(tryVirsh('start', raw.uuid).stderr).toContain('No such file');

  const { vm, iso } = await withoutIso('web-1', { running: false });
  const { words, refusal } = await refusesAll(vm, 'revert', 'web-1', 's1');
  expect(refusal.message).toContain('after the revert the VM could not be started');
  writeFileSync(iso, '');
  await succeed('revert', 'web-1', 's1');
  start(vm);
  return {
    virsh: 'the VM cannot be started again, exit 0',
    kvmsnap: `${words}; its advice works`,
  };
});

/** A network of libvirt, with a bridge of this lab's own. */
function withNetwork<T>(act: (name: string) => T): T {
  mkdirSync('/var/lib/libvirt/dnsmasq', { recursive: true });
  const name = `lab-${process.pid}`;
  const file = join(scratch, 'network.xml');
  writeFileSync(file, `<network><name>${name}</name><bridge name='kvl${process.pid}'/></network>`);
  virsh('net-define', file);
  virsh('net-start', name);
  return act(name);
}

function removeNetwork(name: string): void {
  tryVirsh('net-destroy', name);
  tryVirsh('net-undefine', name);
}

hazard(44, 'revert to a definition whose network is not active, VM running', () =>
  withNetwork(async (network) => {
    try {
      const [raw, vm] = ['twin', 'web-1'].map((name) => {
        const nic = `<interface type='network'><source network='${network}'/><model type='rtl8139'/></interface>`;
        const made = twoDisks(name, { boot: 'counter', extraDevicesXml: nic });
        start(made);
        take(made, 's1');
        return made;
      }) as [Vm, Vm];
      virsh('net-destroy', network);
      const { code } = revert(raw);
      const end = stateAndReason(raw);

      const [pid, counted] = [qemuPid(vm), count(vm)];
      const force = code === 0 ? [] : ['--force'];
      const { words, refusal } = await refusesAll(vm, 'revert', 'web-1', 's1', ...force);
      expect(refusal).toMatchObject({
        message: expect.stringContaining(`network ${network} (network interface`),
        command: `virsh net-start ${network}`,
      });
      expect(qemuPid(vm)).toBe(pid);
      await countTo(vm, counted + 5);
      pasteOk(refusal.command);
      await succeed('revert', 'web-1', 's1');
      expect(state(vm)).toBe('running');
      destroy(vm);
      return {
        virsh:
          code === 0
            ? 'works without restarting QEMU, exit 0'
            : `stops the guest, and its memory is lost: ${end}, exit ${code}`,
        kvmsnap: `${words}, the guest keeps running; its advice works`,
      };
    } finally {
      removeNetwork(network);
    }
  }),
);

hazard(44, 'revert to a definition whose storage pool is not active, VM running', async () => {
  const directory = join(scratch, 'pool');
  mkdirSync(directory);
  writeFileSync(join(directory, 'tools.iso'), Buffer.alloc(1024 * 1024));
  virsh('pool-define-as', 'media', 'dir', '--target', directory);
  try {
    virsh('pool-start', 'media');
    const [raw, vm] = ['twin', 'web-1'].map((name) => {
      const drive = `<disk type='volume' device='cdrom'><source pool='media' volume='tools.iso'/><target dev='hdc' bus='ide'/></disk>`;
      const made = twoDisks(name, { boot: 'counter', extraDevicesXml: drive });
      start(made);
      take(made, 's1');
      return made;
    }) as [Vm, Vm];
    virsh('pool-destroy', 'media');
    const { code } = revert(raw);
    const end = stateAndReason(raw);

    const counted = count(vm);
    const { words, refusal } = await refusesAll(vm, 'revert', 'web-1', 's1');
    expect(refusal.command).toBe('virsh pool-start media');
    await countTo(vm, counted + 5);
    pasteOk(refusal.command);
    await succeed('revert', 'web-1', 's1');
    await waitFor(() => state(vm) === 'running', { what: 'the guest' });
    return {
      virsh:
        code === 0
          ? 'works without restarting QEMU, exit 0'
          : `stops the guest, and its memory is lost: ${end}, exit ${code}`,
      kvmsnap: `${words}, the guest keeps running; its advice works`,
    };
  } finally {
    tryVirsh('pool-destroy', 'media');
    tryVirsh('pool-undefine', 'media');
  }
});

/** Gives the definition that a snapshot stores another interface; null where this libvirt knows no such type. */
function withNullInterface(name: string): Vm | null {
  const vm = movedOn(name);
  const file = join(scratch, `${name}.xml`);
  const nic = "<interface type='null'><mac address='52:54:00:12:34:56'/></interface>";
  writeFileSync(file, snapshotXml(vm, 's1').replace('</devices>', `${nic}</devices>`));
  virsh('snapshot-delete', vm.uuid, 's1', '--metadata');
  const { code, stderr } = tryVirsh('snapshot-create', vm.uuid, file, '--redefine', '--current');
  if (code === 0) return vm;
  expect(stderr).toContain("unknown interface type 'null'");
  return null;
}

hazard(55, "revert to a definition with an interface of the type 'null'", async () => {
  const vm = withNullInterface('web-1');
  if (!vm) return { virsh: 'does not exist in this version', kvmsnap: 'does not exist in this version' };
  start(vm);
  const pid = qemuPid(vm);
  const { words, refusal } = await refusesAll(vm, 'revert', 'web-1', 's1', '--running', '--force');
  expect(qemuPid(vm)).toBe(pid);
  destroy(vm);
  pasteOk(refusal.command, "s/type='null'/type='user'/");
  await succeed('revert', 'web-1', 's1', '--running');
  destroy(vm);
  expect(bytes(vm)).toEqual([THEN, THEN]);

  const raw = withNullInterface('twin');
  if (!raw) throw new Error('there is one');
  start(raw);
  expect(bytes(raw)).toEqual([NOW, NOW]);
  const { code, stderr } = revert(raw, '--running');
  expect(code).toBe(1);
  const crashed = /Disconnected|End of file/.test(stderr);
  expect(crashed || /shut off/.test(stateAndReason(raw))).toBe(true);
  return {
    virsh: crashed
      ? 'libvirtd crashes, exit 1'
      : `stops the guest, and its memory is lost: ${stateAndReason(raw)}, exit 1`,
    kvmsnap: `${words}, with --force too; its advice works`,
  };
});

/** A dirty bitmap in the image, as a backup tool leaves it that has no checkpoints of libvirt. */
function withBitmap(name: string, ...options: string[]): Vm {
  const made = twoDisks(name, { boot: 'counter' });
  start(made);
  take(made, 's1');
  destroy(made);
  tool('qemu-img', ['bitmap', '--add', ...options, '-f', 'qcow2', pathOf(made, 1), 'backup 1']);
  start(made);
  return made;
}

for (const kind of ['enabled', 'disabled'])
  hazard(43, `revert of a running VM with a dirty bitmap in an image, ${kind}`, async () => {
    const options = kind === 'disabled' ? ['--disable'] : [];
    const raw = withBitmap('twin', ...options);
    expect(revert(raw).code).toBe(1);
    const end = stateAndReason(raw);

    const vm = withBitmap('web-1', ...options);
    const [pid, counted] = [qemuPid(vm), count(vm)];
    const { words, refusal } = await refusesAll(vm, 'revert', 'web-1', 's1', '--force');
    expect(refusal.message).toContain("'backup 1'");
    expect(qemuPid(vm)).toBe(pid);
    await countTo(vm, counted + 5);
    destroy(vm);
    pasteOk(refusal.command);
    await succeed('revert', 'web-1', 's1');
    expect(state(vm)).toBe('running');
    return {
      virsh: `stops the guest, and its memory is lost: ${end}, exit 1`,
      kvmsnap: `${words}, with --force too, the guest keeps running; its advice works`,
    };
  });

hazard(43, 'create beside a dirty bitmap in an image', async () => {
  const [raw, vm] = ['twin', 'web-1'].map((name) => {
    const made = movedOn(name);
    tool('qemu-img', ['bitmap', '--add', '-f', 'qcow2', pathOf(made, 0), 'b0']);
    return made;
  }) as [Vm, Vm];
  take(raw, 's2');
  expect(tryVirsh('snapshot-revert', raw.uuid, 's2').code).toBe(1);

  const { words, refusal } = await refusesAll(vm, 'create-as', 'web-1', 's2', '--force');
  pasteOk(refusal.command);
  await succeed('create-as', 'web-1', 's2');
  await succeed('revert', 'web-1', 's2');
  return {
    virsh: 'takes one that cannot be reverted to, exit 0',
    kvmsnap: `${words}, with --force too; its advice works`,
  };
});

/** Taken with vdb, 64 MiB and two vcpus; now with vdc instead of vdb, and half of the rest. */
function registered(name: string): Vm {
  const made = twoDisks(name, { memoryMiB: 64 });
  take(made, 's1');
  tool('qemu-io', ['-f', 'qcow2', '-c', `write -P ${NOW} 1M 64k`, pathOf(made, 1)]);
  virsh('detach-disk', made.uuid, 'vdb', '--config');
  const added = join(scratch, `${name}-c.qcow2`);
  tool('qemu-img', ['create', '-q', '-f', 'qcow2', added, '1M']);
  virsh('attach-disk', made.uuid, added, 'vdc', '--config', '--driver', 'qemu', '--subdriver', 'qcow2');
  virsh('setmaxmem', made.uuid, '32M', '--config');
  virsh('setmem', made.uuid, '32M', '--config');
  const nic = join(scratch, `${name}-nic.xml`);
  writeFileSync(nic, "<interface type='user'><mac address='52:54:00:12:34:56'/></interface>");
  virsh('attach-device', made.uuid, nic, '--config');
  return made;
}

hazard(48, 'revert to another definition', async () => {
  const raw = registered('twin');
  const before = domainXml(raw);
  const { code, stdout, stderr } = revert(raw);
  expect([code, /memory|vdb|vdc/.test(`${stdout}${stderr}`)]).toEqual([0, false]);
  expect(domainXml(raw)).not.toBe(before);
  expect(byteIn(pathOf(raw, 1))).toBe(0);

  const vm = registered('web-1');
  const result = await succeed('revert', 'web-1', 's1');
  for (const said of [
    'note: memory 32 MiB -> 64 MiB',
    `note: disk vdc is removed from the VM (the file stays: ${join(scratch, 'web-1-c.qcow2')})`,
    `note: disk vdb comes back and its content is rolled back (${pathOf(vm, 1)})`,
    'note: network interface 52:54:00:12:34:56 (user) is removed from the VM',
  ])
    expect(result.stderr).toContain(said);
  const after = domainXml(vm);
  expect(after).toContain("<memory unit='KiB'>65536</memory>");
  expect([after.includes('vdb'), after.includes('vdc'), after.includes('52:54:00:12:34:56')]).toEqual([
    true,
    false,
    false,
  ]);
  expect(byteIn(pathOf(vm, 1))).toBe(0);
  return {
    virsh: 'silently changes memory, disks and interfaces, and rolls back a removed disk, exit 0',
    kvmsnap: 'lists every difference first, and asks on a terminal',
  };
});
