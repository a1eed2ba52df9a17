// The other half of the random worlds. A file of its own: another lab, beside the first.
import { test } from 'vitest';
import { chooseSeed } from '../lab/random.ts';
import { testWorlds } from './worlds.ts';

const wished = Number(process.env['KVMSNAP_WORLDS'] ?? 0);

if (wished > 1) testWorlds(chooseSeed() + Math.ceil(wished / 2), Math.floor(wished / 2));
else if (wished === 1) test.skip('only one world is wished for', () => undefined);
else testWorlds(151, 150);
