import { expect, test } from 'vitest';
import { parseHostSecurity } from '../../src/libvirt/host-security.ts';
import { savedVm, saveHead } from '../../src/libvirt/save-file.ts';
import { elementXml } from '../../src/libvirt/xml/change.ts';
import { parseElement } from '../../src/libvirt/xml/xml.ts';
import { outwardDevices, throwAwayDefinition } from '../../src/verify/throw-away.ts';

const devicesOf = (devices: string, resumes = false): string => {
  const stored = parseElement(`<domain type='kvm'><name>web</name><devices>${devices}</devices></domain>`);
  const made = throwAwayDefinition(stored, {
    ...{ name: 'tmp', uuid: 'NEW', resumes, securityModels: [] },
    overlays: new Map([['vda', '/vm/.vda.overlay']]),
  });
  return /<devices>(.*)<\/devices>/s.exec(elementXml(made).replace(/>\s+</g, '><'))?.[1] ?? '';
};

test('where it runs is left out, and it ends at each reset', () => {
  const stored = parseElement(
    "<domain type='kvm' id='3'><name>web</name><uuid>OLD</uuid><metadata><x/></metadata><vcpu placement='static' cpuset='1-3'>2</vcpu><numatune/><on_reboot>restart</on_reboot><seclabel type='static'/><devices/></domain>",
  );
  const vm = {
    name: 'tmp',
    uuid: 'NEW',
    overlays: new Map(),
    resumes: false,
    securityModels: ['apparmor', 'dac'],
  };
  expect(elementXml(throwAwayDefinition(stored, vm)).replace(/>\s+</g, '><').trim()).toBe(
    "<domain type='kvm'><vcpu>2</vcpu><devices/><name>tmp</name><uuid>NEW</uuid>" +
      '<on_poweroff>destroy</on_poweroff><on_reboot>destroy</on_reboot><on_crash>destroy</on_crash>' +
      "<seclabel type='none' model='apparmor'/><seclabel type='none' model='dac'/></domain>",
  );
});

test.each([
  [
    'the disk on its overlay, a drive without medium, and no other disk',
    "<disk type='block' device='disk' snapshot='external'><driver name='qemu' type='raw' cache='none'/><source dev='/dev/x'/><target dev='vda'/><serial>S</serial></disk><disk type='file' device='cdrom'><driver name='qemu' type='raw'/><source file='/iso'/><target dev='sda'/><readonly/></disk><disk type='file' device='disk'><source file='/other'/><target dev='vdb'/></disk>",
    "<disk type='file' device='disk'><driver name='qemu' type='qcow2' cache='unsafe'/><source file='/vm/.vda.overlay'/><target dev='vda'/><serial>S</serial></disk><disk type='file' device='cdrom'><target dev='sda'/><readonly/></disk>",
  ],
  [
    'nothing that reaches out',
    "<hostdev/><filesystem/><redirdev/><tpm/><graphics type='vnc'/><sound/><shmem/><rng><backend model='egd'/></rng>",
    '',
  ],
  [
    'a network card without a cable',
    "<interface type='bridge'><mac address='M'/><source bridge='br0'/><model type='virtio'/><filterref filter='f'/></interface>",
    "<interface type='user'><mac address='M'/><model type='virtio'/><link state='down'/></interface>",
  ],
  [
    'ports that go nowhere, and the channel of the agent',
    "<serial type='tcp'><source mode='bind' service='4'/><protocol type='raw'/><target port='0'/></serial><channel type='unix'><source mode='bind' path='/p'/><target type='virtio' name='org.qemu.guest_agent.0'/></channel><channel type='spicevmc'><target type='virtio' name='s'/></channel>",
    "<serial type='null'><target port='0'/></serial><channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>",
  ],
  [
    'a balloon that tells its statistics',
    "<memballoon model='virtio'><stats period='60'/><alias name='b'/></memballoon>",
    "<memballoon model='virtio'><stats period='2'/><alias name='b'/></memballoon>",
  ],
])('%s', (_, devices, expected) => {
  expect(devicesOf(devices)).toBe(expected);
});

test('to resume, it has the same devices: a card on a tap, a display that nobody reaches, silent channels', () => {
  expect(
    devicesOf(
      "<interface type='bridge'><source bridge='br0'/><model type='virtio'/></interface><interface type='user'/><channel type='unix'><source path='/p'/><target type='virtio' name='a'/></channel><graphics type='spice' port='5900'/><graphics type='vnc'/><video><model type='qxl'/></video>",
      true,
    ),
  ).toBe(
    "<interface type='ethernet'><model type='virtio'/><link state='down'/></interface><interface type='user'><link state='down'/></interface><channel type='null'><target type='virtio' name='a'/></channel><graphics type='spice'><listen type='none'/></graphics><video><model type='qxl'/></video>",
  );
  const stored = parseElement('<domain><devices><tpm/><disk/><hostdev/></devices></domain>');
  expect(outwardDevices(stored)).toEqual(['hostdev', 'tpm']);
});

test('the security of the host, as libvirt tells it', () => {
  const xml = `<capabilities><host><secmodel><model>apparmor</model><doi>0</doi></secmodel>
    <secmodel><model>dac</model><baselabel type='kvm'>+64055:+994</baselabel><baselabel type='qemu'>+0:+0</baselabel></secmodel></host></capabilities>`;
  expect(parseHostSecurity(xml, 'kvm')).toEqual({
    models: ['apparmor', 'dac'],
    qemuUser: { uid: 64055, gid: 994 },
  });
  expect(parseHostSecurity(xml, 'qemu').qemuUser).toBeNull();
  expect(parseHostSecurity('<secmodel>\n<model>none</model></secmodel>', 'kvm')).toEqual({
    models: [],
    qemuUser: null,
  });
});

test('the head of a save file is one that libvirt and kvmsnap read', () => {
  const uuid = '38aa2dd7-6a29-4ec2-8c65-e3d05ae2c3f1';
  const head = Buffer.from(saveHead(`<domain><uuid>${uuid}</uuid></domain>`, 0));
  expect(savedVm(head)).toBe(uuid);
  expect([head.readUInt32LE(16), head.readUInt32LE(20), head.at(-1)]).toEqual([2, head.length - 92, 0]);
});
