import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { statSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { measureImage } from '../../src/qemu/image-space.ts';
import { localFiles } from '../host/local-files.ts';
import { scratch, tool, tryTool } from '../lab/lab.ts';
import { MiB } from '../model.ts';

const qemuImg = async (args: readonly string[]) => {
  const { code, ...said } = tryTool('qemu-img', args);
  return { ...said, exitCode: code };
};

/** An image of 1 GiB with 64 MiB before the snapshot, and 96 MiB after it, half of them over the old. */
function makeImage(name: string, options: string): string {
  const path = join(scratch, name);
  tool('qemu-img', ['create', '-q', '-f', 'qcow2', '-o', options, path, '1G']);
  tool('qemu-io', ['-f', 'qcow2', '-c', 'write -P 1 0 64M', path]);
  tool('qemu-img', ['snapshot', '-c', 's', path]);
  tool('qemu-io', ['-f', 'qcow2', '-c', 'write -P 2 16M 96M', path]);
  return path;
}

const occupied = (path: string) => {
  tool('sync', ['-f', path]);
  return statSync(path).blocks * 512;
};

test.each([
  ['off', 48],
  // clusters that were never written are all the snapshot's, but nothing lies there
  ['metadata', 96],
])('with preallocation=%s it says what the host gets back', async (preallocation, clusters) => {
  const path = makeImage(`${preallocation}.qcow2`, `preallocation=${preallocation}`);
  const space = await measureImage({ qemuImg, files: localFiles }, path);
  if (space.kind !== 'measured') throw new Error(space.detail);
  const [snapshot] = space.snapshots;
  expect(snapshot).toMatchObject({ name: 's', vmState: { clusterBytes: 0 }, changedBytes: null });
  const { frees, holds } = snapshot as NonNullable<typeof snapshot>;
  expect(frees.clusterBytes).toBeGreaterThanOrEqual(clusters * MiB);
  expect(frees.clusterBytes).toBeLessThan((clusters + 1) * MiB);
  expect(holds.hostBytes).toBeGreaterThanOrEqual(64 * MiB);
  expect(holds.hostBytes).toBeLessThan(65 * MiB);

  const before = occupied(path);
  tool('qemu-img', ['snapshot', '-d', 's', path]);
  const freed = before - occupied(path);
  // QEMU writes a refcount block and two L2 tables anew
  expect(Math.abs(freed - frees.hostBytes)).toBeLessThan(MiB / 2);
  expect(frees.hostBytes).toBeLessThan(49 * MiB);
});

test('small writes all over a new image: QEMU reserves a whole cluster for each, and the host gets that back', async () => {
  const path = join(scratch, 'reserved.qcow2');
  tool('qemu-img', ['create', '-q', '-f', 'qcow2', path, '1G']);
  const io = (...commands: string[]) =>
    tool('qemu-io', ['-f', 'qcow2', ...commands.flatMap((command) => ['-c', command]), path]);
  io(...Array.from({ length: 200 }, (_, i) => `write -P 1 ${i * 5}M 4k`));
  tool('qemu-img', ['snapshot', '-c', 's', path]);
  io('write -P 2 0 8k', 'discard 0 1G');
  const before = occupied(path);
  const space = await measureImage({ qemuImg, files: localFiles }, path);
  if (space.kind !== 'measured') throw new Error(space.detail);
  const frees = space.snapshots[0]?.frees.hostBytes ?? 0;
  expect(frees).toBeGreaterThan(12 * MiB);
  tool('qemu-img', ['snapshot', '-d', 's', path]);
  expect(Math.abs(before - occupied(path) - frees)).toBeLessThan(MiB / 2);
});

test('a missing file, another format, an external data file: the reason', async () => {
  const missing = join(scratch, 'missing.qcow2');
  expect(await measureImage({ qemuImg, files: localFiles }, missing)).toMatchObject({
    kind: 'unmeasured',
    why: 'unreadable',
  });
  symlinkSync(missing, join(scratch, 'dangling'));
  expect(await measureImage({ qemuImg, files: localFiles }, join(scratch, 'dangling'))).toMatchObject({
    why: 'unreadable',
  });

  const raw = join(scratch, 'image.raw');
  tool('qemu-img', ['create', '-q', '-f', 'raw', raw, '1M']);
  expect(await measureImage({ qemuImg, files: localFiles }, raw)).toMatchObject({ why: 'not-qcow2' });

  const apart = join(scratch, 'apart.qcow2');
  tool('qemu-img', ['create', '-q', '-f', 'qcow2', '-o', `data_file=${apart}.data`, apart, '1M']);
  expect(await measureImage({ qemuImg, files: localFiles }, apart)).toMatchObject({ why: 'data-file' });
});

test('beside a process that has it open for writing, of which the image shows nothing afterwards', async () => {
  const path = makeImage('busy.qcow2', 'cluster_size=64k');
  const alone = await measureImage({ qemuImg, files: localFiles }, path);
  const { mtimeMs } = statSync(path);
  const writer = spawn('qemu-io', ['-f', 'qcow2', path], { stdio: ['pipe', 'pipe', 'ignore'] });
  await once(writer.stdout, 'data');
  expect(tryTool('qemu-img', ['snapshot', '-d', 's', path]).stderr).toMatch(/lock/);
  expect(await measureImage({ qemuImg, files: localFiles }, path)).toEqual(alone);
  expect(statSync(path).mtimeMs).toBe(mtimeMs);
  writer.stdin.end('quit\n');
  await once(writer, 'exit');
});
