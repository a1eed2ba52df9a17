// Reverts to a stored definition that names an address, a CPU or a file of QEMU's command line that this host lacks (hazard 44).
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, expect, test } from 'vitest';
import { kvmsnap } from '../lab/cli.ts';
import { scratch, tryVirsh, virsh } from '../lab/lab.ts';
import { take } from '../lab/scene.ts';
import { snapshotXml } from '../lab/snapshot.ts';
import { since } from '../lab/version.ts';
import { cleanUp, defineVm, destroy, qemuPid, start, state, type Vm } from '../lab/vm.ts';

afterEach(cleanUp);
afterAll(cleanUp);

const file = join(scratch, 'blob');

/** Gives the definition that `s1` stores other words. */
function restore(vm: Vm, change: (xml: string) => string): void {
  const path = join(scratch, 'stored.xml');
  writeFileSync(path, change(snapshotXml(vm, 's1')));
  virsh('snapshot-create', '--domain', vm.uuid, '--xmlfile', path, '--redefine', '--current');
}

const display = "<graphics type='vnc' port='-1' autoport='yes' listen='127.0.0.1'/>";

const LACKS: readonly [string, string, (vm: Vm) => void, RegExp][] = [
  [
    'an address',
    display,
    (vm) => restore(vm, (xml) => xml.replaceAll('127.0.0.1', '192.0.2.77')),
    /the address 192\.0\.2\.77 \(display\), which does not belong to this host/,
  ],
  [
    'CPUs',
    '',
    (vm) =>
      restore(vm, (xml) => xml.replaceAll("placement='static'>1<", "placement='static' cpuset='900'>1<")),
    /one of the CPUs 900 \(CPU pinning\), which this host does not have/,
  ],
  [
    'a file of the command line',
    '',
    () => rmSync(file),
    /blob \(-fw_cfg in <qemu:commandline>\), which does not exist/,
  ],
];

test.each(LACKS)(
  '%s: raw virsh loses the guest, kvmsnap refuses and it runs on',
  async (what, devices, lack, says) => {
    const made = (name: string): Vm => {
      writeFileSync(file, 'data');
      const vm = defineVm({ name, boot: 'counter', disks: [{ size: '8M' }], extraDevicesXml: devices });
      if (what.includes('command line')) {
        const path = join(scratch, 'commandline.xml');
        const words = ['-fw_cfg', `name=opt/x,file=${file}`].map((word) => `<qemu:arg value='${word}'/>`);
        const xml = virsh('dumpxml', '--inactive', '--domain', vm.uuid)
          .replace("<domain type='", "<domain xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0' type='")
          .replace('</domain>', `<qemu:commandline>${words.join('')}</qemu:commandline></domain>`);
        writeFileSync(path, xml);
        virsh('define', path);
      }
      start(vm);
      take(vm, 's1');
      return vm;
    };
    const [raw, vm] = ['twin', 'web'].map(made) as [Vm, Vm];
    lack(raw);
    if (what !== 'a file of the command line') lack(vm);
    const { code } = tryVirsh('snapshot-revert', '--domain', raw.uuid, '--snapshotname', 's1');
    // 7.0 loads the memory into the QEMU that runs
    expect([code, state(raw)]).toEqual(since({ '7.0': [0, 'running'], '9.0': [1, 'shut off'] }));
    destroy(raw);
    expect(tryVirsh('start', raw.uuid).code).toBe(1);

    const pid = qemuPid(vm);
    const { code: exit, stderr } = await kvmsnap(['revert', 'web', 's1']);
    expect({ exit, stderr }).toEqual({ exit: 5, stderr: expect.stringMatching(says) });
    expect([qemuPid(vm), state(vm)]).toEqual([pid, 'running']);
  },
);
