// Names that virsh takes for something else, breaks at, or gives twice.
import { afterAll, afterEach, expect } from 'vitest';
import { kvmsnap } from '../lab/cli.ts';
import { pasteOk, tagCounts } from '../lab/evidence.ts';
import { tool, tryVirsh, virsh } from '../lab/lab.ts';
import { hasPatternIn, writePattern } from '../scene/disk.ts';
import { snapshotNames } from '../scene/snapshot.ts';
import { byteIn, bytes, succeed, take, twoDisks, write } from '../scene/steps.ts';
import { cleanUp, defineVm, destroy, pathOf, start, type Vm } from '../scene/vm.ts';
import { hazard } from './promise/promise.ts';
import { refusesAll } from './promise/refusing.ts';

afterEach(cleanUp);
afterAll(cleanUp);

function define(name: string, disks = 1): Vm {
  return defineVm({ name, boot: 'idle', disks: Array.from({ length: disks }, () => ({ size: '4M' })) });
}

const create = (word: string, name: string) =>
  tryVirsh('snapshot-create-as', '--domain', word, '--name', name);

hazard(1, "VM whose name is another's running id", async () => {
  const other = define('other');
  start(other);
  const id = virsh('domid', other.uuid).trim();
  const meant = define(id);
  expect(create(id, 'by-virsh').code).toBe(0);
  expect([snapshotNames(other), snapshotNames(meant)]).toEqual([['by-virsh'], []]);

  await succeed('create-as', id, 'ours');
  expect([tagCounts(other, 'ours'), tagCounts(meant, 'ours')]).toEqual([[0], [1]]);
  return { virsh: 'snapshots the other VM, exit 0', kvmsnap: 'snapshots the VM that was named' };
});

hazard(1, "VM whose name is another's UUID", async () => {
  const other = define('other');
  const meant = define(other.uuid);
  expect(create(other.uuid, 'by-virsh').code).toBe(0);
  expect([snapshotNames(other), snapshotNames(meant)]).toEqual([['by-virsh'], []]);

  await succeed('create-as', other.uuid, 'ours');
  expect([tagCounts(other, 'ours'), tagCounts(meant, 'ours')]).toEqual([[0], [1]]);
  return { virsh: 'snapshots the other VM, exit 0', kvmsnap: 'snapshots the VM that was named' };
});

for (const running of [false, true])
  hazard(4, `name of a tag not registered in libvirt, VM ${running ? 'running' : 'off'}`, async () => {
    const [twin, vm] = ['twin', 'web-1'].map((name) => {
      const made = define(name, 2);
      writePattern(pathOf(made, 1), 0x11, 4096, 4096);
      tool('qemu-img', ['snapshot', '-c', 'orphan', '--', pathOf(made, 1)]);
      writePattern(pathOf(made, 1), 0x22, 4096, 4096);
      if (running) start(made);
      return made;
    }) as [Vm, Vm];
    expect(create(twin.uuid, 'orphan').code).toBe(0);
    // while it runs, older versions overwrite the old one
    const overwrites = tagCounts(twin, 'orphan')[1] === 1;
    expect(hasPatternIn(pathOf(twin, 1), 'orphan', 0x22, 4096, 4096)).toBe(overwrites);

    const { words, refusal } = await refusesAll(vm, 'create-as', 'web-1', 'orphan');
    await succeed('create-as', 'web-1', 'other');
    expect(hasPatternIn(pathOf(vm, 1), 'orphan', 0x11, 4096, 4096)).toBe(true);
    if (running) destroy(vm);
    pasteOk(refusal.command);
    await succeed('create-as', 'web-1', 'orphan');
    expect(tagCounts(vm, 'orphan')).toEqual([1, 1]);
    return {
      virsh: overwrites ? 'overwrites the tag, exit 0' : 'makes a second tag of that name, exit 0',
      kvmsnap: `${words}; its advice works`,
    };
  });

hazard(5, 'name of more than 247 bytes', async () => {
  const long = 'x'.repeat(248);
  const [twin, vm] = [define('twin'), define('web-1')];
  expect(create(twin.uuid, long).code).toBe(1);
  expect([snapshotNames(twin), tagCounts(twin, long)]).toEqual([[], [1]]);

  const { words } = await refusesAll(vm, 'create-as', 'web-1', long);
  return { virsh: 'fails, exit 1, and leaves a tag that no command shows', kvmsnap: words };
});

hazard(6, 'name with a space, VM running', async () => {
  const [twin, vm] = [define('twin'), define('web-1')];
  for (const one of [twin, vm]) start(one);
  const { code, stderr } = create(twin.uuid, 'a b');
  if (code === 0) {
    await succeed('create-as', 'web-1', 'a b');
    expect([tagCounts(twin, 'a b'), tagCounts(vm, 'a b')]).toEqual([[1], [1]]);
    return { virsh: 'works', kvmsnap: 'works' };
  }
  expect(stderr).toContain("Invalid job ID 'internal-snapshot-save-a b'");
  const { words, refusal } = await refusesAll(vm, 'create-as', 'web-1', 'a b');
  expect(refusal.hint).toBe('use the name a-b');
  await succeed('create-as', 'web-1', 'a-b');
  return {
    virsh: `fails, exit ${code}: Invalid job ID`,
    kvmsnap: `${words}; proposes a name that works`,
  };
});

hazard(6, 'name with a backslash, VM running', async () => {
  const [twin, vm] = [define('twin'), define('web-1')];
  for (const one of [twin, vm]) start(one);
  const { code } = create(twin.uuid, 'a\\b');
  expect([snapshotNames(twin).length, tagCounts(twin, 'a\\b')]).toEqual([code === 0 ? 1 : 0, [0]]);

  const { words } = await refusesAll(vm, 'create-as', 'web-1', 'a\\b');
  await succeed('create-as', 'web-1', 'a-b');
  return {
    virsh: code === 0 ? 'reports one that no disk holds, exit 0' : `fails, exit ${code}: Invalid job ID`,
    kvmsnap: `${words}; proposes a name that works`,
  };
});

hazard(27, 'two scripts in the same second, no name given', async () => {
  const [twin, vm] = [define('twin', 2), define('web-1', 2)];
  const raw = [1, 2, 3, 4, 5, 6].map(() => tryVirsh('snapshot-create', '--domain', twin.uuid).code);
  expect(raw).toContain(1);

  const results = await Promise.all([1, 2, 3].map(() => kvmsnap(['create', '-q', 'web-1'])));
  expect(results.map(({ code }) => code)).toEqual([0, 0, 0]);
  const names = results.map(({ stdout }) => stdout.trimEnd());
  expect(snapshotNames(vm).sort()).toEqual([...new Set(names)].sort());
  expect(names.map((name) => tagCounts(vm, name))).toEqual([
    [1, 1],
    [1, 1],
    [1, 1],
  ]);
  return { virsh: 'the second fails, exit 1', kvmsnap: 'all are taken, under different names' };
});

hazard(27, 'scripts at once with the same name', async () => {
  const vm = define('web-1', 2);
  const results = await Promise.all([1, 2, 3].map(() => kvmsnap(['create-as', 'web-1', 's1'])));
  const codes = results.map(({ code }) => code);
  expect(codes.filter((code) => code === 0)).toHaveLength(1);
  expect(codes.filter((code) => code === 6 || code === 7)).toHaveLength(2);
  expect(tagCounts(vm, 's1')).toEqual([1, 1]);

  expect(create(vm.uuid, 's1').code).toBe(1);
  return { virsh: 'one takes it, exit 1 for the rest', kvmsnap: 'one takes it, exit 6 or 7 for the rest' };
});

hazard(31, 'name that is the id of another snapshot inside the image', async () => {
  const [twin, vm] = ['twin', 'web-1'].map((name) => {
    const made = twoDisks(name);
    write(made, 0x41);
    take(made, 'a');
    write(made, 0x11);
    take(made, '1');
    write(made, 0x22);
    return made;
  }) as [Vm, Vm];
  expect(tryVirsh('snapshot-revert', '--domain', twin.uuid, '--snapshotname', '1').code).toBe(0);
  expect(bytes(twin)).toEqual([0x41, 0x41]);

  const { words, refusal } = await refusesAll(vm, 'revert', 'web-1', '1');
  await refusesAll(vm, 'create-as', 'web-1', '2');
  pasteOk(refusal.command);
  expect(byteIn(`${pathOf(vm)}.1.copy`)).toBe(0x11);
  await succeed('delete', 'web-1', 'a');
  await succeed('revert', 'web-1', '1');
  expect(bytes(vm)).toEqual([0x11, 0x11]);
  return {
    virsh: 'reverts to the other one, exit 0',
    kvmsnap: `${words}; its advice works; it never gives such names`,
  };
});
