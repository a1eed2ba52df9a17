// revert --group, when something goes wrong after the first VM was reverted: nothing can undo that, so what is said must be exact.
import { afterEach, expect, test } from 'vitest';
import { kvmsnap, spawnKvmsnap } from '../lab/cli.ts';
import { paste } from '../lab/evidence.ts';
import { errorDocument } from '../lab/failure.ts';
import { tool, waitFor } from '../lab/lab.ts';
import { removeMounts, replaceCommand } from '../scene/mount.ts';
import { slowVirsh } from '../scene/saving.ts';
import { bytes, fail, fitting, NOW, succeed, THEN, takeHalf, write } from '../scene/steps.ts';
import { cleanUp, continueQemu, defineVm, pathOf, start, state, type Vm } from '../scene/vm.ts';

afterEach(async () => {
  removeMounts();
  await cleanUp();
});

/** Three VMs that are off, with the group `s1` of THEN, and NOW on their disks. */
async function group(): Promise<[Vm, Vm, Vm]> {
  const vms = ['app', 'db', 'web'].map((name) => defineVm({ name, disks: [{ size: '4M' }] }));
  for (const vm of vms) write(vm, THEN);
  await succeed('create-as', 'app', 's1', '--vm', 'db', '--vm', 'web', '--together');
  for (const vm of vms) write(vm, NOW);
  return vms as [Vm, Vm, Vm];
}

const REVERT = ['revert', '--group', 's1', '--yes'];

test('a revert that fails: which VMs are reverted and which are not, and the command that goes on', async () => {
  const vms = await group();
  replaceCommand(
    '/usr/bin/virsh',
    (original) =>
      `#!/bin/sh\ncase "$*" in *snapshot-revert*${vms[1].uuid}*) echo 'error: none today' >&2; exit 1 ;; esac\nexec '${original}' "$@"\n`,
  );
  const result = await kvmsnap([...REVERT, '--json']);
  expect([result.code, vms.map(bytes)]).toEqual([3, [[THEN], [NOW], [NOW]]]);
  expect(fitting('revert-group', JSON.parse(result.stdout))).toMatchObject({
    reverted: [{ domain: { name: 'app' } }],
    notReverted: [{ name: 'db' }, { name: 'web' }],
  });
  const { message, findings } = errorDocument(result);
  expect(message).toMatch(
    /^only app was reverted; web was not touched; the revert of db to s1 failed.*none today/,
  );
  const [line = ''] = findings.at(-1)?.commands ?? [];
  expect(line).toBe('kvmsnap revert --group s1');
  removeMounts();
  expect(paste(`${line} --yes`).code).toBe(0);
  expect(vms.map(bytes)).toEqual([[THEN], [THEN], [THEN]]);
});

test('a VM that is busy before the first revert: nothing is touched, exit 7; with --wait all are reverted', async () => {
  const vms = ['app', 'db'].map((name) => defineVm({ name, disks: [{ size: '4M' }] })) as [Vm, Vm];
  for (const vm of vms) write(vm, THEN);
  await succeed('create-as', 'app', 's1', '--vm', 'db', '--together');
  for (const vm of vms) write(vm, NOW);
  const [app, db] = vms;
  start(db);
  const { done } = await takeHalf(db, 'other');
  expect(await fail(7, ...REVERT)).toContain('no VM was reverted: ');
  expect(bytes(app)).toEqual([NOW]);
  const run = spawnKvmsnap([...REVERT, '--wait', '2min', '--force']);
  await new Promise((resolve) => setTimeout(resolve, 3000));
  expect(bytes(app)).toEqual([NOW]);
  continueQemu(db);
  await done;
  const { code, stderr } = await run.done;
  expect(code, stderr).toBe(0);
  expect([vms.map(bytes), state(db)]).toEqual([[[THEN], [THEN]], 'shut off']);
});

test('a VM that is changed while another is reverted: it is looked at again, and not touched', async () => {
  const vms = await group();
  const gate = slowVirsh('snapshot-revert');
  const run = spawnKvmsnap(REVERT, { env: gate.env });
  await gate.waits();
  tool('qemu-img', ['snapshot', '-d', 's1', pathOf(vms[1])]);
  gate.goOn();
  const { code, stderr } = await run.done;
  expect([code, vms.map(bytes)]).toEqual([3, [[THEN], [NOW], [NOW]]]);
  expect(stderr).toContain('only app was reverted; db, web were not touched; cannot revert db to s1: ');
  // from the beginning, all that prevents it is told, and nothing is done
  write(vms[0], NOW);
  tool('qemu-img', ['snapshot', '-d', 's1', pathOf(vms[2])]);
  const said = await fail(5, ...REVERT);
  for (const name of ['db', 'web']) expect(said).toContain(`cannot revert ${name} to s1`);
  expect(vms.map(bytes)).toEqual([[NOW], [NOW], [NOW]]);
});

test('SIGTERM: the VM under way is reverted, and those after it are not touched', async () => {
  const vms = await group();
  const gate = slowVirsh('snapshot-revert');
  const run = spawnKvmsnap(REVERT, { env: gate.env });
  await gate.waits();
  run.kill('SIGTERM');
  await waitFor(() => run.stderr.includes('SIGTERM: libvirt cannot cancel'), {
    what: 'a word on the signal',
  });
  gate.goOn();
  const { code, stderr } = await run.done;
  expect([code, vms.map(bytes)]).toEqual([143, [[THEN], [NOW], [NOW]]]);
  expect(stderr).toContain('only app was reverted; db, web were not touched; ended by SIGTERM');
  expect(stderr).toContain('kvmsnap revert --group s1');
});
