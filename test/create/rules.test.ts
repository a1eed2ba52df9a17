import { describe, expect, test } from 'vitest';
import { internalPlan } from '../../src/create/plan.ts';
import { CREATE_RULES, needsDaemonVersion } from '../../src/create/rules/common.ts';
import type { CreateFacts } from '../../src/create/rules/facts.ts';
import type { DiskImage } from '../../src/model/image.ts';
import { applyRules } from '../../src/model/rule.ts';
import type { Snapshot } from '../../src/model/snapshot.ts';
import { INTERNAL_SPEC } from '../../src/model/snapshot-spec.ts';
import {
  REVERT_RULES,
  revertConsequences,
  revertNeedsForce,
  stateAfterRevert,
} from '../../src/revert/rules/common.ts';
import type { RevertFacts } from '../../src/revert/rules/facts.ts';
import { NOBODY } from '../../src/sharing/image-users.ts';
import { disk, domain, image, MiB, seen, snapshot, tag } from '../model.ts';
import { EXTERNAL_STATE_CASES } from '../revert/external-state-cases.ts';
import { storedDefinitionCases } from '../revert/stored-definition-cases.ts';
import { checkpointCreateCases, checkpointRevertCases } from './checkpoint-cases.ts';
import { EXTERNAL_CASES, external } from './external-cases.ts';
import { PARTIAL_CREATE_CASES, partialRevertCases } from './partial-cases.ts';
import { describeRules, type RuleCases } from './rule-cases.ts';
import { sharedReverts, sharingCases } from './sharing-cases.ts';
import { SHAREABLE_CASES, unmanagedCreateCases, unmanagedRevertCases } from './unmanaged-cases.ts';
import { writeCreateCases, writeRevertCases } from './write-cases.ts';

const OLD_DAEMON = 9_000_000;
const NEW_DAEMON = 11_003_000;

function creating(changes: Partial<CreateFacts> = {}): CreateFacts {
  return {
    domain: domain(),
    images: new Map([['vda', seen()]]),
    name: 'snapshot-2',
    plan: internalPlan(changes.domain ?? domain()),
    mode: 'internal',
    targetFiles: new Map(),
    agent: null,
    users: NOBODY,
    labelled: false,
    snapshotNames: [],
    daemonVersion: OLD_DAEMON,
    blockJobs: [],
    freeBytes: 10_000 * MiB,
    residentBytes: 300 * MiB,
    ...changes,
  };
}

const running = (changes: Parameters<typeof domain>[0] = {}) => domain({ state: 'running', ...changes });

/** Facts about one disk: what the XML says of it and what is in its file. */
/** Off, with a read-only second disk. */
const readOnly = (driver: string) =>
  domain({ disks: [disk(), disk({ target: 'vdb', readonly: true, driver })] });

function creatingOn(
  changes: Parameters<typeof disk>[0],
  image: CreateFacts['images'] extends ReadonlyMap<string, infer I> ? I : never = seen(),
): CreateFacts {
  return creating({ domain: domain({ disks: [disk(changes)] }), images: new Map([['vda', image]]) });
}

/** Two disks, the image of one encrypted. */
const encrypted = (target: string, state = 'shutoff'): CreateFacts =>
  creating({
    domain: domain({ state, disks: [disk(), disk({ target: 'vdb' })] }),
    images: new Map(['vda', 'vdb'].map((each) => [each, seen({ encrypted: each === target })])),
  });

const unseen = (format: string | null) =>
  ({ kind: 'unseen', why: 'permission', format, source: 'storage pool' }) as const;

/** A header that names other files. */
const naming = (format: string, ...names: string[]) => ({ format, names, mayName: names.length > 0 });

/** A raw disk with the header of another format. */
const looking = (format: string, ...names: string[]) =>
  seen({ format: 'raw', looksLike: naming(format, ...names) });
const LEFT_OUT = [{ disk: 'vda', location: 'no', file: null, driver: null, storage: null }];

const CREATE_CASES: Readonly<Record<string, RuleCases<CreateFacts>>> = {
  'no-disks': {
    severity: 'error',
    cases: [
      { says: 'one disk', facts: creating(), finds: [] },
      {
        says: 'only a cdrom and a read-only disk',
        facts: creating({
          domain: domain({ disks: [disk({ device: 'cdrom' }), disk({ target: 'vdb', readonly: true })] }),
        }),
        finds: [{ what: /no disk that a snapshot could hold/ }],
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
        finds: [{ what: /the VM is off, without memory to save/ }],
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
        finds: [{ what: /there is no such pool/ }],
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
      {
        says: 'raw by both',
        facts: creatingOn({ source: '/vm/vda.img', driver: 'raw' }, seen({ format: 'raw' })),
        finds: [
          {
            what: /disk vda \(\/vm\/vda\.img\): the file is raw, the VM's XML says raw/,
            hint: /VM off, and name the new file with <driver.* \(or take an external snapshot instead, with --external/,
            command: 'qemu-img convert -f raw -O qcow2 /vm/vda.img /vm/vda.qcow2',
          },
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
            command: 'qemu-img convert -f raw -O qcow2 /vm/vda.img /vm/vda.qcow2.new-2',
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
        finds: [{ what: /disk vda/, command: 'qemu-img convert -f raw -O qcow2 /vm/a.img /vm/a.qcow2.new' }],
      },
      {
        says: 'a path that a shell would take apart',
        facts: creatingOn({ source: '/vm/my disk.img', driver: 'raw' }, seen({ format: 'raw' })),
        finds: [
          { what: /raw/, command: "qemu-img convert -f raw -O qcow2 '/vm/my disk.img' '/vm/my disk.qcow2'" },
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
        finds: [{ what: /it is raw/ }],
      },
      {
        says: 'a raw disk without a path',
        facts: creatingOn({ storage: 'network', source: null, driver: 'raw' }, unseen('raw')),
        finds: [{ what: /disk vda \(network\): it is raw/, hint: /needs a qcow2 image/ }],
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
            what: /the file is raw, the VM's XML says qcow2/,
            hint: /^convert it, with the VM off, and name the new file in the VM's XML$/,
            command: 'qemu-img convert -f raw -O qcow2 /vm/vda.qcow2 /vm/vda.qcow2.new',
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
            command: 'qemu-img convert -f vmdk -O qcow2 /vm/vda.qcow2 /vm/vda.qcow2.new',
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
        finds: [{ what: /it is raw, by the storage pool, and the VM's XML says qcow2/, hint: /^convert it/ }],
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
          { what: /names no driver type, which libvirt takes for raw/, command: 'virsh edit centos7-1' },
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
            hint: /do not change the type: QEMU would open \/etc\/sha.*dow for the guest; then convert it, with the VM off/,
            command: 'qemu-img convert -f raw -O qcow2 /vm/vda.qcow2 /vm/vda.qcow2.new',
          },
        ],
      },
      {
        says: 'out of reach, and the pool, which reads the same bytes, calls it qcow2',
        facts: creatingOn({ driver: 'raw' }, unseen('qcow2')),
        finds: [
          {
            what: /looks like qcow2$/,
            command: 'qemu-img convert -f raw -O qcow2 /vm/vda.qcow2 /vm/vda.qcow2.new',
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
  'external-by-default': {
    severity: 'error',
    cases: [
      { says: 'no word in the XML', facts: creating(), finds: [] },
      { says: "snapshot='internal'", facts: creatingOn({ snapshot: 'internal' }), finds: [] },
      { says: 'on a cdrom', facts: creatingOn({ device: 'cdrom', snapshot: 'external' }), finds: [] },
      {
        says: "snapshot='external'",
        facts: creatingOn({ snapshot: 'external' }),
        finds: [{ what: /disk vda.*external/, command: 'virsh edit centos7-1' }],
      },
    ],
  },
  'excluded-disk': {
    severity: 'error',
    cases: [
      { says: 'no word in the XML', facts: creating(), finds: [] },
      { says: 'on a read-only disk', facts: creatingOn({ readonly: true, snapshot: 'no' }), finds: [] },
      {
        says: "snapshot='no'",
        facts: creatingOn({ snapshot: 'no' }),
        finds: [{ what: /disk vda.*snapshot='no'/, hint: /<readonly\/>/, command: 'virsh edit centos7-1' }],
      },
      {
        says: "snapshot='manual'",
        facts: creatingOn({ snapshot: 'manual' }),
        finds: [{ what: /snapshot='manual'/, command: 'virsh edit centos7-1' }],
      },
    ],
  },
  'corrupt-image': {
    severity: 'error',
    cases: [
      { says: 'a sound image', facts: creating(), finds: [] },
      { says: 'an image out of reach', facts: creatingOn({}, unseen('qcow2')), finds: [] },
      {
        says: 'marked corrupt',
        facts: creatingOn({}, seen({ corrupt: true })),
        finds: [
          {
            what: /corrupt/,
            hint: /from a backup/,
            command: 'qemu-img convert -f qcow2 -O qcow2 /vm/vda.qcow2 /vm/vda.qcow2.copy',
          },
        ],
      },
    ],
  },
  'image-cannot-snapshot': {
    severity: 'error',
    cases: [
      { says: 'a sound image', facts: creating(), finds: [] },
      {
        says: 'a version 2 image, which has no such marks',
        facts: creatingOn({}, seen({ refcountBits: null })),
        finds: [],
      },
      { says: 'an image out of reach', facts: creatingOn({}, unseen('qcow2')), finds: [] },
      {
        says: 'data in another file',
        facts: creatingOn({}, seen({ dataFile: '/vm/data.raw' })),
        finds: [
          {
            what: /keeps its data in \/vm\/data\.raw/,
            command: 'qemu-img convert -f qcow2 -O qcow2 /vm/vda.qcow2 /vm/vda.qcow2.new',
          },
        ],
      },
      {
        says: 'refcounts of one bit',
        facts: creatingOn({}, seen({ refcountBits: 1 })),
        finds: [
          { what: /refcount_bits=1/, command: 'qemu-img amend -f qcow2 -o refcount_bits=16 /vm/vda.qcow2' },
        ],
      },
    ],
  },
  'encrypted-image': {
    severity: 'error',
    cases: [
      { says: 'a plain image', facts: creating(), finds: [] },
      { says: 'an image out of reach', facts: creatingOn({}, unseen('qcow2')), finds: [] },
      {
        says: 'the only one, the VM off',
        facts: encrypted('vda'),
        finds: [{ what: /does not hand the key to qemu-img/, hint: /copy the image/ }],
      },
      {
        says: 'the only one, the VM running: QEMU would crash',
        facts: encrypted('vda', 'running'),
        finds: [{ what: /disk vda .*the guest would be lost/, hint: /first disk/ }],
      },
      {
        says: 'the second one, the VM off',
        facts: encrypted('vdb'),
        finds: [{ what: /disk vdb/, hint: /start the VM first/, command: 'virsh start centos7-1' }],
      },
      {
        says: 'the second one, the VM running: QEMU has the key',
        facts: encrypted('vdb', 'running'),
        finds: [],
      },
    ],
  },
  'network-disk': {
    severity: 'error',
    cases: [
      { says: 'a file', facts: creating(), finds: [] },
      {
        says: 'running',
        facts: creating({ domain: running({ disks: [disk({ storage: 'network', source: null })] }) }),
        finds: [],
      },
      {
        says: 'off',
        facts: creatingOn({ storage: 'network', source: null }, unseen('qcow2')),
        finds: [{ what: /disk vda is on the network/, command: 'virsh start centos7-1' }],
      },
    ],
  },
  'read-only-disk-refused': {
    severity: 'overridable',
    cases: [
      { says: 'raw, on libvirt that leaves it out', facts: creating({ domain: readOnly('raw') }), finds: [] },
      {
        says: 'raw, on an older one',
        facts: creating({ domain: readOnly('raw'), daemonVersion: 7_000_000 }),
        finds: [{ what: /disk vdb is raw/, hint: /--force/, command: 'virsh start centos7-1' }],
      },
      {
        says: 'raw, and the VM runs',
        facts: creating({ domain: { ...readOnly('raw'), state: 'running' }, daemonVersion: 7_000_000 }),
        finds: [],
      },
      {
        says: 'qcow2',
        facts: creating({ domain: readOnly('qcow2'), daemonVersion: 7_000_000 }),
        finds: [],
      },
      {
        says: 'on a version that nobody knows',
        facts: creating({ domain: readOnly('raw'), daemonVersion: null }),
        finds: [{ what: /libvirtd does not tell its version, and before 9\.0 it may take no snapshot/ }],
      },
    ],
  },
  'orphan-tag': {
    severity: 'error',
    cases: [
      { says: 'other tags', facts: creatingOn({}, seen({ tags: [tag('snapshot-1')] })), finds: [] },
      {
        says: 'in the base only, which libvirt does not touch',
        facts: creatingOn({}, seen({}, { tags: [tag('snapshot-2')] })),
        finds: [],
      },
      {
        says: 'one of that name in the second disk',
        facts: creating({
          domain: domain({ disks: [disk(), disk({ target: 'vdb' })] }),
          images: new Map([
            ['vda', seen()],
            ['vdb', seen({ tags: [tag('snapshot-2', { id: '7' })] })],
          ]),
        }),
        finds: [
          {
            what: /disk vdb: \/vm\/vdb\.qcow2 already holds a snapshot 'snapshot-2' \(id 7\)/,
            command: 'qemu-img snapshot -d snapshot-2 --image-opts driver=qcow2,file.filename=/vm/vdb.qcow2',
          },
        ],
      },
    ],
  },
  'name-is-an-id': {
    severity: 'error',
    cases: [
      { says: 'another id', facts: creatingOn({}, seen({ tags: [tag('s1', { id: '2' })] })), finds: [] },
      {
        says: 'its own id',
        facts: { ...creatingOn({}, seen({ tags: [tag('2', { id: '2' })] })), name: '2' },
        finds: [],
      },
      { says: 'an image out of reach', facts: { ...creatingOn({}, unseen('qcow2')), name: '2' }, finds: [] },
      {
        says: 'the id of another',
        facts: { ...creatingOn({}, seen({ tags: [tag('s1', { id: '2' })] })), name: '2' },
        finds: [{ what: /disk vda: .*'s1' has the id 2/, hint: /'snapshot-2'/ }],
      },
    ],
  },
  'name-may-be-an-id': {
    severity: 'warning',
    cases: [
      { says: 'a name with a letter', facts: creatingOn({}, unseen('qcow2')), finds: [] },
      { says: 'seconds since 1970', facts: { ...creating(), name: '1795424800' }, finds: [] },
      { says: 'its own id', facts: { ...creating(), name: '1' }, finds: [] },
      {
        says: 'an id to come',
        facts: { ...creatingOn({}, seen({ tags: [tag('s1', { id: '2' })] })), name: '7' },
        finds: [{ what: /^'7' is a number, .* such as 'snapshot-7', is safe$/ }],
      },
      {
        says: 'an image out of reach',
        facts: { ...creatingOn({}, unseen('qcow2')), name: '1' },
        finds: [{ what: /^'1' is a number/ }],
      },
    ],
  },
  'id-is-a-name': {
    severity: 'warning',
    cases: [
      { says: 'an image out of reach', facts: creatingOn({}, unseen('qcow2')), finds: [] },
      {
        says: 'no snapshot of that name',
        facts: creatingOn({}, seen({ tags: [tag('1', { id: '1' })] })),
        finds: [],
      },
      {
        says: 'the next id, after a gap, is a name',
        facts: creatingOn({}, seen({ tags: [tag('8', { id: '1' }), tag('x', { id: '7' })] })),
        finds: [{ what: /disk vda: .*gets the id 8.*'8' cannot be reverted to/ }],
      },
      {
        says: 'the first id is a name',
        facts: creatingOn({}, seen({ tags: [tag('2', { id: '1' })] })),
        finds: [{ what: /gets the id 2/ }],
      },
    ],
  },
  'job-name': {
    severity: 'error',
    cases: [
      {
        says: 'a plain name',
        facts: creating({ domain: running(), daemonVersion: NEW_DAEMON }),
        finds: [],
      },
      {
        says: 'any name, the VM off',
        facts: creating({ name: '升级 前', daemonVersion: NEW_DAEMON }),
        finds: [],
      },
      {
        says: 'any name, an older libvirtd',
        facts: creating({ name: '升级 前', domain: running() }),
        finds: [],
      },
      {
        says: 'a name with a space, running, a libvirtd that saves by job',
        facts: creating({ name: 'before upgrade', domain: running(), daemonVersion: NEW_DAEMON }),
        finds: [{ what: /and not 'before upgrade'/, hint: /call it 'before-upgrade'/ }],
      },
      {
        says: 'the same where the version is not known',
        facts: creating({ name: 'before upgrade', domain: running(), daemonVersion: null }),
        finds: [{ what: /libvirtd from 10\.9 on \(it does not tell its version\) takes only/ }],
      },
    ],
  },
  'monitor-name': {
    severity: 'error',
    cases: [
      { says: 'any other name', facts: creating({ name: "升级 'x'", domain: running() }), finds: [] },
      { says: 'off', facts: creating({ name: 'a"b' }), finds: [] },
      {
        says: 'a libvirtd that saves by job',
        facts: creating({ name: 'a"b', domain: running(), daemonVersion: NEW_DAEMON }),
        finds: [],
      },
      {
        says: 'a quote, running, an older libvirtd',
        facts: creating({ name: 'a"b', domain: running() }),
        finds: [{ what: /garbles.*'a"b'/, hint: /call it 'a-b'/ }],
      },
      {
        says: 'a backslash, running, an older libvirtd',
        facts: creating({ name: 'a\\b', domain: running() }),
        finds: [{ what: /garbles/ }],
      },
    ],
  },
  uefi: {
    severity: 'error',
    cases: [
      { says: 'BIOS', facts: creating({ domain: running(), daemonVersion: NEW_DAEMON }), finds: [] },
      {
        says: 'an older libvirtd, off',
        facts: creating({ domain: domain({ pflash: { nvramFormat: 'qcow2', nvramPath: null } }) }),
        finds: [{ what: /UEFI.*before 10\.9/ }],
      },
      {
        says: 'running with raw NVRAM',
        facts: creating({
          domain: running({ pflash: { nvramFormat: 'raw', nvramPath: null } }),
          daemonVersion: NEW_DAEMON,
        }),
        finds: [
          { what: /NVRAM in raw format/, hint: /shut the VM down/, command: 'virsh shutdown centos7-1' },
        ],
      },
      {
        says: 'running with qcow2 NVRAM',
        facts: creating({
          domain: running({ pflash: { nvramFormat: 'qcow2', nvramPath: null } }),
          daemonVersion: NEW_DAEMON,
        }),
        finds: [],
      },
      {
        says: 'off with raw NVRAM',
        facts: creating({
          domain: domain({ pflash: { nvramFormat: 'raw', nvramPath: null } }),
          daemonVersion: NEW_DAEMON,
        }),
        finds: [],
      },
    ],
  },
  'nvram-left-out': {
    severity: 'warning',
    cases: [
      { says: 'BIOS', facts: creating({ daemonVersion: NEW_DAEMON }), finds: [] },
      {
        says: 'off with raw NVRAM',
        facts: creating({
          domain: domain({ pflash: { nvramFormat: 'raw', nvramPath: null } }),
          daemonVersion: NEW_DAEMON,
        }),
        finds: [{ what: /NVRAM .* will NOT be part/ }],
      },
      {
        says: 'off with qcow2 NVRAM',
        facts: creating({
          domain: domain({ pflash: { nvramFormat: 'qcow2', nvramPath: null } }),
          daemonVersion: NEW_DAEMON,
        }),
        finds: [],
      },
    ],
  },
  'tpm-left-out': {
    severity: 'warning',
    cases: [
      { says: 'none', facts: creating(), finds: [] },
      { says: 'one of the host', facts: creating({ domain: domain({ tpms: ['passthrough'] }) }), finds: [] },
      {
        says: 'an emulated one, whose state QEMU saves with the memory',
        facts: creating({ domain: domain({ tpms: ['emulator'], state: 'running' }) }),
        finds: [],
      },
      {
        says: 'an emulated one',
        facts: creating({ domain: domain({ tpms: ['emulator'] }) }),
        finds: [{ what: /TPM.*NOT/ }],
      },
    ],
  },
  'shared-disk': {
    severity: 'warning',
    cases: [
      { says: 'none', facts: creating(), finds: [] },
      {
        says: 'read-only',
        facts: creating({ domain: domain({ disks: [disk({ shareable: true, readonly: true })] }) }),
        finds: [],
      },
      {
        says: 'shared',
        facts: creating({ domain: domain({ disks: [disk({ shareable: true })] }) }),
        finds: [{ what: /disk vda .*<shareable/, hint: /other VMs/ }],
      },
    ],
  },
  ...checkpointCreateCases(creating),
  ...unmanagedCreateCases(creating),
  ...SHAREABLE_CASES,
  'block-job': {
    severity: 'error',
    cases: [
      { says: 'none', facts: creating({ domain: running() }), finds: [] },
      {
        says: 'by the job list and by the mirror in the XML, each disk once',
        facts: creating({
          domain: running({ disks: [disk({ mirrored: true }), disk({ target: 'vdb' })] }),
          blockJobs: ['vda', 'vdb'],
        }),
        finds: [
          { what: /disk vda: a block job/, command: 'virsh blockjob centos7-1 vda --abort' },
          { what: /disk vdb: a block job/, command: 'virsh blockjob centos7-1 vdb --abort' },
        ],
      },
      {
        says: 'by the mirror only',
        facts: creating({ domain: running({ disks: [disk({ mirrored: true })] }) }),
        finds: [{ what: /disk vda/ }],
      },
    ],
  },
  'transient-disk': {
    severity: 'error',
    cases: [
      { says: 'off', facts: creatingOn({ transient: true }), finds: [] },
      { says: 'no such disk', facts: creating({ domain: running() }), finds: [] },
      {
        says: 'running',
        facts: creating({ domain: running({ disks: [disk({ transient: true })] }) }),
        finds: [{ what: /disk vda is <transient\/>/, command: 'virsh shutdown centos7-1' }],
      },
    ],
  },
  'host-device': {
    severity: 'error',
    cases: [
      { says: 'off', facts: creating({ domain: domain({ hostDevices: ['pci'] }) }), finds: [] },
      {
        says: 'usb, which QEMU can save',
        facts: creating({ domain: running({ hostDevices: ['usb'] }) }),
        finds: [],
      },
      {
        says: 'two of a kind, running',
        facts: creating({ domain: running({ hostDevices: ['pci', 'pci', 'usb'] }) }),
        finds: [{ what: /host devices \(pci\)/, command: 'virsh shutdown centos7-1' }],
      },
    ],
  },
  'shared-filesystem': {
    severity: 'error',
    cases: [
      { says: 'off', facts: creating({ domain: domain({ sharedFilesystems: ['virtiofs'] }) }), finds: [] },
      {
        says: '9p, running',
        facts: creating({ domain: running({ sharedFilesystems: ['path'] }) }),
        finds: [],
      },
      {
        says: 'virtiofs, running',
        facts: creating({ domain: running({ sharedFilesystems: ['path', 'virtiofs'] }) }),
        finds: [{ what: /virtiofs/, command: 'virsh shutdown centos7-1' }],
      },
      {
        says: 'virtiofs, running, where libvirtd can save it',
        facts: creating({ domain: running({ sharedFilesystems: ['virtiofs'] }), daemonVersion: NEW_DAEMON }),
        finds: [],
      },
    ],
  },
  'managed-save': {
    severity: 'warning',
    cases: [
      { says: 'none', facts: creating(), finds: [] },
      {
        says: 'there is one',
        facts: creating({ domain: domain({ managedSave: true }) }),
        finds: [{ what: /managed save/, hint: /start the VM first/ }],
      },
    ],
  },
  'free-space': {
    severity: 'overridable',
    cases: [
      { says: 'off', facts: creating({ freeBytes: 0 }), finds: [] },
      { says: 'not known', facts: creating({ domain: running(), freeBytes: null }), finds: [] },
      { says: 'just enough', facts: creating({ domain: running(), freeBytes: 364 * MiB }), finds: [] },
      {
        says: 'one byte short of what QEMU holds, and the margin',
        facts: creating({ domain: running(), freeBytes: 364 * MiB - 1 }),
        finds: [{ what: /up to 364 MiB.*\/vm\/vda\.qcow2/, hint: /--force/ }],
      },
      {
        says: 'short of all the memory, where QEMU does not tell what it holds',
        facts: creating({ domain: running(), freeBytes: 400 * MiB, residentBytes: null }),
        finds: [{ what: /up to 576 MiB.* has 400 MiB free/ }],
      },
    ],
  },
  'no-metadata': {
    severity: 'warning',
    cases: [
      { says: 'with metadata', facts: creating(), finds: [] },
      {
        says: 'internal',
        facts: creating({ plan: internalPlan(domain(), { ...INTERNAL_SPEC, noMetadata: true }) }),
        finds: [{ what: /no record of it.*counts as an orphan/ }],
      },
      {
        says: 'external',
        facts: external({ external: true, noMetadata: true }),
        finds: [{ what: /goes on in overlays that belong to nothing/ }],
      },
    ],
  },
};

const MEMORY = { location: 'internal', file: null };
const EXTERNAL = { target: 'vda', location: 'external', source: '/vm/vda.s1' };

function reverting(changes: Partial<RevertFacts> = {}): RevertFacts {
  return {
    domain: domain(),
    snapshot: snapshot('s1'),
    snapshots: [snapshot('s1')],
    current: 's1',
    images: new Map([['vda', seen({ tags: [tag('s1')] })]]),
    active: new Map([['vda', seen({ tags: [tag('s1')] })]]),
    memoryThere: null,
    users: NOBODY,
    daemonVersion: OLD_DAEMON,
    ...changes,
  };
}

/** An external snapshot of its own name over another file. */
const layer = (name: string, over: string) =>
  snapshot(name, {
    disks: [{ target: 'vda', location: 'external', source: `/vm/vda.${name}` }],
    definedDisks: [{ target: 'vda', source: `/vm/vda.${over}`, driver: 'qcow2' }],
  });

const onOverlay = domain({ disks: [disk({ source: '/vm/vda.e2' })] });

const broken = (why: 'missing' | 'backing-missing') =>
  ({ kind: 'broken', why, path: '/vm/vda.qcow2', detail: '' }) as const;

/** Back to e1, on whose overlay the VM is, which holds these tags. */
const backToE1 = (names: readonly string[]) =>
  reverting({
    domain: domain({ disks: [disk({ source: '/vm/vda.e1' })] }),
    snapshot: layer('e1', 'qcow2'),
    snapshots: [layer('e1', 'qcow2')],
    current: 'e1',
    images: new Map([['vda', seen()]]),
    active: new Map([['vda', seen({ path: '/vm/vda.e1', tags: names.map((name) => tag(name)) }, {})]]),
    daemonVersion: NEW_DAEMON,
  });

/** A snapshot '7', in this image. */
const numbered = (image: DiskImage) => ({
  snapshot: snapshot('7', {
    disks: [{ target: 'vda', location: 'internal', source: '/vm/vda.qcow2' }],
  }),
  images: new Map([['vda', image]]),
});

/** A snapshot of that name, in an image whose highest id is this. */
function calledById(name: string, highest: string) {
  const image = seen({ tags: [tag(name, { id: '1' }), tag('later', { id: highest })] });
  const disks = [{ target: 'vda', location: 'internal' as const, source: '/vm/vda.qcow2' }];
  return {
    snapshot: snapshot(name, { disks }),
    images: new Map([['vda', image]]),
    active: new Map([['vda', image]]),
  };
}

/** Of a definition that names a volume. */
const inVolume = (problem?: 'inactive' | 'no-pool' | 'no-volume', changes: Partial<Snapshot> = {}) =>
  snapshot('s1', {
    definedDisks: [
      {
        target: 'vda',
        source: '/vm/vda.qcow2',
        driver: 'qcow2',
        pool: { name: 'images', volume: 'vda.qcow2', ...(problem && { problem }) },
      },
    ],
    ...changes,
  });

const IN_FIRST_ONLY = new Map([
  ['vda', seen({ path: '/vm/vda', tags: [tag('s1')] })],
  ['vdb', seen({ path: '/vm/vdb', tags: [tag('s2')] })],
]);

/** The snapshot is in an image that the VM uses, and libvirt looks into another. */
const elsewhere = snapshot('s1', { disks: [{ target: 'vda', location: 'internal', source: '/old/vda' }] });
const gone = { kind: 'broken', why: 'missing', path: '/old/vda', detail: 'no such file' } as const;

const REVERT_CASES: Readonly<Record<string, RuleCases<RevertFacts>>> = {
  'volume-not-found': {
    severity: 'error',
    cases: [
      { says: 'a volume that is found', facts: reverting({ snapshot: inVolume() }), finds: [] },
      {
        says: 'a pool that is not active',
        facts: reverting({ snapshot: inVolume('inactive') }),
        finds: [{ what: /'vda.qcow2' of the storage pool 'images'/, command: 'virsh pool-start images' }],
      },
      {
        says: 'no such volume',
        facts: reverting({ snapshot: inVolume('no-volume') }),
        finds: [{ what: /no such volume/, command: 'virsh pool-refresh images' }],
      },
    ],
  },
  'volume-on-old-daemon': {
    severity: 'error',
    cases: [
      { says: 'not of a file', facts: reverting(), finds: [] },
      {
        says: 'not from 9.0 on',
        facts: reverting({ snapshot: inVolume(), daemonVersion: 9_000_000 }),
        finds: [],
      },
      {
        says: 'not with memory, which QEMU itself loads',
        facts: reverting({
          snapshot: inVolume(undefined, { memory: { location: 'internal', file: null } }),
          daemonVersion: 7_000_000,
        }),
        finds: [],
      },
      {
        says: 'without memory before 9.0',
        facts: reverting({ snapshot: inVolume(), daemonVersion: 7_000_000 }),
        finds: [{ what: /disk vda is a volume, and this libvirtd \(before 9.0\) cannot revert/ }],
      },
    ],
  },
  moved: {
    severity: 'error',
    cases: [
      { says: 'not where the image is in use', facts: reverting(), finds: [] },
      {
        says: 'not where no image in use has it',
        facts: reverting({
          snapshot: elsewhere,
          images: new Map([['vda', gone]]),
          active: new Map([['vda', seen({ tags: [] })]]),
        }),
        finds: [],
      },
      {
        says: 'where the image in use has it, and the old path has none',
        facts: reverting({ snapshot: elsewhere, images: new Map([['vda', gone]]) }),
        finds: [
          {
            what: /libvirt looks for 's1' in \/old\/vda, and it is in \/vm\/vda.qcow2, .*moved or renamed/,
            command: 'kvmsnap check --fix centos7-1',
          },
        ],
      },
    ],
  },
  'missing-tag': {
    severity: 'error',
    cases: [
      { says: 'exactly one', facts: reverting(), finds: [] },
      {
        says: 'an image out of reach',
        facts: reverting({ images: new Map([['vda', unseen('qcow2')]]) }),
        finds: [],
      },
      {
        says: 'an external disk',
        facts: reverting({ snapshot: snapshot('s1', { disks: [EXTERNAL] }), images: new Map() }),
        finds: [],
      },
      {
        says: 'none in the second disk',
        facts: reverting({
          snapshot: snapshot('s1', {
            disks: ['vda', 'vdb'].map((target) => ({
              target,
              location: 'internal',
              source: `/vm/${target}`,
            })),
          }),
          images: IN_FIRST_ONLY,
          active: IN_FIRST_ONLY,
        }),
        finds: [
          {
            what: /disk vdb: \/vm\/vdb does not hold the snapshot 's1'/,
            command: 'kvmsnap delete centos7-1 s1',
          },
        ],
      },
      {
        says: 'two of one name',
        facts: reverting({ images: new Map([['vda', seen({ tags: [tag('s1'), tag('s1', { id: '4' })] })]]) }),
        finds: [
          {
            what: /holds 2 snapshots called 's1' \(ids 1, 4\)/,
            hint: /older one/,
            command: 'qemu-img snapshot -d s1 --image-opts driver=qcow2,file.filename=/vm/vda.qcow2',
          },
        ],
      },
      {
        says: 'the image is gone',
        facts: reverting({
          images: new Map([['vda', { kind: 'broken', why: 'missing', path: '/vm/vda.qcow2', detail: '' }]]),
        }),
        finds: [{ what: /disk vda: \/vm\/vda\.qcow2 is missing/ }],
      },
      {
        says: 'the image cannot be read',
        facts: reverting({
          images: new Map([
            ['vda', { kind: 'broken', why: 'unreadable', path: '/vm/vda.qcow2', detail: 'bad magic' }],
          ]),
        }),
        finds: [{ what: /disk vda: \/vm\/vda\.qcow2 is not readable as an image \(bad magic\)/ }],
      },
    ],
  },
  'name-is-an-id': {
    severity: 'error',
    cases: [
      { says: 'another id', facts: reverting(), finds: [] },
      {
        says: 'the id of another',
        facts: reverting({
          snapshot: snapshot('2', { disks: [{ target: 'vda', location: 'internal', source: '/vm/my a' }] }),
          images: new Map([['vda', seen({ tags: [tag('s1', { id: '2' }), tag('2', { id: '3' })] })]]),
        }),
        finds: [
          {
            what: /disk vda: in \/vm\/my a the snapshot 's1' has the id 2/,
            hint: /delete 's1'/,
            command: "qemu-img convert -U -l snapshot.name=2 -f qcow2 -O qcow2 '/vm/my a' '/vm/my a.2.copy'",
          },
        ],
      },
    ],
  },
  'name-may-be-an-id': {
    severity: 'warning',
    cases: [
      {
        says: 'an image that was looked at',
        facts: reverting(numbered(seen({ tags: [tag('7')] }))),
        finds: [],
      },
      {
        says: 'an image out of reach',
        facts: reverting(numbered(unseen('qcow2'))),
        finds: [{ what: /^disk vda could not be looked at, and '7' is a number/ }],
      },
      {
        says: 'an image out of reach, and a name with a letter',
        facts: reverting({ images: new Map([['vda', unseen('qcow2')]]) }),
        finds: [],
      },
    ],
  },
  'missing-memory': {
    severity: 'error',
    cases: [
      { says: 'taken of a VM that was off', facts: reverting(), finds: [] },
      {
        says: 'in the image',
        facts: reverting({
          snapshot: snapshot('s1', { memory: MEMORY }),
          images: new Map([['vda', seen({ tags: [tag('s1', { vmStateBytes: 1 })] })]]),
        }),
        finds: [],
      },
      {
        says: 'in no image',
        facts: reverting({ snapshot: snapshot('s1', { memory: MEMORY }) }),
        finds: [{ what: /'s1' is a snapshot of a running VM, but no disk holds its memory/ }],
      },
      {
        says: 'perhaps in an image out of reach',
        facts: reverting({
          snapshot: snapshot('s1', { memory: MEMORY }),
          images: new Map([['vda', unseen('qcow2')]]),
        }),
        finds: [],
      },
    ],
  },
  ...checkpointRevertCases(reverting, layer('e1', 'qcow2')),
  ...unmanagedRevertCases(reverting),
  ...partialRevertCases(reverting, (changes) => domain({ disks: [disk(changes)] })),
  'external-on-old-daemon': {
    severity: 'error',
    cases: [
      { says: 'internal', facts: reverting(), finds: [] },
      {
        says: 'an external disk, a newer libvirtd',
        facts: reverting({ snapshot: snapshot('s1', { disks: [EXTERNAL] }), daemonVersion: NEW_DAEMON }),
        finds: [],
      },
      {
        says: 'an external disk',
        facts: reverting({ snapshot: snapshot('s1', { disks: [EXTERNAL] }) }),
        finds: [
          {
            what: /external.*before 9\.9/,
            command: 'qemu-img convert -U -f qcow2 -O qcow2 /vm/vda.qcow2 /vm/vda.qcow2.s1.copy',
          },
        ],
      },
      {
        says: 'memory in a file',
        facts: reverting({ snapshot: snapshot('s1', { memory: { location: 'external', file: '/m' } }) }),
        finds: [{ what: /external/ }],
      },
    ],
  },
  'missing-state': {
    severity: 'error',
    cases: [
      { says: 'internal', facts: reverting(), finds: [] },
      { says: 'external, and there', facts: reverting({ snapshot: layer('e1', 'qcow2') }), finds: [] },
      {
        says: 'external, and missing',
        facts: reverting({
          snapshot: layer('e1', 'qcow2'),
          images: new Map([['vda', broken('missing')]]),
        }),
        finds: [
          {
            what: /\/vm\/vda\.qcow2, which holds what 'e1' kept, is missing/,
            command: 'kvmsnap delete --metadata centos7-1 e1',
          },
        ],
      },
    ],
  },
  'missing-memory-file': {
    severity: 'error',
    cases: [
      { says: 'there', facts: reverting({ memoryThere: true }), finds: [] },
      { says: 'not looked at', facts: reverting(), finds: [] },
      {
        says: 'missing',
        facts: reverting({
          snapshot: snapshot('m1', { memory: { location: 'external', file: '/vm/m1.mem' } }),
          memoryThere: false,
        }),
        finds: [
          {
            what: /'m1' is to be in \/vm\/m1\.mem, which is missing/,
            command: 'kvmsnap delete centos7-1 m1',
          },
        ],
      },
    ],
  },
  'reset-nvram-on-old-daemon': {
    severity: 'error',
    cases: [
      { says: 'not asked for', facts: reverting({ daemonVersion: 7_000_000 }), finds: [] },
      { says: 'new enough', facts: reverting({ resetNvram: true }), finds: [] },
      {
        says: 'too old',
        facts: reverting({ resetNvram: true, daemonVersion: 7_000_000 }),
        finds: [{ what: /before 8\.1/ }],
      },
    ],
  },
  'managed-save': {
    severity: 'overridable',
    cases: [
      { says: 'none', facts: reverting(), finds: [] },
      {
        says: 'beside a snapshot without memory',
        facts: reverting({ domain: domain({ managedSave: true }) }),
        finds: [{ what: /managed save/, command: 'virsh managedsave-remove centos7-1' }],
      },
      {
        says: 'beside a snapshot with its own memory',
        facts: reverting({
          domain: domain({ managedSave: true }),
          snapshot: snapshot('s1', { memory: MEMORY }),
        }),
        finds: [],
      },
    ],
  },
  'abandoned-overlay': {
    severity: 'overridable',
    cases: [
      { says: 'the image that holds the snapshot is in use', facts: reverting(), finds: [] },
      {
        says: 'an overlay is in use',
        facts: reverting({ domain: domain({ disks: [disk({ source: '/vm/vda.overlay' })] }) }),
        finds: [{ what: /now uses \/vm\/vda\.overlay.* is in \/vm\/vda\.qcow2/, hint: /--force/ }],
      },
      {
        says: 'the disk is no longer part of the VM',
        facts: reverting({ domain: domain({ disks: [disk({ target: 'vdb' })] }) }),
        finds: [],
      },
      {
        says: 'where the snapshot is, is not known',
        facts: reverting({
          snapshot: snapshot('s1', { disks: [{ target: 'vda', location: 'internal', source: null }] }),
        }),
        finds: [],
      },
      {
        says: 'with snapshots that lie on the image',
        facts: reverting({
          domain: domain({ disks: [disk({ source: '/vm/vda.e3' })] }),
          snapshots: [snapshot('s1'), layer('e2', 'qcow2'), layer('e3', 'e2'), layer('other', 'elsewhere')],
        }),
        finds: [{ what: /makes useless what lies on \/vm\/vda\.qcow2: 'e2', 'e3'$/ }],
      },
    ],
  },
  'backup-in-overlay': {
    severity: 'error',
    cases: [
      { says: 'no backup', facts: reverting({ domain: onOverlay }), finds: [] },
      { says: 'no overlay', facts: reverting({ backup: true }), finds: [] },
      {
        says: 'a backup in an overlay over what is reverted',
        facts: reverting({ domain: onOverlay, backup: true }),
        finds: [{ what: /a backup would be in \/vm\/vda\.e2, which lies on \/vm\/vda\.qcow2/ }],
      },
    ],
  },
  'backup-takes-the-id': {
    severity: 'error',
    cases: [
      { says: 'another name', facts: reverting({ backup: true, ...calledById('5', '3') }), finds: [] },
      { says: 'no backup', facts: reverting(calledById('4', '3')), finds: [] },
      {
        says: 'the id that the backup would get',
        facts: reverting({ backup: true, ...calledById('4', '3') }),
        finds: [
          {
            what: /disk vda: .* the backup would get the id 4, .* instead of '4'$/,
            hint: /without --backup/,
            command:
              'kvmsnap create-as centos7-1 id-4 && kvmsnap create-as centos7-1 before-4 && kvmsnap delete centos7-1 id-4',
          },
        ],
      },
    ],
  },
  'tags-in-overlay': {
    severity: 'overridable',
    cases: [
      { says: 'none', facts: backToE1([]), finds: [] },
      {
        says: 'some',
        facts: backToE1(['i2']),
        finds: [{ what: /\/vm\/vda\.e1.* holds the internal snapshot 'i2'/ }],
      },
      {
        says: 'where libvirt leaves the overlay, the current snapshot being internal',
        facts: { ...backToE1(['i2']), snapshots: [snapshot('i2')], current: 'i2' },
        finds: [],
      },
    ],
  },
  'dirty-bitmaps': {
    severity: 'error',
    cases: [
      { says: 'none', facts: reverting(), finds: [] },
      {
        says: 'one, and no checkpoint',
        facts: reverting({ images: new Map([['vda', seen({ tags: [tag('s1')], bitmaps: ['b 0'] })]]) }),
        finds: [
          {
            what: /dirty bitmap 'b 0'.*would be lost/,
            command: "qemu-img bitmap --remove -f qcow2 /vm/vda.qcow2 'b 0'",
          },
        ],
      },
    ],
  },
  ...writeRevertCases(reverting),
  ...storedDefinitionCases(reverting, running),
  ...EXTERNAL_STATE_CASES,
};

const BITMAP_CASES: Readonly<Record<string, RuleCases<CreateFacts>>> = {
  'dirty-bitmaps': {
    severity: 'error',
    cases: [
      { says: 'none', facts: creating(), finds: [] },
      {
        says: 'two',
        facts: creating({ images: new Map([['vda', seen({ bitmaps: ['a', 'b'] })]]) }),
        finds: [
          {
            what: /dirty bitmaps 'a', 'b'/,
            command:
              'qemu-img bitmap --remove -f qcow2 /vm/vda.qcow2 a && qemu-img bitmap --remove -f qcow2 /vm/vda.qcow2 b',
          },
        ],
      },
      {
        says: 'those of checkpoints',
        facts: creating({
          domain: domain({ checkpoints: ['c1'] }),
          images: new Map([['vda', seen({ bitmaps: ['c1'] })]]),
        }),
        finds: [],
      },
    ],
  },
};

describeRules(
  'before a create',
  CREATE_RULES,
  {
    ...CREATE_CASES,
    ...BITMAP_CASES,
    ...writeCreateCases(creating),
    ...sharingCases(creating()),
    ...PARTIAL_CREATE_CASES,
    ...EXTERNAL_CASES,
  },
  [
    creating(),
    creating({ domain: running(), daemonVersion: NEW_DAEMON }),
    external(),
    external({ external: true }, { state: 'running' }),
    external({ diskOnly: true, quiesce: true }, { state: 'running' }, { agent: 'answers' }),
  ],
);
describeRules('before a revert', REVERT_RULES, { ...sharedReverts(reverting()), ...REVERT_CASES }, [
  reverting(),
  reverting({ domain: running(), daemonVersion: NEW_DAEMON }),
]);

test('findings come in the order of the rules, with their rule and severity', () => {
  const facts = creating({
    domain: running({ disks: [disk({ driver: 'raw' }), disk({ target: 'vdb', driver: null })] }),
    images: new Map([
      ['vda', seen()],
      ['vdb', seen()],
    ]),
    freeBytes: 0,
  });
  expect(applyRules(CREATE_RULES, facts).map(({ rule, severity }) => [rule, severity])).toEqual([
    ['format-disagrees', 'error'],
    ['format-disagrees', 'error'],
    ['free-space', 'overridable'],
  ]);
});

test.each([
  ['off', domain(), false],
  ['running', running(), true],
  ['UEFI', domain({ pflash: { nvramFormat: 'raw', nvramPath: null } }), true],
  ['a read-only raw disk', readOnly('raw'), true],
  [
    'a read-only raw cdrom',
    domain({ disks: [disk({ device: 'cdrom', driver: 'raw', readonly: true })] }),
    false,
  ],
])("a create asks for libvirtd's version only where a rule needs it: %s", (_, vm, needed) => {
  expect(needsDaemonVersion(vm, 'internal')).toBe(needed);
});

describe('what a revert changes beside the content', () => {
  const grown = domain({
    disks: [disk(), disk({ target: 'vdb' }), disk({ target: 'vdc', storage: 'network', source: null })],
  });

  test.each([
    { says: 'nothing', facts: reverting(), end: 'shutoff', said: [] },
    {
      says: 'disks added since',
      facts: reverting({ domain: grown }),
      end: 'shutoff',
      said: [/disk vdb \(\/vm\/vdb\.qcow2\), vdc \(network\); the file itself stays/],
    },
    {
      says: 'no disks lost where the old definition is not known',
      facts: reverting({ domain: grown, snapshot: snapshot('s1', { definedDisks: [] }) }),
      end: 'shutoff',
      said: [],
    },
    {
      says: 'a running VM stopped',
      facts: reverting({ domain: running() }),
      end: 'shutoff',
      said: [/is running, and will be stopped/],
    },
    {
      says: 'new overlays, and a snapshot of a running VM without its memory',
      facts: reverting({
        snapshot: { ...layer('e1', 'qcow2'), state: 'disk-snapshot' },
        domain: domain({ state: 'running', disks: [disk({ source: '/vm/vda.e1' })] }),
      }),
      end: 'shutoff',
      said: [
        /new overlay is laid over \/vm\/vda\.qcow2; \/vm\/vda\.e1 is left/,
        /without its memory: --running/,
        /is running, and will be stopped/,
      ],
    },
    { says: 'a new QEMU', facts: reverting({ domain: running() }), end: 'running', said: [/started anew/] },
    {
      says: 'perhaps a new QEMU, where the version is not known',
      facts: reverting({
        domain: running(),
        snapshot: snapshot('s1', { state: 'running' }),
        daemonVersion: null,
      }),
      end: 'running',
      said: [/may be started anew \(libvirtd does not tell its version\)/],
    },
    {
      says: 'no new QEMU before 7.10',
      facts: reverting({
        domain: running(),
        snapshot: snapshot('s1', { state: 'running' }),
        daemonVersion: 7_000_000,
      }),
      end: 'running',
      said: [],
    },
    {
      says: 'a new QEMU there too, where the snapshot has no memory',
      facts: reverting({ domain: running(), daemonVersion: 7_000_000 }),
      end: 'running',
      said: [/started anew/],
    },
  ])('$says', ({ facts, end, said }) => {
    expect(revertConsequences(facts, end)).toEqual(said.map((line) => expect.stringMatching(line)));
  });
});

test.each([
  ['a running VM, to run from a snapshot without memory', {}, 'running', true],
  ['to be paused there', {}, 'paused', true],
  ['to be off there', {}, 'shutoff', false],
  ['a VM that is off', { domain: domain() }, 'running', false],
  ['a snapshot with memory', { snapshot: snapshot('s1', { state: 'running' }) }, 'running', false],
  ['a newer libvirtd', { daemonVersion: 9_000_000 }, 'running', false],
] as const)('virsh before 7.10 needs --force: %s', (_, changes, end, needed) => {
  const facts = reverting({ domain: running(), daemonVersion: 7_000_000, ...changes });
  expect(revertNeedsForce(facts, end)).toBe(needed);
});

test.each([
  ['running', {}, 'running'],
  ['shutoff', {}, 'shutoff'],
  ['paused', {}, 'paused'],
  ['disk-snapshot', {}, 'shutoff'],
  ['shutoff', { running: true }, 'running'],
  ['running', { paused: true }, 'paused'],
] as const)('a revert to a snapshot that is %s, wanting %j, ends %s', (state, want, end) => {
  expect(stateAfterRevert(snapshot('s1', { state }), want)).toBe(end);
});

test('what a run over many VMs skips is the kind of VM; a state that may pass is a failure', () => {
  expect(CREATE_RULES.filter(({ unsupported }) => unsupported).map(({ id }) => id)).toEqual([
    'no-disks',
    'not-qcow2',
    'external-by-default',
    'excluded-disk',
    'image-cannot-snapshot',
    'encrypted-image',
    'network-disk',
    'uefi',
    'shareable-overlay',
    'transient-disk',
    'host-device',
    'shared-filesystem',
    'manual-unknown',
    'manual-alone',
    'external-on-old-daemon',
    'no-revert',
    'label-undeletable',
    'no-target-file',
    'network-overlay',
    'encrypted-base',
    'quiesce',
  ]);
});

test('each rule holds for what is planned: an overlay asks for no qcow2 image, and none of its files is asked for inside', () => {
  const raw = [disk({ source: '/vm/vda.raw', driver: 'raw' })];
  const images = new Map([['vda', seen({ format: 'raw' })]]);
  const told = (facts: CreateFacts) => applyRules(CREATE_RULES, facts).map(({ rule }) => rule);
  expect(told({ ...external({ external: true }, { disks: raw }), images })).toEqual([]);
  expect(told({ ...creating({ domain: domain({ disks: raw }) }), images })).toEqual(['not-qcow2']);
  const uefi = { state: 'running', pflash: { nvramFormat: 'raw', nvramPath: null } };
  expect(told(external({ external: true }, uefi))).toEqual(['nvram-beside']);
  const withDevice = { state: 'running', hostDevices: ['pci'] };
  expect(told(external({ external: true }, withDevice))).toEqual(['host-device']);
  expect(told(external({ diskOnly: true }, withDevice))).toEqual([]);
  const transient = { state: 'running', disks: [disk(), disk({ target: 'vdb', transient: true })] };
  const without = [{ disk: 'vdb', location: 'no', file: null, driver: null, storage: null }];
  expect(told(external({ diskOnly: true, disks: without }, transient))).toEqual(['left-out']);
  expect(told(external({ external: true, disks: without }, transient))).toEqual([
    'transient-disk',
    'left-out',
  ]);
});
