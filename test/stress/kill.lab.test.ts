// Killed at any moment: nothing half is left, and the next run succeeds. `npm run stress` does it in hundreds of rounds.
import { afterAll, expect, test } from 'vitest';
import { chooseSeed } from '../scene/random.ts';
import { cleanUp } from '../scene/vm.ts';
import { killRounds, killTable } from './kill.ts';

/** Every command with every signal once. */
const ROUNDS = Number(process.env['KVMSNAP_ROUNDS'] ?? 8);

afterAll(cleanUp);

test(`${ROUNDS} kills leave nothing wrong`, { timeout: 600_000 + ROUNDS * 30_000 }, async () => {
  const seed = chooseSeed();
  console.info(`KVMSNAP_SEED=${seed}`);
  const rounds = await killRounds(ROUNDS, seed);
  console.info(`\n${killTable(rounds)}\n`);
  expect(rounds).toHaveLength(ROUNDS);
  const wrong = rounds.flatMap(({ command, signal, atMilliseconds, wrong }) =>
    wrong.map((what) => `${command.what}, ${signal} after ${atMilliseconds} ms: ${what}`),
  );
  expect(wrong).toEqual([]);
});
