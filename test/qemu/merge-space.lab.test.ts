// What merging overlays frees, against a real `qemu-img commit` of copies.
import { rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { measureMerge } from '../../src/qemu/image-space.ts';
import { localFiles } from '../host/local-files.ts';
import { scratch, tool, tryTool } from '../lab/lab.ts';
import { MiB } from '../model.ts';
import { randomFrom } from '../scene/random.ts';

const qemuImg = async (args: readonly string[]) => {
  const { code, ...said } = tryTool('qemu-img', args);
  return { ...said, exitCode: code };
};

const occupied = (path: string): number => {
  tool('sync', [path]);
  return statSync(path).blocks * 512;
};

/** A row of images, each over the one before it; the first is the base. */
interface Chain {
  readonly paths: readonly [base: string, ...overlays: string[]];
  readonly format: 'qcow2' | 'raw';
}

type Random = () => number;

/** The usual one more often. */
const KINDS = [
  'cluster_size=64k',
  'cluster_size=64k',

  'cluster_size=4k',
  'cluster_size=64k',
  'cluster_size=512k',
  'cluster_size=64k,extended_l2=on',
  'compat=0.10',
];

const SIZE = 96;

/** Writes of 64 KiB and more all over the disk; of less where the image has smaller clusters. */
function writes(random: Random, count: number): string[] {
  return Array.from({ length: count }, (_, i) => {
    const length = 4 + 4 * Math.floor(random() * 200);
    const at = 4 * Math.floor(random() * (SIZE * 256 - length / 4));
    return `write -P ${1 + (i % 200)} ${at}k ${length}k`;
  });
}

function io(path: string, format: string, commands: readonly string[]): void {
  tool('qemu-io', ['-f', format, ...commands.flatMap((command) => ['-c', command]), path]);
}

function makeChain(name: string, seed: number): Chain {
  const random = randomFrom(seed);
  const pick = <T>(values: readonly T[]): T => values[Math.floor(random() * values.length)] as T;
  const format = random() < 0.4 ? 'raw' : 'qcow2';
  const base = join(scratch, `${name}.base`);
  const preallocated = format === 'qcow2' && random() < 0.2 ? ',preallocation=metadata' : '';
  const options = format === 'raw' ? [] : ['-o', `${pick(KINDS)}${preallocated}`];
  tool('qemu-img', ['create', '-q', '-f', format, ...options, base, `${SIZE}M`]);
  io(base, format, writes(random, 20));
  if (format === 'qcow2' && random() < 0.4) {
    tool('qemu-img', ['snapshot', '-c', 'inside', base]);
    io(base, format, writes(random, 5));
  }
  const paths: [string, ...string[]] = [base];
  for (let i = 0; i < 1 + Math.floor(random() * 2); i++) {
    const path = join(scratch, `${name}.${i}`);
    const below = ['-b', paths.at(-1) ?? '', '-F', i === 0 ? format : 'qcow2'];
    tool('qemu-img', ['create', '-q', '-f', 'qcow2', '-o', pick(KINDS), ...below, path, `${SIZE}M`]);
    io(path, 'qcow2', writes(random, 20));
    paths.push(path);
  }
  return { paths, format };
}

async function measured({ paths: [base, ...overlays], format }: Chain) {
  const said = await measureMerge({ qemuImg, files: localFiles }, overlays, { path: base, format });
  if (said.kind !== 'measured') throw new Error(said.detail);
  return said;
}

/** Bytes that the base really grows by. */
function commit({ paths: [base, ...overlays] }: Chain): number {
  const before = occupied(base);
  for (const overlay of overlays.toReversed()) tool('qemu-img', ['commit', '-q', '-d', overlay]);
  return occupied(base) - before;
}

/** Refcount blocks, and the file system's own. */
const REWRITTEN = 64 * 1024;

/** More chains: SPACE_CHAINS=200. */
const CHAINS = Number(process.env['SPACE_CHAINS'] ?? 14);

test(`${CHAINS} random chains: the base grows as much as was said`, {
  timeout: 10_000 * CHAINS,
}, async () => {
  const wrong: unknown[] = [];
  let exact = 0;
  for (let seed = 0; seed < CHAINS; seed++) {
    const chain = makeChain(`chain${seed}`, seed);
    const { growth, approximate } = await measured(chain);
    const grown = commit(chain);
    const mistake = grown - growth.hostBytes;
    if (!approximate) exact++;
    if (Math.abs(mistake) > (approximate ? grown / 2 : REWRITTEN))
      wrong.push({ seed, chain, grown, mistake });
    for (const path of chain.paths) rmSync(path);
  }
  expect(wrong).toEqual([]);
  expect(exact).toBeGreaterThan(CHAINS / 3);
});

test('tables that the base must make first count too', async () => {
  const [base, overlay] = ['tables.base', 'tables.overlay'].map((name) => join(scratch, name)) as [
    string,
    string,
  ];
  tool('qemu-img', ['create', '-q', '-f', 'qcow2', base, '8G']);
  tool('qemu-img', ['create', '-q', '-f', 'qcow2', '-b', base, '-F', 'qcow2', overlay]);
  io(
    overlay,
    'qcow2',
    Array.from({ length: 16 }, (_, i) => `write ${i * 512}M 64k`),
  );
  const chain: Chain = { paths: [base, overlay], format: 'qcow2' };
  const { growth } = await measured(chain);
  expect(growth).toEqual({ clusterBytes: 2 * MiB, hostBytes: 2 * MiB });
  expect(Math.abs(commit(chain) - 2 * MiB)).toBeLessThan(REWRITTEN);
});

test('zeros make it approximate, and an overlay with snapshots of its own is not measured', async () => {
  const base = join(scratch, 'zeros.base');
  const overlay = join(scratch, 'zeros.overlay');
  tool('qemu-img', ['create', '-q', '-f', 'raw', base, '8M']);
  tool('qemu-img', ['create', '-q', '-f', 'qcow2', '-b', base, '-F', 'raw', overlay]);
  io(overlay, 'qcow2', ['write 4M 1M', 'discard 2M 1M']);
  const chain: Chain = { paths: [base, overlay], format: 'raw' };
  expect(await measured(chain)).toMatchObject({ growth: { hostBytes: MiB }, approximate: true });
  tool('qemu-img', ['snapshot', '-c', 's', overlay]);
  await expect(measured(chain)).rejects.toThrow('1 internal snapshots');
});
