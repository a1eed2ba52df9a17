// Who is asked, and where: whenever stdin is a terminal, on that terminal, whatever stdout and stderr are.
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { inText } from '../../src/model/text.ts';
import { kvmsnap } from '../lab/cli.ts';
import { scratch, tool, virsh, waitFor } from '../lab/lab.ts';
import { share } from '../lab/share.ts';
import { onTerminal, shellOnTerminal } from '../lab/terminal.ts';
import { currentSnapshot, snapshotNames, snapshotXml } from '../scene/snapshot.ts';
import { asked, succeed, take } from '../scene/steps.ts';
import { cleanUp, defineVm, destroy, pathOf, start, state, type Vm } from '../scene/vm.ts';

afterEach(cleanUp);

function vmWith(...names: string[]): Vm {
  const vm = defineVm({ name: 'web', disks: [{ size: '8M' }] });
  for (const name of names) take(vm, name);
  return vm;
}

const deleteRaw = (vm: Vm, name: string) =>
  virsh('snapshot-delete', '--domain', vm.uuid, '--snapshotname', name);

process.env['XDG_STATE_HOME'] = join(scratch, 'state');

const log = join(scratch, 'log');

const QUESTION = /\[y\/N\] /;

describe('with stdin a terminal it asks there', () => {
  test.each(
    share(3, [
      ['stderr a file', `2>${log}`],
      ['stdout a file', `>${log}`],
      ['both a file', `>${log} 2>&1`],
      ['stdout and stderr to tee', `|& tee ${log}`],
      ['stdout to a pipe', '| cat'],
      ['stderr closed', '2>&-'],
      ['--silent', '--silent'],
      ['JSON', `--json 2>${log}`],
    ]),
  )('%s: a no keeps it, a y deletes it', async (_, redirection) => {
    const vm = vmWith('s1');
    const declined = shellOnTerminal(`kvmsnap delete web s1 ${redirection}`);
    await declined.waitForText(QUESTION);
    declined.type('n\r');
    expect((await declined.done).code).toBe(10);
    expect(snapshotNames(vm)).toEqual(['s1']);
    const accepted = shellOnTerminal(`kvmsnap delete web s1 ${redirection}`);
    await accepted.waitForText(QUESTION);
    accepted.type('y\r');
    expect((await accepted.done).code).toBe(0);
    expect(snapshotNames(vm)).toEqual([]);
  });

  test.each(
    share(2, [
      ['Enter', '\r', 10],
      ['Ctrl-D', '\x04', 10],
      ['Ctrl-C', '\x03', 130],
      ['anything else', 'yeah\r', 10],
    ]),
  )('%s is a no', async (_, typed, code) => {
    const vm = vmWith('s1');
    const terminal = shellOnTerminal(`kvmsnap delete web s1 2>${log}`);
    await terminal.waitForText(QUESTION);
    terminal.type(typed);
    expect((await terminal.done).code).toBe(code);
    expect(readFileSync(log, 'utf8')).toContain('nothing was changed');
    expect(snapshotNames(vm)).toEqual(['s1']);
  });

  test('a terminal that is closed at the question ends the run, and the log says so', async () => {
    const vm = vmWith('s1');
    const end = join(scratch, 'end');
    const line = `kvmsnap delete web s1 2>${log}; echo $? >${end}`;
    const terminal = shellOnTerminal(`trap '' HUP; (trap - HUP; ${line})`);
    await terminal.waitForText(QUESTION);
    terminal.close();
    await waitFor(() => existsSync(end) && readFileSync(end, 'utf8'), { what: 'the end of kvmsnap' });
    expect(readFileSync(end, 'utf8')).toBe('129\n');
    expect(readFileSync(log, 'utf8')).toMatch(/nothing was changed/);
    expect(snapshotNames(vm)).toEqual(['s1']);
  });

  test.each(['', `2>${log}`, '|& cat'])('--timeout ends the question too: %s', async (redirection) => {
    const vm = vmWith('s1');
    const terminal = shellOnTerminal(`kvmsnap delete web s1 --timeout 5s ${redirection}`);
    await terminal.waitForText(QUESTION);
    expect((await terminal.done).code).toBe(124);
    expect(snapshotNames(vm)).toEqual(['s1']);
  });

  test('what was noted before and went elsewhere is shown with the question, whole', async () => {
    vmWith('s1', 's2');
    const terminal = shellOnTerminal(`kvmsnap revert web s1 2>${log}`);
    await terminal.waitForText(QUESTION);
    expect(terminal.screen()).toContain('the VM will be shut off afterwards');
    expect(terminal.screen()).toContain('written since snapshot s2');
    terminal.type('n\r');
    await terminal.done;
  });

  test('the terminal is as it was afterwards', async () => {
    vmWith('s1');
    const terminal = shellOnTerminal(`kvmsnap delete web s1 2>${log}; stty -a`);
    await terminal.waitForText(QUESTION);
    terminal.type('n\r');
    const { screen } = await terminal.done;
    expect(screen).toMatch(/[ ;\n]icanon/);
    expect(screen).toMatch(/[ ;\n]echo /);
  });
});

describe('nobody can be asked', () => {
  test('a terminal as stdin, and none to open: exit 10, nothing changed', async () => {
    const vm = vmWith('s1');
    const { code, screen } = await shellOnTerminal(
      'export -f kvmsnap; setsid -w bash -c "kvmsnap delete web s1"',
    ).done;
    expect(code).toBe(10);
    expect(screen).toContain('the terminal cannot be opened');
    expect(screen).toContain('--yes');
    expect(snapshotNames(vm)).toEqual(['s1']);
    const { code: forced } = await shellOnTerminal(
      'export -f kvmsnap; setsid -w bash -c "kvmsnap delete web s1 --yes"',
    ).done;
    expect([forced, snapshotNames(vm)]).toEqual([0, []]);
  });

  test.each(
    share(2, [
      ['yes in a pipe', 'yes | kvmsnap delete web s1'],
      ['/dev/null', 'kvmsnap delete web s1 </dev/null'],
      ['a file', 'kvmsnap delete web s1 </etc/hostname'],
      ['closed', 'kvmsnap delete web s1 <&-'],
    ]),
  )('stdin is %s, on a terminal: a script, which deletes what it names', async (_, line) => {
    const vm = vmWith('s1');
    const { code, screen } = await shellOnTerminal(`set +o pipefail; ${line}`).done;
    expect([code, QUESTION.test(screen), snapshotNames(vm)]).toEqual([0, false, []]);
  });

  test('a script deletes what it names, and needs --yes for what it does not', async () => {
    const vm = vmWith('s1', 's2');
    expect((await kvmsnap(['delete', 'web', 's1', '--children'])).code).toBe(10);
    expect(snapshotNames(vm)).toEqual(['s1', 's2']);
    expect((await kvmsnap(['delete', 'web', 's1'], { stdin: 'n\n' })).code).toBe(0);
    expect(snapshotNames(vm)).toEqual(['s2']);
  });
});

describe('the question shows what catches a slip', () => {
  test('revert: VM, date, age, description, what is lost since when', async () => {
    const vm = vmWith();
    take(vm, 's1', '--description', 'before the upgrade');
    take(vm, 's2');
    const terminal = await asked('revert', 'web', 's1');
    expect(terminal.screen()).toContain('s1 of web: before the upgrade');
    expect(terminal.screen()).toMatch(/written since snapshot s2 \(taken \d{4}-.*\) will be lost/);
    expect(terminal.screen()).toMatch(/Revert web to s1 \(\d{4}-\d\d-\d\d .*ago\)\? \[y\/N\] /);
    terminal.type('\r');
    await terminal.done;
  });

  test('delete: number, date, age, description, what does not exist, what stays and why', async () => {
    const vm = vmWith();
    take(vm, 's1', '--description', 'before the upgrade');
    for (const name of ['s2', 's3']) take(vm, name);
    await succeed('hold', 'web', 's3');
    const terminal = await asked('delete', 'web', 's1', 's2', 's3', 'nosuch');
    const screen = terminal.screen();
    expect(screen).toMatch(/s1, taken \d{4}-\d\d-\d\d .* ago: before the upgrade/);
    expect(screen).toMatch(/s2, taken \d{4}-/);
    expect(screen).toContain('nosuch does not exist');
    expect(screen).toContain('not deleted: cannot delete s3 of web: s3 is on hold');
    expect(screen).toMatch(/this would free \d/);
    expect(screen).toContain('Delete 2 snapshots of web permanently? [y/N]');
    terminal.type('y\r');
    expect((await terminal.done).code).toBe(3);
    expect(snapshotNames(vm)).toEqual(['s3']);
  });

  test('a long list is folded', async () => {
    const names = Array.from({ length: 30 }, (_, i) => `s${String(i).padStart(2, '0')}`);
    vmWith(...names);
    const terminal = await asked('delete', 'web', 's00', '--children');
    expect(terminal.screen()).toContain('... and 15 more ...');
    for (const name of ['s00', 's11', 's27', 's29'])
      expect(terminal.screen()).toContain(`${inText(name)}, taken`);
    expect(terminal.screen()).toContain('Delete 30 snapshots of web permanently? [y/N]');
    terminal.type('\r');
    await terminal.done;
  });

  test.each([
    ['delete', ['delete', 'web', 's1']],
    ['delete --children', ['delete', 'web', 's1', '--children']],
    ['delete --metadata', ['delete', 'web', 's1', '--metadata']],
  ])('%s: what is impossible is refused before anybody is asked', async (_, args) => {
    const vm = vmWith('s1');
    await succeed('hold', 'web', 's1');
    const { code, screen } = await onTerminal(args).done;
    expect([code, QUESTION.test(screen), snapshotNames(vm)]).toEqual([5, false, ['s1']]);
  });
});

describe('what changes while the question stands', () => {
  const MORE = /This has changed meanwhile:[\s\S]*\[y\/N\] /;

  test.each([
    ['n', 10, 'running', 's2'],
    ['y', 0, 'shut off', 's1'],
  ])('revert: the VM was started: asks again, and %s is exit %i', async (answer, code, then, current) => {
    const vm = vmWith('s1', 's2');
    const terminal = await asked('revert', 'web', 's1');
    expect(terminal.screen()).not.toContain('power');
    start(vm);
    terminal.type('y\r');
    await terminal.waitForText(MORE);
    expect(terminal.screen()).toContain('now: the VM is running and will be stopped as if its power');
    expect(terminal.screen()).toContain('now: the present memory of the guest will be lost');
    expect(state(vm)).toBe('running');
    terminal.type(`${answer}\r`);
    expect((await terminal.done).code).toBe(code);
    expect([state(vm), currentSnapshot(vm)]).toEqual([then, current]);
  });

  test('revert: the VM was stopped', async () => {
    const vm = vmWith('s1', 's2');
    start(vm);
    const terminal = await asked('revert', 'web', 's1');
    destroy(vm);
    terminal.type('y\r');
    await terminal.waitForText(MORE);
    expect(terminal.screen()).toContain('no longer: the present memory of the guest will be lost');
    terminal.type('y\r');
    expect((await terminal.done).code).toBe(0);
  });

  test('revert: another snapshot was taken', async () => {
    const vm = vmWith('s1', 's2');
    const terminal = await asked('revert', 'web', 's1');
    take(vm, 's3');
    terminal.type('y\r');
    await terminal.waitForText(/now: everything written since snapshot s3/);
    terminal.type('n\r');
    expect((await terminal.done).code).toBe(10);
    expect(currentSnapshot(vm)).toBe('s3');
  });

  test('revert: the same name is another snapshot now', async () => {
    const vm = vmWith('s1', 's2');
    const terminal = await asked('revert', 'web', 's1');
    virsh('snapshot-delete', '--domain', vm.uuid, '--snapshotname', 's1');
    await new Promise((resolve) => setTimeout(resolve, 1100));
    take(vm, 's1');
    terminal.type('y\r');
    await terminal.waitForText(/now: s1 was taken \d{4}/);
    terminal.type('n\r');
    expect((await terminal.done).code).toBe(10);
  });

  test('revert: it became impossible', async () => {
    const vm = vmWith('s1', 's2');
    const terminal = await asked('revert', 'web', 's1');
    tool('qemu-img', ['snapshot', '-d', 's1', pathOf(vm)]);
    terminal.type('y\r');
    const { code, screen } = await terminal.done;
    expect([code, screen.match(/\[y\/N\]/g)?.length]).toEqual([5, 1]);
    expect(currentSnapshot(vm)).toBe('s2');
  });

  test('revert --backup: the VM was started: the backup is of what it is then', async () => {
    const vm = vmWith('s1', 's2');
    const terminal = await asked('revert', 'web', 's1', '--backup-name', 'kept');
    start(vm);
    terminal.type('y\r');
    await terminal.waitForText(MORE);
    expect(snapshotNames(vm)).toEqual(['s1', 's2']);
    terminal.type('y\r');
    expect((await terminal.done).code).toBe(0);
    expect(snapshotXml(vm, 'kept')).toContain('<state>running</state>');
    expect([state(vm), currentSnapshot(vm)]).toEqual(['shut off', 's1']);
  });

  test.each([
    ['was put on hold', async () => void (await succeed('hold', 'web', 's2')), 5],
    ['was deleted', async (vm: Vm) => deleteRaw(vm, 's2'), 4],
  ])('delete: it %s', async (_, meanwhile, code) => {
    const vm = vmWith('s1', 's2');
    const terminal = await asked('delete', 'web', 's2');
    await meanwhile(vm);
    const before = snapshotNames(vm);
    terminal.type('y\r');
    expect((await terminal.done).code).toBe(code);
    expect(snapshotNames(vm)).toEqual(before);
  });

  test('delete --children: one came, and one was put on hold', async () => {
    const vm = vmWith('s1', 's2');
    const terminal = await asked('delete', 'web', 's1', '--children');
    take(vm, 's3');
    terminal.type('y\r');
    await terminal.waitForText(/now: web loses s3/);
    await succeed('hold', 'web', 's3');
    terminal.type('y\r');
    const { code, screen } = await terminal.done;
    expect([code, screen.includes('s3 is on hold')]).toEqual([5, true]);
    expect(snapshotNames(vm)).toEqual(['s1', 's2', 's3']);
  });

  test('delete over patterns: another VM came', async () => {
    const vm = vmWith('s1');
    const terminal = await asked('delete', 'we*', 's1');
    const other = defineVm({ name: 'web-2', disks: [{ size: '8M' }] });
    take(other, 's1');
    terminal.type('y\r');
    await terminal.waitForText(/now: web-2 loses s1/);
    terminal.type('n\r');
    expect((await terminal.done).code).toBe(10);
    expect([snapshotNames(vm), snapshotNames(other)]).toEqual([['s1'], ['s1']]);
  });

  test('check --fix: a step is no longer to be taken', async () => {
    const vm = vmWith('s1');
    tool('qemu-img', ['snapshot', '-c', 'orphan', pathOf(vm)]);
    const terminal = await asked('check', 'web', '--fix');
    tool('qemu-img', ['snapshot', '-c', 'second', pathOf(vm)]);
    terminal.type('y\r');
    await terminal.waitForText(/now: web: register the snapshot second/);
    expect(snapshotNames(vm)).toEqual(['s1']);
    terminal.type('y\r');
    await terminal.done;
    expect(snapshotNames(vm)).toEqual(['orphan', 's1', 'second']);
  });
});
