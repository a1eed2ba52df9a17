// A word that means no VM stops no other VM, judged by virsh and by the tags in the images.
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import * as z from 'zod/mini';
import { DOCUMENTS } from '../../../src/output/contract.ts';
import { kvmsnap } from '../../lab/cli.ts';
import { scratch } from '../../lab/lab.ts';
import { share } from '../../lab/share.ts';
import { succeed, take } from '../../scene/steps.ts';
import { cleanUp, type Vm } from '../../scene/vm.ts';
import { fleet, present } from './small-vms.ts';

process.env['XDG_STATE_HOME'] = join(scratch, 'state');

afterEach(cleanUp);

describe('a word that means no VM stops no other', () => {
  const withMissing = async (args: readonly string[], kind: keyof typeof DOCUMENTS) => {
    const result = await kvmsnap(['--json', ...args]);
    expect(result).toMatchObject({ code: 3 });
    return z.parse(DOCUMENTS[kind], JSON.parse(result.stdout)) as {
      domains: { name: string; uuid: string | null; errors: { code: string; hint: string | null }[] }[];
    };
  };

  test.each(
    share(3, [
      ['create', ['create', 'web-1', 'web-2', 'wbe-2', 'db-*', '--label', 'n'], ['old', 'n'], ['old', 'n']],
      ['create', ['create-as', 'web-*', 's1', '--vm', 'wbe-2', '--vm', 'db-*'], ['old', 's1'], ['old', 's1']],
      ['list', ['list', 'web-1', 'wbe-2', 'web-2', 'db-*'], ['old'], ['old']],
      ['check', ['check', 'db-*', 'web-1', 'web-2', 'wbe-2'], ['old'], ['old']],
      ['prune', [...'prune wbe-2 db-* web-* --match * --keep-last 0 --allow-empty'.split(' ')], [], []],
      ['delete', [...'delete web-1 old --vm wbe-2 --vm db-* --vm web-2 --yes'.split(' ')], [], []],
    ] as const),
  )('%s: %j', async (kind, args, first, second) => {
    const vms = fleet('web-1', 'web-2');
    for (const vm of vms) take(vm, 'old');
    const { domains } = await withMissing(args, kind);
    expect(domains.map(({ name, uuid, errors }) => [name, uuid, errors.map(({ code }) => code)])).toEqual([
      ['db-*', null, ['not-found']],
      ['wbe-2', null, ['not-found']],
      ['web-1', vms[0]?.uuid, []],
      ['web-2', vms[1]?.uuid, []],
    ]);
    expect(domains[1]?.errors[0]?.hint).toBe('did you mean web-2?');
    const left = present(...vms);
    const shown = (names: readonly string[] = []) => names.map((name) => name.replace(/^n-.*/, 'n')).sort();
    expect([shown(left['web-1']), shown(left['web-2'])]).toEqual([[...first].sort(), [...second].sort()]);
  });

  test('a table has a row of it, and stderr says it once', async () => {
    fleet('web-1');
    for (const args of [
      ['create', 'web-1', 'gone', 'lost', '--label', 'n'],
      ['prune', 'web-1', 'gone', 'lost', '--label', 'n', '--keep-last', '1'],
      ['list', 'web-1', 'gone', 'lost'],
      ['check', 'web-1', 'gone', 'lost'],
    ]) {
      const { code, stdout, stderr } = await kvmsnap(args);
      expect({ args, code }).toEqual({ args, code: 3 });
      expect(stdout).toMatch(/^gone .*no such VM: gone$/m);
      expect(stdout).toMatch(/^web-1 /m);
      expect(stderr.match(/no such VM: gone/g)).toHaveLength(1);
    }
  });

  test('where all words mean none, the exit code is 4', async () => {
    for (const args of [
      ['create', 'gone', 'lost', '--label', 'n'],
      ['list', 'gone', 'lost'],
    ])
      expect(await kvmsnap(args)).toMatchObject({
        code: 4,
        stdout: expect.stringContaining('no such VM: lost'),
        stderr: expect.stringContaining('2 of 2 VMs failed'),
      });
  });

  test('in a dry run too, and nothing is done', async () => {
    const [vm] = fleet('web-1');
    const result = await kvmsnap(['--dry-run', 'create', 'web-1', 'gone', '--label', 'n']);
    expect(result).toMatchObject({ code: 3, stderr: expect.stringContaining('no such VM: gone') });
    expect(result.stdout).toContain('virsh snapshot-create-as');
    expect(present(vm as Vm)).toEqual({ 'web-1': [] });
  });

  test('each VM of a list without words has its tree', async () => {
    const vms = fleet('web-1', 'web-2');
    for (const vm of vms) for (const name of ['s1', 's2']) take(vm, name);
    const { stdout } = await succeed('list', '--tree');
    expect(stdout.match(/^web-[12]$|^\*? +s2/gm)?.map((line) => line.trim())).toEqual([
      'web-1',
      '*  s2',
      'web-2',
      '*  s2',
    ]);
    expect((await succeed('list', '--tree', '-q')).stdout).toBe('web-1/s1\nweb-1/s2\nweb-2/s1\nweb-2/s2\n');
  });
});
