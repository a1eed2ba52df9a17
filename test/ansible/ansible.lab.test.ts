// The module of Ansible, called as Ansible calls it: with the path of a file, its result on stdout.
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { cleanEnvironment, kvmsnapInShell } from '../lab/cli.ts';
import { scratch, tryTool, virsh } from '../lab/lab.ts';
import { tags } from '../scene/disk.ts';
import { snapshotNames } from '../scene/snapshot.ts';
import { cleanUp, defineVm, pathOf, type Vm } from '../scene/vm.ts';

const module = fileURLToPath(new URL('../../dist/ansible/kvmsnap', import.meta.url));
const bin = join(scratch, 'bin');
let vm: Vm;

beforeAll(() => {
  mkdirSync(bin);
  writeFileSync(join(bin, 'kvmsnap'), `#!/bin/sh\nexec ${kvmsnapInShell} "$@"\n`);
  chmodSync(join(bin, 'kvmsnap'), 0o755);
  vm = defineVm({ name: 'web', disks: [{ size: '8M' }] });
});
afterAll(cleanUp);

/** What the module answers to the task. */
function task(given: object, { isCheck = false } = {}) {
  const file = join(scratch, 'arguments');
  writeFileSync(file, JSON.stringify({ ...given, _ansible_check_mode: isCheck, _ansible_verbosity: 0 }));
  const env = Object.entries(cleanEnvironment({ PATH: `${bin}:${process.env['PATH']}` })).map(
    ([name, value]) => `${name}=${value}`,
  );
  const { code, stdout, stderr } = tryTool('env', ['-i', ...env, '/bin/sh', module, file]);
  expect(stderr).toBe('');
  return { code, ...JSON.parse(stdout) };
}
const names = () => tags(pathOf(vm)).map(({ name }) => name);

test('a snapshot is planned, taken and listed, and changes are told from looks', () => {
  const create = { cmd: "create-as web 's 1'" };
  expect(task(create, { isCheck: true })).toMatchObject({ code: 0, changed: true, failed: false });
  expect(names()).toEqual([]);
  expect(task(create)).toMatchObject({
    ...{ code: 0, changed: true, failed: false, rc: 0 },
    domains: [{ name: 'web', snapshot: { name: 's 1' } }],
  });
  expect([names(), snapshotNames(vm)]).toEqual([['s 1'], ['s 1']]);
  const listed = task({ argv: ['list', 'web'] });
  expect(listed).toMatchObject({ changed: false, failed: false, msg: 'nothing to change' });
  const failed = task(create);
  expect(failed).toMatchObject({ code: 1, changed: false, failed: true, rc: 6 });
  expect(failed.msg).toContain('s 1');
});

test('a prune has changed something only if it deletes', () => {
  const nightly = ['n-20200101T000000Z', 'n-20200102T000000Z'];
  for (const name of nightly) virsh('snapshot-create-as', 'web', name);
  const prune = (most: number) => ({ argv: ['prune', 'web', '--label', 'n', '--keep-last', most] });
  expect(task(prune(1), { isCheck: true })).toMatchObject({ changed: true, failed: false });
  expect(task(prune(2), { isCheck: true }).changed).toBe(false);
  expect(task(prune(2))).toMatchObject({ changed: false, failed: false });
  expect(names()).toEqual(['s 1', ...nightly]);
});

test('what cannot be run fails, with the reason', () => {
  expect(task({ cmd: 'try web -- true' })).toMatchObject({ failed: true, changed: false, rc: 2 });
  expect(task({ cmd: 'list --nonsense' }).msg).toContain("unknown option '--nonsense'");
  expect(task({ cmd: 'list -q' })).toMatchObject({ failed: true, rc: 2 });
});
