import type { CreateFacts } from '../../../src/create/rules/facts.ts';
import { disk, domain, image, seen } from '../../model.ts';
import type { RuleCases } from '../../rule-cases.ts';
import { creating, creatingOn, unseen } from './creating.ts';
import { external } from './external-facts.ts';

/** A header that names other files. */
const naming = (format: string, ...names: string[]) => ({ format, names, mayName: names.length > 0 });

/** A raw disk with the header of another format. */
const looking = (format: string, ...names: string[]) =>
  seen({ format: 'raw', looksLike: naming(format, ...names) });

const LEFT_OUT = [{ disk: 'vda', location: 'no', file: null, driver: null, storage: null }];

export const IMAGE_FORMAT_CASES: Readonly<Record<string, RuleCases<CreateFacts>>> = {
  'no-disks': {
    severity: 'error',
    cases: [
      { says: 'one disk', facts: creating(), finds: [] },
      {
        says: 'only a cdrom and a read-only disk',
        facts: creating({
          domain: domain({ disks: [disk({ device: 'cdrom' }), disk({ target: 'vdb', readonly: true })] }),
        }),
        finds: [{ what: /no disk that a snapshot could contain/ }],
      },
      {
        says: 'no disk at all',
        facts: creating({ domain: domain({ disks: [] }) }),
        finds: [{ what: /no disk/ }],
      },
      {
        says: 'every disk left out, and no memory either',
        facts: external({ diskOnly: true, disks: LEFT_OUT }, { state: 'running' }),
        finds: [{ what: /every disk is left out \(vda\), and so is the memory/ }],
      },
      {
        says: 'every disk left out, off',
        facts: external({ external: true, disks: LEFT_OUT }),
        finds: [{ what: /the VM is off, so it has no memory to save/ }],
      },
      {
        says: 'the memory alone',
        facts: external({ memory: { location: null, file: '/m' }, disks: LEFT_OUT }, { state: 'running' }),
        finds: [],
      },
      {
        says: 'each disk left to its storage',
        facts: external({
          diskOnly: true,
          disks: LEFT_OUT.map((diskSpec) => ({ ...diskSpec, location: 'manual' })),
        }),
        finds: [],
      },
    ],
  },
  'volume-not-found': {
    severity: 'error',
    cases: [
      {
        says: 'a volume that is found',
        facts: creatingOn({ pool: { name: 'images', volume: 'a' } }),
        finds: [],
      },
      {
        says: 'a pool that is not active',
        facts: creatingOn({ pool: { name: 'my images', volume: 'a', problem: 'inactive' } }),
        finds: [{ what: /not active/, command: "virsh pool-start 'my images'" }],
      },
      {
        says: 'a pool that is not there',
        facts: creatingOn({ pool: { name: 'images', volume: 'a', problem: 'no-pool' } }),
        finds: [{ what: /but this pool does not exist/ }],
      },
    ],
  },
  'broken-image': {
    severity: 'error',
    cases: [
      { says: 'an image that was read', facts: creating(), finds: [] },
      {
        says: 'the file is missing',
        facts: creatingOn({}, { kind: 'broken', why: 'missing', path: '/vm/vda.qcow2', detail: '' }),
        finds: [
          {
            what: /^disk vda: \/vm\/vda\.qcow2 is missing$/,
            hint: /correct the path/,
            command: 'virsh edit centos7-1',
          },
        ],
      },
      {
        says: 'its backing file is missing',
        facts: creatingOn({}, { kind: 'broken', why: 'backing-missing', path: '/vm/base', detail: '' }),
        finds: [
          {
            what: /^disk vda: \/vm\/base, in the backing chain of \/vm\/vda\.qcow2, is missing$/,
            hint: /qemu-img rebase/,
          },
        ],
      },
      {
        says: 'it is no image',
        facts: creatingOn(
          {},
          { kind: 'broken', why: 'unreadable', path: '/vm/vda.qcow2', detail: 'bad magic' },
        ),
        finds: [{ what: /is not readable as an image \(bad magic\)/ }],
      },
    ],
  },
  'not-qcow2': {
    severity: 'error',
    cases: [
      { says: 'qcow2 by file and XML', facts: creating(), finds: [] },
      { says: 'qcow2 over a raw base', facts: creatingOn({}, seen({}, { format: 'raw' })), finds: [] },
      { says: 'an image that the pool calls qcow2', facts: creatingOn({}, unseen('qcow2')), finds: [] },
      { says: 'a raw cdrom', facts: creatingOn({ device: 'cdrom' }, seen({ format: 'raw' })), finds: [] },
      ...[
        { daemonVersion: 9_000_000, hint: /VM off, then set the path of the new file and <driver.*'s XML$/ },
        { daemonVersion: 9_009_000, hint: /'s XML\. Or take an external snapshot instead \(--external\)$/ },
        { daemonVersion: null, hint: /\. Or with libvirt 9\.9 or newer, take an external snapshot instead/ },
      ].map(({ daemonVersion, hint }) => ({
        says: `raw by both, on ${daemonVersion ?? 'a libvirtd that does not tell its version'}`,
        facts: {
          ...creatingOn({ source: '/vm/vda.img', driver: 'raw' }, seen({ format: 'raw' })),
          daemonVersion,
        },
        finds: [
          {
            what: /disk vda \(\/vm\/vda\.img\) is raw, and internal snapshots need qcow2/,
            hint,
            commands: ['qemu-img convert -f raw -O qcow2 /vm/vda.img /vm/vda.qcow2', 'virsh edit centos7-1'],
          },
        ],
      })),
      {
        says: 'a raw volume, which no external snapshot suits',
        facts: creatingOn(
          { storage: 'volume', pool: { name: 'p', volume: 'a' }, source: '/p/a.img', driver: 'raw' },
          seen({ format: 'raw' }),
        ),
        finds: [
          { what: /is raw/, hint: /^convert it with the VM off, then set .* in a <disk type='file'>.* XML$/ },
        ],
      },
      {
        says: 'a raw file, and where a copy writes over nothing',
        facts: creatingOn(
          { source: '/vm/vda.img', driver: 'raw' },
          { kind: 'seen', chain: [image({ format: 'raw' })], copyTo: '/vm/vda.qcow2.new-2' },
        ),
        finds: [
          {
            what: /is raw/,
            commands: [
              'qemu-img convert -f raw -O qcow2 /vm/vda.img /vm/vda.qcow2.new-2',
              'virsh edit centos7-1',
            ],
          },
        ],
      },
      {
        says: 'a raw file beside a disk of the name that it would be converted to',
        facts: creating({
          domain: domain({
            disks: [
              disk({ source: '/vm/a.img', driver: 'raw' }),
              disk({ target: 'vdb', source: '/vm/a.qcow2' }),
            ],
          }),
          images: new Map([
            ['vda', seen({ path: '/vm/a.img', format: 'raw' })],
            ['vdb', seen({ path: '/vm/a.qcow2' })],
          ]),
        }),
        finds: [
          {
            what: /disk vda/,
            commands: ['qemu-img convert -f raw -O qcow2 /vm/a.img /vm/a.qcow2.new', 'virsh edit centos7-1'],
          },
        ],
      },
      {
        says: 'a path that a shell would take apart',
        facts: creatingOn({ source: '/vm/my disk.img', driver: 'raw' }, seen({ format: 'raw' })),
        finds: [
          {
            what: /raw/,
            commands: [
              "qemu-img convert -f raw -O qcow2 '/vm/my disk.img' '/vm/my disk.qcow2'",
              'virsh edit centos7-1',
            ],
          },
        ],
      },
      {
        says: 'a raw logical volume',
        facts: creatingOn(
          { storage: 'block', source: '/dev/vg0/web', driver: 'raw' },
          seen({ format: 'raw' }),
        ),
        finds: [{ what: /raw/, command: 'lvcreate --snapshot --size 10G --name web-snapshot /dev/vg0/web' }],
      },
      {
        says: 'a floppy, which is never qcow2',
        facts: creatingOn({ device: 'floppy', driver: 'raw' }, seen({ format: 'raw' })),
        finds: [{ what: /raw/, hint: /eject the floppy vda/ }],
      },
      {
        says: 'an image out of reach of which nothing but the XML is known',
        facts: creatingOn({ driver: null }, unseen(null)),
        finds: [{ what: /is raw according to the/ }],
      },
      {
        says: 'a raw disk without a path',
        facts: creatingOn({ storage: 'network', source: null, driver: 'raw' }, unseen('raw')),
        finds: [{ what: /disk vda \(network\) is raw/, hint: /needs a qcow2 image/ }],
      },
    ],
  },
  'format-disagrees': {
    severity: 'error',
    cases: [
      { says: 'qcow2 by file and XML', facts: creating(), finds: [] },
      {
        says: 'raw by both',
        facts: creatingOn({ driver: 'raw' }, seen({ format: 'raw' })),
        finds: [],
      },
      {
        says: 'a raw file under a name in qcow2, which the conversion must not overwrite',
        facts: creatingOn({}, seen({ format: 'raw' })),
        finds: [
          {
            what: /the file is raw, but the VM's XML says qcow2/,
            hint: /^convert it with the VM off, then set the path of the new file in the VM's XML$/,
            commands: [
              'qemu-img convert -f raw -O qcow2 /vm/vda.qcow2 /vm/vda.qcow2.new',
              'virsh edit centos7-1',
            ],
          },
        ],
      },
      {
        says: 'VMDK that the XML calls qcow2, and that names no other file',
        facts: creatingOn(
          {},
          seen({ format: 'vmdk', looksLike: { format: 'vmdk', names: [], mayName: false } }),
        ),
        finds: [
          {
            what: /the file is vmdk/,
            commands: [
              'qemu-img convert -f vmdk -O qcow2 /vm/vda.qcow2 /vm/vda.qcow2.new',
              'virsh edit centos7-1',
            ],
          },
        ],
      },
      {
        says: 'one that does: no command opens it',
        facts: creatingOn({}, seen({ format: 'vmdk', looksLike: naming('vmdk', '/etc/shadow') })),
        finds: [
          {
            what: /the file is vmdk/,
            hint: /names \/etc\/shadow, which QEMU would open\. If a guest could ever write/,
          },
        ],
      },
      {
        says: 'an image out of reach that the pool calls raw',
        facts: creatingOn({}, unseen('raw')),
        finds: [
          { what: /is raw according to the storage pool, but the VM's XML says qcow2/, hint: /^convert it/ },
        ],
      },
    ],
  },
  'foreign-header': {
    severity: 'error',
    cases: [
      { says: 'qcow2 by file and XML', facts: creating(), finds: [] },
      { says: 'raw', facts: creatingOn({ driver: 'raw' }, seen({ format: 'raw' })), finds: [] },
      {
        says: 'LUKS, as a guest writes it that encrypts its disk',
        facts: creatingOn({ driver: 'raw' }, looking('luks')),
        finds: [],
      },
      {
        says: 'qcow2 over nothing in a raw disk: the type may be changed, if it was no guest',
        facts: creatingOn({ driver: 'raw' }, looking('qcow2')),
        finds: [
          {
            what: /the VM's XML says raw, and the file looks like qcow2$/,
            hint: /^if the guest wrote this header, do not change the type\. Only if you have put a qcow2 image there yourself, set <driver name='qemu' type='qcow2'\/> for vda, with the VM off$/,
            command: 'virsh edit centos7-1',
          },
        ],
      },
      {
        says: 'and the XML names no driver',
        facts: creatingOn({ driver: null }, looking('qcow2')),
        finds: [
          { what: /names no driver type, so libvirt treats it as raw/, command: 'virsh edit centos7-1' },
        ],
      },
      {
        says: 'while the guest can still change it',
        facts: creating({
          domain: domain({ state: 'running', disks: [disk({ driver: 'raw' })] }),
          images: new Map([['vda', looking('qcow2')]]),
        }),
        finds: [{ what: /looks like qcow2$/, hint: /Shut the VM off and check again/ }],
      },
      {
        says: 'over a file of the host: only what the guest sees is copied',
        facts: creatingOn({ driver: 'raw' }, looking('qcow2', '/etc/sha\u001b[2J\u202edow')),
        finds: [
          {
            what: /looks like qcow2 and names \/etc\/sha\?\[2J\?dow$/,
            hint: /do not change the type: QEMU would open \/etc\/sha.*dow for the guest; then convert it with the VM off/,
            commands: [
              'qemu-img convert -f raw -O qcow2 /vm/vda.qcow2 /vm/vda.qcow2.new',
              'virsh edit centos7-1',
            ],
          },
        ],
      },
      {
        says: 'out of reach, and the pool, which reads the same bytes, calls it qcow2',
        facts: creatingOn({ driver: 'raw' }, unseen('qcow2')),
        finds: [
          {
            what: /looks like qcow2$/,
            commands: [
              'qemu-img convert -f raw -O qcow2 /vm/vda.qcow2 /vm/vda.qcow2.new',
              'virsh edit centos7-1',
            ],
          },
        ],
      },
    ],
  },
  'foreign-header-beneath': {
    severity: 'warning',
    cases: [
      { says: 'raw', facts: creatingOn({ driver: 'raw' }, seen({ format: 'raw' })), finds: [] },
      {
        says: 'qcow2 over a file of the host',
        facts: creatingOn({ driver: 'raw' }, looking('qcow2', '/etc/shadow')),
        finds: [
          { what: /looks like qcow2/, hint: /^if the guest wrote this header, do not change the type/ },
        ],
      },
    ],
  },
};
