import { describe, expect, test } from 'vitest';
import { type Extent, hostData } from '../../src/qemu/qcow2/host-data.ts';
import { type ImageSpace, readSpace, type SpaceQuestion } from '../../src/qemu/qcow2/space.ts';
import { buildImage, portOf, type Recipe } from './qcow2-builder.ts';
import { randomNumbers } from './qcow2-maker.ts';

/** What a snapshot costs, by small images made here; real ones are measured in space-fuzz.lab.test.ts. */

const UNIT = 512;

async function measure(bytes: Buffer, question: SpaceQuestion = {}): Promise<ImageSpace> {
  return readSpace(portOf(bytes), question);
}

/** In clusters, by id of the snapshot. */
async function clustersOf(recipe: Recipe, question: SpaceQuestion = {}) {
  const space = await measure(buildImage(recipe), question);
  if (space.kind !== 'measured') return space;
  const unit = 2 ** (recipe.clusterBits ?? 9);
  return Object.fromEntries(
    space.snapshots.map((snapshot) => [
      snapshot.id,
      {
        frees: snapshot.frees.clusterBytes / unit,
        together: snapshot.freesTogether.clusterBytes / unit,
        holds: snapshot.holds.clusterBytes / unit,
        memory: snapshot.vmState.clusterBytes / unit,
        changed: snapshot.changedBytes === null ? null : snapshot.changedBytes / unit,
      },
    ]),
  );
}

const figures = (
  frees: number,
  together: number,
  holds: number,
  changed: number | null = null,
  memory = 0,
) => ({
  frees,
  together,
  holds,
  memory,
  changed,
});

/** Two snapshots and a present that share some of their data. */
const THREE: Recipe = {
  tables: { old: ['a', 'b', 'c'], mid: ['a', 'B', 'c'], now: ['a', 'B', 'C', 'D'] },
  active: ['now'],
  snapshots: { 1: ['old'], 2: ['mid'] },
};

describe('what becomes free', () => {
  test('is what nothing else refers to: L1, L2 and data', async () => {
    // 1 alone: b. 2 alone: nothing but tables. Together c too, and the snapshot table.
    expect(await clustersOf(THREE)).toEqual({ 1: figures(3, 3, 5), 2: figures(2, 7, 5) });
  });

  test('together it is as the order has it', async () => {
    expect(await clustersOf(THREE, { order: ['2', '1', '9'] })).toEqual({
      1: figures(3, 7, 5),
      2: figures(2, 2, 5),
    });
  });

  test('a table that others list frees nothing that is in it', async () => {
    const shared: Recipe = {
      tables: { one: ['a', 'b'] },
      active: [null],
      snapshots: { 1: ['one'], 2: ['one'] },
    };
    expect(await clustersOf(shared)).toEqual({ 1: figures(1, 1, 4), 2: figures(1, 6, 4) });
    expect(await clustersOf({ ...shared, active: ['one'] })).toEqual({
      1: figures(1, 1, 4),
      2: figures(1, 3, 4),
    });
  });

  test('a leak does not become free', async () => {
    expect(await clustersOf({ ...THREE, leaks: ['b'] })).toMatchObject({ 1: { frees: 2 } });
  });

  test('a cluster that reads as zeros has its place all the same', async () => {
    const recipe: Recipe = {
      tables: { one: [{ zero: 'a' }, 'b'] },
      active: [null],
      snapshots: { 1: ['one'] },
    };
    expect(await clustersOf(recipe)).toEqual({ 1: figures(5, 5, 4) });
  });

  test.each([1, 2, 3, 4, 5, 6])('refcounts of 2^%i bits', async (refcountOrder) => {
    expect(await clustersOf({ ...THREE, refcountOrder })).toEqual({
      1: figures(3, 3, 5),
      2: figures(2, 7, 5),
    });
  });

  test('version 2, with none of the features of version 3', async () => {
    expect(await clustersOf({ ...THREE, version: 2, dirty: true })).toEqual({
      1: figures(3, 3, 5),
      2: figures(2, 7, 5),
    });
  });

  test('subclusters: entries of 16 bytes', async () => {
    expect(await clustersOf({ ...THREE, clusterBits: 14, extended: true })).toEqual({
      1: figures(3, 3, 5),
      2: figures(2, 7, 5),
    });
  });

  test('after a crash the trees are counted, not the refcounts', async () => {
    expect(await clustersOf({ ...THREE, leaks: ['b', 'c', 'c'], dirty: true })).toEqual({
      1: figures(3, 3, 5),
      2: figures(2, 7, 5),
    });
  });
});

describe('compressed clusters', () => {
  const pack = (packed: string, sector: number, more: number) => ({ packed, sector, more });
  const packed: Recipe = {
    clusterBits: 10,
    row: ['x', 'y', 'z'],
    tables: {
      one: [pack('x', 0, 0), pack('x', 1, 1), pack('y', 1, 0)],
      two: [pack('z', 0, 0), 'e'],
      now: [pack('y', 1, 0)],
    },
    active: ['now'],
    snapshots: { 1: ['one', 'two'] },
    diskTables: 2,
  };

  test('several lie in one, and one in several', async () => {
    // L1, two tables, x, z and e, and the snapshot table; y is also of the present
    expect(await clustersOf(packed)).toEqual({ 1: figures(7, 7, 7) });
  });

  test('what two tables of one snapshot have is held once', async () => {
    const tables = { ...packed.tables, two: [pack('x', 1, 1), pack('z', 0, 0), 'e'] };
    expect(await clustersOf({ ...packed, tables })).toEqual({ 1: figures(7, 7, 7) });
  });

  test('a cluster of the file with both kinds', async () => {
    const tables = { ...packed.tables, one: [pack('x', 0, 0), 'x', pack('y', 1, 0)] };
    expect(await clustersOf({ ...packed, tables })).toEqual({ 1: figures(7, 7, 7) });
  });
});

describe('saved memory', () => {
  const saved: Recipe = {
    tables: { disk: ['a', 'b'], memory: ['m', 'n', 'o'], now: ['a', 'b'] },
    active: ['disk', null],
    snapshots: { 1: ['disk', 'memory'], 2: ['disk', null] },
    diskTables: 1,
  };

  test('is what is mapped beyond the disk, and no change of it', async () => {
    expect(await clustersOf(saved, { since: new Map([['1', '2']]) })).toEqual({
      1: figures(5, 5, 8, 0, 4),
      2: figures(1, 7, 4),
    });
  });
});

describe('what has changed', () => {
  const since = new Map([['2', '1']]);

  test('are clusters that are not the same', async () => {
    expect(await clustersOf(THREE, { since })).toMatchObject({ 1: { changed: null }, 2: { changed: 1 } });
    expect(await clustersOf(THREE, { since: new Map([['2', '7']]) })).toMatchObject({ 2: { changed: null } });
  });

  test('or gone, or new', async () => {
    const recipe: Recipe = {
      tables: { one: ['a', 'b'], two: ['a', null, 'c'], three: ['d', 'e', 'f'] },
      active: [null, null],
      snapshots: { 1: ['one', null], 2: ['two', 'three'] },
    };
    expect(await clustersOf(recipe, { since })).toMatchObject({ 2: { changed: 5 } });
    expect(await clustersOf(recipe, { since: new Map([['1', '2']]) })).toMatchObject({ 1: { changed: 5 } });
  });

  test('however far apart the tables lie', async () => {
    const ids = Array.from({ length: 40 }, (_, i) => String(i + 1));
    const recipe: Recipe = {
      clusterBits: 12,
      tables: Object.fromEntries(ids.map((id) => [id, [`data ${id}`]])),
      active: [null],
      snapshots: Object.fromEntries(ids.map((id) => [id, [id]])),
    };
    const found = await clustersOf(recipe, { since: new Map(ids.slice(1).map((id) => [id, '1'])) });
    expect(Object.values(found).map(({ changed }) => changed)).toEqual([null, ...Array(39).fill(1)]);
  });

  test('but who else has a cluster is no change', async () => {
    const image = buildImage(THREE);
    // the copied flag of `a` in the second table
    const at = image.lastIndexOf(image.subarray(8 * UNIT, 8 * UNIT + 8));
    expect(at).toBeGreaterThan(8 * UNIT);
    image[8 * UNIT] = 0;
    expect(await measure(image, { since })).toMatchObject({ snapshots: [{}, { changedBytes: UNIT }] });
  });
});

describe('on the host', () => {
  test('counts only where the file has data', async () => {
    const image = buildImage(THREE);
    const blocks = (extents: readonly Extent[]) => ({ size: image.length, extents, occupiedBytes: null });
    const all = await measure(image, { blocks: blocks([{ start: 0, end: image.length }]) });
    expect(all).toEqual(await measure(image));
    expect(all).toMatchObject({ snapshots: [{ frees: { hostBytes: 3 * UNIT } }, {}] });
    // the L1 table of 1 is cluster 5, its L2 table 7; 100 bytes of each
    const extents = [
      { start: 5 * UNIT + 12, end: 5 * UNIT + 62 },
      { start: 5 * UNIT + 462, end: 6 * UNIT },
      { start: 7 * UNIT + 412, end: 8 * UNIT },
    ];
    expect(await measure(image, { blocks: blocks(extents) })).toMatchObject({
      snapshots: [
        {
          frees: { clusterBytes: 3 * UNIT, hostBytes: 200 },
          holds: { clusterBytes: 5 * UNIT, hostBytes: 200 },
        },
        { frees: { hostBytes: 0 } },
      ],
    });
    expect(await measure(image, { blocks: blocks([]) })).toMatchObject({
      snapshots: [{ holds: { hostBytes: 0 } }, {}],
    });
  });
});

test('blocks that are reserved and not yet written count: first those of clusters with some data', async () => {
  const file = {
    size: 100 * UNIT,
    extents: [
      { start: UNIT, end: UNIT + 100 },
      { start: 5 * UNIT, end: 6 * UNIT },
    ],
  };
  const inEach = async (occupiedBytes: number) => {
    const host = await hostData(UNIT, 120, { ...file, occupiedBytes });
    expect(host.inWord(0, 0b100110)).toBe(host.in(1) + host.in(2) + host.in(5));
    return [host.in(1), host.in(2), host.in(5)];
  };
  const data = UNIT + 100;
  const hole = UNIT - 100;
  expect(await inEach(data)).toEqual([100, 0, UNIT]);
  expect(await inEach(data + hole / 2)).toEqual([100 + hole / 2, 0, UNIT]);
  expect(await inEach(data + hole)).toEqual([UNIT, 0, UNIT]);
  // the file system's own are none of them
  expect(await inEach(data + hole + UNIT)).toEqual([UNIT, 0, UNIT]);
  expect(await inEach(data + hole + 98 * UNIT)).toEqual([UNIT, UNIT, UNIT]);
});

describe('its cost', () => {
  /** Bytes read of an image with so many snapshots of one state. */
  async function bytesRead(snapshots: number): Promise<number> {
    const l1s = Array.from({ length: snapshots }, (_, i) => [String(i + 100), ['old']] as const);
    const port = portOf(buildImage({ ...THREE, clusterBits: 12, snapshots: Object.fromEntries(l1s) }));
    expect(await readSpace(port)).toMatchObject({ kind: 'measured' });
    return port.total.bytes;
  }

  test('does not grow with snapshots that share their tables, but for their L1 tables', async () => {
    expect((await bytesRead(40)) - (await bytesRead(2))).toBeLessThanOrEqual(38 * 8);
  });

  test('the event loop turns meanwhile', async () => {
    const image = buildImage({ ...THREE, clusterBits: 20 });
    let turns = 0;
    const turn = () => {
      turns++;
      next = setImmediate(turn);
    };
    let next = setImmediate(turn);
    await measure(image);
    clearImmediate(next);
    // a refcount block and two tables
    expect(turns).toBeGreaterThanOrEqual(3);
  });
});

describe('no answer, with the reason', () => {
  const image = buildImage(THREE);
  const patched = (patch: (bytes: Buffer) => unknown) => {
    const bytes = Buffer.from(image);
    patch(bytes);
    return measure(bytes);
  };
  const unmeasured = (why: string) => ({ kind: 'unmeasured', why, detail: expect.stringMatching(/./) });

  test.each<[string, string, (bytes: Buffer) => unknown]>([
    ['not-qcow2', 'another format', (bytes) => bytes.write('VMDK')],
    ['feature', 'version 4', (bytes) => bytes.writeUInt32BE(4, 4)],
    ['feature', 'an unknown feature', (bytes) => bytes.writeUInt32BE(32, 76)],
    ['feature', 'an unknown feature of the high bits', (bytes) => bytes.writeUInt32BE(1, 72)],
    ['corrupt', 'the mark of QEMU', (bytes) => bytes.writeUInt32BE(2, 76)],
    ['data-file', 'data elsewhere', (bytes) => bytes.writeUInt32BE(4, 76)],
    ['damaged', '2^32 - 1 snapshots', (bytes) => bytes.writeUInt32BE(2 ** 32 - 1, 60)],
    ['damaged', '65536 snapshots', (bytes) => bytes.writeUInt32BE(65536, 60)],
    ['damaged', 'an L1 table of 2^32 - 1 entries', (bytes) => bytes.writeUInt32BE(2 ** 32 - 1, 4 * UNIT + 8)],
    ['damaged', 'an L1 table of 2^22 entries', (bytes) => bytes.writeUInt32BE(2 ** 22, 4 * UNIT + 8)],
    [
      'damaged',
      'an L1 table that lists itself',
      (bytes) => bytes.writeBigUInt64BE(BigInt(5 * UNIT), 5 * UNIT),
    ],
    [
      'damaged',
      'an L2 table that refers to itself',
      (bytes) => bytes.writeBigUInt64BE(BigInt(7 * UNIT), 7 * UNIT + 24),
    ],
    ['damaged', 'data beyond the end', (bytes) => bytes.writeBigUInt64BE(1n << 40n, 7 * UNIT)],
    ['damaged', 'data at no cluster', (bytes) => bytes.writeBigUInt64BE(1n << 55n, 7 * UNIT)],
    [
      'damaged',
      'compressed data beyond the end',
      (bytes) => bytes.writeBigUInt64BE((1n << 62n) | (1n << 60n), 7 * UNIT),
    ],
    ['damaged', 'an L2 table beyond the end', (bytes) => bytes.writeBigUInt64BE(1n << 40n, 5 * UNIT)],
    ['damaged', 'refcounts that are too low', (bytes) => bytes.fill(0, 2 * UNIT, 3 * UNIT)],
    ['damaged', 'no refcounts', (bytes) => bytes.fill(0, UNIT, 2 * UNIT)],
    ['damaged', 'a refcount block twice', (bytes) => bytes.copy(bytes, UNIT + 8, UNIT, UNIT + 8)],
    ['damaged', 'a refcount block beyond the end', (bytes) => bytes.writeBigUInt64BE(1n << 40n, UNIT)],
    ['damaged', 'no refcount table', (bytes) => bytes.writeUInt32BE(0, 56)],
    ['damaged', 'a refcount table of 2 TiB', (bytes) => bytes.writeUInt32BE(2 ** 32 - 1, 56)],
    ['damaged', 'clusters of 2 GiB', (bytes) => bytes.writeUInt32BE(31, 20)],
    ['damaged', 'two snapshots of one id', (bytes) => bytes.write('1', 4 * UNIT + 80 + 64)],
  ])('%s: %s', async (why, _, patch) => {
    expect(await patched(patch)).toEqual(unmeasured(why));
  });

  test('no snapshots, no figures', async () => {
    expect(await patched((bytes) => bytes.writeUInt32BE(0, 60))).toEqual({ kind: 'measured', snapshots: [] });
  });

  test('a file too large for memory, most of it a hole', async () => {
    const port = portOf(image);
    expect(await readSpace({ ...port, size: 2 ** 50 })).toEqual(unmeasured('too-large'));
    expect(await readSpace({ ...port, size: 2 ** 36 })).toMatchObject({ kind: 'measured' });
  });

  test('snapshots that come and go meanwhile', async () => {
    const bytes = Buffer.from(image);
    const port = portOf(bytes);
    let reads = 0;
    const read: typeof port.read = (offset, into) => {
      if (offset === 7 * UNIT) bytes.writeBigUInt64BE(BigInt(++reads), 4 * UNIT + 24);
      return port.read(offset, into);
    };
    expect(await readSpace({ ...port, read })).toMatchObject({ kind: 'measured' });
    const busy: typeof port.read = (offset, into) => {
      if (offset === 7 * UNIT) bytes.write(String.fromCharCode(97 + (++reads % 26)), 4 * UNIT + 70);
      return port.read(offset, into);
    };
    expect(await readSpace({ ...port, read: busy })).toEqual(unmeasured('changing'));
    expect(reads).toBe(4);
  });

  test('a disk that fails to read is thrown as it is', async () => {
    const failing = {
      ...portOf(image),
      read: () => {
        throw new Error('EIO');
      },
    };
    await expect(readSpace(failing)).rejects.toThrow('EIO');
  });
});

describe('damage: an answer in bounded time and memory', () => {
  const SAMPLES: readonly Recipe[] = [
    THREE,
    { ...THREE, dirty: true },
    { ...THREE, tables: { ...THREE.tables, mid: [{ packed: 'a', sector: 0, more: 0 }, 'B', 'c'] } },
  ];

  /** No more than a few times the file is read, whatever it says. */
  async function check(bytes: Buffer): Promise<ImageSpace['kind']> {
    const port = portOf(bytes);
    const space = await readSpace(port, { since: new Map([['2', '1']]), order: ['2'] });
    expect(port.total.bytes).toBeLessThan(40 * bytes.length + 4096);
    if (space.kind === 'measured')
      for (const { holds, frees } of space.snapshots)
        expect(holds.clusterBytes + frees.clusterBytes).toBeLessThan(2 ** 24);
    return space.kind;
  }

  test.each(SAMPLES.map((recipe, i) => [i, recipe] as const))(
    'every byte in turn, image %i',
    async (_, recipe) => {
      const image = buildImage(recipe);
      const kinds = { measured: 0, unmeasured: 0 };
      // the rest is data
      for (const flip of [0xff, 0x01, 0x80])
        for (let at = 0; at < 10 * UNIT; at++) {
          image[at] = (image[at] ?? 0) ^ flip;
          kinds[await check(image)]++;
          image[at] = (image[at] ?? 0) ^ flip;
        }
      expect(kinds.measured).toBeGreaterThan(100);
      expect(kinds.unmeasured).toBeGreaterThan(100);
    },
  );

  test('every length', async () => {
    const image = buildImage(THREE);
    for (let length = 0; length < image.length; length++) await check(image.subarray(0, length));
    expect(await check(image.subarray(0, 4 * UNIT))).toBe('unmeasured');
  });

  test('several numbers at once, of all sizes', async () => {
    const random = randomNumbers(1);
    for (let i = 0; i < 3000; i++) {
      const image = buildImage(SAMPLES[i % SAMPLES.length] ?? THREE);
      for (let k = 0; k < 3; k++) {
        const at = Math.floor((random() < 0.5 ? 14 : image.length / 8) * random()) * 8;
        const number = BigInt(Math.floor(random() * 2 ** 32)) << BigInt(Math.floor(random() * 33));
        if (at + 8 <= image.length) image.writeBigUInt64BE(number >> BigInt(Math.floor(random() * 60)), at);
      }
      await check(image);
    }
  });
});
