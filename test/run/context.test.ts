import { expect, test } from 'vitest';
import { systemContext } from '../../src/run/context.ts';

const SETTINGS = {
  connect: null,
  output: 'table',
  color: 'never',
  yes: false,
  dryRun: false,
  verbose: false,
  readonly: false,
  timeout: null,
  wait: 0,
  silent: false,
  metrics: null,
  hosts: null,
} as const;

test('a signal ends a sleep, and any later one before it begins, by its own failure', async () => {
  const { clock, interrupts } = systemContext(SETTINGS);
  const asleep = clock.sleep(3_600_000);
  interrupts.raise('SIGTERM');
  await expect(asleep).rejects.toBe(interrupts.pending);
  await expect(clock.sleep(3_600_000)).rejects.toMatchObject({ code: 'terminated' });
});

test('a sleep that nothing disturbs comes to its end', async () => {
  await expect(systemContext(SETTINGS).clock.sleep(1)).resolves.toBeUndefined();
});
