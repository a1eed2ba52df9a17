import { closeSync, fstatSync, mkdirSync, openSync, readSync, renameSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { rolldown } from 'rolldown';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { undercountedClusters } from '../../src/qemu/image-damage.ts';
import { measureImage } from '../../src/qemu/image-space.ts';
import type { SnapshotSpace } from '../../src/qemu/qcow2/space.ts';
import { localFiles } from '../host/local-files.ts';
import { scratch, tool, tryTool } from '../lab/lab.ts';
import { share } from '../lab/share.ts';
import { imageInfo } from '../scene/disk.ts';
import { type Made, makeImage, openArgs, randomNumbers, snapshotArgs } from './qcow2-maker.ts';
import { countDifferent, usedClusters, type Walked, walkSnapshots } from './qcow2-oracle.ts';

/**
 * What the reader says of random images, against what QEMU does then: snapshots are deleted for real, and the clusters
 * with a refcount counted before and after. More images, or others:
 *   SPACE_IMAGES=2000 SPACE_SEED=7 npm run test:lab -- test/qemu/space-fuzz
 */
const IMAGES = Number(process.env['SPACE_IMAGES'] ?? 40);
const SEED = Number(process.env['SPACE_SEED'] ?? 2);
/** Images kept for the mutants. */
const KEPT = 40;

vi.setConfig({ testTimeout: 60_000 * IMAGES, hookTimeout: 60_000 * IMAGES });

const qemuImg = async (args: readonly string[]) => {
  const { code, ...said } = tryTool('qemu-img', args);
  return { ...said, exitCode: code };
};

/** What the reader was asked of an image, and what is true. */
interface Case {
  readonly path: string;
  readonly clusterBytes: number;
  readonly question: { readonly order: string[]; readonly since: ReadonlyMap<string, string> };
  /** By snapshot, in clusters. Null where it was not tried. */
  readonly expected: ReadonlyMap<string, Expected>;
  /** By snapshot, what the host got back. */
  readonly host: ReadonlyMap<string, ExpectedOnHost>;
}

/** In bytes. */
interface ExpectedOnHost {
  /** In the clusters that became free, there were data. */
  readonly data: number;
  /** The file takes so much less. */
  readonly occupied: number;
  /** What other clusters have more, or less: refcounts, flags, the snapshot table. */
  readonly rewritten: number;
}

interface Expected {
  readonly frees: number | null;
  readonly freesTogether: number;
  readonly holds: number;
  readonly vmState: number;
  readonly changed: number | null;
}

const total = { deletions: 0, sets: 0, host: 0, harmed: 0, traits: new Map<string, number>() };
const kept: Case[] = [];
const wrong: unknown[] = [];
const wrongOfHost: unknown[] = [];
/** Seeds of sound images that are called damaged. */
const slandered: number[] = [];

/** QEMU 7.2 harms an image itself now and then (see qcow2-maker): nothing is promised of that one. */
function isHarmed(path: string, luks: boolean): boolean {
  const { stdout } = tryTool('qemu-img', ['check', '--output=json', ...openArgs(path, luks)]);
  const said = (stdout === '' ? {} : JSON.parse(stdout)) as { corruptions?: number; 'check-errors'?: number };
  return said['check-errors'] !== 0 || (said.corruptions ?? 0) > 0;
}

function copyOf(path: string, isCrashed: boolean): string {
  const copy = `${path}.copy`;
  tool('cp', ['--sparse=auto', '--', path, copy]);
  // after a crash QEMU counts anew when it opens the image for writing
  if (isCrashed) tool('qemu-io', ['-f', 'qcow2', '-c', 'flush', copy]);
  return copy;
}

/** Makes the image a copy of itself, so that its blocks are those of further copies. */
function settle(path: string): void {
  renameSync(copyOf(path, false), path);
}

const erase = (path: string, name: string, luks: boolean): void => {
  tool('qemu-img', ['snapshot', '-d', name, ...snapshotArgs(path, luks)]);
  total.deletions++;
};

/** Bytes of data in each cluster of a file. */
function dataIn(path: string, clusterBytes: number): Map<number, number> {
  const { stdout } = tryTool('qemu-img', ['map', '-f', 'raw', '--output=json', path]);
  const extents = JSON.parse(stdout) as { start: number; length: number; data: boolean }[];
  const found = new Map<number, number>();
  for (const { start, length, data } of extents) {
    for (let at = start; data && at < start + length; ) {
      const cluster = Math.floor(at / clusterBytes);
      const end = Math.min((cluster + 1) * clusterBytes, start + length);
      found.set(cluster, (found.get(cluster) ?? 0) + end - at);
      at = end;
    }
  }
  return found;
}

const occupied = (path: string): number => statSync(path).blocks * 512;

const sum = (values: Iterable<number>): number => [...values].reduce((all, one) => all + one, 0);

/** Deletes one from a copy, by QEMU, and looks what has become of the copy. */
function eraseAlone(copy: string, { name, holds }: Walked, luks: boolean, used: ReadonlySet<number>) {
  const clusterBytes = Number(imageInfo(copy)['cluster-size']);
  const look = () => ({ data: dataIn(copy, clusterBytes), occupied: occupied(copy) });
  const before = look();
  erase(copy, name, luks);
  const left = usedClusters(copy);
  const after = look();
  // the snapshot table becomes free too: QEMU writes it anew in another place
  const freed = [...holds].map(Number).filter((cluster) => used.has(cluster) && !left.has(cluster));
  const data = sum(freed.map((cluster) => before.data.get(cluster) ?? 0));
  return {
    clusters: used.size - left.size,
    host: {
      data,
      occupied: before.occupied - after.occupied,
      rewritten: sum(after.data.values()) - (sum(before.data.values()) - data),
    },
  };
}

/** Deletes up to three snapshots, each from a copy, and all of them in that order from another copy. */
function findExpected({ path, traits }: Made, seed: number): Case {
  const [isCrashed, luks] = [traits.has('crashed'), traits.has('luks')];
  const random = randomNumbers(seed + 1);
  const walked = walkSnapshots(path);
  const order = walked.map((snapshot) => ({ ...snapshot, at: random() })).sort((a, b) => a.at - b.at);
  const since = new Map(
    walked.slice(1).map(({ id }, i) => [id, walked[Math.floor(random() * (i + 1))]?.id ?? '']),
  );
  const used = usedClusters(copyOf(path, isCrashed));
  const alone = new Map(
    order.slice(0, 3).map((walked) => [walked.id, eraseAlone(copyOf(path, isCrashed), walked, luks, used)]),
  );
  const copy = copyOf(path, isCrashed);
  const byId = new Map(walked.map((snapshot) => [snapshot.id, snapshot]));
  const expected = order.map((snapshot): [string, Expected] => {
    const { id, name, holds, vmState } = snapshot;
    erase(copy, name, luks);
    total.sets++;
    const parent = byId.get(since.get(id) ?? '');
    return [
      id,
      {
        frees: alone.get(id)?.clusters ?? null,
        freesTogether: used.size - usedClusters(copy).size,
        holds: holds.size,
        vmState: vmState.size,
        changed: parent ? countDifferent(snapshot, parent as Walked) : null,
      },
    ];
  });
  rmSync(copy, { force: true });
  return {
    path,
    clusterBytes: Number(imageInfo(path)['cluster-size']),
    question: { order: order.map(({ id }) => id), since },
    expected: new Map(expected),
    // bitmaps and fixed refcounts go into the place that has just become free
    host: new Map(isCrashed || traits.has('bitmap') ? [] : [...alone].map(([id, { host }]) => [id, host])),
  };
}

/** A file system's block: less than that it does not give back. */
const BLOCK = 4096;

/** It needs some itself, for where a file has its holes. */
const OWN_BLOCKS = 4 * BLOCK;

/** As `mistakes`, of what the host gets back. Of small clusters it gets less, when others of the same block stay. */
function hostMistakes(said: readonly SnapshotSpace[], { clusterBytes, host, path }: Case): unknown[] {
  const data = sum(dataIn(path, clusterBytes).values());
  // blocks that are reserved
  const slack = Math.max(0, occupied(path) - data);
  return said.flatMap(({ id, name, frees: { hostBytes } }) => {
    const expected = host.get(id);
    if (!expected) return [];
    total.host++;
    const { data, occupied, rewritten } = expected;
    const isExact = Math.abs(hostBytes - data) <= slack;
    const most = hostBytes - rewritten + slack + OWN_BLOCKS;
    const least =
      clusterBytes < BLOCK ? Number.NEGATIVE_INFINITY : hostBytes - rewritten - slack - OWN_BLOCKS;
    return isExact && occupied <= most && occupied >= least ? [] : [{ name, hostBytes, slack, ...expected }];
  });
}

/** What is said of the snapshots in other words than the truth; empty if it is exact. */
function mistakes(said: readonly SnapshotSpace[], { clusterBytes, expected: all }: Case): unknown[] {
  const inClusters = (bytes: number | null) => (bytes === null ? null : bytes / clusterBytes);
  return said.flatMap(({ id, name, frees, freesTogether, holds, vmState, changedBytes }) => {
    const expected = all.get(id);
    const found: Expected = {
      frees: expected?.frees === null ? null : inClusters(frees.clusterBytes),
      freesTogether: freesTogether.clusterBytes / clusterBytes,
      holds: holds.clusterBytes / clusterBytes,
      vmState: vmState.clusterBytes / clusterBytes,
      changed: inClusters(changedBytes),
    };
    return JSON.stringify(found) === JSON.stringify(expected) ? [] : [{ name, found, expected }];
  });
}

async function tryImage(seed: number): Promise<void> {
  const made = makeImage(scratch, seed);
  const { path, traits, log } = made;
  if (!traits.has('crashed') && isHarmed(path, traits.has('luks'))) {
    total.harmed++;
    // whatever it is, the reader ends
    await measureImage({ qemuImg, files: localFiles }, path);
    return rmSync(path);
  }
  settle(path);
  if ((await undercountedClusters(localFiles, path)) > 0) slandered.push(seed);
  const sample = findExpected(made, seed);
  const said = await measureImage({ qemuImg, files: localFiles }, path, sample.question);
  const found = said.kind === 'measured' ? mistakes(said.snapshots, sample) : [said];
  if (said.kind === 'measured' && said.snapshots.length !== sample.expected.size) found.push('not all');
  if (found.length > 0) wrong.push({ seed, found, log });
  const ofHost = said.kind === 'measured' ? hostMistakes(said.snapshots, sample) : [];
  if (ofHost.length > 0) wrongOfHost.push({ seed, ofHost, log });
  for (const trait of traits) total.traits.set(trait, (total.traits.get(trait) ?? 0) + 1);
  if (kept.length < KEPT && sample.expected.size > 1) kept.push(sample);
  else rmSync(path);
}

beforeAll(async () => {
  for (let i = 0; i < IMAGES; i++) await tryImage(SEED * 1_000_000 + i);
  const { deletions, sets, host, harmed, traits } = total;
  process.stdout.write(
    `SPACE_SEED=${SEED}: ${IMAGES} images, ${deletions} deletions (${sets} in sets; of ${host} the host's bytes), harmed by QEMU itself: ${harmed}\n` +
      `${[...traits]
        .sort()
        .map(([trait, count]) => `${trait}: ${count}`)
        .join(', ')}\n`,
  );
});

afterAll(() => {
  for (const { path } of kept) rmSync(path, { force: true });
});

test('it is exact to the cluster', () => {
  expect(wrong.slice(0, 3)).toEqual([]);
});

test('no sound image is said to count its clusters too low', () => {
  expect(slandered).toEqual([]);
});

test('and the host gets back what was said, but for what a deletion writes anew', () => {
  expect(wrongOfHost.slice(0, 3)).toEqual([]);
  expect(total.host).toBeGreaterThan(IMAGES * 1.5);
});

test('and the images are of all kinds', () => {
  expect([...total.traits.keys()]).toEqual(expect.arrayContaining(KINDS));
  expect(total.deletions).toBeGreaterThanOrEqual(IMAGES * 4.8);
  expect(total.harmed).toBeLessThan(IMAGES / 10);
});

const KINDS = [
  ...[512, 1024, 4096, 16384, 65536, 262144, 2097152].map((bytes) => `clusters of ${bytes} bytes`),
  ...[2, 4, 8, 16, 32, 64].map((bits) => `refcounts of ${bits} bits`),
  ...['version 2', 'version 3', 'extended', 'luks', 'packs', 'zstd', 'preallocated', 'backing', 'lazy'],
  ...['written memory', 'saved VM', 'reverted', 'deleted before', 'resized', 'bitmap', 'crashed'],
];

// ---- a reader with a fault -------------------------------------------------------------------------------

/** A fault, and the line of src/qemu/qcow2 to make it in. */
const FAULTS: readonly (readonly [fault: string, file: string, from: string, to: string])[] = [
  ['the L1 table is forgotten', 'space', 'Math.ceil((snapshot.l1.entries * 8) / clusterBytes)', '0'],
  ['L2 tables are forgotten', 'space', 'enterCluster(ledger, table.cluster, table)', 'undefined'],
  ['a table that is shared is not', 'l2-tables', 'table.last = Math.max(table.last, turn)', ''],
  ['a reference from a shared table counts once', 'ledger', 'had - owners', 'had - 1'],
  ['what two snapshots have is of both', 'ledger', 'if (before !== 0) setBit(common, cluster)', ''],
  ['what two snapshots have by one table is of both', 'ledger', 'owners.first !== owners.last', 'false'],
  [
    'packed clusters count once',
    'l2-entries',
    'found[next++] = cluster',
    'if (found[next - 1] !== cluster) found[next++] = cluster',
  ],
  [
    'a compressed cluster is in one cluster only',
    'l2-entries',
    'cluster < end;',
    'cluster === Math.floor(offset / clusterBytes);',
  ],
  ['a compressed cluster is a standard one', 'l2-entries', 'high & COMPRESSED', 'false'],
  [
    'an allocated zero cluster is not allocated',
    'l2-entries',
    'const low = table.getInt32(i * 8 + 4);',
    'const low = table.getInt32(i * 8 + 4); if (low & 1 && !((high >> 30) & 1)) continue;',
  ],
  ['an entry has 8 bytes always', 'header', 'extended ? 16 : 8', '8'],
  [
    'narrow refcounts start at the high bits',
    'refcounts',
    '(i % perByte) * bits',
    '(perByte - 1 - (i % perByte)) * bits',
  ],
  [
    'the snapshot table keeps its length',
    'space',
    'Math.ceil(bytes / clusterBytes) - Math.ceil(table.bytes() / clusterBytes)',
    '0',
  ],
  ['the memory begins at the end of the disk of today', 'snapshot-table', 'extraBytes >= 16 ?', 'false ?'],
  [
    'clusters of several tables count several times',
    'space',
    'await findOverlaps(ledger.repeated, survey)',
    '[]',
  ],
  ['the bits of subclusters are no content', 'changes', 'at + bytes; i += 4', 'at + 8; i += 4'],
  [
    'memory is content of the disk',
    'changes',
    'Math.min(tree.l1.length, tree.snapshot.vmStateIndex)',
    'tree.l1.length',
  ],
  ['refcounts are believed after a crash', 'space', 'header.dirty ? null :', ''],
];

type Reader = typeof import('../../src/qemu/qcow2/space.ts');

async function isWrong(readSpace: Reader['readSpace'], sample: Case): Promise<boolean> {
  const file = openSync(sample.path, 'r');
  try {
    const said = await readSpace(
      {
        size: fstatSync(file).size,
        read: (offset, into) => readSync(file, into, 0, into.length, offset),
      },
      sample.question,
    );
    return said.kind !== 'measured' || mistakes(said.snapshots, sample).length > 0;
  } finally {
    closeSync(file);
  }
}

async function bundle(name: string, [, file, from, to]: (typeof FAULTS)[number]): Promise<string> {
  let patched = 0;
  const build = await rolldown({
    input: fileURLToPath(new URL('../../src/qemu/qcow2/space.ts', import.meta.url)),
    platform: 'node',
    plugins: [
      {
        name: 'fault',
        transform(code, id) {
          if (!id.endsWith(`/qcow2/${file}.ts`)) return null;
          patched = code.split(from).length - 1;
          return code.replace(from, to);
        },
      },
    ],
  });
  const path = join(scratch, 'faults', `${name}.mjs`);
  await build.write({ file: path, format: 'esm' });
  await build.close();
  // else the reader has changed, and with it the place of the fault
  expect(patched).toBe(1);
  return path;
}

describe('a reader with a fault is found out:', () => {
  test('and one without is not', async () => {
    const { readSpace } = (await import('../../src/qemu/qcow2/space.ts')) as Reader;
    expect(kept.length).toBeGreaterThan(0);
    for (const sample of kept) expect(await isWrong(readSpace, sample)).toBe(false);
  });

  test.each(
    share(
      6,
      FAULTS.map((fault, i) => [fault[0], fault, i] as const),
    ),
  )('%s', async (_, fault, i) => {
    mkdirSync(join(scratch, 'faults'), { recursive: true });
    const path = await bundle(String(i), fault);
    const { readSpace } = (await import(/* @vite-ignore */ pathToFileURL(path).href)) as Reader;
    for (const sample of kept) if (await isWrong(readSpace, sample)) return;
    throw new Error(`right about each of ${kept.length} images`);
  });
});
