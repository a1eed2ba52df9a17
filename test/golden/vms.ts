// VMs of the golden files, made of captures: real XML in which names, times and paths are changed.
import { capture, storedDefinition } from '../captures.ts';
import type { FakeVm } from '../libvirt/fake-libvirt.ts';
import { TAKEN_AT } from '../model.ts';

const VERSION = '12.8.0';
const CAPTURED = '423f4d57-8887-409e-a29c-e2ee1690a61b';
export const HOUR = 3600;
export const DAY = 24 * HOUR;

export interface SnapshotSpec {
  readonly name: string;
  readonly parent?: string;
  /** Seconds before the present. */
  readonly age: number;
  /** `off` and `run` are internal; `disks` is external without memory, `memory` with it. */
  readonly kind?: 'off' | 'run' | 'disks' | 'memory';
  readonly description?: string;
}

export interface VmSpec {
  readonly name: string;
  readonly running?: boolean;
  readonly snapshots?: readonly SnapshotSpec[];
  readonly current?: string;
}

/** The present of all golden files. */
export const NOW = TAKEN_AT + 400 * DAY;

const IMAGES = '/var/lib/libvirt/images';

export const imagePath = (vm: string, disk = 'vda'): string => `${IMAGES}/${vm}-${disk}.qcow2`;

/** A UUID for each name, always the same. */
const uuidOf = (name: string): string => {
  const sum = [...name].reduce((all, char) => (all * 31 + (char.codePointAt(0) ?? 0)) % 0xffff_ffff, 7);
  return `${sum.toString(16).padStart(8, '0')}-8887-409e-a29c-e2ee1690a61b`;
};

const named = (xml: string, name: string): string =>
  xml
    .replaceAll(CAPTURED, uuidOf(name))
    .replaceAll('/vm/iso.iso', '/etc/passwd')
    .replaceAll('/vm/b-fix', `${IMAGES}/${name}`)
    .replaceAll('<name>b-fix</name>', `<name>${name}</name>`);

const FILES = { off: 'off1', run: 'run1', disks: 'ext1', memory: 'extmem1' } as const;

const escaped = (text: string): string => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;');

export function snapshotXml(vm: string, spec: SnapshotSpec): string {
  const { name, parent, age, kind = 'off', description } = spec;
  const captured = capture(VERSION, `dumpxml-${FILES[kind]}.out`);
  return named(captured, vm)
    .replace(/<name>.*?<\/name>/, `<name>${escaped(name)}</name>`)
    .replace(/\n {2}<description>.*?<\/description>/s, '')
    .replace(/\n {2}<parent>.*?<\/parent>/s, '')
    .replace(/<creationTime>\d+/, `<creationTime>${NOW - age}`)
    .replaceAll(`.${FILES[kind]}'`, `.${name}'`)
    .replace(
      '\n  <state>',
      `${description === undefined ? '' : `\n  <description>${escaped(description)}</description>`}\n  <state>`,
    )
    .replace(
      '</state>',
      `</state>${parent === undefined ? '' : `\n  <parent><name>${parent}</name></parent>`}`,
    );
}

export const fakeVm = ({ name, running = false, snapshots = [], current }: VmSpec): FakeVm => ({
  name,
  uuid: uuidOf(name),
  state: running ? 'running (booted)' : 'shut off (shutdown)',
  xml: named(storedDefinition(VERSION), name),
  snapshots: new Map(snapshots.map((spec) => [spec.name, snapshotXml(name, spec)])),
  current: current ?? null,
});

/** Nightly snapshots in a chain, the youngest a night old. */
export const nightly = (count: number): SnapshotSpec[] =>
  Array.from({ length: count }, (_, i) => {
    const name = (nth: number) =>
      `nightly-${new Date((NOW - (count - nth) * DAY) * 1000).toISOString().replace(/[-:]|\.\d+/g, '')}`;
    return { name: name(i), age: (count - i) * DAY, kind: 'run', ...(i > 0 ? { parent: name(i - 1) } : {}) };
  });
