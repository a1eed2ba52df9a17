// Who is asked, and where: whenever stdin is a terminal, on that terminal, whatever stdout and stderr are.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { kvmsnap } from '../lab/cli.ts';
import { scratch } from '../lab/lab.ts';
import { cleanUp, defineMachine, type Machine } from '../lab/machine.ts';
import { snapshotNames } from '../lab/snapshot.ts';
import { shellOnTerminal } from '../lab/terminal.ts';
import { take } from './scene.ts';

afterEach(cleanUp);

function machineWith(...names: string[]): Machine {
  const machine = defineMachine({ name: 'web', disks: [{ size: '8M' }] });
  for (const name of names) take(machine, name);
  return machine;
}

const log = join(scratch, 'log');

const QUESTION = /\[y\/N\] /;

describe('with stdin a terminal it asks there', () => {
  test.each([
    ['stderr a file', `2>${log}`],
    ['stdout a file', `>${log}`],
    ['both a file', `>${log} 2>&1`],
    ['stdout and stderr to tee', `|& tee ${log}`],
    ['stdout to a pipe', '| cat'],
    ['stderr closed', '2>&-'],
    ['--silent', '--silent'],
    ['JSON', `--json 2>${log}`],
  ])('%s: a no keeps it, a y deletes it', async (_, redirection) => {
    const machine = machineWith('s1');
    const declined = shellOnTerminal(`kvmsnap delete web s1 ${redirection}`);
    await declined.waitForText(QUESTION);
    declined.type('n\r');
    expect((await declined.done).code).toBe(10);
    expect(snapshotNames(machine)).toEqual(['s1']);
    const accepted = shellOnTerminal(`kvmsnap delete web s1 ${redirection}`);
    await accepted.waitForText(QUESTION);
    accepted.type('y\r');
    expect((await accepted.done).code).toBe(0);
    expect(snapshotNames(machine)).toEqual([]);
  });

  test.each([
    ['Enter', '\r', 10],
    ['Ctrl-D', '\x04', 10],
    ['Ctrl-C', '\x03', 130],
    ['anything else', 'yeah\r', 10],
  ])('%s is a no', async (_, typed, code) => {
    const machine = machineWith('s1');
    const terminal = shellOnTerminal(`kvmsnap delete web s1 2>${log}`);
    await terminal.waitForText(QUESTION);
    terminal.type(typed);
    expect((await terminal.done).code).toBe(code);
    expect(readFileSync(log, 'utf8')).toContain('nothing was changed');
    expect(snapshotNames(machine)).toEqual(['s1']);
  });

  test.each(['', `2>${log}`, '|& cat'])('--timeout ends the question too: %s', async (redirection) => {
    const machine = machineWith('s1');
    const terminal = shellOnTerminal(`kvmsnap delete web s1 --timeout 2s ${redirection}`);
    await terminal.waitForText(QUESTION);
    expect((await terminal.done).code).toBe(124);
    expect(snapshotNames(machine)).toEqual(['s1']);
  });

  test('what was noted before and went elsewhere is shown with the question, whole', async () => {
    machineWith('s1', 's2');
    const terminal = shellOnTerminal(`kvmsnap revert web s1 2>${log}`);
    await terminal.waitForText(QUESTION);
    expect(terminal.screen()).toContain('it will then be shut off');
    expect(terminal.screen()).toContain("written on top of 's2'");
    terminal.type('n\r');
    await terminal.done;
  });

  test('the terminal is as it was afterwards', async () => {
    machineWith('s1');
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
    const machine = machineWith('s1');
    const { code, screen } = await shellOnTerminal(
      'export -f kvmsnap; setsid -w bash -c "kvmsnap delete web s1"',
    ).done;
    expect(code).toBe(10);
    expect(screen).toContain('the terminal cannot be opened');
    expect(screen).toContain('--yes');
    expect(snapshotNames(machine)).toEqual(['s1']);
    const { code: forced } = await shellOnTerminal(
      'export -f kvmsnap; setsid -w bash -c "kvmsnap delete web s1 --yes"',
    ).done;
    expect([forced, snapshotNames(machine)]).toEqual([0, []]);
  });

  test.each([
    ['yes in a pipe', 'yes | kvmsnap delete web s1'],
    ['/dev/null', 'kvmsnap delete web s1 </dev/null'],
    ['a file', 'kvmsnap delete web s1 </etc/hostname'],
    ['closed', 'kvmsnap delete web s1 <&-'],
  ])('stdin is %s, on a terminal: a script, which deletes what it names', async (_, line) => {
    const machine = machineWith('s1');
    const { code, screen } = await shellOnTerminal(`set +o pipefail; ${line}`).done;
    expect([code, QUESTION.test(screen), snapshotNames(machine)]).toEqual([0, false, []]);
  });

  test('a script deletes what it names, and needs --yes for what it does not', async () => {
    const machine = machineWith('s1', 's2');
    expect((await kvmsnap(['delete', 'web', 's1', '--children'])).code).toBe(10);
    expect(snapshotNames(machine)).toEqual(['s1', 's2']);
    expect((await kvmsnap(['delete', 'web', 's1'], { stdin: 'n\n' })).code).toBe(0);
    expect(snapshotNames(machine)).toEqual(['s2']);
  });
});
