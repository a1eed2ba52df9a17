import fc from 'fast-check';
import { describe, expect, it, test } from 'vitest';
import type { FileSystem } from '../../src/host/file-systems.ts';
import {
  type Freeing,
  type FreeMin,
  isShort,
  nextToGo,
  parseFreeMin,
  simulateDeletions,
  wantedBytes,
} from '../../src/prune/free-space-policy.ts';

const GiB = 2 ** 30;

describe('how much is to be free', () => {
  test.each<[string, FreeMin | null]>([
    ['20%', { share: 0.2 }],
    ['0.5%', { share: 0.005 }],
    ['50G', { bytes: 50 * GiB }],
    ['1.5t', { bytes: 1.5 * 1024 * GiB }],
    ['10m', { bytes: 10 * 2 ** 20 }],
    ['0.3K', { bytes: 308 }],
    ['20', null],
    ['0%', null],
    ['100%', null],
    ['0G', null],
    ['-5G', null],
    ['5 G', null],
    ['5GB', null],
    ['5e3G', null],
    ['half', null],
    ['', null],
  ])('%j', (text, is) => expect(parseFreeMin(text)).toEqual(is));

  const disk: FileSystem = { id: 'a', sizeBytes: 999, freeBytes: 200 };

  it('is a part of the size, rounded up, or so many bytes', () => {
    expect([wantedBytes(disk, { share: 0.2 }), wantedBytes(disk, { bytes: 7 })]).toEqual([200, 7]);
    expect([200, 199].map((freeBytes) => isShort({ ...disk, freeBytes }, { share: 0.2 }))).toEqual([
      false,
      true,
    ]);
  });
});

const snapshot = (
  vm: string,
  createdAtSeconds: number,
  frees: Readonly<Record<string, number>> = { a: 1 },
  name = 'l-20261123T030000Z',
): Freeing => ({ vm, name, createdAtSeconds, frees: new Map(Object.entries(frees)) });

describe('the next to go', () => {
  const of = (...expendable: Freeing[]) => nextToGo(expendable, new Set(['a']));

  it('is the oldest of all VMs', () => {
    const oldest = snapshot('web-2', 5);
    expect(of(snapshot('web-1', 9), snapshot('web-1', 6), oldest, snapshot('web-3', 8))).toBe(oldest);
  });

  it('is one that holds something of a file system that is short', () => {
    const both = snapshot('web-1', 7, { a: 0, b: 9 });
    expect(of(snapshot('web-1', 5, { b: 9 }), both, snapshot('web-1', 8))).toBe(both);
    expect(of(snapshot('web-1', 5, { b: 9 }))).toBeNull();
    expect(of()).toBeNull();
  });

  it('of one second goes by the count in the name, then by the VM', () => {
    const [second, tenth] = ['-2', '-10'].map((count) =>
      snapshot('x', 5, { a: 1 }, `l-20261123T030000Z${count}`),
    );
    if (!second || !tenth) throw new Error('two are needed');
    expect(of(tenth, second)).toBe(second);
    const elsewhere = { ...second, vm: 'b' };
    expect([of(second, elsewhere), of(elsewhere, second)]).toEqual([elsewhere, elsewhere]);
  });
});

interface Scene {
  readonly expendable: readonly Freeing[];
  readonly fileSystems: readonly FileSystem[];
  readonly freeMin: FreeMin;
}

const IDS = ['a', 'b', 'c'];

const scenes: fc.Arbitrary<Scene> = fc.record({
  expendable: fc
    .array(
      fc
        .record({
          vm: fc.constantFrom('web-1', 'web-2', 'db'),
          createdAtSeconds: fc.nat({ max: 20 }),
          on: fc.subarray(IDS, { minLength: 0 }),
          bytes: fc.nat({ max: 30 }),
        })
        .map(({ on, bytes, ...rest }) => ({ ...rest, frees: new Map(on.map((id) => [id, bytes])) })),
      { maxLength: 15 },
    )
    .map((all) => all.map((one, i) => ({ ...one, name: `s${i}` }))),
  fileSystems: fc
    .subarray(IDS)
    .chain((ids) =>
      fc.tuple(
        ...ids.map((id) =>
          fc.record({ id: fc.constant(id), sizeBytes: fc.constant(200), freeBytes: fc.nat({ max: 200 }) }),
        ),
      ),
    ),
  freeMin: fc.oneof(
    fc.nat({ max: 200 }).map((bytes) => ({ bytes: bytes + 1 })),
    fc.integer({ min: 1, max: 99 }).map((percent) => ({ share: percent / 100 })),
  ),
});

const foreseen = ({ expendable, fileSystems, freeMin }: Scene) =>
  simulateDeletions(expendable, fileSystems, freeMin);

const shortOf = (fileSystems: readonly FileSystem[], freeMin: FreeMin) =>
  new Set(fileSystems.filter((each) => isShort(each, freeMin)).map(({ id }) => id));

const touches = ({ frees }: Freeing, short: ReadonlySet<string>) =>
  [...frees.keys()].some((id) => short.has(id));

function always(title: string, check: (scene: Scene) => void): void {
  it(title, () => fc.assert(fc.property(scenes, check), { numRuns: 500 }));
}

describe('what is foreseen to go', () => {
  always('is free afterwards: what was, and what each of them gives', (scene) => {
    const { goes, fileSystems } = foreseen(scene);
    for (const before of scene.fileSystems) {
      const gained = goes.reduce((sum, { frees }) => sum + (frees.get(before.id) ?? 0), 0);
      expect(fileSystems.find(({ id }) => id === before.id)?.freeBytes).toBe(before.freeBytes + gained);
    }
    expect(new Set(goes).size).toBe(goes.length);
    for (const one of goes) expect(scene.expendable).toContain(one);
  });

  always('is not more than is needed: before each of them a file system that it is in was short', (scene) => {
    const { goes } = foreseen(scene);
    for (const [i, one] of goes.entries()) {
      const then = simulateDeletions(goes.slice(0, i), scene.fileSystems, scene.freeMin);
      expect(then.goes).toEqual(goes.slice(0, i));
      expect(touches(one, shortOf(then.fileSystems, scene.freeMin))).toBe(true);
    }
  });

  always('is not less: what is short afterwards, nothing that stays could help', (scene) => {
    const { goes, fileSystems } = foreseen(scene);
    const stays = scene.expendable.filter((one) => !goes.includes(one));
    const short = shortOf(fileSystems, scene.freeMin);
    expect(stays.filter((one) => touches(one, short))).toEqual([]);
  });

  always('is the oldest: what stays is younger than what went from the same file systems', (scene) => {
    const { goes } = foreseen(scene);
    for (const gone of goes)
      for (const stays of scene.expendable)
        if (
          !goes.includes(stays) &&
          [...gone.frees.keys()].every((id) => stays.frees.has(id)) &&
          gone.frees.size > 0
        )
          expect(stays.createdAtSeconds).toBeGreaterThanOrEqual(gone.createdAtSeconds);
  });

  always('is nothing where enough is free, and nothing more in a second run', (scene) => {
    const { goes, fileSystems } = foreseen(scene);
    if (shortOf(scene.fileSystems, scene.freeMin).size === 0) expect(goes).toEqual([]);
    const stays = scene.expendable.filter((one) => !goes.includes(one));
    expect(simulateDeletions(stays, fileSystems, scene.freeMin).goes).toEqual([]);
  });

  always('does not depend on the order of the input', (scene) => {
    const { goes } = foreseen(scene);
    expect(foreseen({ ...scene, expendable: [...scene.expendable].reverse() }).goes).toEqual(goes);
  });
});
