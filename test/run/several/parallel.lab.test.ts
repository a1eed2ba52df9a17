// Several at once on one VM (hazard 27): real processes, some of them raw virsh, begun at random moments.
// Each says what it made and what it deleted; the sum of their words must be what virsh and the images then show.
import { spawn } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, describe, expect, test } from 'vitest';
import { kvmsnap, spawnKvmsnap } from '../../lab/cli.ts';
import { tool, virsh, waitFor } from '../../lab/lab.ts';
import { share } from '../../lab/share.ts';
import { chooseSeed, randomFrom } from '../../scene/random.ts';
import { fullVm, holdSave, slowVirsh } from '../../scene/saving.ts';
import { snapshotNames } from '../../scene/snapshot.ts';
import { count, take } from '../../scene/steps.ts';
import { cleanUp, continueQemu, defineVm, destroy, pathOf, start, state, type Vm } from '../../scene/vm.ts';
import { halves, imageFlaws, settled } from '../../scene/whole.ts';

const ROUNDS = Number(process.env['KVMSNAP_ROUNDS'] ?? 1);
const seed = chooseSeed();
const random = randomFrom(seed);
/** Two runs that begin further apart than this rarely meet. */
const SPREAD_MILLISECONDS = 250;

afterEach(cleanUp);
afterAll(cleanUp);

/** What one of them says of itself. */
interface Word {
  readonly command: string;
  readonly code: number | null;
  readonly made: readonly string[];
  readonly deleted: readonly string[];
  readonly stderr: string;
}

type Actor = (vm: Vm) => Promise<Word>;

const ours =
  (...args: readonly string[]): Actor =>
  async ({ name }) => {
    const [command = '', ...rest] = args;
    const { code, stdout, stderr } = await kvmsnap([command, name, ...rest, '--json']);
    const [said] = stdout === '' ? [{}] : JSON.parse(stdout).domains;
    const pruned = said.pruned ?? said.snapshots ?? [];
    return {
      command: args.join(' '),
      code,
      made: said.snapshot ? [said.snapshot.name] : [],
      deleted: [
        ...(said.deleted ?? []),
        ...pruned.flatMap(({ name, outcome }: { name: string; outcome: string }) =>
          outcome === 'deleted' ? [name] : [],
        ),
      ],
      stderr,
    };
  };

/** The other administrator, who takes or deletes one with virsh. */
const raw =
  (command: 'snapshot-create-as' | 'snapshot-delete', name: string): Actor =>
  async ({ uuid }) => {
    const code = await new Promise<number | null>((resolve) => {
      spawn('virsh', [command, uuid, name], { stdio: 'ignore' }).on('close', resolve);
    });
    const names = code === 0 ? [name] : [];
    const creates = command === 'snapshot-create-as';
    return { command, code, made: creates ? names : [], deleted: creates ? [] : names, stderr: '' };
  };

interface Scenario {
  readonly what: string;
  readonly actors: readonly Actor[];
  /** The exit codes that they may end with, sorted, each set in a line. */
  readonly codes: readonly string[];
  /** Snapshots that are there before, oldest first. */
  readonly before?: readonly string[];
  /** What must be there afterwards beside what they say. */
  readonly stays?: readonly string[];
  readonly goes?: readonly string[];
}

/** By their names taken in the nights before. */
const OLD = ['x-20261101T030000Z', 'x-20261102T030000Z', 'x-20261103T030000Z', 'x-20261104T030000Z'] as const;
const [FIRST, SECOND, , NEWEST] = OLD;
const keepLast = (n: number) => ['--label', 'x', '--keep-last', String(n)];

const SCENARIOS: readonly Scenario[] = [
  { what: 'create, of itself named', actors: [ours('create'), ours('create')], codes: ['0 0'] },
  {
    what: 'create --label, and again, and again',
    actors: [1, 2, 3].map(() => ours('create', '--label', 'x')),
    codes: ['0 0 0'],
  },
  {
    what: 'create-as under one name: one takes it, the other exits 6',
    actors: [ours('create-as', 's1'), ours('create-as', 's1')],
    codes: ['0 6'],
    stays: ['s1'],
  },
  {
    what: 'create-as under two names, and virsh',
    actors: [ours('create-as', 's1'), ours('create-as', 's2'), raw('snapshot-create-as', 's3')],
    codes: ['0 0 0'],
    stays: ['s1', 's2', 's3'],
  },
  {
    what: 'create with a rule, and again: both of tonight stay',
    actors: [ours('create', ...keepLast(2)), ours('create', ...keepLast(2))],
    before: OLD,
    codes: ['0 0'],
    goes: OLD,
  },
  {
    what: 'create with a rule, and prune',
    actors: [ours('create', ...keepLast(2)), ours('prune', ...keepLast(2))],
    before: OLD,
    codes: ['0 0'],
    goes: [FIRST, SECOND],
  },
  {
    what: 'prune and prune: what is gone already is no failure',
    actors: [ours('prune', ...keepLast(2)), ours('prune', ...keepLast(1))],
    before: OLD,
    codes: ['0 0'],
    stays: [NEWEST],
    goes: OLD.slice(0, 3),
  },
  {
    what: 'prune, and virsh deletes one of them and takes another',
    actors: [
      ours('prune', ...keepLast(1)),
      raw('snapshot-delete', SECOND),
      raw('snapshot-create-as', 'by-hand'),
    ],
    before: OLD,
    codes: ['0 0 0', '0 0 1'],
    stays: [NEWEST, 'by-hand'],
    goes: OLD.slice(0, 3),
  },
  {
    what: 'delete and prune: gone before it was looked for is exit 4',
    actors: [ours('delete', SECOND), ours('prune', ...keepLast(1))],
    before: OLD,
    codes: ['0 0', '0 4'],
    stays: [NEWEST],
    goes: OLD.slice(0, 3),
  },
];

/** Lets them all loose, each some time after the first. */
function atOnce(vm: Vm, actors: readonly Actor[]): Promise<Word[]> {
  const offsets = actors.map(() => random() * SPREAD_MILLISECONDS);
  return Promise.all(actors.map((act, i) => sleep(offsets[i]).then(() => act(vm))));
}

/** A VM with two disks, for what is on one alone is half. */
function newVm(condition: string): Vm {
  const vm = defineVm({ name: 'web', disks: [{ size: '8M' }, { size: '8M' }], boot: 'counter' });
  if (condition === 'running') start(vm);
  return vm;
}

function removeSnapshots(vm: Vm): void {
  const commands = snapshotNames(vm).map((name) => `snapshot-delete ${vm.uuid} ${name}`);
  if (commands.length > 0) virsh(commands.join('; '));
}

describe.each(['shut off', 'running'])(`a VM that is %s (KVMSNAP_SEED=${seed})`, (condition) => {
  test.each(share(5, SCENARIOS))('$what', async ({ actors, codes, before = [], stays = [], goes = [] }) => {
    const vm = newVm(condition);
    for (let round = 1; round <= ROUNDS; round++) {
      for (const name of before) take(vm, name);
      const words = await atOnce(vm, actors);
      await settled(vm);
      const found = snapshotNames(vm);
      const deleted = words.flatMap((word) => word.deleted);
      const said = [...before, ...words.flatMap(({ made }) => made)].filter(
        (name) => !deleted.includes(name),
      );

      const seen = { round, words, state: state(vm), halves: halves(vm), found: [...found].sort() };
      expect(seen).toMatchObject({ round, state: condition, halves: [], found: said.sort() });
      expect(codes, JSON.stringify(seen)).toContain(
        words
          .map(({ code }) => code)
          .sort()
          .join(' '),
      );
      expect(found).toEqual(expect.arrayContaining([...stays]));
      expect(found.filter((name) => goes.includes(name))).toEqual([]);
      if (condition === 'running') {
        const ticks = count(vm);
        await waitFor(() => count(vm) > ticks, { what: 'a guest that goes on' });
      } else expect(imageFlaws(vm)).toEqual([]);
      removeSnapshots(vm);
    }
    destroy(vm);
    expect(imageFlaws(vm)).toEqual([]);
  });
});

describe('a VM that another job holds', () => {
  test('all that write exit 7, and do nothing by halves', async () => {
    const vm = await fullVm('web');
    for (const name of OLD) take(vm, name);
    const slow = slowVirsh('snapshot-create-as');
    const begunBefore = spawnKvmsnap(['create-as', 'web', 's1', '--json'], { env: slow.env });
    await slow.waits();
    const other = await holdSave(vm, () => ({ done: raw('snapshot-create-as', 'other')(vm) }));
    slow.goOn();
    const actors = [ours('create-as', 's2'), ours('delete', FIRST)];
    const pruning = kvmsnap(['prune', 'web', ...keepLast(2), '-o', 'csv']);
    const words = await Promise.all(actors.map((act) => act(vm)));
    for (const word of words) expect(word).toMatchObject({ code: 7, made: [], deleted: [] });
    const pruned = await pruning;
    expect(pruned.code).toBe(7);
    // it does not wait as long again for each
    expect(pruned.stdout.match(/(?<=,)(failed|not reached|kept|deleted)(?=,)/g)).toEqual([
      'failed',
      'not reached',
      'kept',
      'kept',
    ]);
    const { code, stderr } = await begunBefore.done;
    expect(code).toBe(7);
    // that the guest is paused and the image grows is the other job's doing
    expect(stderr).not.toMatch(/resume|resize/);

    continueQemu(vm);
    expect(await other.done).toMatchObject({ code: 0 });
    await settled(vm);
    expect([state(vm), snapshotNames(vm), halves(vm)]).toEqual(['running', ['other', ...OLD], []]);
  });
});

test('a snapshot that a disk has lost counts for no prune, and stays to be looked at', async () => {
  const vm = newVm('shut off');
  for (const name of [FIRST, SECOND]) take(vm, name);
  tool('qemu-img', ['snapshot', '-d', SECOND, pathOf(vm, 1)]);
  const { code, stdout } = await kvmsnap(['prune', 'web', ...keepLast(1), '-o', 'csv']);
  expect(stdout).toMatch(
    new RegExp(`^web,${FIRST},[^,]*,kept,last,\nweb,${SECOND},[^,]*,kept,not in every disk,\n`, 'm'),
  );
  expect([code, snapshotNames(vm)]).toEqual([0, [FIRST, SECOND]]);
});
