import { filesRead } from '../../model/domain-files.ts';
import { attributeAt, type Element, elementsAt, numbersIn, textAt } from './element.ts';
import { directoryOf, file, type Need, named, needKey, type Opened, socket } from './need.ts';
import {
  ofCharacterDevice,
  ofCharacterSource,
  ofGraphics,
  ofHostDevice,
  ofInterface,
} from './needed-by-devices.ts';
import { ofDisk, ofDiskAccess } from './needed-by-disks.ts';

/**
 * What the host must have so that a definition can be started. Each row of the table is one place in libvirt's domain
 * XML (formatdomain). It was tried on libvirt 7.0, 9.0, 11.3 and 12.8: if the thing is missing, the start fails on all
 * of them.
 */

interface Row {
  readonly path: string;
  readonly needs: (element: Element) => readonly (Need | null)[];
}

const attribute = (path: string, name: string, role: string, opens?: Opened): Row => ({
  path,
  needs: (element) => [file(element.attributes[name] ?? null, role, opens)],
});

const content = (path: string, role: string): Row => ({
  path,
  needs: (element) => [file(element.text, role, 'content')],
});

const NEEDS: readonly Row[] = [
  { path: 'devices/disk', needs: ofDisk },
  content('os/kernel', 'kernel'),
  content('os/initrd', 'initrd'),
  content('os/dtb', 'device tree'),
  content('os/shim', 'shim'),
  content('os/loader', 'firmware'),
  content('os/acpi/table', 'ACPI table'),
  attribute('sysinfo/entry', 'file', 'firmware configuration', 'content'),
  { path: 'os', needs: ofNvram },
  content('devices/emulator', 'emulator'),
  { path: 'devices/filesystem', needs: ofFilesystem },
  { path: 'devices/hostdev', needs: ofHostDevice },
  { path: 'devices/interface', needs: ofInterface },
  ...['serial', 'parallel', 'console', 'channel', 'redirdev', 'smartcard'].map((name) => ({
    path: `devices/${name}`,
    needs: (element: Element) => ofCharacterDevice(element, `${name} device`),
  })),
  content('devices/smartcard/database', 'database of the smart card'),
  { path: 'devices/tpm/backend', needs: ofTpm },
  { path: 'devices/rng/backend', needs: ofRng },
  attribute('devices/input/source', 'evdev', 'input device', 'device'),
  attribute('devices/input/source', 'dev', 'input device', 'device'),
  {
    path: 'devices/shmem/server',
    needs: ({ attributes }) => [socket(attributes['path'] ?? null, 'server of the shared memory')],
  },
  { path: 'devices/memory/source/path', needs: ({ text }) => [ofMemoryFile(text)] },
  { path: 'devices/graphics', needs: ofGraphics },
  attribute('devices/graphics/gl', 'rendernode', 'render node'),
  attribute('devices/video/driver/acceleration', 'rendernode', 'render node'),
  attribute('devices/video/acceleration', 'rendernode', 'render node'),
  { path: 'devices/vsock', needs: () => [file('/dev/vhost-vsock', 'vsock')] },
  { path: 'memoryBacking/hugepages', needs: ofHugePages },
  ...['vcpu', 'cputune/vcpupin', 'cputune/emulatorpin', 'cputune/iothreadpin'].map((path) => ({
    path,
    needs: ({ attributes }: Element) => [named('cpus', attributes['cpuset'] ?? null, 'CPU pinning')],
  })),
  { path: 'qemu:commandline', needs: ofCommandLine },
  ...['numatune/memory', 'numatune/memnode'].map((path) => ({
    path,
    needs: ({ attributes: { mode = 'strict', nodeset } }: Element) =>
      mode === 'strict' ? nodes(nodeset) : [],
  })),
  { path: 'devices/memory/source/nodemask', needs: ({ text }) => nodes(text) },
  ...['seclabel', 'devices/disk/source/seclabel'].map((path) => ({ path, needs: ofSecurityLabel })),
  { path: 'resource/partition', needs: ({ text }) => [named('partition', text, 'control group')] },
  { path: 'cputune/cachetune', needs: () => [named('mount', 'resctrl', 'cache allocation')] },
  { path: 'cputune/memorytune', needs: () => [named('mount', 'resctrl', 'memory bandwidth')] },
  {
    path: 'launchSecurity',
    needs: ({ attributes: { type = '' } }) => [
      file(type.startsWith('sev') ? '/dev/sev' : null, 'encrypted memory'),
    ],
  },
];

/** What each disk needs, also one whose content other checks inspect. */
const OF_EACH_DISK: readonly Row[] = [{ path: 'devices/disk', needs: ofDiskAccess }];

const nodes = (set = ''): (Need | null)[] =>
  numbersIn(set).map((node) => file(`/sys/devices/system/node/node${node}`, `NUMA node ${node}`));

/**
 * The security model that libvirtd must offer; for file owners (`dac`), the user and the group that QEMU runs as. libvirtd
 * looks up a name, and takes `+12` as a number. A dynamic label is chosen at the start.
 */
function ofSecurityLabel(label: Element): (Need | null)[] {
  const { type, model = '' } = label.attributes;
  if (type === 'none' || model === 'none') return [];
  const [user = '', group = ''] =
    model === 'dac' && type !== 'dynamic' ? (textAt(label, 'label') ?? '').split(':') : [];
  const name = (kind: 'user' | 'group', text: string) =>
    /^\+?\d*$/.test(text) ? null : named(kind, text, 'security label');
  // libvirtd always offers `dac`
  return [
    model === 'dac' ? null : named('security', model, 'security label'),
    name('user', user),
    name('group', group),
  ];
}

/** Everything that a definition needs, each thing once. `differently` are disks that other checks inspect. */
export function neededThings(domain: Element, differently: ReadonlySet<string>): Need[] {
  const others = {
    ...domain,
    children: domain.children.map((child) =>
      child.name === 'devices'
        ? {
            ...child,
            children: child.children.filter(
              (device) =>
                device.name !== 'disk' || !differently.has(attributeAt(device, 'target', 'dev') ?? ''),
            ),
          }
        : child,
    ),
  };
  const found = [
    ...NEEDS.flatMap(({ path, needs }) => elementsAt(others, path).flatMap(needs)),
    ...OF_EACH_DISK.flatMap(({ path, needs }) => elementsAt(domain, path).flatMap(needs)),
  ];
  const needs = [...found, ...ofEmulator(domain)].filter((need) => need !== null);
  return [...new Map(needs.map((need) => [needKey(need), need])).values()];
}

/** Features in QEMU modules that are separate packages: the element and its attribute, and where `domcapabilities` lists them. */
const FEATURES = [
  { path: 'devices/graphics', attribute: 'type', list: 'graphics type', values: ['spice'] },
  { path: 'devices/video/model', attribute: 'type', list: 'video modelType', values: ['qxl', 'virtio'] },
] as const;

/** What the emulator must support: the words, one a line, with which `virsh domcapabilities` is asked. */
function ofEmulator(domain: Element): Need[] {
  const type = elementsAt(domain, 'os/type')[0]?.attributes ?? {};
  const words = [
    textAt(domain, 'devices/emulator'),
    type['arch'],
    type['machine'],
    domain.attributes['type'],
  ].map((word) => word ?? '');
  if (type['machine'] === undefined) return [];
  const name = words.join('\n');
  const features = FEATURES.flatMap(({ path, attribute: key, list, values }) =>
    elementsAt(domain, path)
      .map(({ attributes }) => attributes[key] ?? '')
      .filter((value) => values.some((each) => each === value))
      .map((value): Need => ({ kind: 'feature', name: `${list} ${value}`, within: name, role: 'QEMU' })),
  );
  return [{ kind: 'emulator', name, role: 'QEMU' }, ...features];
}

/**
 * If the NVRAM is missing, libvirt makes it from a template: the one that is named, or the one that it knows for the
 * loader.
 */
function ofNvram(os: Element): (Need | null)[] {
  return [...elementsAt(os, 'nvram'), ...elementsAt(os, 'varstore')].flatMap((nvram) => {
    const path = attributeAt(nvram, 'source', 'file') ?? nvram.attributes['path'] ?? (nvram.text || null);
    const template = nvram.attributes['template'];
    const need = file(path, 'NVRAM', 'content');
    const loader = textAt(os, 'loader');
    const madeFrom = template ? { template } : loader ? { loader } : null;
    return [need && (madeFrom ? { ...need, madeFrom } : need), directoryOf(path, 'the NVRAM')];
  });
}

function ofFilesystem(share: Element): (Need | null)[] {
  const tag = attributeAt(share, 'target', 'dir') ?? '';
  const [source] = elementsAt(share, 'source');
  return [
    file(source?.attributes['dir'] ?? null, `share ${tag}`, 'directory'),
    socket(source?.attributes['socket'] ?? null, `share ${tag}`),
    file(attributeAt(share, 'binary', 'path'), `program of the share ${tag}`, 'content'),
  ];
}

function ofTpm(backend: Element): (Need | null)[] {
  const { type } = backend.attributes;
  if (type === 'emulator')
    return [
      named('program', 'swtpm', 'TPM'),
      named('secret', attributeAt(backend, 'encryption', 'secret'), 'secret of the TPM'),
    ];
  return [
    file(attributeAt(backend, 'device', 'path'), 'TPM', 'device'),
    socket(type === 'external' ? attributeAt(backend, 'source', 'path') : null, 'TPM'),
  ];
}

function ofRng(backend: Element): (Need | null)[] {
  if (backend.attributes['model'] === 'random') return [file(backend.text, 'random number generator')];
  const { type = '' } = backend.attributes;
  return elementsAt(backend, 'source').flatMap((source) =>
    ofCharacterSource(type, source, 'random number generator'),
  );
}

/** QEMU makes a regular file if it is missing, but cannot make a device. */
const ofMemoryFile = (path: string): Need | null =>
  path.startsWith('/dev/') ? file(path, 'memory device') : directoryOf(path, 'the memory device');

function ofCommandLine(commandLine: Element): (Need | null)[] {
  const words = elementsAt(commandLine, 'qemu:arg').map(({ attributes: { value = '' } }) => value);
  return filesRead(words).map(({ path, option }) => file(path, `${option} in <qemu:commandline>`));
}

function ofHugePages(element: Element): (Need | null)[] {
  return [
    named('mount', 'hugetlbfs', 'huge pages'),
    ...elementsAt(element, 'page').map(({ attributes: { size, unit = 'KiB' } }) => {
      const power = 'kmgt'.indexOf(unit[0]?.toLowerCase() ?? 'k');
      return file(
        size && power >= 0 ? `/sys/kernel/mm/hugepages/hugepages-${Number(size) * 1024 ** power}kB` : null,
        'huge pages',
      );
    }),
  ];
}
