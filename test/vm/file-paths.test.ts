import { expect, test } from 'vitest';
import { callAlike } from '../../src/vm/file-identity.ts';
import { snapshot } from '../model.ts';

/** A host on which /link/... leads to /vm/... */
const key = (path: string) => path.replace('/link/', '/vm/');

test('a file that the VM uses under another path is called as it is now, and how libvirt spells it is kept', () => {
  const [renamed, other] = callAlike(
    [snapshot('a'), snapshot('b', { disks: [], definedDisks: [] })],
    ['/link/vda.qcow2'],
    key,
  );
  const now = { source: '/link/vda.qcow2', spelled: '/vm/vda.qcow2' };
  expect(renamed?.disks).toMatchObject([now]);
  expect(renamed?.definedDisks).toMatchObject([now]);
  expect(other?.disks).toEqual([]);
});

test('of two paths that the VM itself has, the first is the name', () => {
  const [same] = callAlike([snapshot('a')], ['/link/vda.qcow2', '/vm/vda.qcow2'], key);
  expect(same?.disks[0]?.source).toBe('/link/vda.qcow2');
});

test('a file that the VM does not use keeps its path', () => {
  expect(callAlike([snapshot('a')], ['/vm/other'], key)).toEqual([snapshot('a')]);
});
