// Files of external snapshots that are elsewhere now than libvirt has recorded, and a place for them that does not exist.
import { existsSync, renameSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterAll, afterEach, expect } from 'vitest';
import { kvmsnap } from '../lab/cli.ts';
import { pasteAll } from '../lab/evidence.ts';
import { scratch, tryVirsh, virsh } from '../lab/lab.ts';
import { since } from '../lab/version.ts';
import { hasPattern, writePattern } from '../scene/disk.ts';
import { snapshotNames, snapshotXml } from '../scene/snapshot.ts';
import { succeed, take } from '../scene/steps.ts';
import {
  cleanUp,
  defineVm,
  domainXml,
  pathOf,
  qemuPid,
  start,
  state,
  stateAndReason,
  type Vm,
} from '../scene/vm.ts';
import { hazard } from './promise/promise.ts';
import { refusesAll } from './promise/refusing.ts';

afterEach(cleanUp);
afterAll(cleanUp);

const DELETES_EXTERNAL = since({ '7.0': false, '9.0': true });
const REVERTS_EXTERNAL = since({ '7.0': false, '11.3': true });

const pair = <T>(make: (name: string) => T): [T, T] => [make('twin'), make('web-1')];

const inUse = (vm: Vm) => /<source file='([^']*)'/.exec(domainXml(vm))?.[1] ?? '';
const fill = (vm: Vm, byte: number) => writePattern(inUse(vm), byte, 0, 65_536);
const holds = (vm: Vm, byte: number) => hasPattern(inUse(vm), byte, 0, 65_536);

/** Two external snapshots; the overlay of the second, which is in use, has another name since. */
function renamed(name: string): Vm {
  const vm = defineVm({ name, disks: [{ size: '8M' }] });
  for (const [n, each] of ['e1', 'e2'].entries()) {
    fill(vm, n + 1);
    take(vm, each, '--disk-only');
  }
  fill(vm, 3);
  const path = inUse(vm);
  renameSync(path, `${path}.renamed`);
  const file = join(scratch, `${name}.xml`);
  writeFileSync(file, domainXml(vm).replace(`'${path}'`, `'${path}.renamed'`));
  virsh('define', file);
  return vm;
}

/** Other findings may be left: an old libvirt reverts to no external snapshot. */
async function fixPath(vm: Vm, name: string, path: string): Promise<void> {
  const { stdout, stderr } = await kvmsnap(['check', vm.name, '--fix', '--yes']);
  expect([stdout + stderr, snapshotXml(vm, name)]).toEqual([
    expect.not.stringContaining('failed'),
    expect.stringContaining(`'${path}'`),
  ]);
}

hazard(45, 'delete of an external snapshot whose overlay was renamed since, VM off', async () => {
  const [twin, vm] = pair(renamed);
  const { code } = tryVirsh('snapshot-delete', twin.uuid, 'e2');
  const isIntact = existsSync(inUse(twin)) && holds(twin, 3);
  const isKnown = snapshotNames(twin).includes('e2');
  const { words } = await refusesAll(vm, 'delete', 'web-1', 'e2');
  await fixPath(vm, 'e2', inUse(vm));
  if (DELETES_EXTERNAL) {
    await succeed('delete', 'web-1', 'e2');
    expect([snapshotNames(vm), holds(vm, 3)]).toEqual([['e1'], true]);
  }
  return {
    virsh: `${code === 0 ? 'deletes it' : 'fails'}, exit ${code}${isIntact ? '' : ', and the data is lost'}${code !== 0 && !isKnown ? ', and unregisters it' : ''}`,
    kvmsnap: `${words}; check --fix registers it with the new path${DELETES_EXTERNAL ? ', and then it is deleted' : ''}`,
  };
});

const memoryOf = (vm: Vm) => join(dirname(pathOf(vm)), 'e1.memory');

hazard(45, 'revert of a running VM whose memory file was moved since', async () => {
  const [twin, vm] = pair((name) => {
    const made = defineVm({ name, boot: 'counter', disks: [{ size: '8M' }] });
    start(made);
    take(made, 'e1', '--memspec', memoryOf(made), '--diskspec', 'vda,snapshot=external');
    renameSync(memoryOf(made), `${memoryOf(made)}.kept`);
    return made;
  });
  const { code } = tryVirsh('snapshot-revert', twin.uuid, 'e1');
  const end = stateAndReason(twin);
  const pid = qemuPid(vm);
  const { words } = await refusesAll(vm, 'revert', 'web-1', 'e1');
  expect([qemuPid(vm), state(vm)]).toEqual([pid, 'running']);
  await fixPath(vm, 'e1', `${memoryOf(vm)}.kept`);
  if (REVERTS_EXTERNAL) await succeed('revert', 'web-1', 'e1', '--force');
  expect(state(vm)).toBe('running');
  return {
    virsh: end.startsWith('running')
      ? `cannot, exit ${code}`
      : `stops the guest, and its memory is lost: ${end}, exit ${code}`,
    kvmsnap: `${words}, the guest keeps running; check --fix registers it with the new path${REVERTS_EXTERNAL ? ', and then it is reverted' : ''}`,
  };
});

hazard(50, 'memory to be saved into a directory that does not exist', async () => {
  const [twin, vm] = pair((name) => {
    const made = defineVm({ name, disks: [{ size: '4M' }] });
    start(made);
    return made;
  });
  const file = (each: Vm) => join(dirname(pathOf(each)), 'gone', 'memory');
  const parts = (each: Vm) => ['--memspec', file(each), '--diskspec', 'vda,snapshot=external'];
  const { code } = tryVirsh('snapshot-create-as', twin.uuid, 's1', ...parts(twin));
  expect([snapshotNames(twin), state(twin)]).toEqual([[], 'running']);
  const { words, refusal } = await refusesAll(vm, 'create-as', 'web-1', 's1', '--force', ...parts(vm));
  expect(refusal.message).toContain(`the directory ${dirname(file(vm))} does not exist`);
  pasteAll(refusal);
  await succeed('create-as', 'web-1', 's1', '--force', ...parts(vm));
  expect(existsSync(file(vm))).toBe(true);
  return { virsh: `fails, exit ${code}`, kvmsnap: `${words}; its advice works` };
});
