import { mkdtempSync, rmSync, statfsSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { fileSystemOf } from '../../src/host/file-systems.ts';
import { localFiles } from './local-files.ts';

const directory = mkdtempSync(join(tmpdir(), 'file-systems-'));
afterAll(() => rmSync(directory, { recursive: true }));

test('of a file, and of a link to it: the size of its file system, and one id for all of its files', async () => {
  const [file, other, link] = ['file', 'other', 'link'].map((name) => join(directory, name)) as [
    string,
    string,
    string,
  ];
  for (const path of [file, other]) writeFileSync(path, 'x');
  symlinkSync(file, link);
  const { blocks, bsize } = statfsSync(directory);
  const found = await Promise.all([file, other, link].map((path) => fileSystemOf(localFiles, path)));
  expect(found.map((each) => each?.sizeBytes)).toEqual(Array(3).fill(blocks * bsize));
  expect(new Set(found.map((each) => each?.id)).size).toBe(1);
  expect(directory.startsWith(found[0]?.mountPoint ?? 'none')).toBe(true);
  expect(found[0]?.freeBytes).toBeLessThanOrEqual(blocks * bsize);
});

test('none of what is no file, or not there', async () => {
  expect(
    await Promise.all(
      ['/dev/null', directory, join(directory, 'nosuch')].map((path) => fileSystemOf(localFiles, path)),
    ),
  ).toEqual([null, null, null]);
});
