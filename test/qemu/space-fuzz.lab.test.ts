import { rmSync } from 'node:fs';
import { expect, test, vi } from 'vitest';
import { measureImage } from '../../src/qemu/image-space.ts';
import type { SnapshotSpace } from '../../src/qemu/qcow2/space.ts';
import { scratch, tool, tryTool } from '../lab/lab.ts';
import { makeImage, randomNumbers } from './qcow2-maker.ts';
import { countDifferent, countUsedClusters, type Walked, walkSnapshots } from './qcow2-oracle.ts';

/**
 * What the reader says of random images, against what QEMU then does. SPACE_IMAGES makes more of them, SPACE_SEED others:
 *   SPACE_IMAGES=2000 SPACE_SEED=7 test/lab/enter.sh npx vitest run --config test/vitest.config.ts --project lab test/qemu/space-fuzz
 */
const IMAGES = Number(process.env['SPACE_IMAGES'] ?? 90);
const SEED = Number(process.env['SPACE_SEED'] ?? 1);

vi.setConfig({ testTimeout: 10_000 * IMAGES });

const qemuImg = async (args: readonly string[]) => {
  const { code, ...said } = tryTool('qemu-img', args);
  return { ...said, exitCode: code };
};

const traits = new Map<string, number>();
let deletions = 0;
let harmed = 0;

function* seeds() {
  for (let i = 0; i < IMAGES; i++) yield SEED * 100_000 + i;
}

/** The order in which to delete the snapshots, and which are compared. */
function questionOf(seed: number, walked: readonly Walked[]) {
  const random = randomNumbers(seed + 1);
  const ids = walked.map(({ id }) => id);
  const order = ids
    .map((id) => ({ id, at: random() }))
    .sort((a, b) => a.at - b.at)
    .map(({ id }) => id);
  const since = new Map(ids.slice(1).map((id, i) => [id, ids[Math.floor(random() * (i + 1))] ?? '']));
  return { order, since };
}

function corruptions(path: string): number {
  const { stdout } = tryTool('qemu-img', ['check', '--output=json', '-U', '--', path]);
  return stdout === '' ? 1 : ((JSON.parse(stdout) as { corruptions?: number }).corruptions ?? 0);
}

test('it is exact to the cluster', async () => {
  const wrong: unknown[] = [];
  for (const seed of seeds()) {
    const made = makeImage(scratch, seed);
    try {
      const problem = await tryImage(made.path, seed);
      if (problem) wrong.push({ seed, problem, log: made.log });
      for (const trait of made.traits) traits.set(trait, (traits.get(trait) ?? 0) + 1);
    } finally {
      rmSync(made.path);
    }
  }
  console.log(
    `seed ${SEED}: ${IMAGES} images, ${deletions} deletions, ${harmed} harmed by QEMU`,
    Object.fromEntries([...traits].sort()),
  );
  expect(wrong.slice(0, 3)).toEqual([]);
  expect(wrong.length).toBe(0);
});

async function tryImage(path: string, seed: number): Promise<unknown> {
  if (corruptions(path) > 0) {
    harmed++;
    return null;
  }
  const walked = walkSnapshots(path);
  const { order, since } = questionOf(seed, walked);
  const space = await measureImage(qemuImg, path, { order, since });
  if (space.kind !== 'measured') return space;
  const { clusterBytes } = JSON.parse(tool('qemu-img', ['info', '-U', '--output=json', path])) && {
    clusterBytes: JSON.parse(tool('qemu-img', ['info', '-U', '--output=json', path]))[
      'cluster-size'
    ] as number,
  };
  const byId = new Map(walked.map((w) => [w.id, w]));
  const problems: unknown[] = [];
  for (const s of space.snapshots) {
    const w = byId.get(s.id) as Walked;
    const parent = byId.get(since.get(s.id) ?? '');
    const expected = {
      holds: w.holds.size,
      vm: w.vmState.size,
      changed: parent ? countDifferent(w, parent) : null,
    };
    const got = {
      holds: s.holds.clusterBytes / clusterBytes,
      vm: s.vmState.clusterBytes / clusterBytes,
      changed: s.changedBytes === null ? null : s.changedBytes / clusterBytes,
    };
    if (JSON.stringify(expected) !== JSON.stringify(got))
      problems.push({ name: s.name.slice(0, 5), expected, got });
  }
  const copy = `${path}.copy`;
  const remake = () => tool('cp', ['--sparse=auto', '--', path, copy]);
  const erase = (id: string) => {
    deletions++;
    const name = byId.get(id)?.name ?? '';
    tool('qemu-img', ['snapshot', '-d', name, copy]);
  };
  const used = countUsedClusters(path);
  for (const s of space.snapshots.slice(0, 3)) {
    remake();
    erase(s.id);
    const freed = used - countUsedClusters(copy);
    if (freed !== s.frees.clusterBytes / clusterBytes)
      problems.push({ alone: s.name.slice(0, 5), freed, said: s.frees.clusterBytes / clusterBytes });
  }
  remake();
  for (const id of order) {
    erase(id);
    const freed = used - countUsedClusters(copy);
    const said =
      (space.snapshots.find((s) => s.id === id) as SnapshotSpace).freesTogether.clusterBytes / clusterBytes;
    if (freed !== said) problems.push({ together: id, freed, said });
  }
  rmSync(copy, { force: true });
  return problems.length ? problems : null;
}
