// Half of the random worlds: the same in each run. With $KVMSNAP_WORLDS, the first half of these, from $KVMSNAP_SEED or a new seed on.
import { allCases } from '../lab/share.ts';
import { chooseSeed } from '../scene/random.ts';
import { testWorlds } from './worlds.ts';

const wished = process.env['KVMSNAP_WORLDS'];

if (wished) testWorlds(chooseSeed(), Math.ceil(Number(wished) / 2));
else testWorlds(1, allCases ? 150 : 50);
