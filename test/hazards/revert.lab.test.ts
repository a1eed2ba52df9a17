// Reverts by which virsh loses a disk, a guest or its state.
import { afterAll, afterEach, expect } from 'vitest';
import { pasteOk } from '../lab/evidence.ts';
import { scratch, type ToolResult, tool, tryVirsh, virsh } from '../lab/lab.ts';
import { tags } from '../scene/disk.ts';
import {
  asked,
  byteIn,
  bytes,
  count,
  countTo,
  document,
  facts,
  fail,
  keeps,
  movedOn,
  NOW,
  succeed,
  THEN,
  take,
  takeHalf,
  twoDisks,
  write,
  writeAsGuest,
} from '../scene/steps.ts';
import {
  cleanUp,
  continueQemu,
  destroy,
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

/** One for virsh and one for kvmsnap, `web-1`. */
const twins = (make: (name: string) => Vm): [Vm, Vm] => [make('twin'), make('web-1')];

function revert(vm: Vm, name = 's1'): ToolResult {
  return tryVirsh('snapshot-revert', '--domain', vm.uuid, '--snapshotname', name);
}

const removeTag = (vm: Vm, disk: number) => tool('qemu-img', ['snapshot', '-d', 's1', pathOf(vm, disk)]);

hazard(2, 'revert where one disk lacks the snapshot, VM off', async () => {
  const [raw, vm] = twins((name) => {
    const made = movedOn(name);
    removeTag(made, 1);
    return made;
  });
  expect(revert(raw).code).toBe(1);
  expect(bytes(raw)).toEqual([THEN, NOW]);

  const { words } = await refusesAll(vm, 'revert', 'web-1', 's1', '--force');
  expect(bytes(vm)).toEqual([NOW, NOW]);
  return { virsh: 'reverts the other disk, exit 1', kvmsnap: `${words}, with --force too` };
});

hazard(3, 'revert where a disk lacks the snapshot, VM running', async () => {
  const [raw, vm] = twins((name) => {
    const made = twoDisks(name, { boot: 'counter' });
    start(made);
    take(made, 's1');
    destroy(made);
    removeTag(made, 0);
    start(made);
    return made;
  });
  expect(revert(raw).code).toBe(1);
  const end = stateAndReason(raw);

  const [pid, counted] = [qemuPid(vm), count(vm)];
  const { words } = await refusesAll(vm, 'revert', 'web-1', 's1', '--force');
  expect(qemuPid(vm)).toBe(pid);
  await countTo(vm, counted + 5);
  return {
    virsh: `stops the guest, and its memory is lost: ${end}, exit 1`,
    kvmsnap: `${words}, the guest keeps running`,
  };
});

hazard(11, 'revert while there is a managed save', async () => {
  const vm = movedOn('web-1');
  start(vm);
  virsh('managedsave', vm.uuid);
  expect(revert(vm).code).toBe(1);

  const { words, refusal } = await refusesAll(vm, 'revert', 'web-1', 's1');
  expect(refusal.message).toContain('managed save');
  pasteOk(refusal.command);
  await succeed('revert', 'web-1', 's1');
  expect(bytes(vm)).toEqual([THEN, THEN]);
  return { virsh: 'fails, exit 1, and demands --force', kvmsnap: `${words}; its advice works` };
});

hazard(16, 'revert after a disk was added to the VM', async () => {
  const [raw, vm] = twins(movedOn);
  const added = [raw, vm].map(({ uuid, name }) => {
    const path = `${scratch}/${name}.qcow2`;
    tool('qemu-img', ['create', '-q', '-f', 'qcow2', path, '1M']);
    virsh('attach-disk', uuid, path, 'vdc', '--config', '--driver', 'qemu', '--subdriver', 'qcow2');
    return path;
  });
  const { code, stdout, stderr } = revert(raw);
  expect([code, `${stdout}${stderr}`.includes('vdc')]).toEqual([0, false]);
  expect(domainXml(raw)).not.toContain(added[0]);

  const terminal = await asked('revert', 'web-1', 's1');
  expect(terminal.screen().replaceAll(/\s+/g, '')).toContain(
    `diskvdcisremovedfromtheVM(thefilestays:${added[1]})`,
  );
  terminal.type('n\r');
  expect((await terminal.done).code).toBe(10);
  expect(domainXml(vm)).toContain(added[1]);
  return {
    virsh: 'silently removes the disk from the VM, exit 0',
    kvmsnap: 'names the disk first, and asks on a terminal',
  };
});

for (const running of [false, true])
  hazard(
    17,
    `revert to a snapshot in the base while an overlay is in use, VM ${running ? 'running' : 'off'}`,
    async () => {
      const [raw, vm] = twins((name) => {
        const made = twoDisks(name, { boot: 'counter' });
        write(made, THEN);
        if (running) start(made);
        take(made, 's1');
        destroy(made);
        take(made, 'over', '--disk-only', '--diskspec', 'vdb,snapshot=no');
        tool('qemu-io', ['-f', 'qcow2', '-c', 'write -P 0x55 1M 64k', overlayOf(made)]);
        if (running) start(made);
        return made;
      });
      const { code } = revert(raw);
      const abandoned = !domainXml(raw).includes(overlayOf(raw));
      expect(byteIn(overlayOf(raw))).toBe(0x55);

      const { words } = await refusesAll(vm, 'revert', 'web-1', 's1');
      expect(domainXml(vm)).toContain(overlayOf(vm));
      return {
        virsh: abandoned
          ? `abandons the overlay and what is in it, exit ${code}`
          : `fails, exit ${code}, and leaves the VM ${stateAndReason(raw)}`,
        kvmsnap: `${words}, unless --force`,
      };
    },
  );

const overlayOf = (vm: Vm) => pathOf(vm).replace(/qcow2$/, 'over');

hazard(18, 'revert to a disk-only snapshot of a running VM', async () => {
  const [raw, vm] = twins((name) => {
    const made = twoDisks(name, { boot: 'counter' });
    start(made);
    take(made, 's1', '--disk-only');
    return made;
  });
  const { code } = revert(raw);
  if (code !== 0) {
    expect(state(raw)).toBe('running');
    const { words } = await refusesAll(vm, 'revert', 'web-1', 's1');
    return { virsh: `cannot, exit ${code}`, kvmsnap: words };
  }
  expect(state(raw)).toBe('shut off');
  const { stderr } = await succeed('revert', 'web-1', 's1');
  expect(stderr).toContain('note: the VM will be shut off afterwards');
  expect(state(vm)).toBe('shut off');
  return { virsh: 'silently leaves it shut off, exit 0', kvmsnap: 'says first how it ends' };
});

hazard(18, 'revert of a running VM to a snapshot of when it was off', async () => {
  const [raw, vm] = twins(movedOn);
  for (const one of [raw, vm]) start(one);
  const { code, stdout, stderr } = revert(raw);
  expect([code, `${stdout}${stderr}`.replace(/^Domain snapshot s1 reverted/, '').trim()]).toEqual([0, '']);
  expect(state(raw)).toBe('shut off');

  const terminal = await asked('revert', 'web-1', 's1');
  expect(terminal.screen()).toMatch(/will be stopped as if its power were cut/);
  terminal.type('n\r');
  expect([(await terminal.done).code, state(vm)]).toEqual([10, 'running']);
  return {
    virsh: 'silently cuts its power, exit 0',
    kvmsnap: 'says so first, and asks on a terminal',
  };
});

hazard(25, 'snapshot that is still being taken', async () => {
  const vm = twoDisks('web-1', { boot: 'counter' });
  start(vm);
  const { done } = await takeHalf(vm, 'half');
  try {
    expect(virsh('snapshot-info', '--domain', vm.uuid, '--snapshotname', 'half')).toMatch(/State: +running/);
    expect(tags(pathOf(vm))).toEqual([]);
    const { domains } = await document('list', 'list', 'web-1');
    expect(domains[0]?.snapshots).toMatchObject([{ name: 'half', underWay: true }]);
    for (const command of ['revert', 'delete'])
      expect(await fail(7, command, 'web-1', 'half')).toContain('is still being taken');
  } finally {
    continueQemu(vm);
  }
  await done;
  expect(tags(pathOf(vm)).map(({ name }) => name)).toEqual(['half']);
  return {
    virsh: 'lists it as if it were finished',
    kvmsnap: 'says so; no revert, delete or prune of it, exit 7',
  };
});

hazard(28, 'revert that loses what was written since', async () => {
  const [raw, vm] = twins(movedOn);
  expect(revert(raw)).toMatchObject({ code: 0, stderr: '' });
  expect(bytes(raw)).toEqual([THEN, THEN]);

  const before = facts(vm);
  const terminal = await asked('revert', 'web-1', 's1');
  expect(terminal.screen()).toMatch(/written since snapshot s1 .* will be lost/);
  terminal.type('n\r');
  expect((await terminal.done).code).toBe(10);
  expect(facts(vm)).toEqual(before);
  await succeed('revert', 'web-1', 's1', '--backup-name', 'kept');
  expect([bytes(vm), keeps(vm, 'kept', NOW)]).toEqual([[THEN, THEN], true]);
  return {
    virsh: 'silently loses it, exit 0',
    kvmsnap: 'says so, and asks on a terminal; --backup keeps it first',
  };
});

hazard(29, 'revert of a running VM', async () => {
  const [raw, vm] = twins((name) => {
    const made = twoDisks(name, { boot: 'counter' });
    start(made);
    take(made, 's1');
    writeAsGuest(made, NOW);
    return made;
  });
  const pids = [raw, vm].map(qemuPid);
  expect(revert(raw).code).toBe(0);
  const { stderr } = await succeed('revert', 'web-1', 's1');
  const anew = [raw, vm].map((one, n) => qemuPid(one) !== pids[n]);
  expect(anew).toEqual([anew[0], anew[0]]);
  expect(
    stderr.includes('QEMU will be restarted: consoles and displays disconnect, and the id of the VM changes'),
  ).toBe(anew[0]);
  return anew[0]
    ? { virsh: 'silently starts a new QEMU, exit 0', kvmsnap: 'says so first' }
    : { virsh: 'QEMU continues', kvmsnap: 'QEMU continues' };
});
