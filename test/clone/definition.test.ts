import { expect, test } from 'vitest';
import { clonedDefinition, ownPath } from '../../src/clone/definition.ts';
import { elementXml } from '../../src/libvirt/xml/change.ts';
import { parseElement } from '../../src/libvirt/xml/xml.ts';

const cloned = (inner: string): string =>
  elementXml(
    clonedDefinition(parseElement(`<domain type='kvm' id='3'><name>web</name>${inner}</domain>`), {
      ...{ from: 'web', name: 'test', uuid: 'NEW', title: 'clone of web as of s1' },
      disks: new Map([['vda', { path: '/vm/test-vda.qcow2', format: 'qcow2' }]]),
      nvram: '/vm/test_VARS.fd',
    }),
  ).replace(/>\s+</g, '><');

test.each([
  [
    'identity',
    '<uuid>OLD</uuid><title>t</title><genid>G</genid>',
    '<uuid>NEW</uuid><title>clone of web as of s1</title><genid/>',
  ],
  [
    'the UUID that the firmware shows',
    "<sysinfo type='smbios'><system><entry name='uuid'>OLD</entry><entry name='sku'>S</entry></system></sysinfo>",
    "<sysinfo type='smbios'><system><entry name='sku'>S</entry></system></sysinfo>",
  ],
  [
    'a volume becomes a file, with its other settings',
    "<devices><disk type='volume' device='disk'><driver name='qemu' type='raw' discard='unmap'/><source pool='p' volume='v'/><backingStore type='file'><backingStore/></backingStore><target dev='vda' bus='virtio'/><shareable/><serial>X1</serial></disk></devices>",
    "<devices><disk type='file' device='disk'><driver name='qemu' type='qcow2' discard='unmap'/><source file='/vm/test-vda.qcow2'/><target dev='vda' bus='virtio'/><serial>X1</serial></disk></devices>",
  ],
  [
    'NVRAM in a file of the new form',
    "<os><nvram template='/t.fd' type='file'><source file='/vm/web_VARS.fd'/></nvram></os>",
    "<os><nvram template='/t.fd'>/vm/test_VARS.fd</nvram></os>",
  ],
  [
    'a network card',
    "<devices><interface type='network'><mac address='52:54:00:00:00:01'/><source network='n' portid='P'/><target dev='vnet3'/><model type='virtio'/></interface></devices>",
    "<devices><interface type='network'><source network='n'/><model type='virtio'/></interface></devices>",
  ],
  [
    'sockets, and the client of a server',
    "<devices><channel type='unix'><source mode='bind' path='/run/libvirt/qemu/channel/3-web/a'/><target name='a'/></channel><serial type='pty' tty='/dev/pts/1'><source path='/dev/pts/1'/></serial><serial type='unix'><source mode='connect' path='/run/server'/></serial></devices>",
    "<devices><channel type='unix'><target name='a'/></channel><serial type='pty'/><serial type='unix'><source mode='connect' path='/run/server'/></serial></devices>",
  ],
  [
    'displays',
    "<devices><graphics type='vnc' port='5901' autoport='no' passwd='p'><listen type='address' address='::1'/></graphics><graphics type='spice'><listen type='socket' socket='/var/lib/libvirt/qemu/domain-3-web/spice.sock'/></graphics></devices>",
    "<devices><graphics type='vnc' autoport='yes' passwd='p'><listen type='address' address='::1'/></graphics><graphics type='spice'><listen type='socket'/></graphics></devices>",
  ],
  [
    'vsock and labels',
    "<devices><vsock><cid auto='no' address='7'/></vsock></devices><seclabel type='dynamic'><label>c1</label><imagelabel>c1</imagelabel></seclabel>",
    "<devices><vsock><cid auto='yes'/></vsock></devices><seclabel type='dynamic'/>",
  ],
  [
    'the rest stays, with its own metadata',
    "<description>a &lt; b</description><metadata><o:os xmlns:o='u' id=\"it's\"/><k:p xmlns:k='urn:kvmsnap:policy' name='n'/></metadata><on_crash>restart</on_crash>",
    "<description>a &lt; b</description><metadata><o:os xmlns:o='u' id='it&apos;s'/></metadata><on_crash>restart</on_crash>",
  ],
])('%s', (_, inner, expected) => {
  expect(cloned(inner)).toBe(`<domain type='kvm'><name>test</name>${expected}</domain>\n`);
});

test.each([
  ['/run/web.sock', '/run/test.sock'],
  ['/run/serial', '/run/test-serial'],
  ['/vms/web/web', '/vms/web/test'],
])('%s becomes %s', (path, own) => {
  expect(ownPath(path, 'web', 'test')).toBe(own);
});
