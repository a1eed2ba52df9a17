// stderr as systemd reads it into its journal: each line with its priority.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, expect, test } from 'vitest';
import { kvmsnapPath } from '../lab/cli.ts';
import { scratch, tryTool } from '../lab/lab.ts';
import { cleanUp, defineVm } from '../scene/vm.ts';

afterEach(cleanUp);
afterAll(cleanUp);

/** The lines on stderr of a kvmsnap whose JOURNAL_STREAM is what `named` prints. */
function stderrOf(line: string, named = 'stat -Lc %d:%i /dev/fd/2'): string[] {
  const file = join(scratch, 'journal');
  const script = `exec 2>${file}; JOURNAL_STREAM=$(${named}) exec ${kvmsnapPath} ${line}`;
  tryTool('bash', ['--norc', '-c', script]);
  return readFileSync(file, 'utf8').split('\n').slice(0, -1);
}

test('lines have their priorities, if stderr is the journal and the output is not JSON', () => {
  defineVm({ name: 'web', disks: [{ size: '8M' }] });
  defineVm({ name: 'raw', disks: [{ size: '8M', format: 'raw' }] });
  const lines = stderrOf('create --all -v');
  expect(lines.filter((line) => !/^<[3-7]>/.test(line))).toEqual([]);
  expect(lines).toEqual(
    expect.arrayContaining([
      expect.stringMatching(/^<7>\+ virsh /),
      expect.stringMatching(/^<5>skipped raw: /),
    ]),
  );
  expect(stderrOf('list nobody')[0]).toMatch(/^<3>error: /);
  expect(stderrOf('list --foo')[0]).toMatch(/^<3>error: /);
  // whatever the colors
  expect(stderrOf('list nobody --color always')[0]).toMatch(/^<3>error: /);
  expect(stderrOf('list nobody --json')[0]).toMatch(/^\{"error"/);
  expect(stderrOf('list nobody', 'echo 1:2')[0]).toMatch(/^error: /);
});
