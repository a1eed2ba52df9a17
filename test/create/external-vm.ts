import { virsh } from '../lab/lab.ts';
import { since } from '../lab/version.ts';
import { MARK_ADDRESS } from '../scene/boot.ts';
import { guestWord, type Vm } from '../scene/vm.ts';

export const SMALL = { size: '4M' };

/** What this libvirtd cannot do with external snapshots, in kvmsnap's words; null where it can all. */
export const CANNOT = since<string | null>({
  '7.0': 'neither revert to external snapshots (9.9 can) nor delete them (9.0 can)',
  '9.0': '(before 9.9) cannot revert to external snapshots',
  '11.3': null,
});

/** What an older one must be told, and then warns of. */
export const FORCE = CANNOT === null ? [] : ['--force'];

export const WARNING =
  CANNOT === null ? '' : `warning: this libvirtd ${CANNOT.replace(/^neither/, 'can neither')}\n`;

/** The images that the VM writes to now. */
export const active = (vm: Vm): string[] =>
  virsh('domblklist', '--domain', vm.uuid)
    .split('\n')
    .flatMap((line) => /^ vd\w +(\S.*)$/.exec(line)?.[1] ?? []);

export const count = (vm: Vm) => guestWord(vm, MARK_ADDRESS);
