// What raw virsh and qemu-img do to the VMs of these tests.
import { tool, tryVirsh } from '../lab/lab.ts';
import { pathOf, type Vm } from '../scene/vm.ts';

export function revertRaw(vm: Vm, name: string) {
  return tryVirsh('snapshot-revert', '--domain', vm.uuid, '--snapshotname', name);
}

/** With qemu-img, behind libvirt's back: `-c` makes a tag, `-d` deletes the oldest of that name. */
export function editTag(vm: Vm, disk: number, action: '-c' | '-d', name: string): void {
  tool('qemu-img', ['snapshot', action, name, pathOf(vm, disk)]);
}
