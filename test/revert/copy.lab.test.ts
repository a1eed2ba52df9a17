// The copy that a refused revert offers, of a snapshot with memory whose disk was made larger since.
import { openSync, readSync } from 'node:fs';
import { afterEach, expect, test } from 'vitest';
import { pasteOk, refused } from '../lab/evidence.ts';
import { tool } from '../lab/lab.ts';
import { writePattern } from '../scene/disk.ts';
import { byteIn, THEN, take } from '../scene/steps.ts';
import { cleanUp, defineVm, destroy, pathOf, start } from '../scene/vm.ts';

afterEach(cleanUp);

/** QEMU keeps the memory behind the disk, at the next multiple of what one table of the first level describes. */
const MEMORY_AT = 512 * 1024 * 1024;

test('it has the old content of the disk, and memory of the guest beyond it, which the hint says', async () => {
  const vm = defineVm({ name: 'web', boot: 'counter', disks: [{ size: '8M' }] });
  const path = pathOf(vm);
  writePattern(path, THEN, 1024 * 1024, 64 * 1024);
  start(vm);
  take(vm, '2');
  take(vm, 'other');
  destroy(vm);
  tool('qemu-img', ['resize', '-q', '-f', 'qcow2', path, '1G']);
  const refusal = await refused('revert', 'web', '2');
  expect(refusal.hint).toContain(
    'If the disk was made larger since, the copy contains memory of the guest beyond its old size',
  );
  pasteOk(refusal.command);
  const copy = `${path}.2.copy`;
  expect(byteIn(copy)).toBe(THEN);
  tool('qemu-img', ['convert', '-f', 'qcow2', '-O', 'raw', copy, `${copy}.raw`]);
  const magic = Buffer.alloc(4);
  readSync(openSync(`${copy}.raw`, 'r'), magic, 0, 4, MEMORY_AT);
  expect(magic.toString()).toBe('QEVM');
});
