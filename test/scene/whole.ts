// What interruptions and parallel runs must leave behind: nothing half, by virsh and by the images.

import { tryVirsh, virsh, waitFor } from '../lab/lab.ts';
import { checkImage, tags } from './disk.ts';
import { virshProcesses } from './saving.ts';
import { snapshotNames } from './snapshot.ts';
import type { Vm } from './vm.ts';

/** Waits till no virsh runs and no job of libvirt holds the VM: what nobody waits for any more is done, too. */
export async function settled(vm: Vm): Promise<void> {
  await waitFor(() => virshProcesses().length === 0, { what: 'the end of every virsh', timeoutMs: 60_000 });
  const isIdle = () => {
    const { code, stderr } = tryVirsh('domjobinfo', '--domain', vm.uuid); // waits for most jobs
    if (code === 0 || stderr.includes('not running')) return true;
    if (stderr.includes('invalid job statistics type')) return false; // a revert of 12.8
    throw new Error(stderr);
  };
  await waitFor(isIdle, { what: 'the end of the job', timeoutMs: 60_000 });
}

/** What is half about a settled VM's snapshots, each in a line; empty when each is on each disk exactly once. */
export function halves(vm: Vm): string[] {
  const names = snapshotNames(vm);
  const withMemory = names.filter((name) => hasMemory(vm, name));
  return vm.disks.flatMap(({ target, path }, n) => {
    const found = tags(path);
    const flaws = [...new Set([...names, ...found.map(({ name }) => name)])].flatMap((name) => {
      const [wanted, count] = [names, found.map((tag) => tag.name)].map(
        (list) => list.filter((each) => each === name).length,
      );
      return wanted === count
        ? []
        : [`'${name}' is ${wanted} times in libvirt and ${count} times in ${target}`];
    });
    const empty = found.filter(
      ({ name, vmStateSize }) => n === 0 && withMemory.includes(name) && vmStateSize === 0,
    );
    return [...flaws, ...empty.map(({ name }) => `'${name}' has no memory`)];
  });
}

const hasMemory = (vm: Vm, name: string): boolean =>
  /<memory snapshot='internal'/.test(virsh('snapshot-dumpxml', '--domain', vm.uuid, '--snapshotname', name));

/** What `qemu-img check` finds in the images of a VM that is off; empty when all are clean. */
export function imageFlaws(vm: Vm): string[] {
  return vm.disks.flatMap(({ target, path }) => {
    const { clean, leaks, corruptions } = checkImage(path);
    return clean ? [] : [`${target}: ${leaks} leaks, ${corruptions} corruptions`];
  });
}
