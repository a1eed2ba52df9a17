import { describe, expect, test } from 'vitest';
import { KvmsnapError } from '../../src/errors.ts';
import { createInterrupts } from '../../src/host/interrupts.ts';

function interrupts() {
  const notes: string[] = [];
  const made = createInterrupts((line) => notes.push(line));
  return { made, stop: made.stop, notes };
}

/** A write that is under way until it is ended. */
function writing({ made }: ReturnType<typeof interrupts>) {
  let end: (result: string) => void = () => undefined;
  const result = made.protect('the snapshot s1', () => new Promise<string>((resolve) => (end = resolve)));
  return { result, end: (value: string) => end(value) };
}

const SIGNALS = [
  ['SIGINT', 'interrupted', 130],
  ['SIGTERM', 'terminated', 143],
  ['SIGHUP', 'hung-up', 129],
] as const;

describe.each(SIGNALS)('%s', (signal, code, exitCode) => {
  test('ends a read at once', () => {
    const run = interrupts();
    run.made.raise(signal);
    expect(run.stop.aborted).toBe(true);
    expect(run.stop.reason).toMatchObject({ code, exitCode, message: `ended by ${signal}`, hint: undefined });
    expect(run.made.pending).toBe(run.stop.reason);
    expect(run.notes).toEqual([]);
  });

  test('waits for the true end of a write, says so, and then nothing more is written', async () => {
    const run = interrupts();
    const write = writing(run);
    run.made.raise(signal);
    expect(run.stop.aborted).toBe(false);
    expect(run.notes).toEqual([expect.stringMatching(new RegExp(`^${signal}: libvirt cannot cancel this`))]);
    write.end('done');
    expect(await write.result).toBe('done');
    expect(run.made.pending).toMatchObject({ code, exitCode });
    await expect(run.made.protect('more', async () => 'done')).rejects.toBe(run.made.pending);
  });

  test('a second time stops waiting, and says what libvirtd carries on with', () => {
    const run = interrupts();
    writing(run);
    run.made.raise('SIGINT');
    run.made.raise(signal);
    expect(run.stop.reason).toMatchObject({
      code,
      message: `ended by ${signal}; kvmsnap stopped waiting, but libvirtd continues with the snapshot s1`,
      hint: expect.stringMatching(/kvmsnap list/),
    });
    expect(run.notes).toHaveLength(1);
  });

  test('after a write ends at once again', async () => {
    const run = interrupts();
    const write = writing(run);
    write.end('done');
    await write.result;
    run.made.raise(signal);
    expect(run.stop.reason).toMatchObject({ code, message: `ended by ${signal}` });
  });
});

describe('the time limit', () => {
  test('ends a read', () => {
    const run = interrupts();
    run.made.expire(30);
    expect(run.stop.reason).toMatchObject({
      code: 'timed-out',
      exitCode: 124,
      message: 'timed out after 30 s',
    });
  });

  test('does not wait for a write', () => {
    const run = interrupts();
    writing(run);
    run.made.expire(30);
    expect(run.stop.reason).toMatchObject({
      code: 'timed-out',
      message: 'timed out after 30 s; kvmsnap stopped waiting, but libvirtd continues with the snapshot s1',
    });
  });

  test('after a signal: the run ends by the limit', () => {
    const run = interrupts();
    writing(run);
    run.made.raise('SIGTERM');
    run.made.expire(30);
    expect(run.stop.reason).toMatchObject({ code: 'timed-out' });
    expect(run.made.pending).toBe(run.stop.reason);
  });
});

describe('what was thrown, explained', () => {
  const failure = new KvmsnapError('refused', 'it failed', { hint: 'h', command: 'c' });

  test('is itself where nothing came', () => {
    expect(interrupts().made.explain(failure)).toBe(failure);
  });

  test('after a signal is told with it, and ends by it', () => {
    const { made } = interrupts();
    made.raise('SIGINT');
    expect(made.explain(failure)).toMatchObject({
      code: 'interrupted',
      message: 'ended by SIGINT; it failed',
      hint: 'h',
      command: 'c',
      cause: failure,
    });
  });

  test('is itself where it is the end already, or a bug', () => {
    const { made } = interrupts();
    made.raise('SIGINT');
    const bug = new TypeError('x');
    expect(made.explain(made.pending)).toBe(made.pending);
    expect(made.explain(bug)).toBe(bug);
  });
});

describe('a write', () => {
  test('that fails fails, and is over', async () => {
    const run = interrupts();
    const failure = new KvmsnapError('refused', 'no');
    await expect(run.made.protect('x', () => Promise.reject(failure))).rejects.toBe(failure);
    expect(run.made.abandoned).toBeNull();
    run.made.raise('SIGINT');
    expect(run.stop.reason).toMatchObject({ message: 'ended by SIGINT' });
  });

  test('is undisturbed where nothing comes', async () => {
    const run = interrupts();
    expect(await run.made.protect('x', async () => 7)).toBe(7);
    expect([run.made.pending, run.stop.aborted]).toEqual([null, false]);
  });

  test('that a bug of ours has cut off is said to continue', async () => {
    const run = interrupts();
    await expect(run.made.protect('the revert', () => Promise.reject(new TypeError('x')))).rejects.toThrow();
    expect(run.made.abandoned).toMatch(
      /^libvirtd continues with the revert\. Until it has finished, the VM may be paused\./,
    );
  });
});
