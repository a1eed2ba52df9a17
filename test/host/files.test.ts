import { mkdtempSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { freeBytes, mostFreeBytes, occupiedBytes, writtenAt } from '../../src/host/files.ts';
import { MiB } from '../model.ts';
import { localFiles } from './local-files.ts';

const directory = mkdtempSync(join(tmpdir(), 'files-'));
afterAll(() => rmSync(directory, { recursive: true }));

describe('the space of a file', () => {
  test('what it occupies, and what its file system has left', async () => {
    const path = join(directory, 'full');
    writeFileSync(path, Buffer.alloc(MiB, 1));
    expect(await occupiedBytes(localFiles, path)).toBe(statSync(path).blocks * 512);
    expect(await freeBytes(localFiles, path)).toBeGreaterThan(0);
  });

  test('what is free at the most, without a process', async () => {
    const [free, most, forRoot] = await Promise.all([
      freeBytes(localFiles, directory),
      mostFreeBytes(localFiles, directory, false),
      mostFreeBytes(localFiles, directory, true),
    ]);
    // others write meanwhile
    expect(most).toBeGreaterThan((free ?? 0) / 2);
    expect(forRoot).toBeGreaterThanOrEqual((most ?? 0) / 2);
    expect(await mostFreeBytes(localFiles, join(directory, 'gone'), true)).toBeNull();
  });

  test('is not known of what is not there', async () => {
    const path = join(directory, 'gone', 'x');
    expect([await occupiedBytes(localFiles, path), await freeBytes(localFiles, path)]).toEqual([null, null]);
  });
});

test('when a file was written to last; of a device, and of what is not there, that is not known', async () => {
  const path = join(directory, 'old');
  writeFileSync(path, 'x');
  utimesSync(path, 1000, 1000);
  expect(await writtenAt(localFiles, path)).toBe(1_000_000);
  expect([
    await writtenAt(localFiles, '/dev/null'),
    await writtenAt(localFiles, join(directory, 'gone')),
  ]).toEqual([null, null]);
});
