// Snapshots as raw virsh shows them.
import { tryVirsh, virsh } from './lab.ts';
import type { Machine } from './machine.ts';

/** The names in virsh's order. */
export function snapshotNames(machine: Machine): string[] {
  return virsh('snapshot-list', '--domain', machine.uuid, '--name')
    .split('\n')
    .filter((line) => line !== '');
}

/** The name of the current one; null when there is none. */
export function currentSnapshot(machine: Machine): string | null {
  const { code, stdout, stderr } = tryVirsh('snapshot-current', '--domain', machine.uuid, '--name');
  if (code === 0) return stdout.replace(/\n$/, '');
  if (stderr.includes('has no current snapshot')) return null;
  throw new Error(stderr);
}

export function snapshotXml(machine: Machine, name: string): string {
  return virsh('snapshot-dumpxml', '--domain', machine.uuid, '--snapshotname', name);
}
