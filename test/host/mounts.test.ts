import { expect, test } from 'vitest';
import { findMount } from '../../src/host/mounts.ts';

const TEXT = `22 1 253:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
30 22 0:25 / /vm rw,relatime shared:2 master:1 - xfs /dev/vdb ro,attr2
31 22 0:26 / /vm\\040two ro,nosuid - tmpfs tmpfs rw,size=1k
32 22 0:27 / /over rw - tmpfs tmpfs rw
33 32 0:28 / /over ro - tmpfs tmpfs rw
`;

test.each([
  ['/vm/a.qcow2', { point: '/vm', isReadOnly: false, isFileSystemReadOnly: true }],
  ['/vm two/a', { point: '/vm two', isReadOnly: true, isFileSystemReadOnly: false }],
  ['/vmware/a', { point: '/', isReadOnly: false, isFileSystemReadOnly: false }],
  ['/over', { point: '/over', isReadOnly: true, isFileSystemReadOnly: false }],
])('%s', (path, mount) => {
  expect(findMount(TEXT, path)).toEqual(mount);
});

test('of a host that tells of no mounts nothing is known', () => {
  expect(findMount('', '/vm/a')).toBeNull();
});
