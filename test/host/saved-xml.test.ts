import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { createSavedXml, outdatedBeside } from '../../src/host/saved-xml.ts';

let state: string;
beforeEach(() => {
  state = mkdtempSync(join(tmpdir(), 'kvmsnap-state-'));
});
afterEach(() => rmSync(state, { recursive: true }));

const WEB = '423f4d57-8887-409e-a29c-e2ee1690a61b';
const DB = '00000000-8887-409e-a29c-e2ee1690a61b';
const modeOf = (path: string) => statSync(path).mode & 0o777;

test('of each VM the files of its last five changes are kept, of one change all', async () => {
  const files = createSavedXml({ XDG_STATE_HOME: state });
  for (let time = 96; time <= 104; time++) {
    await files.keep(`${WEB}.${time}.fix-1.xml`, `web ${time}`);
    await files.keep(`${WEB}.${time}.fix-2.txt`, '');
    if (time < 99) await files.keep(`${DB}.${time}.xml`, '');
  }
  const left = readdirSync(join(state, 'kvmsnap')).sort();
  expect(left).toEqual([
    ...[96, 97, 98].map((time) => `${DB}.${time}.xml`),
    ...[100, 101, 102, 103, 104].flatMap((time) => [`${WEB}.${time}.fix-1.xml`, `${WEB}.${time}.fix-2.txt`]),
  ]);
  expect(readFileSync(join(state, 'kvmsnap', `${WEB}.104.fix-1.xml`), 'utf8')).toBe('web 104');
});

test('what is not of its own making stays', () => {
  const times = [1, 2, 3, 4, 5, 6].map((time) => `${WEB}.${time}.xml`);
  expect(outdatedBeside(`${WEB}.6.xml`, [...times, 'notes.txt', `${WEB}.old`])).toEqual([`${WEB}.1.xml`]);
  expect(outdatedBeside('notes.txt', [...times, 'notes.txt'])).toEqual([]);
});

test('only this user can read them, also where the directory was open to others', async () => {
  const directory = join(state, 'kvmsnap');
  mkdirSync(directory);
  chmodSync(directory, 0o755);
  const path = await createSavedXml({ XDG_STATE_HOME: state }).keep(`${WEB}.1.xml`, 'secret');
  expect([modeOf(directory), modeOf(path)]).toEqual([0o700, 0o600]);
});
