// Every exit code that a command can end with (70, a bug, apart), from a real cause.

import { spawn } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterAll, afterEach, describe, expect, test } from 'vitest';
import { type CliOptions, kvmsnap } from '../lab/cli.ts';
import { killLibvirtd, signalLibvirtd } from '../lab/daemon.ts';
import { errorDocument, followHint } from '../lab/failure.ts';
import { isSystemLab, scratch, tool, virsh } from '../lab/lab.ts';
import { share } from '../lab/share.ts';
import { onTerminal } from '../lab/terminal.ts';
import { since } from '../lab/version.ts';
import { tags } from '../scene/disk.ts';
import { smallFilesystem } from '../scene/mount.ts';
import { fullVm, holdSave } from '../scene/saving.ts';
import { currentSnapshot, snapshotNames } from '../scene/snapshot.ts';
import { cleanUp, continueQemu, defineVm, pathOf, type Vm } from '../scene/vm.ts';

afterEach(cleanUp);
afterAll(cleanUp);

function vmWith(...snapshots: readonly string[]): Vm {
  const vm = defineVm({ name: 'web' });
  for (const name of snapshots) virsh('snapshot-create-as', '--domain', vm.uuid, '--name', name);
  return vm;
}

/** A PATH with these tools of the system and no others. */
function pathWith(...tools: readonly string[]): string {
  const directory = mkdtempSync(join(scratch, 'bin-'));
  for (const name of tools) symlinkSync(tool('which', [name]).trim(), join(directory, name));
  return directory;
}

/** The socket at which libvirtd lets everybody look, and nobody touch. */
const READ_ONLY = 'qemu+unix:///system?socket=/run/libvirt/libvirt-sock-ro';

interface Failure {
  readonly cause: string;
  readonly exitCode: number;
  readonly code: string;
  readonly args: readonly string[];
  readonly arrange?: () => unknown;
  readonly options?: () => CliOptions;
  /** What the message or the hint must tell. */
  readonly tells: RegExp;
  /** Why it can be shown in a lab of root alone. */
  readonly root?: string;
}

const FAILURES: readonly Failure[] = [
  {
    cause: 'libvirt refuses over a read-only connection',
    exitCode: 1,
    code: 'refused',
    arrange: () => vmWith(),
    args: ['create-as', 'web', 's1', '-c', READ_ONLY],
    tells: /read only access prevents/,
    root: "a session's libvirtd has no such socket",
  },
  ...[
    { cause: 'no command', args: [], tells: /no command given/ },
    {
      cause: "virsh's name of a command, with a slip",
      args: ['snapshot-delet', 'web'],
      tells: /kvmsnap delete/,
    },
    { cause: 'an unknown option', args: ['list', '--tre'], tells: /did you mean --tree/ },
    { cause: 'a missing argument', args: ['create-as', 'web'], tells: /<name> is missing/ },
    { cause: 'one argument too many', args: ['current', 'web', 'x'], tells: /too many arguments/ },
    {
      cause: 'a name that cannot be',
      args: ['create-as', 'web', 'a/b'],
      tells: /'a\/b' cannot be used as the name/,
    },
    { cause: 'no duration', args: ['list', '--timeout', 'soon'], tells: /30s, 10min or 2h/ },
    {
      cause: 'options that exclude each other',
      args: ['revert', 'web', 's1', '--current'],
      tells: /either the name of a snapshot or --current/,
    },
    { cause: 'an option for a URI', args: ['list', '-c', '--all'], tells: /connection URI/ },
  ].map((row) => ({ ...row, exitCode: 2, code: 'usage', arrange: () => vmWith('s1') })),
  ...[
    { cause: 'no such VM', args: ['list', 'wbe'], tells: /did you mean web/ },
    { cause: 'no such snapshot', args: ['revert', 'web', 's2'], tells: /did you mean s1/ },
    { cause: 'no snapshot to delete', args: ['delete', 'web', 'zzzzzz'], tells: /no snapshot zzzzzz/ },
  ].map((row) => ({ ...row, exitCode: 4, code: 'not-found', arrange: () => vmWith('s1') })),
  {
    cause: 'no current snapshot',
    exitCode: 4,
    code: 'not-found',
    arrange: () => vmWith(),
    args: ['current', 'web'],
    tells: /has no current snapshot/,
  },
  {
    cause: 'a disk is not qcow2',
    exitCode: 5,
    code: 'check',
    arrange: () => defineVm({ name: 'web', disks: [{ format: 'raw' }] }),
    args: ['create', 'web'],
    tells: /disk vda.*raw.*qemu-img convert/s,
  },
  {
    cause: 'the name is taken',
    exitCode: 6,
    code: 'exists',
    arrange: () => vmWith('s1'),
    args: ['create-as', 'web', 's1'],
    tells: /already has a snapshot s1/,
  },
  ...['delete', 'revert'].map((command) => ({
    cause: `${command} of a snapshot that is still being taken`,
    exitCode: 7,
    code: 'busy',
    arrange: async () => {
      const vm = await fullVm('web');
      await holdSave(vm, () => spawn('virsh', ['snapshot-create-as', vm.uuid, 's1']));
      return vm;
    },
    args: [command, 'web', 's1'],
    tells: /still being taken/,
  })),
  {
    cause: 'libvirtd is not there',
    exitCode: 8,
    code: 'unreachable',
    arrange: () => killLibvirtd(),
    args: ['list'],
    tells: /Failed to connect socket.*libvirtd seems not to run/s,
  },
  {
    cause: 'the socket is not there',
    exitCode: 8,
    code: 'unreachable',
    args: ['list', '-c', 'qemu+unix:///system?socket=/run/nosuch/libvirt-sock'],
    tells: /No such file or directory/,
  },
  {
    cause: 'the socket is not for this user',
    exitCode: 8,
    code: 'unreachable',
    args: ['list', '-c', 'qemu:///system'],
    options: () => ({ uid: 65534, gid: 65534 }),
    tells: /Permission denied.*usermod -aG libvirt/s,
    root: 'becomes another user',
  },
  {
    cause: 'there is no such driver',
    exitCode: 8,
    code: 'unreachable',
    args: ['list', '-c', isSystemLab ? 'bogus:///system' : 'bogus:///session'],
    tells: since({
      '7.0': /virtbogusd-sock.*qemu:\/\/\/system is this host/s,
      '9.0': /bogus:\/\/\/s.*qemu:\/\/\/system is this host/s,
    }),
  },
  {
    cause: 'there is no such host',
    exitCode: 8,
    code: 'unreachable',
    args: ['list', '-c', 'qemu+ssh://host.invalid/system'],
    tells: /host\.invalid.*a key or an agent/s,
  },
  {
    cause: 'virsh is not in PATH',
    exitCode: 9,
    code: 'tool-missing',
    args: ['list'],
    options: () => ({ env: { PATH: pathWith('qemu-img') } }),
    tells: /virsh is not installed.*libvirt-clients/s,
  },
  {
    cause: 'qemu-img is not in PATH',
    exitCode: 9,
    code: 'tool-missing',
    arrange: () => vmWith(),
    args: ['create', 'web'],
    options: () => ({ env: { PATH: pathWith('virsh') } }),
    tells: /qemu-img is not installed.*qemu-utils/s,
  },
  {
    cause: 'nobody said --yes',
    exitCode: 10,
    code: 'declined',
    arrange: () => vmWith('s1', 's2'),
    args: ['delete', 'web', 's1', '--children'],
    tells: /nothing was changed.*--yes/s,
  },
  {
    cause: 'libvirtd hangs',
    exitCode: 124,
    code: 'timed-out',
    arrange: () => signalLibvirtd('SIGSTOP'),
    args: ['list', '--timeout', '0.5s'],
    tells: /timed out after 0.5 s/,
  },
];

const left = (): string =>
  virsh('list', '--all', '--uuid')
    .split('\n')
    .filter(Boolean)
    .map((uuid) => virsh('snapshot-list', '--domain', uuid, '--name'))
    .join();

/** Fills the directory of libvirt's snapshots; returns what empties it. */
function fillMetadata(): () => void {
  const filler = join(smallFilesystem(1, '/var/lib/libvirt/qemu/snapshot'), 'filler');
  expect(() => writeFileSync(filler, Buffer.alloc(2 * 1024 * 1024))).toThrow('ENOSPC');
  return () => rmSync(filler);
}

/** Takes the rights to write there away; returns what gives them back. */
function closeMetadata(): () => void {
  const directory = dirname(tool('find', [process.env['XDG_CONFIG_HOME'] ?? '', '-name', 's1.xml']).trim());
  chmodSync(directory, 0o500);
  return () => chmodSync(directory, 0o700);
}

describe('exit', () => {
  const ofRoot = ({ root }: Failure) => root !== undefined;
  test.runIf(isSystemLab).each(FAILURES.filter(ofRoot))('$exitCode: $cause (root: $root)', shows);
  test.each(
    share(
      12,
      FAILURES.filter((failure) => !ofRoot(failure)),
    ),
  )('$exitCode: $cause', shows);

  async function shows({ exitCode, code, arrange, args, options, tells }: Failure) {
    const vm = await arrange?.();
    const reachable = exitCode !== 8 && exitCode !== 124;
    const before = reachable ? left() : '';

    const plain = await kvmsnap(args, options?.());
    expect(plain).toMatchObject({ code: exitCode, stdout: '' });
    expect(plain.stderr).toMatch(/^error: .+\n/m);
    expect(plain.stderr).toMatch(tells);
    expect(plain.stderr).not.toMatch(/\n +at |bug/);

    const json = await kvmsnap([...args, '--json'], options?.());
    expect(json).toMatchObject({ code: exitCode, stdout: '' });
    const error = errorDocument(json);
    expect(error).toMatchObject({ code, exitCode });
    expect(`${error.message}\n${error.hint}\n${error.command}`).toMatch(tells);

    if (reachable) expect(left()).toBe(before);
    if (code === 'busy') continueQemu(vm as Vm);
  }

  test('3: one of two is not there; the other is gone all the same', async () => {
    const vm = vmWith('s1', 's2');
    const plain = await kvmsnap(['delete', 'web', 's1', 'nosuch']);
    expect(plain.code).toBe(3);
    expect(plain.stdout).toMatch(
      /^VM +NAME +RESULT\nweb +s1 +deleted\nweb +nosuch +failed: .*no snapshot nosuch/,
    );
    expect(plain.stderr).toMatch(/error: 1 of 2 deletions failed\n$/);
    expect([snapshotNames(vm), tags(pathOf(vm))]).toMatchObject([['s2'], [{ name: 's2' }]]);
    const json = await kvmsnap(['delete', 'web', 'nosuch', 's2', '--json']);
    expect(json.code).toBe(3);
    expect(JSON.parse(json.stdout)).toMatchObject({
      domains: [{ deleted: ['s2'], failed: [{ code: 'not-found' }] }],
    });
    expect(errorDocument(json)).toMatchObject({ code: 'partial', exitCode: 3 });
  });

  test.each(
    share(2, [['--json'], ['-ojson'], ['-yo', 'json'], ['-yojson'], ['--output', 'json'], ['--output=json']]),
  )('4, as a document for %s', async (...form) => {
    expect(errorDocument(await kvmsnap(['list', 'nosuch', ...form]))).toMatchObject({ code: 'not-found' });
  });

  test('4: none of two is there', async () => {
    vmWith('s1');
    expect(errorDocument(await kvmsnap(['delete', 'web', 'x', 'y', '--json']))).toMatchObject({
      code: 'not-found',
      exitCode: 4,
    });
  });

  test('10: no, on a terminal', async () => {
    const vm = vmWith('s1');
    const terminal = onTerminal(['delete', 'web', 's1']);
    await terminal.waitForText(/\[y\/N\]/);
    terminal.type('n\r');
    const { code, screen } = await terminal.done;
    expect({ code, told: screen.includes('nothing was changed') }).toEqual({ code: 10, told: true });
    expect(snapshotNames(vm)).toEqual(['s1']);
  });

  test.each(
    share(4, [
      ['done', ['create-as', 'web', 's3']],
      ['done', ['revert', 'web', 's1']],
      ['done', ['delete', 'web', 's1']],
      ['nothing to do', ['delete', 'web', 's2', '--children-only', '--yes']],
      ['read', ['list']],
      ['read', ['current', 'web']],
      ['read', ['info', 'web', 's1']],
      ['help', ['--help']],
      ['help', ['create', '--help']],
      ['version', ['--version']],
    ]),
  )('0: %s: %s', async (_, args) => {
    vmWith('s1', 's2');
    const result = await kvmsnap(args);
    expect(result).toMatchObject({ code: 0 });
    expect(result.stdout + result.stderr).not.toBe('');
    expect(result.stderr).not.toContain('error');
  });

  const unwritable = isSystemLab ? 'full' : 'closed (to fill it takes root)';
  test(`1: the metadata directory is ${unwritable} (hazard 22), and the hint fixes what it left`, async () => {
    const vm = vmWith('s1');
    const path = pathOf(vm);
    const open = isSystemLab ? fillMetadata() : closeMetadata();

    const result = await kvmsnap(['create-as', 'web', 's2']);
    expect(result).toMatchObject({ code: 1, stdout: '' });
    expect(result.stderr).toContain('left with a snapshot s2 that is not registered in libvirt');
    expect(result.stderr).toContain('libvirt no longer has s1 as the current snapshot');
    expect(tags(path).map(({ name }) => name)).toEqual(['s1', 's2']);
    expect([snapshotNames(vm), currentSnapshot(vm)]).toEqual([['s1'], null]);

    open();
    expect(followHint(vm, result.stderr)).toHaveLength(2);
    expect(tags(path).map(({ name }) => name)).toEqual(['s1']);
    expect(currentSnapshot(vm)).toBe('s1');
    expect(await kvmsnap(['create-as', 'web', 's2', '-q'])).toMatchObject({ code: 0, stdout: 's2\n' });
  });
});
