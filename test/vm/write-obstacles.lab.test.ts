// What stands in the way of writing to an image: found before anything is touched, and gone by the command that is told.
import { chmodSync, mkdtempSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, describe, expect, test } from 'vitest';
import { kvmsnap } from '../lab/cli.ts';
import { pasteOk, refused } from '../lab/evidence.ts';
import { isSystemLab, scratch, tool, tryTool } from '../lab/lab.ts';
import { share } from '../lab/share.ts';
import { blockDevice, makeReadOnly, makeWritable, smallFilesystem } from '../scene/mount.ts';
import { byteIn, NOW, succeed, THEN, tagNames, take, write } from '../scene/steps.ts';
import { cleanUp, type DiskSpec, defineVm, pathOf, start, state, type Vm } from '../scene/vm.ts';

afterEach(cleanUp);
afterAll(cleanUp);

/** Off, with two disks, the second one as told; the snapshots `s1` of THEN and `s2`, and NOW on both. */
function movedOn(second: DiskSpec): Vm {
  const vm = defineVm({ name: 'web-1', boot: 'counter', disks: [{ size: '4M' }, second] });
  write(vm, THEN);
  for (const name of ['s1', 's2']) take(vm, name);
  write(vm, NOW);
  return vm;
}

/** Not every file system knows these attributes. */
const knowsAttributes = (): boolean => {
  const directory = mkdtempSync(join(scratch, 'attributes-'));
  const isKnown = tryTool('chattr', ['+i', directory]).code === 0;
  if (isKnown) tool('chattr', ['-i', directory]);
  return isKnown;
};
const attributes = isSystemLab && knowsAttributes();

interface Obstacle {
  readonly what: string;
  readonly applies: boolean;
  readonly disk?: DiskSpec;
  readonly raise: (path: string) => void;
  /** Takes it away, should the test fail. */
  readonly lower: (path: string) => void;
  readonly says: RegExp;
  readonly tool: string;
}

const OBSTACLES: readonly Obstacle[] = [
  {
    what: 'an immutable image',
    applies: attributes,
    raise: (path) => void tool('chattr', ['+i', path]),
    lower: (path) => void tool('chattr', ['-i', path]),
    says: /is immutable \(chattr \+i\)/,
    tool: 'chattr',
  },
  {
    what: 'an append-only image',
    applies: attributes,
    raise: (path) => void tool('chattr', ['+a', path]),
    lower: (path) => void tool('chattr', ['-a', path]),
    says: /cannot be opened for writing/,
    tool: 'chattr',
  },
  {
    what: 'a read-only device',
    applies: isSystemLab,
    disk: { size: '4M', backend: 'block' },
    raise: (path) => void tool('blockdev', ['--setro', path]),
    lower: (path) => void tool('blockdev', ['--setrw', path]),
    says: /the device \/dev\/loop\d+ is read-only/,
    tool: 'blockdev',
  },
  {
    what: 'an image that its owner may not write to, in a session',
    applies: !isSystemLab,
    raise: (path) => chmodSync(path, 0o400),
    lower: (path) => chmodSync(path, 0o600),
    says: /cannot be written to by this user/,
    tool: 'chmod',
  },
];

describe.each(share(3, OBSTACLES))(
  '$what',
  ({ applies, disk = { size: '4M' }, raise, lower, says, tool: cure }) => {
    test.runIf(applies)('is refused by each verb that writes, and the hint ends it', async () => {
      const vm = movedOn(disk);
      raise(pathOf(vm, 1));
      const before = [byteIn(pathOf(vm)), tagNames(vm)];
      let command: string | null = null;
      try {
        for (const args of [
          ['create-as', 'web-1', 's3', '--force'],
          ['revert', 'web-1', 's1', '--force'],
          ['delete', 'web-1', 's1'],
        ]) {
          const refusal = await refused(...args);
          expect([refusal.exitCode, refusal.message]).toEqual([5, expect.stringMatching(says)]);
          command = refusal.command;
        }
        expect([byteIn(pathOf(vm)), tagNames(vm), command?.split(' ')[0]]).toEqual([...before, cure]);
        pasteOk(command);
      } finally {
        lower(pathOf(vm, 1));
      }
      await succeed('revert', 'web-1', 's1');
      await succeed('delete', 'web-1', 's1');
      expect([byteIn(pathOf(vm, 1)), tagNames(vm)]).toEqual([THEN, [['s2'], ['s2']]]);
    });
  },
);

describe.runIf(isSystemLab)('what is only read may be on a read-only file system', () => {
  /** An image on a file system that is read-only by then. */
  function onReadOnly(format: string): string {
    const directory = smallFilesystem(16);
    const path = join(directory, `image.${format}`);
    tool('qemu-img', ['create', '-q', '-f', format, path, '4M']);
    makeReadOnly(directory);
    return path;
  }

  test.each([
    ['a backing file', (): DiskSpec => ({ backing: onReadOnly('qcow2') })],
    ['a read-only disk', (): DiskSpec => ({ source: onReadOnly('qcow2'), readonly: true })],
    [
      'a CD-ROM',
      (): DiskSpec => ({ device: 'cdrom', format: 'raw', source: onReadOnly('raw'), readonly: true }),
    ],
  ])('%s', async (_, disk) => {
    const vm = defineVm({ name: 'web-1', boot: 'counter', disks: [{ size: '4M' }, disk()] });
    for (const name of ['s1', 's2']) await succeed('create-as', 'web-1', name);
    start(vm);
    await succeed('create-as', 'web-1', 'running');
    await succeed('delete', 'web-1', 's1');
    await succeed('revert', 'web-1', 'running');
    expect(state(vm)).toBe('running');
    expect(tagNames(vm)[0]).toEqual(['s2', 'running']);
  });
});

test.runIf(isSystemLab)(
  'fixes within an image wait until it can be written to, and check says why',
  async () => {
    const directory = smallFilesystem(16);
    const path = join(directory, 'b.qcow2');
    tool('qemu-img', ['create', '-q', '-f', 'qcow2', path, '4M']);
    const vm = defineVm({ name: 'web-1', disks: [{ size: '4M' }, { source: path }] });
    take(vm, 's1');
    tool('sleep', ['1.1']); // a tag's date has seconds
    tool('qemu-img', ['snapshot', '-c', 'half', path]);
    makeReadOnly(directory);
    const { exitCode, message } = await refused('delete', 'web-1', 's1');
    expect([exitCode, message]).toEqual([5, expect.stringContaining('is mounted read-only')]);
    const { code, stdout, stderr } = await kvmsnap(['check', 'web-1', '--fix', '--yes']);
    expect([code, tagNames(vm)]).toEqual([5, [['s1'], ['s1', 'half']]]);
    expect(stdout + stderr).toContain(`${directory} is mounted read-only`);
    makeWritable(directory);
    await succeed('check', 'web-1', '--fix', '--yes');
    expect(tagNames(vm)).toEqual([['s1'], ['s1']]);
  },
);

test.runIf(isSystemLab)(
  'saved memory that a block device may be too small for is refused, unless forced',
  async () => {
    const file = join(mkdtempSync(join(scratch, 'device-')), 'disk');
    tool('qemu-img', ['create', '-q', '-f', 'raw', file, '32M']);
    const source = blockDevice(file);
    tool('qemu-img', ['create', '-q', '-f', 'qcow2', source, '4M']);
    const vm = defineVm({ name: 'web-1', boot: 'counter', disks: [{ source, backend: 'block' }] });
    await succeed('create-as', 'web-1', 'off');
    start(vm);
    const { exitCode, message } = await refused('create-as', 'web-1', 's1');
    expect([exitCode, message]).toEqual([
      5,
      expect.stringMatching(/memory takes up to .* but \/dev\/loop\d+ has/),
    ]);
    await succeed('create-as', 'web-1', 's1', '--force');
    expect(tagNames(vm)).toEqual([['off', 's1']]);
  },
);
