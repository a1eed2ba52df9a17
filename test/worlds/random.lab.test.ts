// The other half of the random worlds, from a seed that is new in each run. A file of its own: another lab, beside the first.
import { test } from 'vitest';
import { chooseSeed } from '../lab/random.ts';
import { testWorlds } from './worlds.ts';

const wished = Number(process.env['KVMSNAP_WORLDS'] ?? 300);

if (wished > 1) testWorlds(chooseSeed() + Math.ceil(wished / 2), Math.floor(wished / 2));
else test.skip('only one world is wished for', () => undefined);
