// The progress line of a write, by a clock of the test's own.
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import type { Context } from '../../../src/run/context.ts';
import { carryOut, type Write } from '../../../src/run/write.ts';
import { MiB } from '../../model.ts';
import { fakeHost } from '../fake-host.ts';

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

/** The lines that are drawn in so many milliseconds of a write. */
async function drawn(write: Partial<Write>, milliseconds: number): Promise<string[]> {
  const context = fakeHost().context();
  const lines: string[] = [];
  let end = () => {};
  const ctx: Context = {
    ...context,
    clock: { ...context.clock, now: () => Date.now() },
    terminal: {
      ...context.terminal,
      err: { isTerminal: true, columns: 80, color: 0, ascii: false },
      progress: (line) => lines.push(line),
    },
    virsh: {
      ...context.virsh,
      write: () =>
        new Promise((resolve) => {
          end = () => resolve({ stdout: '', stderr: '', exitCode: 0 });
        }),
    },
  };
  const done = carryOut(ctx, { command: [], label: 'saving', growing: null, ...write });
  await vi.advanceTimersByTimeAsync(milliseconds);
  end();
  expect(await done).toMatchObject({ kind: 'done' });
  return lines;
}

test('where libvirt tells how far it is, the line does; the last one clears it', async () => {
  let asked = 0;
  const progress = async () => ({ doneBytes: 100 * MiB * ++asked, totalBytes: 1024 * MiB });
  const lines = await drawn({ progress }, 2100);
  expect(lines.at(-1)).toBe('');
  expect(lines.at(-2)).toBe('2 s, 200 MiB of 1.0 GiB: saving');
  // a question is a process
  expect(asked).toBe(2);
});

test('what libvirt cannot tell, or fails to, is left out', async () => {
  expect((await drawn({ progress: async () => null }, 1100)).at(-2)).toBe('1 s: saving');
  const failing = async () => {
    throw new Error('libvirtd is gone');
  };
  expect((await drawn({ progress: failing }, 1100)).at(-2)).toBe('1 s: saving');
});
