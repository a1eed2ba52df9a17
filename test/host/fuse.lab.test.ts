// What is free on a file system whose blocks are not counted in the size that statfs(2) calls f_bsize, beside what df says.
import { execFile } from 'node:child_process';
import { statfsSync } from 'node:fs';
import { promisify } from 'node:util';
import { afterEach, expect, test } from 'vitest';
import { fileSystemOf } from '../../src/host/file-systems.ts';
import { freeBytes } from '../../src/host/files.ts';
import { createLocalFiles } from '../../src/host/local-files.ts';
import { isSystemLab, scratch } from '../lab/lab.ts';
import { type FuseMount, mountFuse } from '../scene/fuse.ts';
import { localFiles, runStat } from './local-files.ts';

let mount: FuseMount | null = null;
afterEach(() => mount?.unmount());

const run = promisify(execFile);

/** Size and free in bytes. */
async function byDf(path: string): Promise<number[]> {
  const { stdout } = await run('df', ['--block-size=1', '--output=size,avail', '--', path]);
  return (stdout.trim().split('\n').at(-1) ?? '').trim().split(/ +/).map(Number);
}

test.runIf(isSystemLab).each([
  [
    'reads in pieces of 1 MiB',
    { ioBytes: 1024 * 1024, unitBytes: 4096, blocks: 2_000_000, available: 500_000 },
  ],
  ['counts in units of 1 MiB', { ioBytes: 4096, unitBytes: 1024 * 1024, blocks: 80_000, available: 20_000 }],
])('FUSE that %s', async (_, numbers) => {
  mount = mountFuse(numbers);
  const [size = 0, free = 0] = await byDf(mount.file);
  expect([size, free]).toEqual([numbers.blocks * numbers.unitBytes, numbers.available * numbers.unitBytes]);
  expect(await fileSystemOf(localFiles, mount.file)).toMatchObject({ sizeBytes: size, freeBytes: free });
  expect(await freeBytes(localFiles, mount.file)).toBe(free);
});

test('where Node.js tells it all no process is started', async () => {
  const asked: (readonly string[])[] = [];
  const recording = createLocalFiles((args) => {
    asked.push(args);
    return runStat(args);
  });
  const [, free = 0] = await byDf(scratch);
  const found = (await freeBytes(recording, scratch)) ?? 0;
  expect(Math.abs(found - free)).toBeLessThan(256 * 1024 * 1024);
  const isKnown = [0xef53, 0x58465342, 0x9123683e, 0x01021994].includes(statfsSync(scratch).type);
  expect(asked).toHaveLength(isKnown ? 0 : 1);
});
