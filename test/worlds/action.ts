// What is done to one VM of a world: by kvmsnap, by raw virsh, and what must be true afterwards.
import { tryVirsh } from '../lab/lab.ts';
import { countTags, type Seen, type Sight } from './sight.ts';
import type { Chance, World, WorldVm } from './world.ts';

export interface Action {
  readonly kind: string;
  readonly vm: WorldVm;
  readonly args: readonly string[];
  /** The same by raw virsh; true where all of it exits with 0. */
  readonly raw: () => boolean;
  /** Of what raw virsh has done with exit 0: why it is of no use. */
  readonly useless?: () => string[];
  /** What is untrue of a success; empty: it is one. */
  readonly lies: (before: Sight, after: Sight) => string[];
}

const BY_NAME = [
  'revert',
  'revert --backup',
  'delete',
  'delete',
  'delete --children',
  'delete --metadata',
  'hold',
  'describe',
] as const;
const WITHOUT = [
  'create',
  'create',
  'create',
  'create --external',
  'create --external --force',
  'prune',
  'check --fix',
] as const;

/** Something that a user might do, to a VM and a snapshot that are there. */
export function chooseAction(chance: Chance, { vms }: World, seen: Seen, number: number): Action {
  const vm = chance.pick(vms);
  const names = Object.keys(seen.get(vm.name)?.snapshots ?? {});
  if (names.length > 0 && chance.of(60)) return ofSnapshot(chance.pick(BY_NAME), vm, chance.pick(names));
  const kind = chance.pick(WITHOUT);
  if (kind === 'prune') return prune(vm, names);
  if (kind === 'check --fix') return fix(vm);
  return create(kind, vm, names.length > 0 && chance.of(10) ? chance.pick(names) : `new${number}`);
}

const virsh = (...args: string[]): boolean => tryVirsh(...args).code === 0;

function create(
  kind: 'create' | 'create --external' | 'create --external --force',
  vm: WorldVm,
  name: string,
): Action {
  const external = kind !== 'create';
  const [, , ...force] = kind.split(' ');
  const raw = external ? ['--disk-only'] : [];
  return {
    kind,
    vm,
    args: ['create-as', vm.name, name, ...raw, ...force],
    raw: () => virsh('snapshot-create-as', vm.uuid, name, ...raw),
    useless: () => (virsh('snapshot-revert', vm.uuid, name) ? [] : ['it cannot be reverted to']),
    lies: (before, after) => [
      ...sameDisks(before, after),
      ...sameSnapshots(before, after),
      ...(name in before.snapshots ? [`there was a snapshot ${name} already`] : []),
      ...holds(after, name, before.disks),
      ...(after.current === name ? [] : [`the current snapshot is ${after.current}`]),
      ...(external === (after.snapshots[name]?.isExternal ?? external) ? [] : ['it is of the other kind']),
    ],
  };
}

function ofSnapshot(kind: (typeof BY_NAME)[number], vm: WorldVm, name: string): Action {
  const [command = '', ...options] = kind.split(' ');
  const target = ['--domain', vm.uuid, '--snapshotname', name];
  const common = {
    kind,
    vm,
    args: [command, vm.name, name, ...options, ...(kind === 'delete --children' ? ['--yes'] : [])],
  };
  switch (command) {
    case 'revert':
      return {
        ...common,
        raw: () => virsh('snapshot-revert', ...target),
        lies: (before, after) => [
          ...sameSnapshots(before, after),
          ...(before.snapshots[name]
            ? differences(
                before.snapshots[name].content,
                after.disks,
                'the disk is not what the snapshot held',
              )
            : [`there was no ${name}`]),
          ...(after.current === name ? [] : [`the current snapshot is ${after.current}`]),
          ...(kind === 'revert --backup' &&
          Object.keys(after.snapshots).length <= Object.keys(before.snapshots).length
            ? ['there is no backup']
            : []),
        ],
      };
    case 'delete':
      return {
        ...common,
        raw: () => virsh('snapshot-delete', ...target, ...options),
        lies: (before, after) => {
          const gone = options.includes('--children') ? [name, ...descendants(before, name)] : [name];
          return [
            ...sameDisks(before, after),
            ...sameSnapshots(before, after, gone),
            ...gone.filter((each) => each in after.snapshots).map((each) => `${each} is still there`),
            ...(options.includes('--metadata') ? [] : tagsLeft(before, after, gone)),
          ];
        },
      };
    case 'describe':
      return {
        ...common,
        args: ['describe', vm.name, name, 'an old state'],
        raw: () => true,
        lies: unchanged,
      };
    default:
      return { ...common, raw: () => true, lies: unchanged };
  }
}

const prune = (vm: WorldVm, names: readonly string[]): Action => ({
  kind: 'prune',
  vm,
  args: ['prune', vm.name, '--match', '*', '--keep-last', '1'],
  raw: () =>
    names
      .slice(0, -1)
      .map((name) => virsh('snapshot-delete', vm.uuid, name))
      .every(Boolean),
  lies: (before, after) => {
    const gone = Object.keys(before.snapshots).filter((name) => !(name in after.snapshots));
    return [
      ...sameDisks(before, after),
      ...sameSnapshots(before, after, gone),
      ...tagsLeft(before, after, gone),
      ...(names.length > 0 && Object.keys(after.snapshots).length === 0 ? ['the newest is gone too'] : []),
    ];
  },
});

const fix = (vm: WorldVm): Action => ({
  kind: 'check --fix',
  vm,
  args: ['check', vm.name, '--fix', '--yes'],
  raw: () => true,
  lies: (before, after) => [...sameDisks(before, after), ...keptContent(before, after)],
});

/** The VM's disks hold what they held. */
const sameDisks = (before: Sight, after: Sight): string[] =>
  differences(before.disks, after.disks, 'the disk has changed');

/** What is wrong with the snapshots that were there, but for those that were to go. */
function sameSnapshots(before: Sight, after: Sight, gone: readonly string[] = []): string[] {
  return Object.entries(before.snapshots).flatMap(([name, { content }]) => {
    if (gone.includes(name)) return [];
    const now = after.snapshots[name];
    return now
      ? differences(content, now.content, `snapshot ${name} has changed`)
      : [`snapshot ${name} is gone`];
  });
}

/** A snapshot whose content could be read has it still. */
const keptContent = (before: Sight, after: Sight): string[] =>
  Object.entries(before.snapshots).flatMap(([name, { content }]) => {
    const isWhole = Object.values(content).every((each) => each !== null);
    if (!isWhole) return [];
    const now = after.snapshots[name];
    return now
      ? differences(content, now.content, `snapshot ${name} has changed`)
      : [`snapshot ${name} is gone`];
  });

const holds = (after: Sight, name: string, disks: Sight['disks']): string[] =>
  after.snapshots[name]
    ? differences(disks, after.snapshots[name].content, `snapshot ${name} does not hold the disk`)
    : [`there is no snapshot ${name}`];

/** Where the second lacks or contradicts what the first has. */
const differences = (wanted: Sight['disks'], found: Sight['disks'], what: string): string[] =>
  Object.entries(wanted)
    .filter(([target, content]) => found[target] !== content)
    .map(([target]) => `${what}: ${target}`);

const unchanged = (before: Sight, after: Sight): string[] => [
  ...sameDisks(before, after),
  ...sameSnapshots(before, after),
];

/** Internal snapshots that left their tag in an image. */
const tagsLeft = (before: Sight, after: Sight, gone: readonly string[]): string[] =>
  gone.flatMap((name) =>
    before.snapshots[name]?.isExternal
      ? []
      : Object.entries(after.paths)
          .filter(([, path]) => countTags(path, name) > 0)
          .map(([target]) => `the tag ${name} is still in ${target}`),
  );

function descendants({ snapshots }: Sight, name: string): string[] {
  const children = Object.entries(snapshots)
    .filter(([, { xml }]) => new RegExp(`<parent>\\s*<name>${name}</name>`).test(xml))
    .map(([child]) => child);
  return children.flatMap((child) => [child, ...descendants({ snapshots } as Sight, child)]);
}
