// Which libvirtd of 11.2 and 11.3 can load the memory of internal snapshots: told by dpkg's record of its package.
import { expect, test } from 'vitest';
import { loadsMemory } from '../../src/vm/memory-load.ts';

const paragraph = (name: string, version: string, status = 'install ok installed') =>
  `Package: ${name}\nStatus: ${status}\nArchitecture: amd64\nVersion: ${version}\nDescription: x\n Version: 1-9\n`;

const host = (text: string | null) => ({
  read: async (path: string) => {
    if (text === null || path !== '/var/lib/dpkg/status') throw new Error('ENOENT');
    return new TextEncoder().encode(text);
  },
});

const NAME = 'libvirt-daemon-driver-qemu';
const LOCAL = 'qemu:///system';

test.each<[string, number | null, string | null, boolean]>([
  ['another version', 12_008_000, null, true],
  ['an older one', 11_001_000, null, true],
  ['no dpkg', 11_003_000, null, false],
  ['no version', null, paragraph(NAME, '11.3.0-3'), false],
  ['the package of Debian 13', 11_003_000, paragraph(NAME, '11.3.0-3+deb13u3'), true],
  ['the first with the fix', 11_003_000, paragraph(NAME, '11.3.0-2'), true],
  ['the one before', 11_003_000, paragraph(NAME, '11.3.0-1'), false],
  ['one for an older Debian', 11_003_000, paragraph(NAME, '11.3.0-3~bpo12+1'), true],
  ['11.2', 11_002_000, paragraph(NAME, '11.2.0-5'), false],
  ['one that was removed', 11_003_000, paragraph(NAME, '11.3.0-3', 'deinstall ok config-files'), false],
  ['another package', 11_003_000, paragraph(`${NAME}-x`, '11.3.0-3'), false],
  [
    'among others',
    11_003_000,
    [paragraph('a', '11.3.0-1'), paragraph(NAME, '11.3.0-3'), paragraph('z', '1-1')].join('\n'),
    true,
  ],
])('%s', async (_, version, text, loads) => {
  expect(await loadsMemory(host(text), LOCAL, version)).toBe(loads);
});

test('the package of another host is not known', async () => {
  expect(await loadsMemory(host(paragraph(NAME, '11.3.0-3')), 'qemu+ssh://other/system', 11_003_000)).toBe(
    false,
  );
});
