// VMs with snapshots that have descriptions, and all that a change of one must leave as it was.
import { fingerprint } from '../lab/evidence.ts';
import { virsh } from '../lab/lab.ts';
import { currentSnapshot, snapshotNames } from '../scene/snapshot.ts';
import { take, twoDisks, write } from '../scene/steps.ts';
import type { Vm } from '../scene/vm.ts';

/** All that libvirt stores of it, passwords too. */
export const wholeXml = (vm: Vm, name: string): string =>
  virsh('snapshot-dumpxml', '--domain', vm.uuid, '--snapshotname', name, '--security-info');

export const described = (xml: string): string | null =>
  /^ {2}<description>([^<]*)<\/description>$/m
    .exec(xml)?.[1]
    ?.replaceAll('&lt;', '<')
    .replaceAll('&gt;', '>')
    .replaceAll('&quot;', '"')
    .replaceAll('&apos;', "'")
    .replaceAll('&amp;', '&') ?? null;

export const undescribed = (xml: string): string =>
  xml.replace(/\n {2}<description>[^<]*<\/description>/, '');

/** Every snapshot without its description, the tree, the current one, and the images to the last byte. */
export function facts(vm: Vm) {
  const { images, definition, state: now } = fingerprint(vm);
  return {
    images,
    definition,
    now,
    snapshots: snapshotNames(vm).map((name) => [name, undescribed(wholeXml(vm, name))]),
    tree: virsh('snapshot-list', '--domain', vm.uuid, '--tree'),
    current: currentSnapshot(vm),
  };
}

/** root -> middle (current) -> leaf, and a second branch. */
export function family(name: string): Vm {
  const vm = twoDisks(name);
  write(vm, 0x11);
  take(vm, 'root', '--description', 'the first');
  take(vm, 'middle');
  take(vm, 'leaf', '--description', 'the last');
  virsh('snapshot-revert', '--domain', vm.uuid, '--snapshotname', 'middle');
  take(vm, 'branch');
  virsh('snapshot-revert', '--domain', vm.uuid, '--snapshotname', 'middle');
  return vm;
}

export const HOLD = 'Kvmsnap-Hold: yes';

export const TEXTS: readonly string[] = [
  'before the upgrade',
  `it's "quoted"`,
  '<b>bold</b> & <description>&lt;</description> ]]>',
  '升级之前的快照 😀',
  'two\nlines\n',
  '  spaces  ',
  '$(touch touched) `x` %s \\n',
  '-d',
  '--',
  'tab\there',
];
