// A host with these VMs, whose commands draw on a screen of a chosen width.
import type { HostFiles } from '../../src/host/files.ts';
import { createVirsh } from '../../src/libvirt/virsh.ts';
import { wrapMessage } from '../../src/output/wrap.ts';
import type { RunQemuImg } from '../../src/qemu/qemu-img.ts';
import type { Context, Settings } from '../../src/run/context.ts';
import { capture } from '../captures.ts';
import { Failure, type FakeVm, fakeLibvirt, optionValue } from '../libvirt/fake-libvirt.ts';
import { MiB } from '../model.ts';
import { fakeHost, filesWithEmulator } from '../run/fake-host.ts';
import { fakeVm, imagePath, NOW, snapshotXml, type VmSpec } from './vms.ts';

export interface Medium {
  /** null: a pipe. */
  readonly columns: number | null;
  readonly settings?: Partial<Settings>;
}

export interface GoldenHost {
  readonly vms: readonly FakeVm[];
  /** Names of the snapshots inside an image, by path; a raw image has null. */
  readonly images: Map<string, string[] | null>;
  /** What virsh answers instead, by verb and name of the VM. */
  readonly refuses: Map<string, string>;
  context(medium: Medium): Context;
  /** All that was shown, stdout and stderr in their order. */
  screen(): string;
}

export function goldenHost(specs: readonly VmSpec[]): GoldenHost {
  const vms = specs.map(fakeVm);
  const user = fakeHost();
  const images = new Map<string, string[] | null>(
    specs.flatMap(({ name, snapshots = [] }) => {
      const inside = snapshots
        .filter(({ kind = 'off' }) => kind === 'off' || kind === 'run')
        .map(({ name }) => name);
      return ['vda', 'vdb'].map((disk) => [imagePath(name, disk), [...inside]] as const);
    }),
  );
  const refuses = new Map<string, string>();
  const libvirt = fakeLibvirt(vms);
  libvirt.intercept = ([verb = '', ...options]) => {
    const fixed = ALWAYS[verb];
    if (fixed !== undefined) return fixed;
    const vm = vms.find(({ uuid }) => uuid === optionValue(options, '--domain'));
    const refusal = refuses.get(`${verb} ${vm?.name}`);
    if (refusal !== undefined) return new Failure(`error: ${refusal}\n`);
    if (vm && verb === 'snapshot-create')
      return register(vm, user.kept.get(optionValue(options, '--xmlfile') ?? '') ?? '', options);
    return vm ? CHANGES[verb]?.(vm, images, options) : undefined;
  };
  let shown = '';
  return {
    vms,
    images,
    refuses,
    screen: () => shown,
    context: ({ columns, settings = {} }) => {
      const { terminal, ...ctx } = user.context({ output: 'table', ...settings });
      const screen = {
        isTerminal: columns !== null,
        columns: columns ?? 80,
        color: 0,
        ascii: false,
      } as const;
      return {
        ...ctx,
        virsh: libvirt.virsh,
        connect: (uri) => createVirsh(libvirt.exec, uri, 'nonce'),
        qemuImg: qemuImgOf(vms, images),
        changeImage: qemuImgOf(vms, images),
        files: FILES,
        clock: { ...ctx.clock, now: () => NOW * 1000 },
        terminal: {
          ...terminal,
          out: screen,
          err: screen,
          isOneStream: true,
          print: (text) => {
            shown += text;
          },
          note: (line) => {
            shown += `${wrapMessage(line, columns)}\n`;
          },
        },
      };
    },
  };
}

/** What is no matter here. */
const ALWAYS: Readonly<Record<string, string>> = {
  version: capture('12.8.0', 'version.out'),
  domstats: capture('12.8.0', 'domstats.out'),
  blockjob: 'No current block job for vda\n\n',
  domjobinfo: 'Job type:         None\n\n',
};

function register(vm: FakeVm, xml: string, options: readonly string[]): string {
  const [, name = ''] = /<name>(.*?)<\/name>/.exec(xml) ?? [];
  vm.snapshots = new Map([...vm.snapshots, [name, xml]]);
  if (options.includes('--current')) vm.current = name;
  return `Domain snapshot ${name} created\n`;
}

const CHANGES: Readonly<
  Record<string, (vm: FakeVm, images: GoldenHost['images'], options: readonly string[]) => string>
> = {
  metadata: () => 'Metadata modified\n',
  suspend: (vm) => {
    vm.state = 'paused (user)';
    return `Domain '${vm.name}' suspended\n`;
  },
  resume: (vm) => {
    vm.state = 'running (unpaused)';
    return `Domain '${vm.name}' resumed\n`;
  },
  'snapshot-create-as': (vm, images, options) => {
    const name = optionValue(options, '--name') ?? '';
    const parent = vm.current === null ? {} : { parent: vm.current };
    const description = optionValue(options, '--description');
    const kind = vm.state.startsWith('shut off') ? 'off' : 'run';
    const spec = {
      name,
      age: 0,
      kind,
      ...parent,
      ...(description === undefined ? {} : { description }),
    } as const;
    const xml = snapshotXml(vm.name, spec);
    const isPaused = vm.state.startsWith('paused');
    vm.snapshots = new Map([
      ...vm.snapshots,
      [name, isPaused ? xml.replace('<state>running', '<state>paused') : xml],
    ]);
    vm.current = name;
    for (const [path, names] of images) if (path.includes(`/${vm.name}-`)) names?.push(name);
    return `Domain snapshot ${name} created\n`;
  },
  'snapshot-revert': (vm, _, options) => {
    vm.current = optionValue(options, '--snapshotname') ?? '';
    vm.state = vm.snapshots.get(vm.current)?.includes('<state>running')
      ? 'running (from snapshot)'
      : 'shut off (from snapshot)';
    return 'Domain snapshot reverted\n\n';
  },
  'snapshot-delete': (vm, images, options) => {
    const name = optionValue(options, '--snapshotname') ?? '';
    vm.snapshots = new Map([...vm.snapshots].filter(([other]) => other !== name));
    if (vm.current === name) vm.current = null;
    for (const [path, names] of images)
      if (path.includes(`/${vm.name}-`) && names)
        images.set(
          path,
          names.filter((other) => other !== name),
        );
    return `Domain snapshot ${name} deleted\n\n`;
  },
};

/** That of an empty qcow2 image of version 3 (docs/interop/qcow2.rst of QEMU). */
const HEADER = Buffer.alloc(112);
HEADER.write('QFI', 'latin1');
HEADER.writeUInt8(0xfb, 3);
HEADER.writeUInt32BE(3, 4);
HEADER.writeUInt32BE(16, 20);
HEADER.writeUInt32BE(4, 96);
HEADER.writeUInt32BE(104, 100);

/** Every file of the VMs is there. */
const FILES: HostFiles = {
  ...filesWithEmulator,
  stat: async (path) => {
    if (!path.startsWith('/var/lib/libvirt/images/')) return filesWithEmulator.stat(path);
    return {
      ...(await filesWithEmulator.stat('/dev/null')),
      kind: path.includes('.') ? 'file' : 'directory',
      identity: path,
      device: null,
      sizeBytes: path.endsWith('.mem') ? 701 * MiB : 900 * MiB,
      occupiedBytes: 850 * MiB,
      mode: 0o600,
    };
  },
  realpath: async (path) => path,
  open: async (path) => ({
    kind: 'file',
    size: HEADER.length,
    occupiedBytes: HEADER.length,
    read: (offset, into) => {
      const part = path.startsWith('/var/lib') ? HEADER.subarray(offset, offset + into.length) : [];
      into.set(part);
      return part.length;
    },
    close: async () => undefined,
  }),
  capacity: async () => ({ sizeBytes: 500_000 * MiB, freeBytes: 80_000 * MiB }),
  checkWritable: async () => undefined,
  checkOpensForWriting: async () => undefined,
};

function qemuImgOf(vms: readonly FakeVm[], images: GoldenHost['images']): RunQemuImg {
  return async (args) => {
    const path = args.at(-1) ?? '';
    // the medium of a CD-ROM
    const names = path === '/etc/passwd' ? null : images.get(path);
    const vm = vms.find((each) => path.includes(`/${each.name}-vd`));
    const hasMemory = (name: string) =>
      vm?.snapshots.get(name)?.includes("memory snapshot='internal'") ?? false;
    if (args[0] !== 'info' || names === undefined)
      return { stdout: '', stderr: `qemu-img: Could not open '${path}'\n`, exitCode: 1 };
    const link = {
      filename: path,
      format: names === null ? 'raw' : 'qcow2',
      'virtual-size': 20_480 * MiB,
      'actual-size': 4300 * MiB,
      snapshots: (names ?? []).map((name, i) => ({
        id: String(i + 1),
        name,
        'vm-state-size': path.includes('vda') && hasMemory(name) ? 839_562_000 : 0,
        'date-sec': NOW,
      })),
    };
    return { stdout: JSON.stringify(link), stderr: '', exitCode: 0 };
  };
}
