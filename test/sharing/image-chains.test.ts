import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { readChains } from '../../src/sharing/image-chains.ts';
import { imagesToFollow } from '../../src/sharing/vm-files.ts';
import { localFiles } from '../host/local-files.ts';
import { type Qcow2Names, qcow2Header } from '../qemu/headers.ts';

let directory = '';
const at = (name: string) => join(directory, name);

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'kvmsnap-chains-'));
});
afterEach(() => rmSync(directory, { recursive: true }));

function write(name: string, names: Qcow2Names = {}): string {
  writeFileSync(at(name), qcow2Header(names));
  return at(name);
}

test('a chain goes as far as its images record qcow2, with the files that hold the data', async () => {
  write('secret');
  const base = write('base', { backing: 'secret', backingFormat: 'qcow2' });
  const middle = write('middle', { backing: base, backingFormat: 'raw', dataFile: 'data' });
  const top = write('top', { backing: 'middle', backingFormat: 'qcow2' });
  const { beneath, unreadable } = await readChains(localFiles, new Map(), [{ path: top, format: 'qcow2' }]);
  expect(beneath(top, 'qcow2')).toEqual([
    { path: middle, kind: 'below', isOwn: false },
    { path: at('data'), kind: 'data', isOwn: false },
    { path: base, kind: 'below', isOwn: false },
  ]);
  expect(beneath(middle, 'qcow2')[0]).toEqual({ path: at('data'), kind: 'data', isOwn: true });
  expect(unreadable).toEqual(new Set());
});

test('a raw image is never followed', async () => {
  const path = write('a', { backing: '/etc/shadow', backingFormat: 'qcow2' });
  const known = new Map();
  const { beneath } = await readChains(localFiles, known, [{ path, format: 'raw' }]);
  expect(beneath(path, 'raw')).toEqual([]);
  expect(known).toEqual(new Map());
});

test('where no format is recorded, a header that names other files is not believed: nobody knows what is below', async () => {
  const base = write('base', { backing: '/etc/shadow' });
  const top = write('top', { backing: base });
  const known = new Map();
  const { beneath, unreadable } = await readChains(localFiles, known, [{ path: top, format: 'qcow2' }]);
  expect(beneath(top, 'qcow2')).toEqual([]);
  expect(unreadable).toEqual(new Set([top]));
  expect([...known.keys()]).not.toContain('/etc/shadow');
});

test.each([
  ['raw', null, 0],
  ['qcow2', null, 1],
  ['raw', 'qcow2', 1],
])('an image that was qcow2 once, and is %s now (and %s as it runs)', (inactive, live, followed) => {
  const file = (format: string) => ({
    path: '/a',
    format,
    target: 'vda',
    readonly: false,
    nvram: false,
    below: false,
  });
  const snapshot = {
    name: 's',
    disks: [],
    memory: { location: 'no', file: null },
    definedDisks: [],
    files: [file('qcow2')],
  };
  const images = imagesToFollow([
    {
      vm: { name: 'a', uuid: 'a', state: 'shutoff' },
      live: live === null ? null : [file(live)],
      inactive: [file(inactive)],
      saved: [],
      snapshots: [snapshot],
    },
  ]);
  expect(images.filter(({ format }) => format === 'qcow2').length > 0).toBe(followed === 1);
});
