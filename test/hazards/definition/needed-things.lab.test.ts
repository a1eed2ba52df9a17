// Reverts to a stored definition that needs what this host lacks: an address, an owner, a CPU and the like (hazard 44).
import { rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { afterAll, afterEach, expect } from 'vitest';
import { scratch, tryVirsh, virsh } from '../../lab/lab.ts';
import { succeed, take } from '../../scene/steps.ts';
import {
  cleanUp,
  defineVm,
  destroy,
  qemuPid,
  start,
  state,
  stateAndReason,
  type Vm,
} from '../../scene/vm.ts';
import { hazard } from '../promise/promise.ts';
import { refusesAll } from '../promise/refusing.ts';
import { type LackCase, lacking, words } from './lacking.ts';

afterEach(cleanUp);
afterAll(cleanUp);

const blob = join(scratch, 'blob');
const DISPLAY = "<graphics type='vnc' port='-1' autoport='yes' listen='127.0.0.1'/>";
const LABEL = /<seclabel type='none'[^>]*\/>/g;
const owner = (label: string) =>
  words(LABEL, `<seclabel type='static' model='dac' relabel='yes'><label>${label}</label></seclabel>`);

const CASES: readonly LackCase[] = [
  {
    what: 'an address that the host does not have',
    devices: DISPLAY,
    lack: words('127\\.0\\.0\\.1', '192.0.2.77'),
    says: /the address 192\.0\.2\.77 \(display\), which does not belong to this host/,
  },
  {
    what: 'an IPv6 address that the host does not have',
    devices: DISPLAY,
    lack: words('127\\.0\\.0\\.1', '2001:db8::77'),
    says: /the address 2001:db8::77 \(display\), which does not belong to this host/,
  },
  {
    what: 'CPUs that the host does not have',
    lack: words("placement='static'>1<", "placement='static' cpuset='900'>1<"),
    says: /one of the CPUs 900 \(CPU pinning\), which this host does not have/,
  },
  {
    what: "a file of QEMU's command line that is gone",
    prepare: (vm) => {
      writeFileSync(blob, 'data');
      const path = join(scratch, 'commandline.xml');
      const args = ['-fw_cfg', `name=opt/x,file=${blob}`].map((word) => `<qemu:arg value='${word}'/>`);
      const xml = virsh('dumpxml', '--inactive', '--domain', vm.uuid)
        .replace("<domain type='", "<domain xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0' type='")
        .replace('</domain>', `<qemu:commandline>${args.join('')}</qemu:commandline></domain>`);
      writeFileSync(path, xml);
      virsh('define', path);
    },
    lack: () => rmSync(blob, { force: true }),
    says: /blob \(-fw_cfg in <qemu:commandline>\), which does not exist/,
  },
  {
    what: 'a user whom the host does not know',
    lack: owner('nobody-here:root'),
    says: /user nobody-here \(security label\), which this host does not know/,
  },
  {
    what: 'a group that the host does not know',
    lack: owner('root:nobody-here'),
    says: /group nobody-here \(security label\), which this host does not know/,
  },
  {
    what: 'a model of security that libvirt does not offer',
    lack: words(
      LABEL,
      "<seclabel type='static' model='selinux' relabel='yes'><label>system_u:system_r:svirt_t:s0</label></seclabel>",
    ),
    says: /security model selinux \(security label\), which libvirt does not offer on this host/,
  },
  {
    what: 'a directory for the log of a console that is gone',
    devices: "<serial type='pty'/>",
    lack: words(
      "<target type='isa-serial'",
      "<log file='/gone/console.log' append='off'/><target type='isa-serial'",
    ),
    says: /\/gone \(directory of the log of the (?:serial|console) device\), which does not exist/,
  },
  {
    what: 'a NUMA node that the host does not have',
    lack: words('<vcpu', "<numatune><memory mode='strict' nodeset='77'/></numatune><vcpu"),
    says: /device node77 \(NUMA node 77\), which does not exist/,
  },
  {
    what: 'a secret for a network disk that libvirt does not have',
    lack: words(
      '</devices>',
      "<disk type='network' device='disk'><driver name='qemu' type='raw'/><auth username='a'><secret type='ceph' uuid='11111111-2222-3333-4444-555555555555'/></auth><source protocol='rbd' name='p/i'><host name='127.0.0.1' port='6789'/></source><target dev='vdb' bus='virtio'/></disk></devices>",
    ),
    says: /secret 11111111-2222-3333-4444-555555555555 \(secret of vdb\), which is not defined in libvirt/,
  },
  {
    what: 'a display that QEMU has no module for',
    lack: words('</devices>', "<graphics type='spice' autoport='yes'/></devices>"),
    says: /spice \(graphics\), which the QEMU of this host does not offer/,
  },
];

CASES.forEach(lacking);

hazard(44, 'revert to a definition with a port that another program listens on, VM running', async () => {
  const fixed = "<graphics type='vnc' port='5977' autoport='no' listen='127.0.0.1'/>";
  const [raw, vm] = ['twin', 'web-1'].map((name): Vm => {
    const made = defineVm({ name, boot: 'counter', disks: [{ size: '8M' }], extraDevicesXml: fixed });
    start(made);
    take(made, 's1');
    // its own display is no obstacle
    expect(tryVirsh('snapshot-revert', '--domain', made.uuid, '--snapshotname', 's1').code).toBe(0);
    const other = join(scratch, 'other.xml');
    writeFileSync(other, fixed.replace('5977', name === 'twin' ? '5979' : '5978'));
    destroy(made);
    virsh('update-device', made.uuid, other, '--config');
    start(made);
    return made;
  }) as [Vm, Vm];
  const server = createServer().listen(5977, '127.0.0.1');
  try {
    await new Promise((resolve) => server.once('listening', resolve));
    const { code } = tryVirsh('snapshot-revert', '--domain', raw.uuid, '--snapshotname', 's1');
    // 7.0 loads the memory into the QEMU that runs
    if (code === 0) {
      await succeed('revert', 'web-1', 's1');
      return { virsh: 'works', kvmsnap: 'works' };
    }
    const end = stateAndReason(raw);
    const pid = qemuPid(vm);
    const { words: refuses, refusal } = await refusesAll(vm, 'revert', 'web-1', 's1');
    expect(refusal.message).toContain(
      'port 5977 of 127.0.0.1 (display), which another program already listens on',
    );
    expect([qemuPid(vm), state(vm)]).toEqual([pid, 'running']);
    return {
      virsh: `stops the guest, and its memory is lost: ${end}, exit ${code}`,
      kvmsnap: `${refuses}, the guest keeps running`,
    };
  } finally {
    await new Promise((resolve) => server.close(resolve));
    await succeed('revert', 'web-1', 's1');
  }
});
