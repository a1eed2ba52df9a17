// Snapshots as raw virsh shows them.
import { tryVirsh, virsh } from '../lab/lab.ts';
import type { Vm } from './vm.ts';

/** The names in virsh's order. */
export function snapshotNames(vm: Vm): string[] {
  return virsh('snapshot-list', '--domain', vm.uuid, '--name')
    .split('\n')
    .filter((line) => line !== '');
}

/** The name of the current one; null when there is none. */
export function currentSnapshot(vm: Vm): string | null {
  const { code, stdout, stderr } = tryVirsh('snapshot-current', '--domain', vm.uuid, '--name');
  if (code === 0) return stdout.replace(/\n$/, '');
  if (stderr.includes('has no current snapshot')) return null;
  throw new Error(stderr);
}

export function snapshotXml(vm: Vm, name: string): string {
  return virsh('snapshot-dumpxml', '--domain', vm.uuid, '--snapshotname', name);
}
