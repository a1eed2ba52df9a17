// Pausing a guest for a moment, and all that can come between (`space --exact`).
import { expect, test } from 'vitest';
import type { Settings } from '../../src/run/context.ts';
import { flushImages } from '../../src/space/flush.ts';
import { loadVm } from '../../src/vm/load.ts';
import { Failure } from '../libvirt/fake-libvirt.ts';
import { fakeHost } from '../run/fake-host.ts';

const RUNNING = 'running (booted)';
const PAUSED = 'paused (user)';

const timed = (text: string, milliseconds: number) => `${text}\n\n(Time: ${milliseconds}.250 ms)\n\n`;

interface World {
  readonly state?: string;
  readonly control?: string;
  readonly suspend?: string | Failure;
  readonly resume?: string | Failure;
  /** The state that others put the VM into at the last moment. */
  readonly meanwhile?: string;
  readonly settings?: Partial<Settings>;
}

/** What came of it on a host where virsh does as it should, unless told. */
async function flush({
  state = RUNNING,
  control = 'ok',
  suspend = 'Domain suspended',
  resume = 'Domain resumed',
  meanwhile = state,
  settings = {},
}: World = {}) {
  const { libvirt, vm, notes, context } = fakeHost();
  vm.state = state;
  vm.control = control;
  const ctx = context(settings);
  const found = await loadVm(ctx, vm.name);
  const { intercept } = libvirt;
  const become = (next: string, said: string | Failure, milliseconds: number) => {
    if (said instanceof Failure) return said;
    vm.state = next;
    return timed(said, milliseconds);
  };
  libvirt.intercept = (command, process) => {
    if (command[0] === 'suspend') return become(PAUSED, suspend, 3);
    if (command[0] === 'resume') return become('running (unpaused)', resume, 1);
    return command[0] === 'domstate' ? timed(vm.state, 20) : intercept(command, process);
  };
  vm.state = meanwhile;
  const before = libvirt.processes.length;
  const outcome = await flushImages(ctx, found).catch((error: unknown) => ({ error }));
  const writes = libvirt.processes.slice(before).filter((args) => args.join(' ').includes('suspend'));
  return { outcome, notes, writes, state: vm.state, uuid: vm.uuid, now: ctx.clock.now() };
}

test('a running guest is paused and goes on, in one process of virsh', async () => {
  const { outcome, notes, writes, uuid, now } = await flush();
  expect(outcome).toBe(now);
  expect(writes).toHaveLength(1);
  expect(writes[0]).toEqual([
    '-t',
    expect.stringMatching(`suspend --domain ${uuid}; .*resume --domain ${uuid}; `),
  ]);
  // 3.25, 20.25 and 1.25 ms
  expect(notes).toEqual(['b-fix was paused for 25 ms so that QEMU could write all metadata']);
});

test.each([
  ['shut off (shutdown)', Number.POSITIVE_INFINITY, []],
  [PAUSED, Number.POSITIVE_INFINITY, ['note: b-fix is paused and stays so']],
  [
    'paused (I/O error)',
    null,
    ['note: b-fix is paused and stays so; QEMU may not have written all metadata to the images'],
  ],
  ['pmsuspended (unknown)', null, [expect.stringContaining('is pmsuspended and stays so')]],
])('one that is %s is left so', async (state, until, said) => {
  expect(await flush({ state })).toMatchObject({ outcome: until, notes: said, writes: [], state });
});

test('nor is anything done for a dry run, or while another job holds it', async () => {
  const dry = await flush({ settings: { dryRun: true } });
  expect(dry).toMatchObject({ outcome: null, writes: [] });
  const commands = `'suspend --domain ${dry.uuid}; resume --domain ${dry.uuid}'`;
  expect(dry.notes).toEqual([`would pause b-fix for a moment:\n  virsh ${commands}`]);
  const busy = await flush({ control: 'background job (0.1s)' });
  expect(busy).toMatchObject({ outcome: { error: { code: 'busy' } }, writes: [] });
});

test('left paused is an error with the command that fixes it', async () => {
  const { outcome, notes, uuid } = await flush({
    resume: new Failure('error: Failed to resume\nerror: no\n'),
  });
  expect(outcome).toMatchObject({
    error: {
      code: 'refused',
      message: 'b-fix was paused for --exact and is still paused: Failed to resume; no',
      command: `virsh resume --domain ${uuid}`,
    },
  });
  expect(notes).toEqual([]);
});

test('not paused at all is one too', async () => {
  const busy = 'error: Timed out during operation: cannot acquire state change lock (held by x)\n';
  const resume = new Failure('error: Requested operation is not valid: domain is already running\n');
  expect((await flush({ suspend: new Failure(busy), resume })).outcome).toMatchObject({
    error: { code: 'busy' },
  });
  expect((await flush({ suspend: new Failure('error: no\n'), resume })).outcome).toMatchObject({
    error: { code: 'refused', message: expect.stringContaining('cannot pause b-fix for --exact: no') },
  });
});

test('one that somebody else has paused just now is told of', async () => {
  const { notes, uuid } = await flush({ meanwhile: PAUSED });
  expect(notes).toEqual([
    expect.stringContaining('was paused for'),
    `warning: someone else paused b-fix just before, and now it runs. To pause it again:\n  virsh suspend --domain ${uuid}`,
  ]);
});
