// What is done to one VM of a world: by kvmsnap, by raw virsh, and what must be true afterwards.

import type { Chance } from '../scene/random.ts';
import {
  descendants,
  differences,
  holds,
  keptContent,
  missing,
  sameDisks,
  sameSnapshots,
  unchanged,
} from './lies.ts';
import { fileKey, type Seen, type VmState } from './sight.ts';
import type { World, WorldVm } from './world.ts';

export interface Action {
  readonly kind: string;
  readonly vm: WorldVm;
  readonly args: readonly string[];
  /** The same by raw virsh; true where all of it exits with 0. */
  readonly raw: () => boolean;
  /** Of what raw virsh has done with exit 0: why it is of no use. `before`: what was there. */
  readonly useless?: (before: Seen) => string[];
  /** What is untrue of a success; empty: it is one. */
  readonly lies: (before: VmState, after: VmState) => string[];
  /** Tags that no snapshot accounts for: may go, may come; else they stay as they are. */
  readonly orphans?: 'go' | 'come';
}

/** The action on a snapshot that is there, without what all of them have in common. */
type Part = Omit<Action, 'kind' | 'vm'>;

export interface Subject {
  readonly vm: WorldVm;
  readonly name: string;
  readonly virsh: World['virsh'];
  /** Distinguishes what is made anew. */
  readonly number: number;
}

/** Everything that is done to a snapshot which is there. How often a kind stands here is how often it comes. */
const OF_SNAPSHOT: readonly (readonly [string, (subject: Subject) => Part])[] = [
  ['revert', revert],
  ['revert --backup', revertWithBackup],
  ['delete', (subject) => deletion(subject)],
  ['delete', (subject) => deletion(subject)],
  ['delete --children', (subject) => deletion(subject, '--children')],
  ['delete --metadata', (subject) => deletion(subject, '--metadata')],
  ['hold', (subject) => note(subject, ['hold'])],
  ['unhold', (subject) => note(subject, ['unhold'])],
  ['describe', (subject) => note(subject, ['describe'], 'an old state')],
];

/** The rest; the name is one that is there in some of the cases. */
const OF_VM: readonly (readonly [string, (subject: Subject) => Part])[] = [
  ['create', (subject) => create(subject)],
  ['create', (subject) => create(subject)],
  ['create --label', createWithLabel],
  ['create --external', (subject) => create(subject, '--disk-only')],
  ['create --external --force', (subject) => create(subject, '--disk-only', '--force')],
  ['prune', prune],
  ['check --fix', fix],
];

/** Percent: a careless fix would do the worst damage there, and is hardly ever chosen by itself. */
const FIX_BESIDE_TAGS = 30;

/** Whether an image of the VM holds tags that belong to snapshots of other VMs alone. */
function liesBesideTags({ vms, images }: Seen, name: string): boolean {
  const own = vms.get(name);
  const keys = Object.values(own?.paths ?? {}).map(fileKey);
  const isOfAnother = (key: string, tag: string) =>
    !(tag in (own?.snapshots ?? {})) &&
    [...vms.values()].some(({ snapshots }) => snapshots[tag]?.images.includes(key));
  return keys.some((key) => key !== null && images.get(key)?.tags.some((tag) => isOfAnother(key, tag.name)));
}

/** Something that a user might do, to a VM and a snapshot that are there. */
export function chooseAction(chance: Chance, { vms, virsh }: World, seen: Seen, number: number): Action {
  const beside = vms.filter(({ name }) => liesBesideTags(seen, name));
  if (beside.length > 0 && chance.of(FIX_BESIDE_TAGS)) {
    const vm = chance.pick(beside);
    return { kind: 'check --fix', vm, ...fix({ vm, name: '', virsh, number }) };
  }
  const withPast = vms.filter(({ name }) => Object.keys(seen.vms.get(name)?.snapshots ?? {}).length > 0);
  const vm = chance.pick(withPast.length > 0 && chance.of(60) ? withPast : vms);
  const names = Object.keys(seen.vms.get(vm.name)?.snapshots ?? {});
  const isOfSnapshot = names.length > 0 && chance.of(70);
  const [kind, make] = chance.pick(isOfSnapshot ? OF_SNAPSHOT : OF_VM);
  const isThere = names.length > 0 && (isOfSnapshot || chance.of(10));
  const name = isThere ? chance.pick(names) : `new${number}`;
  return { kind, vm, ...make({ vm, name, virsh, number }) };
}

const target = ({ vm, name }: Subject) => ['--domain', vm.uuid, '--snapshotname', name];

function create(subject: Subject, ...options: readonly string[]): Part {
  const { vm, name, virsh } = subject;
  const isExternal = options.includes('--disk-only');
  return {
    args: ['create-as', vm.name, name, ...options],
    raw: () => virsh.does('snapshot-create-as', vm.uuid, name, ...(isExternal ? ['--disk-only'] : [])),
    useless: () => (virsh.does('snapshot-revert', ...target(subject)) ? [] : ['it cannot be reverted to']),
    lies: (before, after) => [
      ...unchanged(before, after),
      ...(name in before.snapshots ? [`there was a snapshot ${name} already`] : []),
      ...holds(after, name, before.disks),
      ...(after.current === name ? [] : [`the current snapshot is ${after.current}`]),
      ...(isExternal === (after.snapshots[name]?.isExternal ?? isExternal)
        ? []
        : ['it is of the other kind']),
    ],
  };
}

/** A snapshot from cron, and the prune of its label that follows. */
function createWithLabel({ vm, virsh }: Subject): Part {
  const isLabeled = (name: string) => name.startsWith('nightly-');
  return {
    args: ['create', vm.name, '--label', 'nightly', '--keep-last', '1'],
    raw: () => virsh.does('snapshot-create-as', vm.uuid, 'nightly-raw'),
    lies: (before, after) => {
      const [name = 'nightly', ...more] = missing(after, before);
      return [
        ...sameDisks(before, after),
        ...sameSnapshots(before, after, missing(before, after).filter(isLabeled)),
        ...holds(after, name, before.disks),
        ...(more.length > 0 || !isLabeled(name) ? [`it has taken ${[name, ...more].join(', ')}`] : []),
      ];
    },
  };
}

export function revert(subject: Subject): Part {
  const { vm, name, virsh } = subject;
  return {
    args: ['revert', vm.name, name],
    raw: () => virsh.does('snapshot-revert', ...target(subject)),
    useless: ({ vms, images }) => {
      const its = vms.get(vm.name)?.snapshots[name]?.images ?? [];
      const tags = its.flatMap((key) => images.get(key)?.tags ?? []);
      // the two may hold the same by chance
      return tags.some((tag) => tag.id === name && tag.name !== name) ? ['it restores another tag'] : [];
    },
    lies: (before, after) => [
      ...sameSnapshots(before, after),
      ...differences(
        before.snapshots[name]?.content ?? {},
        after.disks,
        'the disk is not what the snapshot held',
      ),
      ...(after.current === name ? [] : [`the current snapshot is ${after.current}`]),
    ],
  };
}

function revertWithBackup(subject: Subject): Part {
  const { vm, name, virsh } = subject;
  const plain = revert(subject);
  return {
    args: ['revert', vm.name, name, '--backup'],
    raw: () => virsh.does('snapshot-create-as', vm.uuid, 'raw-backup') && plain.raw(),
    ...(plain.useless ? { useless: plain.useless } : {}),
    lies: (before, after) => {
      const [backup] = missing(after, before);
      return [
        ...plain.lies(before, after),
        ...(backup === undefined ? ['there is no backup'] : holds(after, backup, before.disks)),
      ];
    },
  };
}

export function deletion(subject: Subject, option?: '--children' | '--metadata'): Part {
  const { vm, name, virsh } = subject;
  const options = option ? [option] : [];
  return {
    args: ['delete', vm.name, name, ...options, ...(option === '--children' ? ['--yes'] : [])],
    raw: () => virsh.does('snapshot-delete', ...target(subject), ...options),
    lies: (before, after) => {
      const gone = option === '--children' ? [name, ...descendants(before, name)] : [name];
      return [
        ...sameDisks(before, after),
        ...sameSnapshots(before, after, gone),
        ...gone.filter((each) => each in after.snapshots).map((each) => `${each} is still there`),
      ];
    },
    ...(option === '--metadata' ? { orphans: 'come' } : {}),
  };
}

/** What is written into libvirt's metadata alone. */
const note = ({ vm, name }: Subject, [command]: readonly [string], ...text: readonly string[]): Part => ({
  args: [command, vm.name, name, ...text],
  raw: () => true,
  lies: unchanged,
});

/** The names of the VM's snapshots, the oldest first: virsh lists them by name, or parents before children. */
function byAge(virsh: World['virsh'], { uuid }: WorldVm): string[] {
  const [list = ''] = virsh.answers([['snapshot-list', uuid, '--name', '--topological']]);
  const names = list.split('\n').filter((name) => name !== '');
  const xmls = virsh.answers(names.map((name) => ['snapshot-dumpxml', uuid, name]));
  const times = xmls.map((xml) => Number(/<creationTime>(\d+)</.exec(xml)?.[1]));
  return names
    .map((name, i) => ({ name, time: times[i] ?? 0 }))
    .sort((a, b) => a.time - b.time)
    .map(({ name }) => name);
}

function prune({ vm, virsh }: Subject): Part {
  return {
    args: ['prune', vm.name, '--match', '*', '--keep-last', '1'],
    raw: () => {
      const names = byAge(virsh, vm);
      return names.slice(0, -1).every((name) => virsh.does('snapshot-delete', vm.uuid, name));
    },
    lies: (before, after) => [
      ...sameDisks(before, after),
      ...sameSnapshots(before, after, missing(before, after)),
      ...(Object.keys(before.snapshots).length > 0 && Object.keys(after.snapshots).length === 0
        ? ['the newest is gone too']
        : []),
    ],
  };
}

export function fix({ vm }: Subject): Part {
  return {
    args: ['check', vm.name, '--fix', '--yes'],
    raw: () => true,
    lies: (before, after) => [...sameDisks(before, after), ...keptContent(before, after)],
    orphans: 'go',
  };
}
