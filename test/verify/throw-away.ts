// What the tests of verify look for after a run, and how they run one that proves nothing.
import { existsSync, readdirSync } from 'node:fs';
import { dirname } from 'node:path';
import { expect } from 'vitest';
import { kvmsnap } from '../lab/cli.ts';
import { processes } from '../lab/daemon.ts';
import { virsh, waitFor } from '../lab/lab.ts';
import { fitting } from '../scene/steps.ts';
import { pathOf, type Vm } from '../scene/vm.ts';

const RUNS = '/run/kvmsnap';

/** The names of all VMs. */
export const vms = (): string[] => virsh('list', '--all', '--name').split('\n').filter(Boolean);

/** Nothing of a run is left: no VM, no file, no record, no server. */
export async function nothingLeft(vm: Vm): Promise<void> {
  await waitFor(() => vms().length === 1, { what: 'the end of the throw-away VM' });
  expect(readdirSync(dirname(pathOf(vm))).filter((name) => name.startsWith('.'))).toEqual([]);
  expect(existsSync(RUNS) ? readdirSync(RUNS) : []).toEqual([]);
  expect(processes().filter(({ args }) => args.join(' ').includes(`${RUNS}/`))).toEqual([]);
}

/** Runs it, which must end with exit 5 and a document. */
export async function unproven(...args: string[]) {
  const { code, stdout, stderr } = await kvmsnap(['--json', 'verify', ...args]);
  expect([code, stdout === '' ? stderr : '']).toEqual([5, '']);
  return fitting('verify', JSON.parse(stdout));
}
