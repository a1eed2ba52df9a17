import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { kvmsnap } from './lab/cli.ts';
import { waitFor } from './lab/lab.ts';
import { MARK_ADDRESS } from './scene/boot.ts';
import { checkImage, hasPattern, tags, writePattern } from './scene/disk.ts';
import { currentSnapshot, snapshotNames } from './scene/snapshot.ts';
import { cleanUp, defineVm, destroy, guestWord, pathOf, start, state, type Vm } from './scene/vm.ts';

/**
 * The tutorial that kvmsnap makes obsolete, step by step with its slips, on a real VM: KVM snapshots with virsh
 * (create, list, qemu-img info, create-as, current, with a running VM, revert, delete).
 */
describe('the tutorial, followed with kvmsnap', () => {
  const MIB = 1024 * 1024;
  const BEFORE = 0x11;
  const AFTER = 0x22;
  let vm: Vm;
  let disk: string;
  let automatic: string;
  let counted: number;

  beforeAll(() => {
    vm = defineVm({ name: 'centos7-1', boot: 'counter' });
    disk = pathOf(vm);
    writePattern(disk, BEFORE, 8 * MIB, MIB);
  });
  afterAll(cleanUp);

  it('creates a snapshot whose name is given', async () => {
    const { code, stdout } = await kvmsnap(['create', 'centos7-1', '-q']);
    automatic = stdout.trim();
    expect([code, automatic]).toEqual([0, expect.stringMatching(/^\d{10}$/)]);
    expect(snapshotNames(vm)).toEqual([automatic]);
    expect(tags(disk).map(({ name }) => name)).toEqual([automatic]);
  });

  it('answers for the disk file that the tutorial takes for the VM', async () => {
    const { code, stdout, stderr } = await kvmsnap(['list', 'centos7-1.qcow2']);
    expect([code, stdout]).toEqual([4, '']);
    expect(stderr).toContain('did you mean centos7-1?');
  });

  it('lists it, without a size of memory where virsh has 0', async () => {
    const listed = await kvmsnap(['list', 'centos7-1']);
    expect(listed.code).toBe(0);
    expect(listed.stdout).toMatch(
      new RegExp(`^\\*  ${automatic}  \\S+  shut off  internal  +-  -  +-$`, 'm'),
    );
    const shown = await kvmsnap(['info', 'centos7-1']);
    expect(shown.stdout).toMatch(new RegExp(`^vda +1 +${automatic} +\\S+ +-$`, 'm'));
  });

  it('creates a second one under a name of its own', async () => {
    writePattern(disk, AFTER, 8 * MIB, MIB);
    const { code, stdout } = await kvmsnap(['create-as', 'centos7-1', 'snapshot-2', '-q']);
    expect([code, stdout]).toEqual([0, 'snapshot-2\n']);
    expect(snapshotNames(vm).sort()).toEqual([automatic, 'snapshot-2'].sort());
    expect((await kvmsnap(['current', 'centos7-1'])).stdout).toBe('snapshot-2\n');
  });

  it('takes one of the running VM, with its memory', async () => {
    start(vm);
    await waitFor(() => guestWord(vm, MARK_ADDRESS) > 5, { what: 'the guest counts' });
    const { code, stdout } = await kvmsnap(['create-as', 'centos7-1', 'running-3', '--json']);
    expect(code).toBe(0);
    const [{ snapshot }] = JSON.parse(stdout).domains;
    expect(snapshot).toMatchObject({
      name: 'running-3',
      state: 'running',
      parent: 'snapshot-2',
      current: true,
    });
    expect(tags(disk).find(({ name }) => name === 'running-3')?.vmStateSize).toBe(snapshot.vmStateBytes);
    expect(snapshot.vmStateBytes).toBeGreaterThan(100_000);
    expect(state(vm)).toBe('running');
    counted = guestWord(vm, MARK_ADDRESS);
  });

  it('brings the memory back on a revert', async () => {
    await waitFor(() => guestWord(vm, MARK_ADDRESS) > counted + 120, { what: 'the guest counts on' });
    const { code } = await kvmsnap(['revert', 'centos7-1', 'running-3']);
    expect(code).toBe(0);
    expect(state(vm)).toBe('running');
    expect(guestWord(vm, MARK_ADDRESS)).toBeLessThan(counted + 120);
    destroy(vm);
  });

  it('names what the slips of the tutorial meant', async () => {
    const vmSlip = await kvmsnap(['revert', 'cetos7-1', automatic]);
    expect([vmSlip.code, vmSlip.stderr]).toEqual([4, expect.stringContaining('did you mean centos7-1?')]);
    const commandSlip = await kvmsnap(['snapshot-delet', 'centos7-1', automatic]);
    expect([commandSlip.code, commandSlip.stderr]).toEqual([
      2,
      expect.stringMatching(new RegExp(`did you mean.*kvmsnap delete centos7-1 ${automatic}\n`, 's')),
    ]);
    expect(snapshotNames(vm)).toHaveLength(3);
  });

  it('reverts to the first one: its data are on the disk again', async () => {
    expect(hasPattern(disk, AFTER, 8 * MIB, MIB)).toBe(true);
    const { code } = await kvmsnap(['revert', 'centos7-1', automatic]);
    expect(code).toBe(0);
    expect(hasPattern(disk, BEFORE, 8 * MIB, MIB)).toBe(true);
    expect([currentSnapshot(vm), state(vm)]).toEqual([automatic, 'shut off']);
  });

  it('deletes it, and nothing else', async () => {
    const { code, stdout } = await kvmsnap(['delete', 'centos7-1', automatic, '-q']);
    expect([code, stdout]).toEqual([0, `${automatic}\n`]);
    expect(snapshotNames(vm).sort()).toEqual(['running-3', 'snapshot-2']);
    expect(tags(disk).map(({ name }) => name)).toEqual(['snapshot-2', 'running-3']);
    expect(hasPattern(disk, BEFORE, 8 * MIB, MIB)).toBe(true);
    expect(checkImage(disk).clean).toBe(true);
  });
});
