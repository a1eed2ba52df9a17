// The other half of the random worlds. A file of its own: another lab, beside the first. (Of one world there is no other half: vitest.config.ts.)
import { allCases } from '../lab/share.ts';
import { chooseSeed } from '../scene/random.ts';
import { testWorlds } from './worlds.ts';

const wished = process.env['KVMSNAP_WORLDS'];

if (wished) testWorlds(chooseSeed() + Math.ceil(Number(wished) / 2), Math.floor(Number(wished) / 2));
else testWorlds(151, allCases ? 150 : 50);
