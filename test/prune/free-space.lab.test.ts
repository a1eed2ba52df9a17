// prune --free-min on small file systems, judged by df, by virsh and by the tags in the images.
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import type * as z from 'zod/mini';
import type { DOCUMENTS } from '../../src/output/contract.ts';
import { kvmsnap } from '../lab/cli.ts';
import { writableImages } from '../lab/evidence.ts';
import { isSystemLab, scratch, tool } from '../lab/lab.ts';
import { since } from '../lab/version.ts';
import { MiB } from '../model.ts';
import { hasPattern } from '../scene/disk.ts';
import { smallFilesystem } from '../scene/mount.ts';
import { snapshotNames } from '../scene/snapshot.ts';
import { document, failure, fitting, succeed, tagNames, take } from '../scene/steps.ts';
import { cleanUp, defineVm, pathOf, start, type Vm } from '../scene/vm.ts';

// copies of what is redefined are no business of this user's home
process.env['XDG_STATE_HOME'] = join(scratch, 'state');

afterEach(cleanUp);

/** What each snapshot alone holds. */
const PART = 4;

/** Bytes that df calls available. */
const available = (directory: string): number =>
  Number(tool('df', ['-B1', '--output=avail', directory]).trim().split('\n')[1]);

function vmOn(directory: string, name: string): Vm {
  const source = join(directory, `${name}.qcow2`);
  tool('qemu-img', ['create', '-q', '-f', 'qcow2', '--', source, '16M']);
  return defineVm({ name, disks: [{ source }] });
}

/** The name of the nth of a schedule's snapshots. They may be of one second, in which they go by name. */
const nth = (n: number): string => `l-20201122T0300${String(n).padStart(2, '0')}Z`;

/** Takes these of a VM that is off, and overwrites what each one holds. */
function takeEach(vm: Vm, ...names: string[]): void {
  for (const [i, name] of names.entries()) {
    fill(vm, i + 1);
    take(vm, name);
  }
  fill(vm, 99);
}

const fill = (vm: Vm, byte: number) =>
  tool('qemu-io', ['-f', 'qcow2', '-c', `write -P ${byte} 0 ${PART}M`, pathOf(vm)]);

/** Both what libvirt knows and what the image holds, which must be the same. */
function present(vm: Vm): string[] {
  const names = snapshotNames(vm);
  expect([...(tagNames(vm)[0] ?? [])].sort()).toEqual([...names].sort());
  return names.sort();
}

/** What the document says of each snapshot. */
const outcomes = ({ snapshots }: z.infer<typeof DOCUMENTS.prune>['domains'][number]) =>
  snapshots.map(({ name, outcome, reasons }) => [name, outcome, ...reasons]);

describe.runIf(isSystemLab)('prune --free-min, on a file system that root mounts', () => {
  test('deletes the oldest until so much is free, and not one more', async () => {
    const directory = smallFilesystem(36);
    const vm = vmOn(directory, 'web');
    const names = [1, 2, 3, 4, 5].map(nth);
    takeEach(vm, ...names);
    const before = available(directory);
    // more than one gives back, and less than two
    const wanted = Math.ceil((before + 1.5 * PART * MiB) / 1024);
    const args = ['prune', 'web', '--label', 'l', '--free-min', `${wanted}K`];

    const dry = await document('prune', '--dry-run', ...args);
    expect(dry.domains.map(outcomes)[0]?.map(([, outcome]) => outcome)).toEqual([
      'to be deleted',
      'to be deleted',
      'kept',
      'kept',
      'kept',
    ]);
    expect(dry.freeMin).toMatchObject({ reached: true, fileSystems: [{ mountPoint: directory }] });
    expect(present(vm)).toEqual(names);
    const said = await succeed('--dry-run', ...args);
    expect(said.stdout).toMatch(
      new RegExp(`^web +${names[0]} +\\S+ +to be deleted +4\\.\\d MiB +no rule$`, 'm'),
    );
    expect(said.stdout).toMatch(new RegExp(`^web +${names[2]} +\\S+ +kept +- +enough free$`, 'm'));
    expect(said.stderr).toMatch(/^would delete .*snapshots?\nwould free 8\.\d MiB\n/);

    const { domains, freeMin } = await document('prune', ...args);
    expect(domains.map(outcomes)).toEqual([
      [
        [names[0], 'deleted'],
        [names[1], 'deleted'],
        [names[2], 'kept', 'enough free'],
        [names[3], 'kept', 'enough free'],
        [names[4], 'kept', 'newest'],
      ],
    ]);
    expect(present(vm)).toEqual(names.slice(2));
    const after = available(directory);
    expect(after).toBeGreaterThanOrEqual(wanted * 1024);
    expect(freeMin?.fileSystems).toMatchObject([
      { freeBytesBefore: before, freeBytes: after, reached: true },
    ]);
    expect(domains[0]?.freedBytes).toBe(after - before);
    expect(Math.abs((dry.domains[0]?.freesBytes ?? 0) - (after - before))).toBeLessThan(0.25 * MiB);

    // enough is free now
    expect((await succeed(...args, '-q')).stdout).toBe('');
    expect(present(vm)).toEqual(names.slice(2));
  });

  test('external ones too, as far as libvirt would delete them', async () => {
    const directory = smallFilesystem(36);
    const vm = vmOn(directory, 'web');
    const write = (byte: number) => {
      const [active = ''] = writableImages(vm);
      tool('qemu-io', ['-f', 'qcow2', '-c', `write -P ${byte} 0 ${PART}M`, active]);
      return active;
    };
    write(1);
    const names = [1, 2, 3, 4].map(nth);
    for (const [i, name] of names.entries()) {
      take(vm, name, '--disk-only');
      write(i + 2);
    }
    const before = available(directory);
    const wanted = Math.ceil((before + 2.5 * PART * MiB) / 1024);
    const args = ['web', '--label', 'l', '--free-min', `${wanted}K`];
    // 9.0 deletes the newest only of a VM that is off, which no prune does
    if (since({ '7.0': true, '11.3': false })) {
      await failure(5, 'prune', ...args);
      expect(snapshotNames(vm)).toEqual(names);
      return;
    }
    const outcome = ({ domains }: z.infer<typeof DOCUMENTS.prune>) =>
      domains.flatMap(outcomes).map(([, outcome]) => outcome);
    const dry = await document('prune', '--dry-run', 'prune', ...args);
    expect(outcome(dry)).toEqual(['to be deleted', 'to be deleted', 'to be deleted', 'kept']);
    expect(outcome(await document('prune', 'prune', ...args))).toEqual([
      'deleted',
      'deleted',
      'deleted',
      'kept',
    ]);
    expect(snapshotNames(vm)).toEqual(names.slice(3));
    const freed = available(directory) - before;
    expect(available(directory)).toBeGreaterThanOrEqual(wanted * 1024);
    expect(Math.abs((dry.domains[0]?.freesBytes ?? 0) - freed)).toBeLessThan(0.5 * MiB);
    expect(hasPattern(writableImages(vm)[0] ?? '', 5, 0, PART * MiB)).toBe(true);
  });

  test('never deletes what a rule or a hold keeps: exit 5 with the figures, after doing what it could', async () => {
    const directory = smallFilesystem(36);
    const vm = vmOn(directory, 'web');
    const names = [1, 2, 3, 4, 5].map(nth);
    takeEach(vm, ...names);
    await succeed('hold', 'web', names[1] ?? '');
    const args = ['prune', 'web', '--label', 'l', '--keep-last', '2', '--free-min', '90%'];

    const dry = await kvmsnap(['--json', '--dry-run', ...args]);
    expect(dry.code).toBe(5);
    expect(fitting('prune', JSON.parse(dry.stdout)).freeMin?.reached).toBe(false);

    const { code, stdout, stderr } = await kvmsnap(['--json', ...args]);
    expect(code).toBe(5);
    const { domains, freeMin } = fitting('prune', JSON.parse(stdout));
    expect(domains.map(outcomes)).toEqual([
      [
        [names[0], 'deleted'],
        [names[1], 'kept', 'held'],
        [names[2], 'deleted'],
        [names[3], 'kept', 'last'],
        [names[4], 'kept', 'last'],
      ],
    ]);
    expect(present(vm)).toEqual([1, 3, 4].map((i) => names[i]));
    expect(freeMin).toMatchObject({ reached: false, fileSystems: [{ freeBytes: available(directory) }] });
    expect(JSON.parse(stderr).error).toMatchObject({
      code: 'check',
      message: expect.stringMatching(
        new RegExp(
          `^${directory} has only \\d+\\.\\d MiB of 36\\.0 MiB free instead of 32\\.4 MiB: no other snapshot`,
        ),
      ),
    });
    // without another rule the newest stays
    await failure(5, 'prune', 'web', '--label', 'l', '--free-min', '90%');
    expect(present(vm)).toEqual([names[1], names[4]]);
  });

  test('of several VMs the oldest of all goes first, and none where enough is free', async () => {
    const [full, roomy] = [smallFilesystem(44), smallFilesystem(44)];
    const [a, b, c] = [vmOn(full, 'a'), vmOn(full, 'b'), vmOn(roomy, 'c')] as const;
    takeEach(c, nth(0), nth(9));
    for (const n of [1, 2, 3, 4, 5, 6]) {
      const vm = n % 2 === 0 ? a : b;
      fill(vm, n);
      take(vm, nth(n));
    }
    for (const vm of [a, b]) fill(vm, 99);
    start(b);
    const before = available(full);
    // more than two give back, and less than three
    const wanted = `${Math.ceil((before + 2.5 * PART * MiB) / 1024)}K`;
    expect(available(roomy)).toBeGreaterThan(before + 3 * PART * MiB);
    const { domains } = await document('prune', 'prune', '--all', '--label', 'l', '--free-min', wanted);
    expect([a, b, c].map(present)).toEqual([[nth(4), nth(6)], [nth(5)], [nth(0), nth(9)]]);
    expect(domains.map(({ approximate }) => approximate)).toEqual([false, true, false]);
    expect(available(full) - before).toBeGreaterThan(2.5 * PART * MiB);
  });

  test('after a create: the new one stays, and the old ones go as far as needed', async () => {
    const directory = smallFilesystem(36);
    const vm = vmOn(directory, 'web');
    const names = [1, 2, 3, 4].map(nth);
    takeEach(vm, ...names);
    const wanted = `${Math.ceil((available(directory) + 1.5 * PART * MiB) / 1024)}K`;
    const args = ['create', '--all', '--label', 'l', '--free-min', wanted];
    const dry = await document('dry-run', '--dry-run', ...args);
    expect(dry.domains?.[0]?.pruned?.filter(({ keep }) => !keep).map(({ name }) => name)).toEqual(
      names.slice(0, 2),
    );
    expect(present(vm)).toEqual(names);
    const { domains, freeMin } = await document('create', ...args);
    expect(domains[0]?.pruned.map(({ outcome }) => outcome)).toEqual([
      'deleted',
      'deleted',
      'kept',
      'kept',
      'kept',
    ]);
    expect(present(vm)).toEqual([...names.slice(2), domains[0]?.snapshot?.name ?? ''].sort());
    expect(freeMin?.reached).toBe(true);
  });
});
