import { storedDefinition } from '../captures.ts';
import type { FakeLibvirt, FakeVm } from './fake-libvirt.ts';

/** Names as libvirt takes them, beside those that virsh mistakes for something else. */
export const ODD_NAMES = [
  'centos 7 1',
  '  ',
  '虚拟机-1',
  "it's; $(x)",
  '--all',
  '-x',
  '#1',
  '%s',
  'a\tb',
  'x'.repeat(36),
];

export const uuidOf = (n: number): string => `00000000-0000-4000-8000-${String(n).padStart(12, '0')}`;

/** Descriptions and names in XML as virsh prints them. */
const escaped = (text: string): string => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;');

const snapshotXml = (name: string): string => `<domainsnapshot>
  <name>${escaped(name)}</name>
  <state>shutoff</state>
  <creationTime>1795424800</creationTime>
  <disks><disk name='vda' snapshot='internal'/></disks>
  <domain type='qemu'><devices><disk type='file' device='disk'><source file='/vm/a'/><target dev='vda'/></disk></devices></domain>
</domainsnapshot>
`;

export interface Traits extends Partial<Omit<FakeVm, 'snapshots' | 'xml'>> {
  readonly name: string;
  readonly has?: readonly string[];
}

export let count = 0;

export function vm({ has = [], uuid = uuidOf(++count), ...traits }: Traits): FakeVm {
  const definition = storedDefinition('12.8.0')
    .replace(/<name>.*<\/name>/, `<name>${escaped(traits.name)}</name>`)
    .replace(/<uuid>.*<\/uuid>/, `<uuid>${uuid}</uuid>`);
  return {
    state: 'shut off (shutdown)',
    current: has.at(-1) ?? null,
    ...traits,
    uuid,
    xml: definition,
    snapshots: new Map(has.map((name) => [name, snapshotXml(name)])),
  };
}

/** The commands that were shown this word. */
export const shown = ({ commands }: FakeLibvirt, word: string): string[] =>
  commands.filter((command) => command.includes(word)).map(([verb = '']) => verb);

export const NO_CONNECTION = `error: failed to connect to the hypervisor
error: Failed to connect socket to '/var/run/libvirt/libvirt-sock': Connection refused
`;

export const LOST = `error: Disconnected from qemu:///system due to end of file
error: End of file while reading data: Input/output error
`;
