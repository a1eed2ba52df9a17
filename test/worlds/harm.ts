// What an action may never do, however it ends: change what another VM sees, or what accounts for tags.
import type { Action } from './action.ts';
import { missing } from './lies.ts';
import type { Seen, SeenImage, VmState } from './sight.ts';

/** What other VMs see changed, the tags in the images that their snapshots account for, and the holds of its own VM. */
export const harm = (action: Action, before: Seen, after: Seen): string[] => [
  ...changesSeen(action, before, after),
  ...lostTags(action, before, after),
  ...claimedTags(action, before, after),
  ...lostHolds(before.vms.get(action.vm.name), after.vms.get(action.vm.name)),
];

function changesSeen({ vm }: Action, before: Seen, after: Seen): string[] {
  return [...before.vms].flatMap(([name, was]) => {
    const is = after.vms.get(name);
    if (name === vm.name || JSON.stringify(was) === JSON.stringify(is)) return [];
    return [`${name} sees a change: ${firstChange(was, is ?? {})}`];
  });
}

/** Where two records differ, shortened. */
export function firstChange(before: object, after: object): string {
  const [a, b] = [before, after] as Record<string, unknown>[];
  const key =
    Object.keys(before).find((each) => JSON.stringify(a?.[each]) !== JSON.stringify(b?.[each])) ?? '';
  return `${key} ${JSON.stringify(a?.[key])?.slice(0, 600)} -> ${JSON.stringify(b?.[key])?.slice(0, 600)}`;
}

/** The VMs that have a snapshot of this name in this image. */
const accounting = ({ vms }: Seen, key: string, name: string): string[] =>
  [...vms].flatMap(([vm, { snapshots }]) => (snapshots[name]?.images.includes(key) ? [vm] : []));

const count = (image: SeenImage | undefined, name: string): number =>
  image?.tags.filter((tag) => tag.name === name).length ?? 0;

/** Tags may go only with a snapshot of the VM that they belong to, one for each, or as orphans where these may go. */
function lostTags({ vm, orphans }: Action, before: Seen, after: Seen): string[] {
  const [was, is] = [before.vms.get(vm.name), after.vms.get(vm.name)];
  const deleted = was && is ? missing(was, is) : [];
  return [...before.images].flatMap(([key, image]) => {
    const left = after.images.get(key);
    const gone = image.tags.filter(
      ({ id, name }) => !left?.tags.some((tag) => tag.id === id && tag.name === name),
    );
    return gone.flatMap(({ id, name }) => {
      const owners = accounting(before, key, name).filter(
        (owner) => owner !== vm.name || !deleted.includes(name),
      );
      if (count(left, name) < Math.min(count(image, name), owners.length))
        return [`tag ${id} '${name}' has gone from ${image.path}: a snapshot of ${owners} accounts for it`];
      const mayGo = deleted.includes(name) || orphans === 'go';
      return mayGo ? [] : [`tag ${id} '${name}' has gone from ${image.path}`];
    });
  });
}

/** Snapshots that are new, over a tag that belongs to a snapshot of another VM: there are fewer tags than snapshots. */
function claimedTags({ vm }: Action, before: Seen, after: Seen): string[] {
  const [was, is] = [before.vms.get(vm.name), after.vms.get(vm.name)];
  return (was && is ? missing(is, was) : []).flatMap((name) =>
    (is?.snapshots[name]?.images ?? []).flatMap((key) => {
      const owners = accounting(after, key, name);
      const image = after.images.get(key);
      return count(image, name) < owners.length
        ? [`${owners} account for fewer tags '${name}' in ${image?.path}`]
        : [];
    }),
  );
}

/** Tags that a success has left behind, of snapshots that are gone or new: more than snapshots that account for them. */
export function tagsLeftBehind({ vm, orphans }: Action, before: Seen, after: Seen): string[] {
  if (orphans) return [];
  const [was, is] = [before.vms.get(vm.name), after.vms.get(vm.name)];
  const touched = was && is ? [...missing(was, is), ...missing(is, was)] : [];
  const surplus = (seen: Seen, key: string, name: string) =>
    Math.max(0, count(seen.images.get(key), name) - accounting(seen, key, name).length);
  return [...after.images].flatMap(([key, { path }]) =>
    touched
      .filter((name) => surplus(after, key, name) > surplus(before, key, name))
      .map((name) => `the tag '${name}' is left in ${path}`),
  );
}

const lostHolds = (was: VmState | undefined, is: VmState | undefined): string[] =>
  was && is
    ? missing(was, is)
        .filter((name) => was.snapshots[name]?.xml.includes('Kvmsnap-Hold: yes'))
        .map((name) => `${name} is gone, which was held`)
    : [];
