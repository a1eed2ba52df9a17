// Random worlds: whatever kvmsnap does to one VM, no other VM sees its data change; each success is one by virsh and qemu-img;
// each refusal is of something that raw virsh fails at or damages. $KVMSNAP_WORLDS worlds from $KVMSNAP_SEED on.
import { afterAll, expect, test } from 'vitest';
import { tryVirsh } from '../lab/lab.ts';
import { chooseSeed, randomFrom } from '../lab/random.ts';
import { type Action, chooseAction } from './action.ts';
import { type Run, run } from './run.ts';
import { look, type Memory, newMemory, type Seen, unsound } from './sight.ts';
import { chanceFrom, makeWorld, removeWorld, type World, writeAnew } from './world.ts';

const WORLDS = Number(process.env['KVMSNAP_WORLDS'] ?? 40);
const ACTIONS = 3;
// by itself always the same worlds: a run over many others is for `npm run worlds`
const seed = process.env['KVMSNAP_WORLDS'] ? chooseSeed() : 1;

/** How each kind of action ended. */
const ends = new Map<string, { succeeded: number; refused: number; declined: number; other: number }>();

afterAll(() => {
  for (const [kind, counts] of [...ends].sort()) console.log(`${kind}: ${JSON.stringify(counts)}`);
});

test(`${WORLDS} random worlds from seed ${seed} on`, { timeout: 60_000 + WORLDS * 20_000 }, async () => {
  const wrong: string[] = [];
  for (let n = 0; n < WORLDS && wrong.length < 5; n++) wrong.push(...(await liveThrough(seed + n)));
  expect(wrong).toEqual([]);
  const counts = [...ends.values()];
  const sum = (key: 'succeeded' | 'refused') => counts.reduce((total, each) => total + each[key], 0);
  expect(sum('succeeded')).toBeGreaterThanOrEqual(sum('refused'));
});

/** One world from its making to its end; what went wrong in it. */
async function liveThrough(number: number): Promise<string[]> {
  const chance = chanceFrom(randomFrom(number));
  const memory = newMemory();
  const world = makeWorld(chance, number % 1_000_000);
  const story = (what: string) => `seed ${number}: ${what}\n  ${world.log.join('\n  ')}`;
  try {
    let seen = look(world, memory);
    for (let n = 1; n <= ACTIONS; n++) {
      const action = chooseAction(chance, world, seen, n);
      const answer = chance.pick([true, true, true, false, null]);
      const ended = await run(action.args, answer);
      world.log.push(`kvmsnap ${action.args.join(' ')} (${answer}) # ${ended.exitCode} ${ended.message}`);
      const after = look(world, memory);
      const wrong = applyRules(world, action, ended, seen, after, memory);
      if (wrong.length > 0) return wrong.map((what) => story(`${what}\n  said: ${ended.said}`));
      if (ended.exitCode === 5) return [];
      seen = after;
    }
    return [];
  } catch (error) {
    return [story(String(error instanceof Error ? error.stack : error))];
  } finally {
    removeWorld(world);
  }
}

function applyRules(
  world: World,
  action: Action,
  { exitCode }: Run,
  before: Seen,
  after: Seen,
  memory: Memory,
): string[] {
  const counts = ends.get(action.kind) ?? { succeeded: 0, refused: 0, declined: 0, other: 0 };
  ends.set(action.kind, counts);
  const [was, is] = [before, after].map((seen) => seen.get(action.vm.name));
  if (!was || !is) return ['the VM is gone'];
  const harm = [
    ...harmToOthers(action, before, after),
    ...unsound(after).map((path) => `${path} is damaged`),
  ];
  if (exitCode === 0) {
    counts.succeeded++;
    return [...harm, ...action.lies(was, is).map((lie) => `success, but ${lie}`)];
  }
  if (exitCode === 10) counts.declined++;
  else if (exitCode === 5 && action.kind !== 'check --fix') counts.refused++;
  else counts.other++;
  const touched = exitCode === 10 || exitCode === 5 || exitCode === 6 ? touchedBy(action, before, after) : [];
  const justified = exitCode === 5 && action.kind !== 'check --fix' ? unjustified(world, action, memory) : [];
  return [...harm, ...touched, ...justified];
}

/** What other VMs see changed. */
function harmToOthers({ vm }: Action, before: Seen, after: Seen): string[] {
  return [...before].flatMap(([name, was]) => {
    if (name === vm.name) return [];
    const { paths: _, ...now } = after.get(name) ?? { paths: {} };
    const { paths: __, ...then } = was;
    return JSON.stringify(now) === JSON.stringify(then)
      ? []
      : [`${name} sees a change: ${firstChange(then, now)}`];
  });
}

function firstChange(then: object, now: object): string {
  const [a, b] = [then, now] as Record<string, unknown>[];
  const key = Object.keys(then).find((each) => JSON.stringify(a?.[each]) !== JSON.stringify(b?.[each])) ?? '';
  return `${key} ${JSON.stringify(a?.[key])?.slice(0, 600)} -> ${JSON.stringify(b?.[key])?.slice(0, 600)}`;
}

/** A refused or declined action leaves its own VM as it was; a fix may have done a part. */
function touchedBy({ kind, vm }: Action, before: Seen, after: Seen): string[] {
  if (kind === 'check --fix' || kind === 'prune') return [];
  const [was, is] = [before.get(vm.name), after.get(vm.name)];
  return JSON.stringify(was) === JSON.stringify(is)
    ? []
    : [`refused, but ${firstChange(was ?? {}, is ?? {})}`];
}

/**
 * A refusal is justified where raw virsh fails, changes what others see, or calls a success what is none. The disks are
 * written to before, as their guest may do at any time: that two contents are equal by chance is no reason to refuse less.
 */
function unjustified(world: World, action: Action, memory: Memory): string[] {
  writeAnew(world, action.vm);
  const before = look(world, memory);
  const done = action.raw();
  const after = look(world, memory);
  const [was, is] = [before.get(action.vm.name), after.get(action.vm.name)];
  if (!done || !was || !is) return [];
  const damage = [
    ...harmToOthers(action, before, after),
    ...unsound(after),
    ...action.lies(was, is),
    ...(action.useless?.() ?? []),
    ...(startsNot(action) ? ['it does not start'] : []),
  ];
  world.log.push(`raw virsh then: exit 0, ${damage.join('; ') || 'no damage'}`);
  return damage.length > 0 ? [] : ['a refusal without a reason: raw virsh does it, and nothing is damaged'];
}

const startsNot = ({ vm: { uuid } }: Action): boolean =>
  tryVirsh('domstate', uuid).stdout.startsWith('shut off') && tryVirsh('start', '--paused', uuid).code !== 0;
