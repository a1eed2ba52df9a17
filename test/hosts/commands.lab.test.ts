// Commands on another host that have more to do than to take a snapshot. kvm1 is this lab behind a real sshd.
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { kvmsnap } from '../lab/cli.ts';
import { isSystemLab, scratch, tool, tryTool, virsh } from '../lab/lab.ts';
import { onTerminal } from '../lab/terminal.ts';
import { since } from '../lab/version.ts';
import { tags } from '../scene/disk.ts';
import { snapshotNames } from '../scene/snapshot.ts';
import { hasSshd, type SshHosts, startSshHosts } from '../scene/ssh-host.ts';
import { byteIn, bytes, NOW, THEN, write } from '../scene/steps.ts';
import { cleanUp, defineVm, domainXml, pathOf, type Vm } from '../scene/vm.ts';

let hosts: SshHosts;
const home = join(scratch, 'home');
/** Programs that only the host has. */
const bin = join(scratch, 'there');
const lies = join(scratch, 'lies');

const environment = () => ({
  PATH: hosts.path,
  XDG_RUNTIME_DIR: hosts.directory,
  HOME: home,
  XDG_STATE_HOME: home,
});
const run = (args: readonly string[]) => kvmsnap(args, { env: environment() });

function program(path: string, ...lines: string[]): string {
  writeFileSync(path, ['#!/bin/sh', ...lines, ''].join('\n'));
  chmodSync(path, 0o755);
  return path;
}

const small = (name: string): Vm => defineVm({ name, disks: [{ size: '16M' }] });

beforeAll(async () => {
  if (!isSystemLab || !hasSshd) return;
  mkdirSync(bin);
  mkdirSync(join(home, '.config/kvmsnap'), { recursive: true });
  writeFileSync(
    join(home, '.config/kvmsnap/hosts'),
    'by-sudo ssh=kvm1 sudo\nno-sudo ssh=kvm2 sudo\nno-tools ssh=kvm3\n',
  );
  mkdirSync(lies);
  program(
    join(lies, 'virsh'),
    `'${tool('sh', ['-c', 'command -v virsh']).trim()}' "$@" | ${LIE_ABOUT_NAMES}`,
  );
  program(
    join(lies, 'qemu-img'),
    `printf '%s' '${JSON.stringify(LIE_ABOUT_IMAGES).replace('"huge"', '1e400')}'`,
  );
  // it does what sudo -n does where the user may become root, and where not
  program(
    join(bin, 'sudo'),
    `[ "$1" = -n ] || exit 9`,
    'shift',
    `[ "$HOST_ALIAS" = kvm2 ] && { echo 'sudo: a password is required' >&2; exit 1; }`,
    `echo "$*" >>${scratch}/by-sudo`,
    'exec "$@"',
  );
  hosts = await startSshHosts(['kvm1', 'kvm2', 'kvm3', 'liar'], {
    environment: { PATH: `${bin}:${process.env['PATH']}` },
    inside: {
      liar: ['env', `PATH=${lies}:${process.env['PATH']}`],
      kvm2: ['env', 'HOST_ALIAS=kvm2'],
      // without qemu-img, as the command in PATH and in the directories that kvmsnap adds
      kvm3: ['unshare', '--mount', program(join(scratch, 'hide'), HIDE_QEMU_IMG, 'exec "$@"')],
    },
  });
});
afterAll(() => {
  hosts?.stop();
  return cleanUp();
});

/** It is found, and cannot be run, as in a directory that this user may not read. */
const HIDE_QEMU_IMG = `for each in $(which -a qemu-img); do mount --bind /dev/null "$each"; done`;

const LIE_ABOUT_NAMES = `sed 's/web-7/web-\\x1b[31m7\\xc2\\x9b/'`;
const LIE_ABOUT_IMAGES = {
  ...{ 'virtual-size': 'huge', 'actual-size': -7, 'cluster-size': 'huge', format: 'qcow2' },
  filename: '/etc/../../x\u001b[31m',
  'backing-filename': '../../etc/shadow',
  snapshots: [{ id: '1', name: '\u001b]0;x\u0007', 'vm-state-size': 'huge', 'date-sec': 'huge' }],
};

const pathOfTool = (name: string): string | null =>
  tryTool('sh', ['-c', `command -v ${name}`]).stdout.trim() || null;

/** Runs it while the hosts have other users; on connections of its own, because sshd keeps the shell for as long as one lasts. */
async function asUsers(
  change: (passwd: string) => string,
  task: (environment: Readonly<Record<string, string>>) => Promise<void>,
): Promise<void> {
  const file = join(scratch, 'passwd');
  writeFileSync(file, change(readFileSync('/etc/passwd', 'utf8')));
  tool('mount', ['--bind', file, '/etc/passwd']);
  try {
    await task({ ...environment(), XDG_RUNTIME_DIR: mkdtempSync(join(scratch, 'run-')) });
  } finally {
    tool('umount', ['--lazy', '/etc/passwd']);
  }
}

describe.runIf(isSystemLab && hasSshd)('on another host', () => {
  test('overlays of a backup tool are merged; everything there is run by sudo', async () => {
    const vm = small('web-1');
    write(vm, THEN);
    virsh('snapshot-create-as', vm.uuid, 'backup', '--disk-only', '--no-metadata');
    const overlay = pathOf(vm).replace(/qcow2$/, 'backup');
    expect(domainXml(vm)).toContain(overlay);
    const refused = await run(['merge', 'by-sudo:web-1']);
    expect(refused.code).toBe(10);
    expect(refused.stderr).toContain('by-sudo');
    expect((await run(['merge', 'by-sudo:web-1', '--yes'])).code).toBe(0);
    expect([bytes(vm), existsSync(overlay)]).toEqual([[THEN], false]);
    expect(domainXml(vm)).toContain(`'${pathOf(vm)}'`);
    expect(readFileSync(join(scratch, 'by-sudo'), 'utf8')).toMatch(/^(sh -s\n)+$/);
  });

  test('a sudo that asks for a password, and a host without qemu-img, fail for themselves', async () => {
    const vm = small('web-2');
    const both = await run(['create', 'web-2', '--host', 'kvm1,no-sudo,no-tools', '-q']);
    expect(both.code).toBe(3);
    expect(both.stdout).toMatch(/^kvm1:web-2\/\S+\n$/);
    expect(both.stderr).toContain('cannot become root on no-sudo: sudo: a password is required');
    expect(both.stderr).toContain('qemu-img is not installed on no-tools');
    expect(snapshotNames(vm)).toHaveLength(1);
    expect((await run(['create', 'no-tools:web-2'])).code).toBe(9);
  });

  test('an external snapshot is reverted where libvirt can, and refused where it cannot', async () => {
    const vm = small('web-3');
    write(vm, THEN);
    expect((await run(['create-as', 'kvm1:web-3', 'e1', '--external', '--force'])).code).toBe(0);
    const overlay = pathOf(vm).replace(/qcow2$/, 'e1');
    const isPossible = since({ '7.0': false, '11.3': true });
    const { code, stderr } = await run(['revert', 'kvm1:web-3', 'e1']);
    expect({ code, stderr }).toMatchObject({ code: isPossible ? 0 : 5 });
    expect(domainXml(vm).includes(overlay)).toBe(!isPossible);
    expect(byteIn(pathOf(vm))).toBe(THEN);
  });

  test('a question names the host, and is answered here', async () => {
    const vm = small('web-4');
    virsh('snapshot-create-as', vm.uuid, 's1');
    write(vm, NOW);
    const answer = async (key: string) => {
      const terminal = onTerminal(['delete', 'kvm1:web-4/s1'], { env: environment() });
      await terminal.waitForText(/kvm1: [\s\S]*\[y\/N\]/, 240_000);
      terminal.type(`${key}\r`);
      return (await terminal.done).code;
    };
    expect([await answer('n'), snapshotNames(vm)]).toEqual([10, ['s1']]);
    expect([await answer('y'), snapshotNames(vm)]).toEqual([0, []]);
  });

  test('a policy and its hooks are files of this host; VMs with another policy are left out', async () => {
    const [vm, none] = [small('web-5'), small('web-6')];
    const log = join(scratch, 'hooks');
    const hook = program(join(scratch, 'hook'), `echo "$KVMSNAP_HOST $KVMSNAP_VM" >>${log}`);
    const policy = `--before ${hook}\n--label nightly\n--keep-last 1\n--exclude 'web-[1-4]'\n`;
    writeFileSync(join(home, '.config/kvmsnap/nightly.conf'), policy);
    expect((await run(['policy', 'kvm1:web-6', '--set', 'none'])).code).toBe(0);
    expect((await run(['create', '@nightly', '--all', '--host', 'kvm1'])).code).toBe(0);
    expect(readFileSync(log, 'utf8')).toBe('kvm1 web-5\n');
    expect([snapshotNames(vm).length, snapshotNames(none).length]).toEqual([1, 0]);
  });

  test('a host that lies about names and images harms neither the terminal nor another host', async () => {
    small('web-7');
    const vm = small('web-8');
    for (const [line, row] of [
      [['list'], /^kvm1 +web-7 /m],
      [['space', vm.name], /^kvm1 +vda +16.0 MiB /m],
      [['create-as', vm.name, 's1'], /^kvm1 +web-8 +s1 /m],
    ] as const) {
      const { code, stdout, stderr } = await run([...line, '--host', 'kvm1,liar']);
      expect([0, 3], line.join(' ')).toContain(code);
      expect(stdout).toMatch(row);
      // biome-ignore lint/suspicious/noControlCharactersInRegex: these must not reach a terminal
      expect(stdout + stderr).not.toMatch(/[\x00-\x09\x0b-\x1f\x7f-\x9f]/);
    }
    expect(snapshotNames(vm)).toEqual(['s1']);
  });

  test('the login shell there need not be a POSIX shell, even if it prints', async () => {
    for (const shell of ['fish', 'tcsh'].map(pathOfTool).filter((path) => path !== null)) {
      const home = mkdtempSync(join(scratch, 'home-'));
      writeFileSync(join(home, '.cshrc'), 'echo welcome\n');
      await asUsers(
        (passwd) => passwd.replace(/^(root:(?:[^:]*:){4}).*$/m, `$1${home}:${shell}`),
        async (env) =>
          expect(await kvmsnap(['list', 'web-9', '--host', 'kvm1', '-q'], { env }), shell).toMatchObject({
            code: 4,
            stderr: expect.stringContaining('web-9'),
          }),
      );
    }
  });

  test('a user of the group libvirt there, who can read some images', async () => {
    const [vm, secret] = [small('web-10'), small('web-11')];
    chmodSync(pathOf(vm), 0o644);
    chmodSync(pathOf(secret), 0o600);
    const group = readFileSync('/etc/group', 'utf8').match(/^libvirt:.*?:(\d+):/m)?.[1] ?? '0';
    const home = mkdtempSync(join(scratch, 'home-'));
    chownSync(home, 12345, Number(group));
    // sshd reads the key as this user
    for (const path of [hosts.directory, scratch, dirname(pathOf(vm))]) chmodSync(path, 0o755);
    await asUsers(
      (passwd) => `${passwd}operator9:x:12345:${group}::${home}:/bin/sh\n`,
      async (env) => {
        const there = (line: readonly string[]) =>
          kvmsnap([...line, '--host', 'operator9@kvm1', '-c', 'qemu:///system'], { env });
        expect((await there(['create-as', 'web-10', 's1'])).stderr).toBe('');
        expect(tags(pathOf(vm)).map(({ name }) => name)).toEqual(['s1']);
        expect((await there(['create-as', 'web-11', 's1'])).stderr).toContain('could not be inspected');
        expect(tags(pathOf(secret)).map(({ name }) => name)).toEqual(['s1']);
        // what would need the image is no success
        expect((await there(['space', 'web-11'])).code).toBe(5);
      },
    );
  });

  test('a disk behind a symbolic link is the file that the link names', async () => {
    const vm = small('web-12');
    const link = join(scratch, 'link.qcow2');
    symlinkSync(pathOf(vm), link);
    const other = defineVm({ name: 'web-13', disks: [{ source: link, format: 'qcow2' }] });
    expect((await run(['create-as', 'kvm1:web-13', 's1'])).code).toBe(0);
    expect(tags(pathOf(vm)).map(({ name }) => name)).toEqual(['s1']);
    // the VM that has the file itself would lose what it holds
    const reverted = await run(['revert', 'kvm1:web-13', 's1']);
    expect(reverted).toMatchObject({ code: 5, stderr: expect.stringContaining('web-12') });
    expect(snapshotNames(other)).toEqual(['s1']);
  });

  test('commands that need more than the connection refuse, and say where to run them', async () => {
    for (const line of [
      ['export', 'kvm1:web-5', 's1', '/srv/x'],
      ['open', 'kvm1:web-5', 's1'],
      ['clone', 'kvm1:web-5', 's1', 'copy'],
      ['verify', 'kvm1:web-5', 's1'],
      ['create', '--together', 'web-5', '--host', 'kvm1'],
      ['create-as', '--together', 'kvm1:web-5', 's1'],
      ['revert', '--group', 's1', '--host', 'kvm1'],
      ['delete', '--group', 's1', '--yes', '--host', 'kvm1,kvm2'],
    ]) {
      const { code, stdout, stderr } = await run(line);
      expect([line, code, stdout]).toEqual([line, 2, '']);
      expect(stderr).toMatch(
        /^error: .* does not work on other hosts\nhint: run (it|kvmsnap) on the host itself/,
      );
    }
  });
});
