// On a terminal, a VM without a snapshot's name: its snapshots are shown, and which one is meant is asked.
import { afterEach, expect, test } from 'vitest';
import { kvmsnap } from '../../lab/cli.ts';
import { onTerminal, type Terminal } from '../../lab/terminal.ts';
import { snapshotNames } from '../../scene/snapshot.ts';
import { bytes, fail, NOW, THEN, tagNames, take, write } from '../../scene/steps.ts';
import { cleanUp, defineVm, type Vm } from '../../scene/vm.ts';

afterEach(cleanUp);

function scene(): Vm {
  const vm = defineVm({ name: 'web', disks: [{ size: '4M' }] });
  write(vm, THEN);
  take(vm, 's1', '--description', 'before the upgrade');
  write(vm, NOW);
  take(vm, '升级 2');
  take(vm, '2');
  return vm;
}

const numberOf = (screen: string, name: string): string =>
  new RegExp(`^ *(\\d+)  ${name} `, 'm').exec(screen)?.[1] ?? 'none';

async function choosing(...args: string[]): Promise<Terminal> {
  const terminal = onTerminal(args);
  await terminal.waitForText(/Enter for none\) /);
  return terminal;
}

const sorted = (vm: Vm): string[] => {
  const names = snapshotNames(vm).sort();
  expect(tagNames(vm).map((tags) => tags.sort())).toEqual([names]);
  return names;
};

test('revert VM: the numbered list, the number, then the usual question', async () => {
  const vm = scene();
  const terminal = await choosing('revert', 'web');
  const shown = terminal.screen();
  expect(shown).toMatch(/ s1 .*20\d\d-\d\d-\d\d.*before the upgrade/);
  terminal.type('x\r');
  await terminal.waitForText(/x is not a number from 1 to 3/);
  terminal.type(`${numberOf(shown, 's1')}\r`);
  await terminal.waitForText(/Revert web to s1 .*\[y\/N\] /);
  terminal.type('y\r');
  expect((await terminal.done).code).toBe(0);
  expect(bytes(vm)).toEqual([THEN]);
});

test('delete VM: several numbers, and one question over them', async () => {
  const vm = scene();
  const terminal = await choosing('delete', 'web');
  const shown = terminal.screen();
  terminal.type(`${numberOf(shown, 's1')} ${numberOf(shown, '升级 2')}\r`);
  await terminal.waitForText(/Delete 2 snapshots.*\[y\/N\] /);
  terminal.type('y\r');
  expect((await terminal.done).code).toBe(0);
  expect(sorted(vm)).toEqual(['2']);
});

test.each([
  ['Enter', '\r', 10],
  ['Ctrl-D', '\x04', 10],
  ['Ctrl-C', '\x03', 130],
])('%s chooses none', async (_, typed, code) => {
  const vm = scene();
  for (const command of ['revert', 'delete']) {
    const terminal = await choosing(command, 'web', '--yes');
    terminal.type(typed);
    const { code: ended, screen } = await terminal.done;
    expect([ended, screen]).toEqual([code, expect.stringContaining('nothing was changed')]);
  }
  expect([sorted(vm), bytes(vm)]).toEqual([['2', 's1', '升级 2'], [NOW]]);
});

test('a number of the list is no name, and a no to the question keeps it', async () => {
  const vm = scene();
  const terminal = await choosing('delete', 'web');
  const name = ['s1', '升级 2', '2'].find((each) => numberOf(terminal.screen(), each) === '2') ?? '';
  terminal.type('2\r');
  await terminal.waitForText(new RegExp(`Delete '?${name}'? .*\\[y/N\\] `));
  terminal.type('n\r');
  expect((await terminal.done).code).toBe(10);
  expect(sorted(vm)).toEqual(['2', 's1', '升级 2']);
});

test('in a script, and for several VMs, the name is missing', async () => {
  scene();
  for (const command of ['revert', 'delete']) expect(await fail(2, command, 'web')).toContain('snapshot');
  for (const args of [
    ['delete', 'we*'],
    ['delete', 'web', '--vm', 'web'],
  ])
    expect((await onTerminal(args).done).code).toBe(2);
});

test('a VM without snapshots has nothing to choose from', async () => {
  defineVm({ name: 'bare', disks: [{ size: '1M' }] });
  expect((await onTerminal(['revert', 'bare']).done).code).toBe(4);
  expect((await kvmsnap(['revert', 'bare'])).code).toBe(2);
});
