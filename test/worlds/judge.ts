// Whether what kvmsnap has said of an action is true, and was right to be said.
import type { Chance } from '../scene/random.ts';
import type { Action } from './action.ts';
import { firstChange, harm, tagsLeftBehind } from './harm.ts';
import { writeAnew } from './history.ts';
import { contentByQemu, look, type Memory, type Seen, unsound } from './sight.ts';
import type { World } from './world.ts';

/** How an action ended. Of a fix, exit code 5 is no refusal: it tells of findings that are left. */
export type End = 'succeeded' | 'refused' | 'declined' | 'other';

export function endOf({ kind }: Action, exitCode: number): End {
  if (exitCode === 0) return 'succeeded';
  if (exitCode === 10) return 'declined';
  return exitCode === 5 && kind !== 'check --fix' ? 'refused' : 'other';
}

/** What is wrong with an action that ended with this exit code; of a refused one, the world has changed afterwards. */
export function judge(
  world: World,
  action: Action,
  exitCode: number,
  before: Seen,
  after: Seen,
  memory: Memory,
): string[] {
  const harmed = [
    ...harm(action, before, after),
    ...unsound(after, memory).map((path) => `${path} is damaged`),
  ];
  const end = endOf(action, exitCode);
  if (end === 'succeeded')
    return [...harmed, ...lies(action, before, after).map((lie) => `success, but ${lie}`)];
  const touched = [5, 6, 10].includes(exitCode) ? touchedBy(action, before, after) : [];
  return [...harmed, ...touched, ...(end === 'refused' ? unjustified(world, action, after, memory) : [])];
}

function lies(action: Action, before: Seen, after: Seen): string[] {
  const [was, is] = [before, after].map(({ vms }) => vms.get(action.vm.name));
  return was && is ? [...action.lies(was, is), ...tagsLeftBehind(action, before, after)] : ['the VM is gone'];
}

/** A refused or declined action leaves its own VM as it was; a fix may have done a part. */
function touchedBy({ kind, vm }: Action, before: Seen, after: Seen): string[] {
  if (kind === 'check --fix' || kind === 'prune') return [];
  const [was, is] = [before.vms.get(vm.name), after.vms.get(vm.name)];
  return JSON.stringify(was) === JSON.stringify(is)
    ? []
    : [`refused, but ${firstChange(was ?? {}, is ?? {})}`];
}

/**
 * Does the same by raw virsh. A refusal is justified where that fails, changes what others see, or calls a success what is
 * none. All disks are written to before and afterwards, as their guests may do at any time: that two contents are equal by
 * chance is no reason to refuse less, and what a snapshot holds must outlive a write.
 */
function unjustified(world: World, action: Action, seen: Seen, memory: Memory): string[] {
  writeAnew(world);
  const before = look(world, memory);
  if (!action.raw()) return [];
  const after = look(world, memory);
  if (damageOf(action, before, after, memory).length > 0) return [];
  if ((action.useless?.(before) ?? []).length > 0) return [];
  const fragile = changedSnapshots(action, seen, before);
  writeAnew(world);
  const broken = changedSnapshots(action, after, look(world, memory));
  return broken.some((name) => !fragile.includes(name)) || startsNot(world, action)
    ? []
    : ['a refusal without a reason: raw virsh does it, and nothing is damaged'];
}

/** The VM's snapshots that hold something else afterwards. */
function changedSnapshots({ vm }: Action, before: Seen, after: Seen): string[] {
  const [was, is] = [before, after].map(({ vms }) => vms.get(vm.name)?.snapshots ?? {});
  return Object.keys(was ?? {}).filter(
    (name) => JSON.stringify(was?.[name]?.content) !== JSON.stringify(is?.[name]?.content),
  );
}

/** What a success of raw virsh has done that it should not, or has not done. */
export const damageOf = (action: Action, before: Seen, after: Seen, memory: Memory): string[] => [
  ...harm(action, before, after),
  ...unsound(after, memory),
  ...lies(action, before, after),
];

const startsNot = (world: World, { vm: { uuid } }: Action): boolean =>
  world.virsh.answers([['domstate', uuid]])[0]?.startsWith('shut off') === true &&
  !world.virsh.does('start', '--paused', uuid);

/** Whether qemu-img finds something else in an image, or in its last tag, than this test. */
export function misread({ images }: Seen, chance: Chance): string[] {
  const { path, content, tags } = chance.pick([...images.values()]);
  return [{ id: null, content }, ...tags.slice(-1)]
    .filter((each) => contentByQemu(path, each.id) !== each.content)
    .map(({ id }) => `${path}, tag ${id}: qemu-img finds another content than this test`);
}
