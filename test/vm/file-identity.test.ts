import { linkSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { identifyFiles } from '../../src/vm/file-identity.ts';
import { localFiles } from '../host/local-files.ts';

const directory = mkdtempSync(join(tmpdir(), 'identity-'));
afterAll(() => rmSync(directory, { recursive: true }));
const at = (name: string) => join(directory, name);

test('links and .. lead to the same file, a copy is another one', async () => {
  mkdirSync(at('sub'));
  for (const name of ['image', 'copy']) writeFileSync(at(name), 'the same content');
  symlinkSync('image', at('symbolic'));
  symlinkSync(directory, at('directory'));
  linkSync(at('image'), at('hard'));
  const same = [at('image'), at('symbolic'), at('hard'), at('directory/image'), `${directory}/sub/../image`];
  const key = await identifyFiles(localFiles, [...same, at('copy')]);
  expect(new Set(same.map(key)).size).toBe(1);
  expect(key(at('copy'))).not.toBe(key(at('image')));
});

test('what is not there is known by its directory and its name', async () => {
  mkdirSync(at('images'));
  symlinkSync('images', at('alias'));
  symlinkSync('nowhere', at('dangling'));
  const alike = await identifyFiles(localFiles, [at('images/gone'), at('alias/gone'), at('alias/other')]);
  expect(alike(at('alias/gone'))).toBe(alike(at('images/gone')));
  expect(alike(at('alias/other'))).not.toBe(alike(at('images/gone')));
  const key = await identifyFiles(localFiles, [at('gone'), `${directory}/sub/../gone`, at('dangling')]);
  expect(key(`${directory}/sub/../gone`)).toBe(key(at('gone')));
  expect(key(at('dangling'))).not.toBe(key(at('gone')));
});

test('a path that nobody asked about is never taken for another file', async () => {
  writeFileSync(at('asked'), 'x');
  const key = await identifyFiles(localFiles, [at('asked')]);
  expect(key(at('other'))).toBe(at('other'));
});
