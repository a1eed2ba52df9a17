// The copy of libvirt's XML that is saved before each change of a description.
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { kvmsnap } from '../lab/cli.ts';
import { pasteOk } from '../lab/evidence.ts';
import { scratch, tryTool, virsh } from '../lab/lab.ts';
import { currentSnapshot } from '../scene/snapshot.ts';
import { document, take, twoDisks } from '../scene/steps.ts';
import { cleanUp, defineVm } from '../scene/vm.ts';
import { described, facts, family, HOLD, TEXTS, undescribed, wholeXml } from './described.ts';

// copies of what is redefined are no business of this user's home
process.env['XDG_STATE_HOME'] = join(scratch, 'state');

afterEach(cleanUp);

describe('the copy of before', () => {
  const room = () => mkdtempSync(join(scratch, 'state-'));

  /** The copies in a state directory, oldest first. */
  function copies(directory: string): string[] {
    const kept = join(directory, 'kvmsnap');
    if (!existsSync(kept)) return [];
    const names = readdirSync(kept).sort();
    for (const name of names) expect(statSync(join(kept, name)).mode & 0o777).toBe(0o600);
    expect(statSync(kept).mode & 0o777).toBe(0o700);
    return names
      .filter((name) => !name.endsWith('.new.xml'))
      .map((name) => readFileSync(join(kept, name), 'utf8').trimEnd());
  }

  test('is in XDG_STATE_HOME, one of each change, and brings it back', async () => {
    const vm = family('copied');
    const directory = room();
    const before = wholeXml(vm, 'middle');
    const env = { XDG_STATE_HOME: directory };
    const runs = await Promise.all(
      ['root', 'middle', 'leaf', 'branch'].map((name) =>
        kvmsnap(['describe', 'copied', name, 'new'], { env }),
      ),
    );
    expect(runs.map(({ code, stderr }) => [code, stderr])).toEqual(runs.map(() => [0, '']));
    const kept = copies(directory);
    expect(kept).toHaveLength(4);
    expect(kept).toContain(before.trimEnd());
    const file = readdirSync(join(directory, 'kvmsnap')).find(
      (name) => readFileSync(join(directory, 'kvmsnap', name), 'utf8').trimEnd() === before.trimEnd(),
    );
    const path = join(directory, 'kvmsnap', file ?? '');
    virsh('snapshot-create', '--domain', vm.uuid, '--xmlfile', path, '--redefine', '--current');
    expect(wholeXml(vm, 'middle')).toBe(before);
    expect(currentSnapshot(vm)).toBe('middle');
  });

  test('is in ~/.local/state otherwise, and without HOME in the home of the user', async () => {
    const vm = twoDisks('homes');
    take(vm, 'one');
    const home = room();
    const run = await kvmsnap(['hold', 'homes', 'one'], { env: { HOME: home, XDG_STATE_HOME: undefined } });
    expect(run).toMatchObject({ code: 0, stderr: '' });
    expect(copies(join(home, '.local', 'state'))).toHaveLength(1);
    const bare = await kvmsnap(['unhold', 'homes', 'one'], {
      env: {
        PATH: process.env['PATH'],
        XDG_RUNTIME_DIR: process.env['XDG_RUNTIME_DIR'],
        XDG_CONFIG_HOME: process.env['XDG_CONFIG_HOME'],
      },
      replaceEnv: true,
    });
    const own = userInfo().homedir;
    if (tryTool('test', ['-w', own]).code !== 0) {
      // such as that of nobody
      expect(bare).toMatchObject({ code: 5, stderr: expect.stringContaining(`${own}/.local/state/kvmsnap`) });
      return;
    }
    expect(bare).toMatchObject({ code: 0, stderr: '' });
    expect(wholeXml(vm, 'one')).not.toContain('<description');
    const kept = join(own, '.local', 'state', 'kvmsnap');
    const [file = '', ...more] = readdirSync(kept).filter((name) => name.startsWith(vm.uuid));
    expect(more).toEqual([]);
    rmSync(join(kept, file));
  });

  test('where it cannot be written nothing is changed', async () => {
    const vm = twoDisks('nowhere');
    take(vm, 'one');
    const before = wholeXml(vm, 'one');
    const { code, stderr } = await kvmsnap(['hold', 'nowhere', 'one'], {
      env: { XDG_STATE_HOME: '/dev/null' },
    });
    expect({ code, stderr }).toEqual({ code: 5, stderr: expect.stringContaining('/dev/null/kvmsnap') });
    expect(wholeXml(vm, 'one')).toBe(before);
  });

  test('a dry run changes nothing, and its line does it when pasted', async () => {
    const vm = family('dry');
    const before = facts(vm);
    const xml = wholeXml(vm, 'middle');
    const { commands } = await document('dry-run', '--dry-run', 'hold', 'dry', 'middle');
    expect([facts(vm), wholeXml(vm, 'middle')]).toEqual([before, xml]);
    expect(commands).toHaveLength(1);
    pasteOk(commands[0] ?? null);
    expect(described(wholeXml(vm, 'middle'))).toBe(HOLD);
    expect(facts(vm)).toEqual(before);
  });

  test('a dry run writes no file, and prints no password; its line keeps it, and changes nothing but the text', async () => {
    const vm = defineVm({
      name: 'dry-secret',
      extraDevicesXml: "<graphics type='vnc' port='-1' autoport='yes' passwd='s3cr3t&amp;'/>",
    });
    take(vm, 'one', '--description', 'of several\nlines & <more>');
    const before = undescribed(wholeXml(vm, 'one'));
    const directory = room();
    for (const text of [...TEXTS, '', 'back\\slash / &amp; \\n $1', 'last']) {
      const args = ['--dry-run', 'describe', 'dry-secret', '--', 'one', text];
      const { code, stdout, stderr } = await kvmsnap(args, { env: { XDG_STATE_HOME: directory } });
      expect({ text, code, stderr }).toEqual({ text, code: 0, stderr: '' });
      expect(stdout).not.toContain('s3cr3t');
      pasteOk(stdout);
      expect(described(wholeXml(vm, 'one')) ?? '').toBe(text);
      expect(undescribed(wholeXml(vm, 'one'))).toBe(before);
    }
    expect(readdirSync(directory)).toEqual([]);
  });

  test('of ten changes the copies of the last five are left, and nothing else', async () => {
    const vm = twoDisks('often');
    take(vm, 'one');
    const directory = room();
    const env = { XDG_STATE_HOME: directory };
    for (let n = 0; n < 10; n++)
      expect((await kvmsnap(['describe', 'often', 'one', `${n}`], { env })).code).toBe(0);
    expect(copies(directory).map(described)).toEqual(['4', '5', '6', '7', '8']);
    expect(readdirSync(join(directory, 'kvmsnap'))).toHaveLength(5);
  });
});
