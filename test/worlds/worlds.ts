// Random worlds: whatever kvmsnap does to one VM, no other VM sees its data change; each success is one by virsh and qemu-img;
// each refusal is of something that raw virsh fails at or damages.
import { expect, test } from 'vitest';
import { type Chance, chanceFrom, randomFrom } from '../scene/random.ts';
import { chooseAction } from './action.ts';
import { liveOn, write } from './history.ts';
import { type End, endOf, judge, misread } from './judge.ts';
import { run } from './run.ts';
import { openSession, type Session } from './session.ts';
import { look, type Memory, newMemory } from './sight.ts';
import { makeWorld, removeWorld, type World } from './world.ts';

const ACTIONS = 3;
/** After so many worlds in which something was wrong, the rest is left out. */
const ENOUGH = 5;

type Counts = Map<string, Record<End, number>>;

/** The worlds of these seeds, as a test. What is wrong is told with the seed that repeats it. */
export function testWorlds(seed: number, count: number): void {
  test(`${count} random worlds from seed ${seed} on`, { timeout: 60_000 + count * 20_000 }, async () => {
    console.log(`${count} worlds from seed ${seed} on`);
    const virsh = openSession();
    const counts: Counts = new Map();
    const wrong: string[] = [];
    for (let n = 0; n < count && wrong.length < ENOUGH; n++) {
      const found = await liveThrough(seed + n, virsh, counts);
      // at once, in case a long run is cut short
      for (const story of found) console.error(story);
      wrong.push(...found);
    }
    virsh.end();
    for (const [kind, ends] of [...counts].sort()) console.log(`${kind}: ${JSON.stringify(ends)}`);
    expect(wrong).toEqual([]);
    if (count > 10) expect(shareOfSuccess(counts)).toBeGreaterThanOrEqual(0.5);
  });
}

function shareOfSuccess(counts: Counts): number {
  const all = [...counts.values()];
  const total = all.flatMap((ends) => Object.values(ends)).reduce((sum, each) => sum + each, 0);
  return all.reduce((sum, { succeeded }) => sum + succeeded, 0) / total;
}

/** One world from its making to its end; what went wrong in it. */
async function liveThrough(seed: number, virsh: Session, counts: Counts): Promise<string[]> {
  const chance = chanceFrom(randomFrom(seed));
  let world = makeWorld(chance, virsh, seed % 1_000_000);
  const story = (what: string) =>
    `KVMSNAP_WORLDS=1 KVMSNAP_SEED=${seed} npm run test:lab -- test/worlds: ${what}\n  ${world.log.join('\n  ')}`;
  try {
    world = liveOn(chance, world);
    return (await actIn(world, chance, newMemory(), counts)).map(story);
  } catch (error) {
    return [story(String(error instanceof Error ? error.stack : error))];
  } finally {
    removeWorld(world);
  }
}

/** Some actions, and what guests write between them, until one is refused: what raw virsh does instead is tried on the world itself, which ends with that. */
async function actIn(world: World, chance: Chance, memory: Memory, counts: Counts): Promise<string[]> {
  let seen = look(world, memory);
  for (let n = 1; n <= ACTIONS; n++) {
    if (chance.of(40)) {
      write(chance, world, chance.pick(world.vms));
      seen = look(world, memory);
    }
    const action = chooseAction(chance, world, seen, n);
    const answer = chance.pick([true, true, true, false, null]);
    const { exitCode, message, said } = await run(action.args, answer, world.virsh);
    world.log.push(`kvmsnap ${action.args.join(' ')} (${answer}) # ${exitCode} ${message}`);
    const after = look(world, memory);
    const ends = counts.get(action.kind) ?? { succeeded: 0, refused: 0, declined: 0, other: 0 };
    counts.set(action.kind, ends);
    ends[endOf(action, exitCode)]++;
    const wrong = judge(world, action, exitCode, seen, after, memory);
    if (wrong.length > 0) return wrong.map((what) => `${what}\n  said: ${said}`);
    if (exitCode === 5) return [];
    seen = after;
  }
  return misread(seen, chance);
}
