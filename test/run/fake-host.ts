import type { HostFiles } from '../../src/host/files.ts';
import { createInterrupts } from '../../src/host/interrupts.ts';
import { createVirsh } from '../../src/libvirt/virsh.ts';
import type { RunQemuImg } from '../../src/qemu/qemu-img.ts';
import type { Context, Settings } from '../../src/run/context.ts';
import { nothingKnown } from '../../src/sharing/known-vms.ts';
import { capture, storedDefinition } from '../captures.ts';
import { localFiles } from '../host/local-files.ts';
import { type FakeLibvirt, type FakeVm, fakeLibvirt, optionValue } from '../libvirt/fake-libvirt.ts';
import { MiB, TAKEN_AT } from '../model.ts';

/** A host with one VM of two disks, on which snapshots are taken, reverted to and deleted; nothing of it is real. */
export interface FakeHost {
  readonly libvirt: FakeLibvirt;
  readonly vm: FakeVm;
  /** Names of the snapshots inside each image, by path. */
  readonly images: Map<string, string[]>;
  readonly printed: string[];
  readonly notes: string[];
  /** What was written into the state directory, by path. */
  readonly kept: ReadonlyMap<string, string>;
  context(settings?: Partial<Settings>): Context;
}

const VERSION = '12.8.0';
const NOW = TAKEN_AT + 86_400;

/** What the definitions of the captures name, and a machine without QEMU has not. */
const EMULATOR = '/usr/bin/qemu-system-x86_64';

/** The files of this machine, and the emulator. */
export const filesWithEmulator: HostFiles = {
  ...localFiles,
  stat: (path) => localFiles.stat(path === EMULATOR ? process.execPath : path),
};

export function fakeHost(): FakeHost {
  const definition = storedDefinition(VERSION);
  const [, uuid = ''] = /<uuid>(.*)<\/uuid>/.exec(definition) ?? [];
  const vm: FakeVm = {
    name: 'b-fix',
    uuid,
    state: 'shut off (shutdown)',
    xml: definition,
    snapshots: new Map(
      // a medium that is there
      ['off1', 'run1'].map((name) => [
        name,
        capture(VERSION, `dumpxml-${name}.out`).replaceAll('/vm/iso.iso', '/etc/passwd'),
      ]),
    ),
    current: 'run1',
  };
  const images = new Map(
    ['/vm/b-fix-vda.qcow2', '/vm/b-fix-vdb.qcow2'].map((path) => [path, ['off1', 'run1']]),
  );
  const libvirt = fakeLibvirt([vm]);
  const kept = new Map<string, string>();
  libvirt.intercept = ([verb = '', ...options]) =>
    verb === 'version' ? capture(VERSION, 'version.out') : CHANGES[verb]?.({ vm, images, kept }, options);
  const printed: string[] = [];
  const notes: string[] = [];
  return {
    libvirt,
    vm,
    images,
    printed,
    notes,
    kept,
    context: (settings = {}) => ({
      settings: {
        connect: null,
        output: 'json',
        color: 'never',
        yes: false,
        dryRun: false,
        verbose: false,
        readonly: false,
        timeout: null,
        wait: 0,
        silent: false,
        metrics: null,
        hosts: null,
        ...settings,
      },
      virsh: libvirt.virsh,
      connect: (uri) => createVirsh(libvirt.exec, uri, 'nonce'),
      qemuImg: qemuImgOf(images),
      changeImage: qemuImgOf(images),
      start: libvirt.exec.start,
      connectNbd: () => Promise.reject(new Error('no server is expected')),
      runFiles: {
        begin: () => Promise.reject(new Error('no long run is expected')),
        list: async () => [],
        abandoned: async () => [],
        forget: async () => undefined,
      },
      searchPath: '',
      userPrograms: {
        look: async (path) => ({ path, problem: null }),
        run: () => Promise.reject(new Error('no program is expected')),
      },
      runForeground: () => Promise.reject(new Error('no command is expected')),
      terminal: {
        out: { isTerminal: false, columns: 80, color: 0, ascii: false },
        err: { isTerminal: false, columns: 80, color: 0, ascii: false },
        isOneStream: false,
        print: (text) => printed.push(text),
        note: (line) => notes.push(line),
        trace: () => undefined,
        hasPerson: false,
        ask: async () => false,
        askLine: async () => '',
        progress: () => undefined,
        release: () => undefined,
      },
      clock: { now: () => NOW * 1000, sleep: async () => undefined },
      files: filesWithEmulator,
      recordAction: async () => undefined,
      host: null,
      configFiles: {
        directories: [],
        names: async () => [],
        read: async () => null,
        readAll: async () => [],
      },
      savedXml: {
        keep: async (name, text) => {
          kept.set(`/state/${name}`, text);
          return `/state/${name}`;
        },
        drop: async (path) => void kept.delete(path),
      },
      interrupts: createInterrupts((line) => notes.push(line)),
      known: nothingKnown(),
      noted: new Set(),
    }),
  };
}

function qemuImgOf(images: ReadonlyMap<string, readonly string[]>): RunQemuImg {
  return async (args) => {
    const path = args.at(-1) ?? '';
    if (args[0] === 'map') return { stdout: '', stderr: 'qemu-img: no file is here\n', exitCode: 1 };
    const names = images.get(path);
    if (!names) return { stdout: '', stderr: `qemu-img: Could not open '${path}'\n`, exitCode: 1 };
    const link = {
      filename: path,
      format: 'qcow2',
      'virtual-size': 64 * MiB,
      'actual-size': MiB,
      snapshots: names.map((name, i) => ({
        id: String(i + 1),
        name,
        'vm-state-size': name === 'run1' && path.includes('vda') ? 839_562 : 0,
        'date-sec': TAKEN_AT,
      })),
    };
    return { stdout: JSON.stringify(link), stderr: '', exitCode: 0 };
  };
}

interface World {
  readonly vm: FakeVm;
  readonly images: Map<string, string[]>;
  readonly kept: ReadonlyMap<string, string>;
}

const CHANGES: Readonly<Record<string, (world: World, options: readonly string[]) => string>> = {
  'snapshot-create-as': ({ vm, images }, options) => {
    const name = optionValue(options, '--name') ?? '';
    const xml = capture(VERSION, 'dumpxml-off1.out')
      .replace('<name>off1</name>', `<name>${name}</name>`)
      .replace(/<description>.*<\/description>/, `<parent><name>${vm.current}</name></parent>`)
      .replace(/<creationTime>\d+/, `<creationTime>${NOW}`);
    vm.snapshots = new Map([...vm.snapshots, [name, xml]]);
    vm.current = name;
    for (const names of images.values()) names.push(name);
    return `Domain snapshot ${name} created\n`;
  },
  'snapshot-create': ({ vm, kept }, options) => {
    const xml = kept.get(optionValue(options, '--xmlfile') ?? '') ?? '';
    const [, name = ''] = /<name>(.*?)<\/name>/.exec(xml) ?? [];
    vm.snapshots = new Map([...vm.snapshots, [name, xml]]);
    return `Domain snapshot ${name} created\n`;
  },
  'snapshot-revert': ({ vm }, options) => {
    const name = optionValue(options, '--snapshotname') ?? '';
    vm.current = name;
    vm.state = name === 'run1' ? 'running (from snapshot)' : 'shut off (from snapshot)';
    return `Domain snapshot ${name} reverted\n\n`;
  },
  'snapshot-delete': ({ vm, images }, options) => {
    const name = optionValue(options, '--snapshotname') ?? '';
    vm.snapshots = new Map([...vm.snapshots].filter(([other]) => other !== name));
    if (vm.current === name) vm.current = null;
    for (const [path, names] of images)
      images.set(
        path,
        names.filter((other) => other !== name),
      );
    return `Domain snapshot ${name} deleted\n\n`;
  },
};
