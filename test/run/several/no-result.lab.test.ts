// Runs that cannot come to a result: none of them ends with exit 0, and none without a word.
import { chmodSync, mkdtempSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { stripVTControlCharacters } from 'node:util';
import { afterAll, afterEach, describe, expect, test } from 'vitest';
import { inText } from '../../../src/model/text.ts';
import { kvmsnap } from '../../lab/cli.ts';
import { scratch, tool } from '../../lab/lab.ts';
import { onTerminal } from '../../lab/terminal.ts';
import { snapshotNames } from '../../scene/snapshot.ts';
import { cleanUp, defineVm, type Vm } from '../../scene/vm.ts';

afterEach(cleanUp);
afterAll(cleanUp);

/** A PATH with a qemu-img that takes a second longer, as on a disk that is slow. */
function slowQemuImg(): { readonly PATH: string } {
  const directory = mkdtempSync(join(scratch, 'slow-'));
  const real = tool('sh', ['-c', 'command -v qemu-img']).trim();
  writeFileSync(join(directory, 'qemu-img'), `#!/bin/sh\nsleep 1\nexec ${real} "$@"\n`);
  chmodSync(join(directory, 'qemu-img'), 0o755);
  return { PATH: `${directory}:${process.env['PATH']}` };
}

/** Four VMs of eight disks each: more reads than are let in at once. */
const four = (): Vm[] =>
  ['a', 'b', 'c', 'd'].map((name) =>
    defineVm({ name, disks: Array.from({ length: 8 }, () => ({ size: '1M' })) }),
  );

const ARGS = ['create', 'a', 'b', 'c', 'd', '--label', 'n', '--jobs', '4', '--timeout', '2s'];

describe('a create of four VMs with slow disks that is stopped by --timeout', () => {
  test('ends with 124 and says what was not done', async () => {
    const vms = four();
    const { code, stderr } = await kvmsnap(ARGS, { env: slowQemuImg() });
    expect(code).toBe(124);
    expect(stderr).toMatch(/timed out after 2 s/);
    // a VM whose disks were read in time may have got as far as libvirtd, which carries on
    for (const { name } of vms)
      expect(stderr).toMatch(new RegExp(`(was not started:|continues with) .*${inText(name)}`));
  });

  test('on a terminal too', async () => {
    four();
    const { code, screen } = await onTerminal(ARGS, { env: slowQemuImg() }).done;
    expect(code).toBe(124);
    expect(stripVTControlCharacters(screen)).toMatch(/timed out after 2 s/);
  });
});

/** A script that Node.js loads before kvmsnap. */
function preloaded(script: string): { readonly NODE_OPTIONS: string } {
  const file = join(mkdtempSync(join(scratch, 'preload-')), 'first.cjs');
  writeFileSync(file, script);
  return { NODE_OPTIONS: `--require ${file}` };
}

test('a run that settles nothing is a bug, and no success', async () => {
  // without its handle, which has not been started: a signal by way of it would go to whatever number its memory holds, and 0 is the
  // whole process group of the tests
  const env = preloaded(`
    const { ChildProcess } = require('node:child_process');
    const { PassThrough } = require('node:stream');
    const timers = require('node:timers/promises');
    ChildProcess.prototype.spawn = function () {
      const pipes = { stdin: null, stdout: new PassThrough(), stderr: new PassThrough(), stdio: [] };
      Object.assign(this, { _handle: null, pid: 999999, ...pipes });
      return 0;
    };
    ChildProcess.prototype.kill = () => false;
    const { setTimeout } = globalThis;
    globalThis.setTimeout = (...args) => setTimeout(...args).unref();
    const wait = timers.setTimeout;
    timers.setTimeout = (ms, value, options) => wait(ms, value, { ...options, ref: false });
  `);
  const { code, stderr } = await kvmsnap(['list'], { env });
  expect({ code, stderr }).toEqual({
    code: 70,
    stderr: 'error: kvmsnap ended without a result; this is a bug in kvmsnap\n',
  });
});

test('an exception of ours in the middle of a write says that libvirtd continues', async () => {
  const vm = defineVm({ name: 'web' });
  const env = preloaded(`
    const { ChildProcess } = require('node:child_process');
    const { spawn } = ChildProcess.prototype;
    ChildProcess.prototype.spawn = function (options) {
      if (options.args.includes('snapshot-create-as')) setTimeout(() => { throw new TypeError('broken'); }, 1);
      return spawn.call(this, options);
    };
  `);
  const { code, stderr } = await kvmsnap(['create-as', 'web', 's1'], { env });
  expect(code).toBe(70);
  expect(stderr).toMatch(/^warning: libvirtd continues with the snapshot s1 of web\. Until it has finished/m);
  expect(stderr).toMatch(/TypeError: broken/);
  await expect.poll(() => snapshotNames(vm), { timeout: 10_000 }).toEqual(['s1']);
});
