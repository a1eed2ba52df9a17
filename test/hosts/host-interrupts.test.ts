// Signals and the time limit in a run over hosts.
import { describe, expect, test } from 'vitest';
import { KvmsnapError } from '../../src/errors.ts';
import { createInterrupts } from '../../src/host/interrupts.ts';
import { HostAway } from '../../src/host/ssh/host-away.ts';
import { interruptsOfHost } from '../../src/hosts/host-interrupts.ts';

function two() {
  const base = createInterrupts(() => undefined);
  const [kvm1, kvm2] = ['kvm1', 'kvm2'].map((name) => interruptsOfHost(base, name, () => undefined));
  if (!kvm1 || !kvm2) throw new Error('two hosts');
  return { base, kvm1, kvm2 };
}

/** Until the part is to end. */
const endless = (signal: AbortSignal) =>
  new Promise<never>((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));

describe('the time limit of a host', () => {
  test('says what continues there, and leaves the other hosts alone', async () => {
    const { base, kvm1, kvm2 } = two();
    const writing = kvm1.protect('the snapshot s1', () => endless(kvm1.stop));
    kvm1.expire(60);
    await expect(writing).rejects.toMatchObject({
      code: 'timed-out',
      message: expect.stringContaining('libvirtd continues with the snapshot s1 on kvm1'),
    });
    expect([base.pending, kvm2.pending, kvm2.stop.aborted]).toEqual([null, null, false]);
    expect(kvm1.explain(null)).toMatchObject({ code: 'timed-out' });
    await expect(kvm1.protect('another', async () => 1)).rejects.toMatchObject({ code: 'timed-out' });
    await expect(kvm2.protect('another', async () => 1)).resolves.toBe(1);
  });
});

test('a second signal ends the waiting on all hosts, and names what continues', async () => {
  const { base, kvm1, kvm2 } = two();
  const writes = [kvm1, kvm2].map((host) => host.protect('the snapshot s1', () => endless(host.stop)));
  base.raise('SIGTERM');
  expect([kvm1.stop.aborted, kvm1.pending?.code]).toEqual([false, 'terminated']);
  base.raise('SIGTERM');
  for (const [i, write] of writes.entries())
    await expect(write).rejects.toMatchObject({
      code: 'terminated',
      message: expect.stringContaining(`the snapshot s1 on kvm${i + 1}`),
    });
});

describe('a host that goes away', () => {
  const away = () => new HostAway('unreachable', 'cannot reach the host kvm1');

  test('after a write was begun: it is unknown how that ended', async () => {
    const { kvm1 } = two();
    const writing = kvm1.protect('the snapshot s1', async () => {
      kvm1.noteWrite();
      throw away();
    });
    await expect(writing).rejects.toMatchObject({
      code: 'unreachable',
      message: 'it is unknown how the snapshot s1 on kvm1 ended: cannot reach the host kvm1',
    });
  });

  test('before anything was written, or with a failure of libvirt: the message is as it was', async () => {
    const { kvm1 } = two();
    const failures = [away(), new KvmsnapError('unreachable', 'access denied')];
    for (const [i, failure] of failures.entries()) {
      const writing = kvm1.protect('the snapshot s1', async () => {
        if (i === 1) kvm1.noteWrite();
        throw failure;
      });
      await expect(writing).rejects.toBe(failure);
    }
  });
});
