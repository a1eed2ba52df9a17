import { expect, test } from 'vitest';
import {
  createDefinitionReader,
  isOfRunning,
  storedDefinitions,
} from '../../../src/libvirt/definition/files.ts';
import { capture, storedDefinition, VERSIONS } from '../../captures.ts';

const read = createDefinitionReader();

const domain = (devices: string, rest = '', os = '') =>
  `<domain type='qemu' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'><name>a</name>${os}<devices>${devices}</devices>${rest}</domain>`;

const disk = (source: string, more = '') =>
  `<disk type='file' device='disk'><driver name='qemu' type='qcow2'/>${source}<target dev='vda'/>${more}</disk>`;

const paths = (xml: string) => read(xml).files.map(({ path }) => path);

test.each(VERSIONS)('the definition and the snapshots of %s', (version) => {
  expect(paths(storedDefinition(version))).toEqual([
    '/vm/b-fix-vda.qcow2',
    '/vm/b-fix-vdb.qcow2',
    '/vm/iso.iso',
  ]);
  const parts = storedDefinitions(capture(version, 'dumpxml-run1.out'));
  expect(parts.flatMap(paths)).toContain('/vm/b-fix-vda.qcow2');
  expect(isOfRunning(storedDefinition(version))).toBe(false);
});

test('both definitions that are stored with a snapshot', () => {
  const inactive = domain(disk("<source file='/vm/b'/>")).replaceAll('domain', 'inactiveDomain');
  const xml = `<domainsnapshot><name>s</name>${domain(disk("<source file='/vm/a'/>"))}${inactive}<cookie/></domainsnapshot>`;
  expect(storedDefinitions(xml).map(paths)).toEqual([['/vm/a'], ['/vm/b']]);
});

test('what lies beneath, a mirror, NVRAM, and drives past libvirt', () => {
  const xml = domain(
    disk(
      "<source file='/vm/&lt;a&gt;'/><backingStore type='file'><format type='qcow2'/><source file='/vm/base'/><backingStore/></backingStore>",
      "<mirror type='file' job='copy'><source file='/vm/copy'/></mirror>",
    ),
    "<qemu:commandline><qemu:arg value='-drive'/><qemu:arg value='file=/vm/extra.qcow2,format=qcow2,if=virtio'/><qemu:arg value='{&quot;driver&quot;:&quot;file&quot;,&quot;filename&quot;:&quot;/vm/json.img&quot;}'/></qemu:commandline>",
    "<metadata><nvram>/not/this</nvram></metadata><os><nvram template='/vm/no' format='qcow2'>/vm/vars</nvram></os>",
  );
  expect(read(xml).files).toMatchObject([
    { path: '/vm/<a>', format: 'qcow2', target: 'vda', below: false },
    { path: '/vm/base', below: true },
    { path: '/vm/copy', target: null },
    { path: '/vm/vars', nvram: true, format: 'qcow2' },
    { path: '/vm/extra.qcow2', format: 'qcow2' },
    { path: '/vm/json.img' },
  ]);
});

test('the variables of UEFI firmware in a file of their own, which QEMU writes', () => {
  const varstore = "<os><varstore template='/t.json' path='/vm/a&amp;b.json'/></os>";
  expect(read(domain('', '', varstore)).files).toEqual([
    expect.objectContaining({ path: '/vm/a&b.json', nvram: true, readonly: false, target: null }),
  ]);
  expect(read(domain('', '', "<os><varstore template='/t.json'/></os>")).files).toEqual([]);
});

test('what is booted directly, firmware, ROMs, and files that QEMU writes', () => {
  const xml = domain(
    "<interface type='user'><rom file='/vm/rom'/></interface><serial type='file'><source path='/vm/out'/><log file='/vm/log' append='on'/></serial><memory model='nvdimm'><source><path>/vm/nvdimm</path></source></memory>",
    '',
    "<metadata><kernel>/not/this</kernel></metadata><os><loader readonly='yes' type='pflash'>/vm/CODE</loader><kernel>/vm/k</kernel><initrd>/vm/i</initrd><acpi><table type='slic'>/vm/t</table></acpi></os>",
  );
  expect(read(xml).files.map(({ path, readonly }) => [path, readonly])).toEqual([
    ['/vm/CODE', true],
    ['/vm/k', true],
    ['/vm/i', true],
    ['/vm/t', true],
    ['/vm/rom', true],
    ['/vm/out', false],
    ['/vm/log', false],
    ['/vm/nvdimm', false],
  ]);
});

test('a volume is its pool’s to tell, a disk without a driver is raw, a cdrom is read-only', () => {
  const volume = "<disk type='volume'><source pool='p' volume='v'/><target dev='vda'/></disk>";
  const cdrom = "<disk type='file' device='cdrom'><source file='/iso'/><target dev='sda'/></disk>";
  expect(read(domain(volume + cdrom))).toMatchObject({
    volumes: [{ pool: 'p', volume: 'v', format: 'raw', readonly: false }],
    files: [{ path: '/iso', format: 'raw', readonly: true }],
  });
});

test('a VM that has a QEMU', () => {
  expect(isOfRunning("<domain type='qemu' id='3' xmlns:qemu='x'>")).toBe(true);
  expect(isOfRunning("<domain type='qemu'><name>id='3'</name>")).toBe(false);
});
