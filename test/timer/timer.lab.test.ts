// The units that kvmsnap prints, as systemd takes them.
import { mkdtempSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, expect, test } from 'vitest';
import { kvmsnap, kvmsnapPath, nodePath } from '../lab/cli.ts';
import { isSystemLab, scratch, tool, tryTool } from '../lab/lab.ts';
import { share } from '../lab/share.ts';
import { installCommands } from '../scene/mount.ts';
import { snapshotNames } from '../scene/snapshot.ts';
import { succeed } from '../scene/steps.ts';
import { cleanUp, defineVm } from '../scene/vm.ts';

afterEach(cleanUp);
afterAll(cleanUp);

/** The printed units in files of their names. */
function inFiles(text: string): string[] {
  const directory = mkdtempSync(join(scratch, 'units-'));
  return text.split(/^(?=# kvmsnap-)/m).map((unit) => {
    const path = join(directory, /^# (\S+)\n/.exec(unit)?.[1] ?? 'nameless');
    writeFileSync(path, unit);
    return path;
  });
}

test.runIf(isSystemLab)(
  'systemd takes them without a word, also odd names and other times; the service does its work',
  async () => {
    installCommands('/usr/local/bin', { kvmsnap: kvmsnapPath, node: nodePath });
    const vm = defineVm({ name: 'web $x 100%', disks: [{ size: '8M' }] });
    for (const options of [[], ['--on-calendar', 'Mon,Thu *-*-* 04:30', '--jitter', '30min']]) {
      const line = ['create', 'web $x 100%', '--label', 'n', '-d', 'it\'s "every" night; 5%', '-q'];
      const { stdout } = await succeed('timer', 'nightly', ...options, '--', ...line);
      const paths = inFiles(stdout);
      expect(paths.map((path) => path.split('/').at(-1))).toEqual([
        'kvmsnap-nightly.service',
        'kvmsnap-nightly.timer',
      ]);
      expect(tryTool('systemd-analyze', ['verify', ...paths])).toEqual({ code: 0, stdout: '', stderr: '' });
      const [, when = ''] = /^OnCalendar=(.*)$/m.exec(stdout) ?? [];
      expect(tool('systemd-analyze', ['calendar', when])).toMatch(/Next elapse/);
      expect(stdout.includes('RandomizedDelaySec=1800')).toBe(options.length > 0);
    }
    // as systemd reads it, but for the doubled signs: a shell reads words in double quotes in the same way
    const { stdout } = await succeed(
      'timer',
      'n',
      '--only',
      'service',
      '--',
      'create',
      'web $x 100%',
      '--label',
      'n',
    );
    const [, exec = ''] = /^ExecStart=(.*)$/m.exec(stdout) ?? [];
    expect(exec).toBe('kvmsnap create "web $$x 100%%" --label n');
    tool('bash', ['--norc', '-c', exec.replaceAll('$$', '\\$').replaceAll('%%', '%')]);
    expect(snapshotNames(vm)).toEqual([expect.stringMatching(/^n-/)]);
  },
);

test('one of them', async () => {
  const { stdout } = await succeed(
    'timer',
    'weekly',
    '--only',
    'timer',
    '--on-calendar',
    'weekly',
    '--',
    'check',
    '@weekly',
  );
  expect(stdout).toMatch(/^# kvmsnap-weekly\.timer\n\[Unit\]\n(?:.*\n)*OnCalendar=weekly\nPersistent=true\n/);
  expect(stdout).not.toContain('ExecStart');
});

test.each(
  share(4, [
    [['timer', 'a', '--'], /no command after --/],
    [['timer', '--', 'create', 'web'], /the name of the units is missing before 'create'/],
    [['timer', 'a', '--', 'delete', 'web', 's1'], /a timer cannot run 'delete'/],
    [['timer', 'a', '--', 'create', '--all', '--foo'], /unknown option '--foo'/],
    [['timer', 'a', '--', 'create', '--keep-daily', 'x', '--all'], /--keep-daily cannot be 'x'/],
    [['timer', 'a', '--', 'create', '--help'], /./],
    [['timer', '../a', '--', 'create', '--all'], /cannot be used as the name of units/],
    [['timer', 'a', '--on-calendar', 'x\ny', '--', 'create', '--all'], /--on-calendar needs a time/],
    [['timer', 'a', '--json', '--', 'create', '--all'], /cannot be combined/],
  ]),
)('%j is refused', async (line, says) => {
  expect(await kvmsnap(line)).toMatchObject({ code: 2, stdout: '', stderr: expect.stringMatching(says) });
});
