// --silent: nothing is printed if all went well, and everything if not.
import { join } from 'node:path';
import { stripVTControlCharacters } from 'node:util';
import { afterEach, describe, expect, test } from 'vitest';
import { kvmsnap } from '../../lab/cli.ts';
import { scratch, virsh } from '../../lab/lab.ts';
import { onTerminal } from '../../lab/terminal.ts';
import { succeed, take } from '../../scene/steps.ts';
import { cleanUp, start, type Vm } from '../../scene/vm.ts';
import { present, raw, small } from './small-vms.ts';

process.env['XDG_STATE_HOME'] = join(scratch, 'state');

afterEach(cleanUp);

describe('--silent', () => {
  test('prints nothing at all when all went well, warnings and skips included', async () => {
    const saved = small('saved');
    raw('raw');
    start(saved);
    virsh('managedsave', '--domain', saved.uuid);
    expect((await succeed('create-as', '*', 's1')).stderr).toMatch(/warning: .*managed save.*skipped raw/s);
    for (const args of [
      ['create-as', '*', 's2'],
      ['--verbose', 'create-as', '*', 's3'],
      ['--json', 'create-as', '*', 's4'],
      ['prune', '--all', '--match', '*', '--keep-last', '2'],
      ['--yes', 'delete', '*', 's3'],
      ['list', '--all'],
    ])
      expect(await kvmsnap(['--silent', ...args])).toMatchObject({ code: 0, stdout: '', stderr: '' });
    expect(present(saved)).toEqual({ saved: ['s4'] });
    const { code, screen } = await onTerminal(['--silent', 'create-as', '*', 's5']).done;
    expect([code, screen]).toEqual([0, '']);
  });

  test('prints all, in order, when not', async () => {
    const vms = [small('fine'), raw('raw'), small('was')];
    take(vms[2] as Vm, 's1');
    const silent = await kvmsnap(['--silent', 'create-as', '*', 's1']);
    expect(silent.code).toBe(3);
    expect(silent.stdout).toMatch(/fine +s1 .* taken\n/);
    expect(silent.stderr).toMatch(/^error: .*was.*skipped raw.*\nerror: 1 of 3 VMs failed, 1 skipped\n$/s);
    await succeed('delete', 'fine', 's1');
    // as a mail of cron has it: both in one
    const { screen } = await onTerminal(['--silent', 'create-as', '*', 's1']).done;
    expect(stripVTControlCharacters(screen)).toMatch(/^VM .*skipped: .*failed: .*error: 1 of 3 VMs failed/s);
  });
});
