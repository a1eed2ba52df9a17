// Small VMs for runs over several, and the snapshots that they have.
import { expect } from 'vitest';
import { formatOf } from '../../scene/disk.ts';
import { snapshotNames } from '../../scene/snapshot.ts';
import { tagNames } from '../../scene/steps.ts';
import { defineVm, pathOf, type Vm } from '../../scene/vm.ts';

export const small = (name: string): Vm => defineVm({ name, disks: [{ size: '8M' }] });

export const raw = (name: string): Vm => defineVm({ name, disks: [{ size: '8M', format: 'raw' }] });

/** The snapshots of each VM by its name: what libvirt lists, which must be what the image holds. */
export function present(...vms: readonly Vm[]): Record<string, string[]> {
  return Object.fromEntries(
    vms.map((vm) => {
      const names = snapshotNames(vm).sort();
      if (formatOf(pathOf(vm)) === 'qcow2') expect([...(tagNames(vm)[0] ?? [])].sort()).toEqual(names);
      return [vm.name, names];
    }),
  );
}

export const fleet = (...names: string[]): Vm[] => names.map(small);
