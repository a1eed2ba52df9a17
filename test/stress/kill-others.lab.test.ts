// export, open, merge and create --together killed at any moment: no data is lost, and the next run or check fixes or names what is left.
// `npm run stress` does it in many rounds.
import { afterAll, expect, test } from 'vitest';
import { chooseSeed } from '../scene/random.ts';
import { cleanUp } from '../scene/vm.ts';
import { killOthers } from './kill-others.ts';

const ROUNDS = Math.ceil(Number(process.env['KVMSNAP_ROUNDS'] ?? 9) / 3);

afterAll(cleanUp);

test(`${ROUNDS} kills of export, open, merge and --together`, {
  timeout: 600_000 + ROUNDS * 60_000,
}, async () => {
  const seed = chooseSeed();
  console.info(`KVMSNAP_SEED=${seed}`);
  const rounds = await killOthers(ROUNDS, seed);
  console.info(rounds.map(({ title, left }) => `${title}: ${left}`).join('\n'));
  expect(rounds).toHaveLength(ROUNDS);
  expect(rounds.flatMap(({ title, wrong }) => wrong.map((what) => `${title}: ${what}`))).toEqual([]);
});
