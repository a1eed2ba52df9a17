// External snapshots of which an overlay, the file beneath or the memory is elsewhere now than libvirt knows (hazard 45).
import { mkdtempSync, renameSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterAll, afterEach, expect, test } from 'vitest';
import { kvmsnap } from '../lab/cli.ts';
import { pasteOk } from '../lab/evidence.ts';
import { scratch, tool, virsh } from '../lab/lab.ts';
import { share } from '../lab/share.ts';
import { since } from '../lab/version.ts';
import { hasPattern, writePattern } from '../scene/disk.ts';
import { snapshotNames, snapshotXml } from '../scene/snapshot.ts';
import { cleanUp, defineVm, destroy, domainXml, pathOf, start, state, type Vm } from '../scene/vm.ts';

afterEach(cleanUp);
afterAll(cleanUp);

const REVERTS_EXTERNAL = since({ '7.0': false, '11.3': true });
const DELETES_EXTERNAL = since({ '7.0': false, '9.0': true });
const LENGTH = 64 * 1024;

const run = async (...args: string[]) => {
  const { code, stdout, stderr } = await kvmsnap(args, { env: { XDG_STATE_HOME: join(scratch, 'state') } });
  return { code, said: stdout + stderr };
};
const create = (vm: Vm, name: string, ...options: string[]) =>
  virsh('snapshot-create-as', '--domain', vm.uuid, '--name', name, ...options);
const inUse = (vm: Vm) =>
  (/<source file='([^']*)'/.exec(domainXml(vm))?.[1] ?? '')
    .replaceAll('&apos;', "'")
    .replaceAll('&amp;', '&');
const fill = (path: string, byte: number) => writePattern(path, byte, 0, LENGTH);
const holds = (path: string, byte: number) => hasPattern(path, byte, 0, LENGTH);

/** Changes the definition as text. */
function redefine(vm: Vm, from: string, to: string): void {
  const file = join(scratch, 'changed.xml');
  writeFileSync(file, virsh('dumpxml', '--inactive', '--domain', vm.uuid).replaceAll(from, to));
  virsh('define', file);
}

/** base holds 1, the overlay of e1 holds 2 on it, and that of e2, which is in use, 3. */
function chained() {
  const vm = defineVm({ name: 'web', disks: [{ size: '8M' }] });
  const base = pathOf(vm);
  fill(base, 1);
  create(vm, 'e1', '--disk-only');
  const first = inUse(vm);
  fill(first, 2);
  create(vm, 'e2', '--disk-only');
  const second = inUse(vm);
  fill(second, 3);
  return { vm, base, first, second };
}

const rebase = (path: string, onto: string) =>
  tool('qemu-img', ['rebase', '-u', '-f', 'qcow2', '-F', 'qcow2', '-b', onto, path]);

/** Each moves files of `chained`, as an administrator does who keeps the VM working. */
const MOVES: readonly [string, (made: ReturnType<typeof chained>) => void][] = [
  [
    'all to another directory',
    ({ vm, base, first, second }) => {
      const from = dirname(base);
      const to = mkdtempSync(join(scratch, "it's & new-"));
      const [newBase, newFirst, newSecond] = [base, first, second].map((path) => {
        const moved = path.replace(from, to);
        renameSync(path, moved);
        return moved;
      }) as [string, string, string];
      rebase(newFirst, newBase);
      rebase(newSecond, newFirst);
      redefine(vm, second, newSecond.replace('&', '&amp;').replace("'", '&apos;'));
    },
  ],
  [
    'the overlay in use renamed',
    ({ vm, second }) => {
      renameSync(second, `${second}.renamed`);
      redefine(vm, second, `${second}.renamed`);
    },
  ],
  [
    'the base renamed',
    ({ base, first }) => {
      renameSync(base, `${base}.golden`);
      rebase(first, `${base}.golden`);
    },
  ],
];

test.each(share(3, MOVES))(
  '%s: check says moved, --fix registers it, and delete and revert work',
  async (_, move) => {
    const made = chained();
    move(made);
    const { vm } = made;
    const before = await run('check', 'web');
    expect(before).toMatchObject({ code: 5, said: expect.stringContaining('which was moved or renamed to') });
    expect((await run('list', 'web')).said).toMatch(/FILES[\s\S]*moved/);

    expect((await run('check', 'web', '--fix', '--yes')).said).not.toContain('moved or renamed to');
    const xmls = ['e1', 'e2'].map((name) => snapshotXml(vm, name)).join();
    for (const path of Object.values(made).filter((value) => typeof value === 'string'))
      if (tool('sh', ['-c', 'test -e "$1" && echo there || echo gone', 'sh', path]).trim() === 'gone')
        expect(xmls).not.toContain(`'${path}'`);
    // e2 goes into what e1 has made, and the VM still sees what it wrote last
    expect((await run('delete', 'web', 'e2')).code).toBe(DELETES_EXTERNAL ? 0 : 5);
    if (DELETES_EXTERNAL) expect([snapshotNames(vm), holds(inUse(vm), 3)]).toEqual([['e1'], true]);
    if (!REVERTS_EXTERNAL) return;
    const reverted = await run('revert', 'web', 'e1', '--force');
    expect(reverted).toMatchObject({ code: 0 });
    expect(holds(inUse(vm), 1)).toBe(true);
  },
);

test('the line of a dry run does the same when it is pasted', async () => {
  const made = chained();
  MOVES[0]?.[1](made);
  const { code, stdout } = await kvmsnap(['check', 'web', '--fix', '--dry-run']);
  expect(code).toBe(0);
  for (const line of stdout.trim().split('\n')) pasteOk(line);
  expect((await run('check', 'web')).said).not.toContain('moved');
});

test('until then nothing is reverted or deleted, and the advice is to register it', async () => {
  const { vm, second } = chained();
  renameSync(second, `${second}.renamed`);
  redefine(vm, second, `${second}.renamed`);
  const { code, said } = await run('delete', 'web', 'e2');
  expect([code, snapshotNames(vm)]).toEqual([5, ['e1', 'e2']]);
  expect(said).toContain('kvmsnap check --fix web');
});

test('a memory in another directory: known by the VM and the time in it', async () => {
  const vm = defineVm({ name: 'web', boot: 'counter', disks: [{ size: '8M' }] });
  start(vm);
  const memory = join(dirname(pathOf(vm)), 'e1.memory');
  create(vm, 'e1', '--memspec', memory, '--diskspec', 'vda,snapshot=external');
  renameSync(memory, `${memory}.kept`);
  const { said } = await run('check', 'web');
  expect(said).toContain(`${memory} of e1, which was moved or renamed to ${memory}.kept`);
  expect(said).not.toContain('rm ');
  expect((await run('check', 'web', '--fix', '--yes')).said).not.toContain('moved or renamed');
  expect(snapshotXml(vm, 'e1')).toContain(`file='${memory}.kept'`);
  if (!REVERTS_EXTERNAL) return;
  destroy(vm);
  expect((await run('revert', 'web', 'e1', '--force')).code).toBe(0);
  expect(state(vm)).toBe('running');
});

test('an overlay that a revert of libvirt has removed is no finding', async () => {
  if (!REVERTS_EXTERNAL) return;
  const { vm, second } = chained();
  virsh('snapshot-revert', '--domain', vm.uuid, '--snapshotname', 'e1');
  expect(tool('sh', ['-c', 'test -e "$1" && echo there || echo gone', 'sh', second]).trim()).toBe('gone');
  expect(snapshotNames(vm)).toEqual(['e1', 'e2']);
  expect((await run('check', 'web')).said).not.toContain('moved');
  expect((await run('list', 'web')).said).not.toContain('moved');
});
