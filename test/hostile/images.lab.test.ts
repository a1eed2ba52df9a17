// Images that are cut, or whose header and tables are not what they were: every command says so, or does what it says.
import { closeSync, copyFileSync, openSync, readSync, truncateSync, writeSync } from 'node:fs';
import { afterAll, afterEach, expect, test } from 'vitest';
import type { CliResult } from '../lab/cli.ts';
import { tryTool } from '../lab/lab.ts';
import { chooseSeed, randomFrom } from '../scene/random.ts';
import { snapshotNames } from '../scene/snapshot.ts';
import { take, write } from '../scene/steps.ts';
import { cleanUp, defineVm, pathOf, type Vm } from '../scene/vm.ts';
import { badEnding, runSmall, runsOr } from './bad-ending.ts';

afterEach(cleanUp);
afterAll(cleanUp);

/** Fields of the header (docs/interop/qcow2.rst): offset, bytes. */
const FIELDS = {
  magic: [0, 4],
  version: [4, 4],
  'offset of the name of the backing file': [8, 8],
  'size of the name of the backing file': [16, 4],
  'bits of a cluster': [20, 4],
  'virtual size': [24, 8],
  encryption: [32, 4],
  'size of L1': [36, 4],
  'offset of L1': [40, 8],
  'offset of the refcount table': [48, 8],
  'clusters of the refcount table': [56, 4],
  snapshots: [60, 4],
  'offset of the snapshots': [64, 8],
  'incompatible features': [72, 8],
  'order of refcounts': [96, 4],
  'length of the header': [100, 4],
} as const;

interface Damage {
  readonly what: string;
  readonly inflict: (path: string) => void;
}

function poke(path: string, offset: number, bytes: Uint8Array): void {
  const file = openSync(path, 'r+');
  writeSync(file, bytes, 0, bytes.length, offset);
  closeSync(file);
}

function peek(path: string, offset: number, length: number): Buffer {
  const bytes = Buffer.alloc(length);
  const file = openSync(path, 'r');
  readSync(file, bytes, 0, length, offset);
  closeSync(file);
  return bytes;
}

const seed = chooseSeed();
const random = randomFrom(seed);
const below = (limit: number) => Math.floor(random() * limit);
const noise = (length: number) => Buffer.from(Array.from({ length }, () => below(256)));

const VALUES: Readonly<Record<string, (length: number) => Buffer>> = {
  zero: (length) => Buffer.alloc(length),
  'all ones': (length) => Buffer.alloc(length, 0xff),
  'one of its own clusters': (length) =>
    Buffer.concat([Buffer.alloc(length - 3), Buffer.from([1 + below(8), 0, 0])]),
  noise,
};

const headerDamages: Damage[] = Object.entries(FIELDS).flatMap(([field, [offset, length]]) =>
  Object.entries(VALUES).map(([value, bytes]) => ({
    what: `${field}: ${value}`,
    inflict: (path: string) => poke(path, offset, bytes(length)),
  })),
);

const cuts: Damage[] = [0, 1, 71, 103, 512, 65_535, 65_536, 200_000, 400_000].map((length) => ({
  what: `cut to ${length} bytes`,
  inflict: (path) => truncateSync(path, length),
}));

const snapshotTable = (path: string) => Number(peek(path, 64, 8).readBigUInt64BE());
const tableDamages: Damage[] = [
  {
    what: 'noise in the snapshots',
    inflict: (path) => poke(path, snapshotTable(path) + below(160), noise(1 + below(16))),
  },
  {
    what: 'a name of snapshot that is no text',
    inflict: (path) => poke(path, snapshotTable(path) + 56, Buffer.alloc(8, 0xfe)),
  },
  { what: 'noise in the first clusters', inflict: (path) => poke(path, below(6 * 65_536), noise(64)) },
];

/** Each time some of each kind, and those that are special. */
function chosen(): readonly Damage[] {
  const some = (damages: readonly Damage[], count: number) =>
    damages
      .map((damage) => ({ damage, place: random() }))
      .sort((a, b) => a.place - b.place)
      .slice(0, count)
      .map(({ damage }) => damage);
  const runs = runsOr(3);
  return [
    ...some(headerDamages, runs),
    ...some(cuts, Math.ceil(runs / 3)),
    ...some(tableDamages, Math.ceil(runs / 3)),
  ];
}

const READS = [['list'], ['list', '--space'], ['list', '--tree'], ['info'], ['space'], ['check']] as const;

/** Of a run that says that it has done something: is it so, by qemu-img and virsh? */
const WRITES: readonly { args: readonly string[]; isDone: (vm: Vm) => boolean }[] = [
  {
    args: ['create-as', 'damaged', 'new'],
    isDone: (vm) =>
      snapshotNames(vm).includes('new') && tagsIn(vm)?.filter((name) => name === 'new').length === 1,
  },
  { args: ['revert', 'damaged', 'a'], isDone: (vm) => tagsIn(vm)?.includes('a') ?? false },
  {
    args: ['delete', 'damaged', 'a'],
    isDone: (vm) => !snapshotNames(vm).includes('a') && !(tagsIn(vm) ?? []).includes('a'),
  },
];

/** Null for an image that qemu-img cannot read. */
function tagsIn(vm: Vm): string[] | null {
  const { code, stdout } = tryTool('qemu-img', ['info', '--output=json', pathOf(vm)]);
  if (code !== 0) return null;
  const { snapshots = [] }: { snapshots?: { name: string }[] } = JSON.parse(stdout);
  return snapshots.map(({ name }) => name);
}

test('a damaged image', { timeout: 600_000 }, async () => {
  const vm = defineVm({ name: 'damaged', disks: [{ size: '8M' }] });
  write(vm, 0x11);
  take(vm, 'a');
  write(vm, 0x22);
  take(vm, 'b');
  const path = pathOf(vm);
  const whole = `${path}.whole`;
  copyFileSync(path, whole);
  const wrong: string[] = [];
  for (const { what, inflict } of chosen()) {
    const applyRules = (args: readonly string[], result: CliResult) =>
      wrong.push(...badEnding(result).map((flaw) => `${what}; ${args.join(' ')}: ${flaw}`));
    for (const { args, isDone } of [
      ...READS.map(([verb, ...options]) => ({ args: [verb, 'damaged', ...options], isDone: () => true })),
      ...WRITES,
    ]) {
      copyFileSync(whole, path);
      inflict(path);
      const result = await runSmall(...args);
      applyRules(args, result);
      if (result.code === 0 && !isDone(vm))
        wrong.push(`${what}; ${args.join(' ')}: exit 0, and it is not done`);
      // what virsh knows is made whole again, too
      if (args[0] === 'create-as') tryTool('virsh', ['snapshot-delete', vm.uuid, 'new', '--metadata']);
      if (args[0] === 'delete' && !snapshotNames(vm).includes('a')) {
        copyFileSync(whole, path);
        tryTool('qemu-img', ['snapshot', '-d', 'a', path]);
        take(vm, 'a');
        copyFileSync(path, whole);
      }
    }
  }
  expect({ KVMSNAP_SEED: seed, wrong }).toEqual({ KVMSNAP_SEED: seed, wrong: [] });
});
