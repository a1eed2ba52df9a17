// Several at once on one machine (hazard 27): real processes, some of them raw virsh, begun at random moments.
// Each says what it made and what it deleted; the sum of their words must be what virsh and the images then show.
import { spawn } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, describe, expect, test } from 'vitest';
import { count, take } from '../lab/scene.ts';
import { kvmsnap, spawnKvmsnap } from '../lab/cli.ts';
import { tool, virsh, waitFor } from '../lab/lab.ts';
import {
  cleanUp,
  continueQemu,
  defineMachine,
  destroy,
  type Machine,
  pathOf,
  start,
  state,
} from '../lab/machine.ts';
import { chooseSeed, randomFrom } from '../lab/random.ts';
import { fullMachine, holdSave, slowVirsh } from '../lab/saving.ts';
import { snapshotNames } from '../lab/snapshot.ts';
import { halves, imageFlaws, settled } from '../lab/whole.ts';

const ROUNDS = Number(process.env['KVMSNAP_ROUNDS'] ?? 2);
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

type Actor = (machine: Machine) => Promise<Word>;

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
function atOnce(machine: Machine, actors: readonly Actor[]): Promise<Word[]> {
  const offsets = actors.map(() => random() * SPREAD_MILLISECONDS);
  return Promise.all(actors.map((act, i) => sleep(offsets[i]).then(() => act(machine))));
}

/** A machine with two disks, for what is on one alone is half. */
function newMachine(condition: string): Machine {
  const machine = defineMachine({ name: 'web', disks: [{ size: '8M' }, { size: '8M' }], boot: 'counter' });
  if (condition === 'running') start(machine);
  return machine;
}

function removeSnapshots(machine: Machine): void {
  const commands = snapshotNames(machine).map((name) => `snapshot-delete ${machine.uuid} ${name}`);
  if (commands.length > 0) virsh(commands.join('; '));
}

describe.each(['shut off', 'running'])(`a machine that is %s (KVMSNAP_SEED=${seed})`, (condition) => {
  test.each(SCENARIOS)('$what', async ({ actors, codes, before = [], stays = [], goes = [] }) => {
    const machine = newMachine(condition);
    for (let round = 1; round <= ROUNDS; round++) {
      for (const name of before) take(machine, name);
      const words = await atOnce(machine, actors);
      await settled(machine);
      const found = snapshotNames(machine);
      const deleted = words.flatMap((word) => word.deleted);
      const said = [...before, ...words.flatMap(({ made }) => made)].filter(
        (name) => !deleted.includes(name),
      );

      const seen = { round, words, state: state(machine), halves: halves(machine), found: [...found].sort() };
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
        const ticks = count(machine);
        await waitFor(() => count(machine) > ticks, { what: 'a guest that goes on' });
      } else expect(imageFlaws(machine)).toEqual([]);
      removeSnapshots(machine);
    }
    destroy(machine);
    expect(imageFlaws(machine)).toEqual([]);
  });
});

describe('a machine that another job holds', () => {
  test('all that write exit 7, and do nothing by halves', async () => {
    const machine = await fullMachine('web');
    for (const name of OLD) take(machine, name);
    const slow = slowVirsh('snapshot-create-as');
    const begunBefore = spawnKvmsnap(['create-as', 'web', 's1', '--json'], { env: slow.env });
    await slow.waits();
    const other = await holdSave(machine, () => ({ done: raw('snapshot-create-as', 'other')(machine) }));
    slow.goOn();
    const actors = [ours('create-as', 's2'), ours('delete', FIRST)];
    const pruning = kvmsnap(['prune', 'web', ...keepLast(2), '-o', 'csv']);
    const words = await Promise.all(actors.map((act) => act(machine)));
    for (const word of words) expect(word).toMatchObject({ code: 7, made: [], deleted: [] });
    const pruned = await pruning;
    expect(pruned.code).toBe(7);
    // it does not wait as long again for each
    expect(pruned.stdout.match(/failed|not reached|kept|deleted/g)).toEqual([
      'failed',
      'not reached',
      'kept',
      'kept',
    ]);
    const { code, stderr } = await begunBefore.done;
    expect(code).toBe(7);
    // that the guest is paused and the image grows is the other job's doing
    expect(stderr).not.toMatch(/resume|resize/);

    continueQemu(machine);
    expect(await other.done).toMatchObject({ code: 0 });
    await settled(machine);
    expect([state(machine), snapshotNames(machine), halves(machine)]).toEqual([
      'running',
      ['other', ...OLD],
      [],
    ]);
  });
});

test('a snapshot that a disk has lost counts for no prune, and stays to be looked at', async () => {
  const machine = newMachine('shut off');
  for (const name of [FIRST, SECOND]) take(machine, name);
  tool('qemu-img', ['snapshot', '-d', SECOND, pathOf(machine, 1)]);
  const { code, stdout } = await kvmsnap(['prune', 'web', ...keepLast(1), '-o', 'csv']);
  expect(stdout).toMatch(
    new RegExp(`^web,${FIRST},[^,]*,kept,last\nweb,${SECOND},[^,]*,kept,not in every disk\n`, 'm'),
  );
  expect([code, snapshotNames(machine)]).toEqual([0, [FIRST, SECOND]]);
});
