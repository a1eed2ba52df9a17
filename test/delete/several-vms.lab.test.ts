// delete over several VMs, judged by virsh and by the tags in the images.
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { kvmsnap } from '../lab/cli.ts';
import { scratch } from '../lab/lab.ts';
import { share } from '../lab/share.ts';
import { onTerminal } from '../lab/terminal.ts';
import { fleet, present } from '../run/several/small-vms.ts';
import { asked, document, fail, succeed, take } from '../scene/steps.ts';
import { cleanUp, type Vm } from '../scene/vm.ts';

process.env['XDG_STATE_HOME'] = join(scratch, 'state');

afterEach(cleanUp);

describe('delete over several VMs', () => {
  const left = (vms: readonly Vm[]) => Object.values(present(...vms)).map((names) => names.length);

  /** Three VMs, of which the last lacks the snapshot. */
  function family(): Vm[] {
    const vms = fleet('web-1', 'web-2', 'web-3');
    for (const vm of vms.slice(0, 2)) take(vm, 's1');
    return vms;
  }

  test.each(
    share(2, [
      [['web-*']],
      [['web-[1]']],
      [['web-1', '--vm', 'web-2']],
      [['web-1', '--vm', 'web-*', '--exclude', 'web-2']],
    ]),
  )('%j in a script: exit 10 without --yes, saying what it would have asked', async (words) => {
    const vms = family();
    const [pattern = '', ...more] = words;
    const said = await fail(10, 'delete', pattern, 's1', ...more);
    expect(said).toMatch(
      /confirmation is needed for "Delete .* of .*web-1.* permanently\?", but stdin is not a terminal; nothing was changed\nhint: run the command again with --yes/,
    );
    expect(left(vms)).toEqual([1, 1, 0]);
  });

  test('with --yes: a VM that lacks it is skipped', async () => {
    const vms = family();
    const { stdout, stderr } = await succeed('--yes', 'delete', 'web-*', 's1', '-q');
    expect(stdout).toBe('web-1/s1\nweb-2/s1\n');
    // what is lost is told of each
    expect(stderr).toMatch(
      /^(web-[12]: note: snapshot s1 will be deleted permanently \(taken .*\n){2}skipped web-3: (the )?VM web-3 has no snapshot s1\n$/,
    );
    expect(left(vms)).toEqual([0, 0, 0]);
  });

  test('with --strict, or called by its own name, that is a failure', async () => {
    const vms = family();
    expect((await kvmsnap(['--yes', 'delete', 'web-*', 's1', '--strict'])).code).toBe(3);
    expect(left(vms)).toEqual([0, 0, 0]);
    take(vms[0] as Vm, 's2');
    expect((await kvmsnap(['--yes', 'delete', 'web-1', 's2', '--vm', 'web-3'])).code).toBe(3);
    expect(left(vms)).toEqual([0, 0, 0]);
  });

  test('none has it: exit 4, and nobody is asked', async () => {
    const vms = family();
    const { code, stderr } = await kvmsnap(['delete', 'web-*', 'sx']);
    expect(code).toBe(4);
    expect(stderr).toMatch(/^error: none of the VMs has a snapshot sx: web-1, web-2, web-3\n/);
    const { code: onTty, screen } = await onTerminal(['delete', 'web-*', 'sx']).done;
    expect([onTty, screen.includes('[y/N]')]).toEqual([4, false]);
    expect(left(vms)).toEqual([1, 1, 0]);
  });

  test('of several names each VM loses those that it has; one that none has is exit 4', async () => {
    const vms = family();
    take(vms[1] as Vm, 's2');
    const before = left(vms);
    expect(await fail(4, '--yes', 'delete', 'web-*', 's1', 's3')).toContain('did you mean s1?');
    expect(left(vms)).toEqual(before);
    const strict = await kvmsnap(['--yes', '--dry-run', 'delete', 'web-[12]', 's1', 's2', '--strict']);
    expect(strict.code).toBe(3);
    const dry = await document('dry-run', '--yes', '--dry-run', 'delete', 'web-[12]', 's1', 's2');
    expect(dry.domains?.map(({ snapshots }) => snapshots?.map(({ name }) => name))).toEqual([
      ['s1'],
      ['s1', 's2'],
    ]);
    const names = await succeed('--yes', 'delete', 'web-[12]', 's1', 's2', '-q', '--dry-run');
    const { stdout, stderr } = await succeed('--yes', 'delete', 'web-[12]', 's1', 's2', '-q');
    expect(names.stdout).toBe(stdout);
    expect(stdout).toBe('web-1/s1\nweb-2/s1\nweb-2/s2\n');
    expect(stderr).toMatch(
      /^(web-[12]: note: snapshot s[12] will be deleted permanently \(taken .*\n){3}skipped s2: VM web-1 has no such snapshot\n$/,
    );
    expect(left(vms)).toEqual([0, 0, 0]);
  });

  test('on a terminal it asks once, naming the snapshots and the VMs that have them', async () => {
    const vms = family();
    take(vms[1] as Vm, 's2');
    const declined = await asked('delete', 'web-*', 's1', 's2');
    expect(declined.screen()).toContain('Delete 3 snapshots of 2 VMs (web-1, web-2) permanently? [y/N]');
    declined.type('n\r');
    expect((await declined.done).code).toBe(10);
    expect(left(vms)).toEqual([1, 2, 0]);
    const accepted = await asked('delete', 'web-*', 's1');
    accepted.type('y\r');
    const { code, screen } = await accepted.done;
    expect([code, screen.match(/\[y\/N\]/g)?.length]).toEqual([0, 1]);
    expect(screen).toMatch(/\nfreed \d.*B/);
    expect(left(vms)).toEqual([0, 1, 0]);
  });

  test('--current and --children are of each VM', async () => {
    const vms = family();
    take(vms[1] as Vm, 's2');
    await succeed('--yes', 'delete', 'web-*', '--current');
    expect(present(...vms)).toEqual({ 'web-1': [], 'web-2': ['s1'], 'web-3': [] });
    take(vms[0] as Vm, 's1');
    take(vms[1] as Vm, 's3');
    expect(await fail(10, 'delete', 'web-*', 's1', '--children')).toContain('Delete 3 snapshots of 2 VMs');
    const { stdout } = await succeed('--yes', 'delete', 'web-*', 's1', '--children', '-q');
    expect(stdout.trimEnd().split('\n').sort()).toEqual(['web-1/s1', 'web-2/s1', 'web-2/s3']);
    expect(left(vms)).toEqual([0, 0, 0]);
  });

  test('a name with a line feed is asked for, and found, as any other', async () => {
    const vms = fleet('web-1', 'web-2');
    for (const vm of vms) take(vm, 'two\nlines');
    await fail(10, 'delete', 'web-*', 'two\nlines');
    const { stdout } = await succeed('--yes', 'delete', 'web-*', 'two\nlines', '-q');
    expect(stdout).toBe('web-1/two\nlines\nweb-2/two\nlines\n');
    expect(left(vms)).toEqual([0, 0]);
  });
});
