// What fails with one VM, or does not suit it, stops no other: what each came to, and how it is told.
import { renameSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import * as z from 'zod/mini';
import { DOCUMENTS } from '../../../src/output/contract.ts';
import { kvmsnap } from '../../lab/cli.ts';
import { pasteOk } from '../../lab/evidence.ts';
import { errorDocument } from '../../lab/failure.ts';
import { isSystemLab, scratch, tool } from '../../lab/lab.ts';
import { smallFilesystem } from '../../scene/mount.ts';
import { snapshotNames } from '../../scene/snapshot.ts';
import { failure, succeed, take } from '../../scene/steps.ts';
import { cleanUp, defineVm, pathOf, start, type Vm } from '../../scene/vm.ts';
import { fleet, present, raw, small } from './small-vms.ts';

process.env['XDG_STATE_HOME'] = join(scratch, 'state');

afterEach(cleanUp);

describe('what fails with one VM stops no other', () => {
  /** Six VMs, of which three fail and one is skipped; they end as `afterwards`. */
  function troubled(): Vm[] {
    const vms = [
      small('a-fine'),
      small('b-has-it'),
      small('c-lost'),
      small('d-destroyed'),
      raw('e-raw'),
      small('f-fine'),
    ];
    take(vms[1] as Vm, 's1');
    renameSync(pathOf(vms[2] as Vm), `${pathOf(vms[2] as Vm)}.away`);
    truncateSync(pathOf(vms[3] as Vm), 0);
    writeFileSync(pathOf(vms[3] as Vm), Buffer.alloc(8 * 1024 * 1024));
    return vms;
  }

  /** Those that are still to be looked at by qemu-img. */
  const wellEnough = (vms: readonly Vm[]) => [0, 1, 4, 5].map((n) => vms[n] as Vm);
  const AFTERWARDS = { 'a-fine': ['s1'], 'b-has-it': ['s1'], 'e-raw': [], 'f-fine': ['s1'] };

  test('exit 3, and each with its cause and its cure on stderr, then how many', async () => {
    const vms = troubled();
    const { code, stdout, stderr } = await kvmsnap(['create-as', '*', 's1']);
    expect({ code, stderr }).toMatchObject({ code: 3 });
    expect(present(...wellEnough(vms))).toEqual(AFTERWARDS);
    expect(stderr).toMatch(
      new RegExp(
        [
          'error: VM b-has-it already has a snapshot s1\nhint: choose another name',
          'error: cannot take a snapshot of c-lost: .* is missing\nhint: restore the file',
          "error: cannot take a snapshot of d-destroyed: .* the file is raw, but the VM's XML says qcow2\nhint: ",
          'skipped e-raw: .* is raw, and internal',
          'error: 3 of 6 VMs failed, 1 skipped\n$',
        ].join('.*'),
        's',
      ),
    );
    const rows = stdout.trimEnd().split('\n').slice(1);
    expect(rows.map((row) => [row.split(/ +/)[0], /(taken|failed: |skipped: )/.exec(row)?.[1]])).toEqual([
      ['a-fine', 'taken'],
      ['b-has-it', 'failed: '],
      ['c-lost', 'failed: '],
      ['d-destroyed', 'failed: '],
      ['e-raw', 'skipped: '],
      ['f-fine', 'taken'],
    ]);
  });

  test('json: one document on stdout, and the end of it as the last line of stderr', async () => {
    const vms = troubled();
    const result = await kvmsnap(['--json', 'create-as', '*', 's1']);
    expect(result.code).toBe(3);
    const { domains } = z.parse(DOCUMENTS.create, JSON.parse(result.stdout));
    expect(
      domains.map(({ name, outcome, snapshot, errors }) => [name, outcome, snapshot?.name, errors[0]?.code]),
    ).toEqual([
      ['a-fine', 'done', 's1', undefined],
      ['b-has-it', 'failed', undefined, 'exists'],
      ['c-lost', 'failed', undefined, 'check'],
      ['d-destroyed', 'failed', undefined, 'check'],
      ['e-raw', 'skipped', undefined, 'check'],
      ['f-fine', 'done', 's1', undefined],
    ]);
    expect(domains[2]?.errors[0]?.hint).toContain('restore the file');
    expect(errorDocument(result)).toMatchObject({
      code: 'partial',
      exitCode: 3,
      message: '3 of 6 VMs failed, 1 skipped',
    });
    expect(present(...wellEnough(vms))).toEqual(AFTERWARDS);
  });

  test('csv and names hold the good ones, csv the others too', async () => {
    troubled();
    const csv = await kvmsnap(['-o', 'csv', 'create-as', '*', 's2']);
    expect(csv.code).toBe(3);
    expect(
      csv.stdout
        .trimEnd()
        .split(/\r?\n/)
        .map((row) => [row.split(',')[0], row.split(',')[5]]),
    ).toEqual([
      ['machine', 'outcome'],
      ['a-fine', 'done'],
      ['b-has-it', 'done'],
      ['c-lost', 'failed'],
      ['d-destroyed', 'failed'],
      ['e-raw', 'skipped'],
      ['f-fine', 'done'],
    ]);
    const names = await kvmsnap(['-q', 'create-as', '*', 's3']);
    expect([names.code, names.stdout]).toEqual([3, 'a-fine/s3\nb-has-it/s3\nf-fine/s3\n']);
  });

  test('a dry run tells the same, and touches nothing', async () => {
    const vms = troubled();
    const result = await kvmsnap(['--json', '--dry-run', 'create-as', '*', 's1']);
    expect(result.code).toBe(3);
    const { domains = [], commands } = z.parse(DOCUMENTS['dry-run'], JSON.parse(result.stdout));
    expect(domains.map(({ outcome }) => outcome)).toEqual([
      'planned',
      'failed',
      'failed',
      'failed',
      'skipped',
      'planned',
    ]);
    expect(commands).toHaveLength(2);
    expect(present(...wellEnough(vms))).toEqual({ ...AFTERWARDS, 'a-fine': [], 'f-fine': [] });
    for (const command of commands) pasteOk(command);
    expect(present(...wellEnough(vms))).toEqual(AFTERWARDS);
  });

  test('all for one cause: its exit code; for several: 3', async () => {
    const vms = fleet('web-1', 'web-2');
    for (const vm of vms) take(vm, 's1');
    expect(await failure(6, 'create-as', 'web-*', 's1')).toMatchObject({
      code: 'exists',
      message: '2 of 2 VMs failed',
    });
    take(vms[0] as Vm, 's2');
    renameSync(pathOf(vms[1] as Vm), `${pathOf(vms[1] as Vm)}.away`);
    expect(await failure(3, 'create-as', 'web-*', 's2')).toMatchObject({ code: 'partial' });
  });

  test('delete: the others go', async () => {
    const vms = fleet('web-1', 'web-2', 'web-3');
    for (const vm of vms) take(vm, 's1');
    tool('qemu-img', ['snapshot', '-c', 's1', pathOf(vms[1] as Vm)]);
    const result = await kvmsnap(['--json', '--yes', 'delete', 'web-*', 's1']);
    expect(result.code).toBe(3);
    const { domains } = z.parse(DOCUMENTS.delete, JSON.parse(result.stdout));
    expect(
      domains.map(({ outcome, deleted, failed }) => [outcome, deleted, failed.map(({ code }) => code)]),
    ).toEqual([
      ['done', ['s1'], []],
      ['failed', [], ['check']],
      ['done', ['s1'], []],
    ]);
    expect(vms.map(snapshotNames)).toEqual([[], ['s1'], []]);
    const { stderr } = await kvmsnap(['delete', 'web-2', 's1']);
    expect(stderr.match(/error: /g)).toHaveLength(1);
    // in a run over several VMs, whose it is
    take(vms[0] as Vm, 's1');
    const both = await kvmsnap(['--yes', 'delete', 'web-1', 's1', '--vm', 'web-2']);
    expect(both.stderr).toMatch(
      /^error: cannot delete s1 of web-2: disk vda contains 2 .*\nhint: .*\n +qemu-img snapshot -d/m,
    );
    pasteOk(domains[1]?.errors[0]?.command ?? null);
    await succeed('delete', 'web-2', 's1');
    expect(present(...vms)).toEqual({ 'web-1': [], 'web-2': [], 'web-3': [] });
  });

  test.runIf(isSystemLab)('a full disk (root mounts it) is a failure, and no skip', async () => {
    const source = join(smallFilesystem(16), 'disk.qcow2');
    tool('qemu-img', ['create', '-q', '-f', 'qcow2', '--', source, '8M']);
    const crowded = defineVm({ name: 'crowded', disks: [{ source }] });
    start(crowded);
    const fine = small('fine');
    const { code, stderr } = await kvmsnap(['create-as', '*', 's1']);
    expect(code).toBe(3);
    expect(stderr).toMatch(/error: cannot take a snapshot of crowded: .*free.*\nhint: free some space/);
    expect(present(crowded, fine)).toEqual({ crowded: [], fine: ['s1'] });
  });
});

describe('a VM that is not suited', () => {
  test('is skipped and said so, with exit 0; with --strict exit 3', async () => {
    const vms = [small('fine'), raw('raw')];
    const lenient = await succeed('create-as', '*', 's1');
    expect(lenient.stderr).toMatch(/^skipped raw: disk .* is raw, and internal snapshots need qcow2\n$/);
    const strict = await kvmsnap(['create-as', '*', 's2', '--strict']);
    expect(strict.code).toBe(3);
    expect(strict.stderr).toMatch(
      /^error: .*raw.*\nhint: convert it.*\n +1\. qemu-img convert .*\n +2\. virsh edit raw\nerror: 1 of 2 VMs skipped\n$/,
    );
    expect(present(...vms)).toEqual({ fine: ['s1', 's2'], raw: [] });
  });

  test('called by its own name or UUID is a failure', async () => {
    const [fine, bad] = [small('fine'), raw('raw')];
    for (const word of ['raw', bad.uuid]) {
      const { code, stderr } = await kvmsnap(['create', 'fine', word]);
      expect({ code, stderr }).toMatchObject({ code: 3 });
      expect(stderr).not.toContain('skipped');
    }
    // by a pattern as well as by its name
    expect((await kvmsnap(['create', '*', 'raw'])).code).toBe(3);
    expect(snapshotNames(fine).length).toBeGreaterThan(0);
  });

  test('and no other: never exit 0', async () => {
    raw('raw-1');
    raw('raw-2');
    const alone = await kvmsnap(['create', 'raw-1*']);
    expect([alone.code, alone.stderr.match(/^error: |^hint: convert it/gm)]).toEqual([
      5,
      ['error: ', 'hint: convert it'],
    ]);
    const { code, stderr } = await kvmsnap(['create', '--all']);
    expect(code).toBe(5);
    expect(stderr.match(/hint: convert it/g)).toHaveLength(2);
    expect(stderr).toMatch(/error: 2 of 2 VMs skipped\n$/);
  });

  test('a state that may pass is a failure: an image marked corrupt', async () => {
    const vms = [small('fine'), small('hurt')];
    // the incompatible feature bit 1 of the header: corrupt
    tool('qemu-io', ['-f', 'raw', '-c', 'write -P 2 79 1', pathOf(vms[1] as Vm)]);
    const { code, stderr } = await kvmsnap(['create', '--all']);
    expect({ code, stderr }).toMatchObject({ code: 3 });
    expect(stderr).toMatch(
      /error: cannot take a snapshot of hurt: .*corrupt.*\nhint: .*\n +qemu-img convert -f qcow2 -O qcow2 /,
    );
  });
});
