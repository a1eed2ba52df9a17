import { expect, test } from 'vitest';
import { parseElement } from '../../src/libvirt/xml/xml.ts';
import { comingAndGoing, definitionDifferences } from '../../src/revert/definition-differences.ts';
import { capture } from '../captures.ts';

const disk = (target: string, source: string, more = '') =>
  `<disk type='file' device='disk'>${more}<source file='${source}'/><target dev='${target}' bus='virtio'/></disk>`;
const nic = (mac: string) =>
  `<interface type='network'><mac address='${mac}'/><source network='lan'/><model type='virtio'/></interface>`;

const definition = (devices: string, rest = "<memory unit='KiB'>1048576</memory><vcpu>2</vcpu>") =>
  parseElement(`<domain>${rest}<devices>${devices}</devices></domain>`);

const NONE = { rolledBack: new Set<string>(), overlaid: new Set<string>() };
const changes = (now: string, then: string, disks: Partial<typeof NONE> = {}) =>
  definitionDifferences(definition(now), definition(then), { ...NONE, ...disks });

test('what has a name of its own', () => {
  const now = definition(
    '',
    "<memory unit='GiB'>1</memory><vcpu>2</vcpu><os><type machine='pc-9'>hvm</type><boot dev='hd'/></os>",
  );
  const then = definition(
    '',
    "<memory unit='KiB'>524288</memory><vcpu current='2'>4</vcpu><os><type machine='pc-8'>hvm</type><boot dev='cdrom'/><boot dev='hd'/></os>",
  );
  expect(definitionDifferences(now, then, NONE)).toEqual([
    'memory 1 GiB -> 512 MiB',
    'vcpus 2 -> 2 of 4',
    'machine type pc-9 -> pc-8',
    'boot order hd -> cdrom, hd',
  ]);
});

test('all else, by its place', () => {
  const now = definition('', "<features><acpi/></features><cpu mode='host-model'/>");
  const then = definition(
    '',
    "<features><acpi/><apic/></features><cpu mode='custom'><model>qemu64</model></cpu>",
  );
  expect(definitionDifferences(now, then, NONE)).toEqual([
    'cpu mode host-model -> custom',
    'features/apic none -> present',
    'cpu/model none -> qemu64',
  ]);
});

test('disks and interfaces that come and go', () => {
  const [a, b] = ['52:54:00:00:00:01', '52:54:00:00:00:02'];
  expect(
    changes(disk('vda', '/a') + disk('vdb', '/b') + nic(a), disk('vda', '/a') + disk('vdc', '/c') + nic(b), {
      rolledBack: new Set(['vda', 'vdc']),
    }),
  ).toEqual([
    'disk vdb is removed from the VM (the file stays: /b)',
    `network interface ${a} (lan) is removed from the VM`,
    'disk vdc comes back and its content is rolled back (/c)',
    `network interface ${b} (lan) comes back`,
  ]);
});

test('what changes in a device', () => {
  expect(changes(disk('vda', '/a', "<driver cache='none'/>"), disk('vda', '/b'))).toEqual(
    ['disk vda: driver cache none -> none', 'disk vda: source file /a -> /b'].slice(0),
  );
});

test('not told: a disk under another name, an overlay, what libvirt makes itself', () => {
  expect(changes(disk('vda', '/a'), disk('vdb', '/a'))).toEqual([]);
  expect(changes(disk('vda', '/a.over'), disk('vda', '/a'), { overlaid: new Set(['vda']) })).toEqual([]);
  expect(
    changes(
      "<serial type='pty'><source path='/dev/pts/3'/><alias name='serial0'/></serial>",
      "<serial type='pty'><source path='/dev/pts/4'/></serial>",
    ),
  ).toEqual([]);
});

test.each(['7.0.0', '9.0.0', '11.3.0', '12.8.0'] as const)(
  'a running VM differs from its own definition in no device (%s)',
  (version) => {
    const [live, config] = ['live', 'inactive'].map((kind) =>
      parseElement(capture(version, `dom-dumpxml-${kind}.out`)),
    );
    if (!live || !config) throw new Error('no captures');
    expect(comingAndGoing(live, config, NONE)).toEqual([]);
    expect(definitionDifferences(config, config, NONE)).toEqual([]);
  },
);
