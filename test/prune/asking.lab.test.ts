// A prune on a terminal shows its plan and asks; in a script it never does, and a create with rules neither.
import { stripVTControlCharacters } from 'node:util';
import { afterEach, describe, expect, test } from 'vitest';
import { virsh } from '../lab/lab.ts';
import { onTerminal } from '../lab/terminal.ts';
import { snapshotNames } from '../scene/snapshot.ts';
import { asked, succeed, take } from '../scene/steps.ts';
import { cleanUp, defineVm, type Vm } from '../scene/vm.ts';

afterEach(cleanUp);

const NAMES = ['20260101', '20260102', '20260103', '20260104'].map((day) => `n-${day}T000000Z`);

/** Four of the label `n`, and one by hand. */
function labeled(name: string): Vm {
  const vm = defineVm({ name, disks: [{ size: '8M' }] });
  for (const snapshot of [...NAMES, 'by-hand']) take(vm, snapshot);
  return vm;
}

const PRUNE = ['prune', 'web', '--match', 'n-*', '--keep-last', '1'];
const QUESTION = /\[y\/N\] /;

describe('on a terminal', () => {
  test.each([
    ['n\r', 10],
    ['\x04', 10],
    ['\x03', 130],
  ])('%j keeps all, exit %i', async (typed, code) => {
    const vm = labeled('web');
    const before = snapshotNames(vm);
    const terminal = await asked(...PRUNE);
    terminal.type(typed);
    expect((await terminal.done).code).toBe(code);
    expect(snapshotNames(vm)).toEqual(before);
  });

  test('it shows what goes, of how many, what is freed, and what is held', async () => {
    const vm = labeled('web');
    const [first, second, third, last] = NAMES;
    await succeed('hold', 'web', first ?? '');
    const terminal = await asked(...PRUNE);
    const screen = terminal.screen();
    expect(screen).toMatch(/Delete 2 of 5 snapshots of 1 VM, which would free \d.*iB\? \[y\/N\]/);
    expect(screen).toMatch(new RegExp(`web: ${second}, taken \\d{4}-.* ago`));
    expect(screen).toMatch(new RegExp(`web: ${third}, taken \\d{4}-.* ago`));
    expect(screen).toContain(`${first} is on hold and stays`);
    terminal.type('y\r');
    expect((await terminal.done).code).toBe(0);
    expect(snapshotNames(vm)).toEqual(['by-hand', first, last].sort());
  });

  test('what was not shown stays, and a hold that came meanwhile is seen', async () => {
    const vm = labeled('web');
    const terminal = await asked(...PRUNE);
    const [first = '', second, third, last] = NAMES;
    await succeed('hold', 'web', first);
    terminal.type('y\r');
    await terminal.waitForText(/This has changed meanwhile:\r?\n {2}no longer: web loses[\s\S]*\[y\/N\] /);
    expect(snapshotNames(vm)).toHaveLength(5);
    take(vm, 'n-20260105T000000Z');
    terminal.type('y\r');
    await terminal.waitForText(new RegExp(`now: web loses ${last}[\\s\\S]*\\[y\\/N\\] `));
    terminal.type('y\r');
    expect((await terminal.done).code).toBe(0);
    expect(snapshotNames(vm)).toEqual(['by-hand', first, 'n-20260105T000000Z'].sort());
    expect([second, third].every(Boolean)).toBe(true);
  });

  test('nothing to delete, --yes and --dry-run: no question', async () => {
    const vm = labeled('web');
    for (const args of [
      ['prune', 'web', '--match', 'n-*', '--keep-last', '9'],
      [...PRUNE, '--dry-run'],
    ]) {
      const { code, screen } = await onTerminal(args).done;
      expect([args, code, QUESTION.test(screen), snapshotNames(vm).length]).toEqual([args, 0, false, 5]);
    }
    const { code, screen } = await onTerminal([...PRUNE, '--yes']).done;
    expect([code, QUESTION.test(screen), snapshotNames(vm).length]).toEqual([0, false, 2]);
  });

  test('--free-min: up to so many, and only until enough is free', async () => {
    const vm = labeled('web');
    const terminal = await asked('prune', 'web', '--match', 'n-*', '--free-min', '1K');
    expect(stripVTControlCharacters(terminal.screen())).toMatch(
      /Delete up to 3 of 5 snapshots of 1 VM[\s\S]*until\s+enough\s+space\s+is\s+free\?/,
    );
    terminal.type('y\r');
    expect((await terminal.done).code).toBe(0);
    expect(snapshotNames(vm)).toHaveLength(5);
  });

  test('of several VMs one question', async () => {
    const vms = [labeled('web-1'), labeled('web-2')];
    const terminal = await asked('prune', 'web-*', '--match', 'n-*', '--keep-last', '1');
    expect(terminal.screen()).toContain('Delete 6 of 10 snapshots of 2 VMs');
    terminal.type('y\r');
    const { code, screen } = await terminal.done;
    expect([code, screen.match(/\[y\/N\]/g)?.length]).toEqual([0, 1]);
    expect(vms.map((vm) => snapshotNames(vm).length)).toEqual([2, 2]);
  });

  test('a create with rules never asks', async () => {
    const vm = defineVm({ name: 'web', disks: [{ size: '8M' }] });
    const args = ['create', 'web', '--label', 'nightly', '--keep-last', '1'];
    expect((await onTerminal(args).done).code).toBe(0);
    const { code, screen } = await onTerminal(args).done;
    expect([code, QUESTION.test(screen), snapshotNames(vm).length]).toEqual([0, false, 1]);
  });
});

test('in a script it never asks', async () => {
  const vm = labeled('web');
  await succeed(...PRUNE);
  expect(snapshotNames(vm)).toHaveLength(2);
  expect(virsh('snapshot-list', '--domain', vm.uuid, '--name')).toContain('by-hand');
});
