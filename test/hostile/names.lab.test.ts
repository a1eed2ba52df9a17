// Ten thousand names that nobody would choose: through real virsh to the letter, and some of them all the way.
import fc from 'fast-check';
import { afterAll, afterEach, expect, test } from 'vitest';
import { packBatches, splitAnswers } from '../../src/libvirt/batch.ts';
import { nameProblem } from '../../src/model/names.ts';
import { anyName } from '../any-name.ts';
import { kvmsnap } from '../lab/cli.ts';
import { tryTool } from '../lab/lab.ts';
import { chooseSeed } from '../scene/random.ts';
import { snapshotNames } from '../scene/snapshot.ts';
import { fitting, tagNames, take, twoDisks, write } from '../scene/steps.ts';
import { cleanUp } from '../scene/vm.ts';
import { badEnding, runsOr } from './bad-ending.ts';

const NAMES = 10_000;
const NONCE = 'nonce';

const seed = chooseSeed();

afterEach(cleanUp);
afterAll(cleanUp);

test(`${NAMES} names reach virsh as they are, and come back as they are`, () => {
  const names = fc.sample(anyName, { numRuns: NAMES, seed });
  // an x before it, for `echo` has options of its own
  const batches = packBatches(
    names.map((name) => ['echo', `x${name}`]),
    NONCE,
  );
  const answers = batches.flatMap((batch) =>
    splitAnswers(tryTool('virsh', [batch.script]).stdout, batch, NONCE),
  );
  const wrong = names.filter((name, i) => answers[i] !== `x${name}`);
  expect({ KVMSNAP_SEED: seed, wrong }).toEqual({ KVMSNAP_SEED: seed, wrong: [] });
});

test('a name by chance is refused as usage, or taken, listed, reverted to and deleted', async () => {
  const vm = twoDisks('names');
  write(vm, 0x11);
  const names = fc.sample(anyName, { numRuns: runsOr(6), seed });
  for (const given of names) {
    // virsh puts it into XML, and leaves out what that cannot hold
    const name = given.replace(/\p{Cc}/gu, (control) =>
      control < ' ' && !'\t\n'.includes(control) ? '' : control,
    );
    if (name === '') continue;
    const problem = nameProblem(name);
    const told = async (...args: string[]) => {
      const result = await kvmsnap(args);
      expect({ name, args, wrong: badEnding(result) }).toEqual({ name, args, wrong: [] });
      return result;
    };
    const created = await told('create-as', '--json', '--', 'names', name);
    if (problem !== null) {
      expect({ name, code: created.code }).toEqual({ name, code: 2 });
      // the names that others have given must do all the same
      // (qemu-img does not print noncharacters)
      if (/^\.|\/|\p{Noncharacter_Code_Point}/u.test(name) || Buffer.byteLength(name) > 240) continue;
      take(vm, name);
    } else expect({ name, code: created.code, stderr: created.stderr }).toMatchObject({ name, code: 0 });
    const { domains } = fitting('list', JSON.parse((await told('list', 'names', '--json')).stdout));
    expect(domains[0]?.snapshots.map((snapshot) => snapshot.name)).toEqual([name]);
    expect(tagNames(vm)).toEqual([[name], [name]]);
    for (const verb of ['revert', 'delete']) {
      const { code, stderr } = await told(verb, '--', 'names', name);
      expect({ KVMSNAP_SEED: seed, name, verb, code, stderr }).toMatchObject({ code: 0 });
    }
    expect([snapshotNames(vm), tagNames(vm)]).toEqual([[], [[], []]]);
  }
});
