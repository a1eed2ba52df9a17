// Two running VMs that write to their disks in turn: whether two snapshots are of one moment shows in what they hold.
import { mkdtempSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { scratch, tool, waitFor } from '../lab/lab.ts';
import { READY_ADDRESS } from './boot.ts';
import { count } from './steps.ts';
import { defineVm, guestWord, start, type Vm } from './vm.ts';

export interface Pair {
  /** In the order of their names: the first one writes first. */
  readonly vms: readonly [Vm, Vm];
}

/** Starts the pair `app` and `db`, and waits until both write. */
export async function startPair(): Promise<Pair> {
  const socket = join(mkdtempSync(join(scratch, 'pair-')), 'serial');
  const half = (name: string, boot: 'first of a pair' | 'second of a pair', mode: 'bind' | 'connect') =>
    defineVm({
      name,
      boot,
      disks: [{ size: '8M' }],
      extraDevicesXml: `<serial type='unix'><source mode='${mode}' path='${socket}'/></serial>`,
    });
  const db = half('db', 'second of a pair', 'bind');
  const app = half('app', 'first of a pair', 'connect');
  start(db);
  await waitFor(() => guestWord(db, READY_ADDRESS) === 1, { what: 'a listening db' });
  start(app);
  await goesOn({ vms: [app, db] });
  return { vms: [app, db] };
}

/** Waits until both have written some more. */
export async function goesOn({ vms }: Pair): Promise<void> {
  const before = vms.map(count);
  await waitFor(() => vms.every((vm, i) => count(vm) >= (before[i] ?? 0) + 10), {
    what: 'a pair that writes',
  });
}

/** The last number that the VM had written, by the data in its snapshot; of an external one, by the image below its overlay. */
export function writtenIn(path: string, snapshot: string | null): number {
  const raw = join(scratch, 'written.raw');
  const from = snapshot === null ? [] : ['-l', `snapshot.name=${snapshot}`];
  tool('qemu-img', ['convert', '-U', ...from, '-f', 'qcow2', '-O', 'raw', '--', path, raw]);
  return readFileSync(raw).readUInt32LE(512);
}

/** How far the first is ahead of the second, in numbers. At one moment it is 0 or 1. */
export function ahead({ vms: [app, db] }: Pair, snapshot: string): number {
  return writtenIn(app.disks[0]?.path ?? '', snapshot) - writtenIn(db.disks[0]?.path ?? '', snapshot);
}
