// Proves the lab itself: the other tests rest on it.
import { execFile, spawn } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, afterEach, describe, expect, test } from 'vitest';
import { MiB } from '../model.ts';
import { snapshotNames } from '../scene/snapshot.ts';
import { cleanUp, defineVm, qemuPid, start, state } from '../scene/vm.ts';
import { cleanEnvironment } from './cli.ts';
import { killLibvirtd, libvirtdPid, processes, signalLibvirtd, startLibvirtd } from './daemon.ts';
import { isSystemLab, scratch, tool, tryTool, tryVirsh, virsh, waitFor } from './lab.ts';
import { bySession } from './session.ts';
import { commandOnTerminal } from './terminal.ts';

const enter = fileURLToPath(new URL('./enter.sh', import.meta.url));
const run = promisify(execFile);

afterEach(cleanUp);
afterAll(cleanUp);

describe('the lab', () => {
  test('holds no VM but ours, and forgets them', async () => {
    expect(virsh('list', '--all', '--name').trim()).toBe('');
    defineVm({ name: 'ours' });
    expect(virsh('list', '--all', '--name').trim()).toBe('ours');
    await cleanUp();
    expect(virsh('list', '--all', '--name').trim()).toBe('');
    expect(readdirSync(scratch)).toEqual([]);
  });

  test('is the URI that virsh takes by itself', () => {
    expect(virsh('uri').trim()).toBe(isSystemLab ? 'qemu:///system' : 'qemu:///session');
  });

  test.runIf(isSystemLab)('has its own /run, libvirt directories and processes', () => {
    const mounts = readFileSync('/proc/self/mounts', 'utf8');
    for (const directory of [
      '/run',
      '/etc/libvirt',
      '/var/lib/libvirt',
      '/var/log/libvirt',
      '/var/cache/libvirt',
    ]) {
      expect(mounts).toMatch(new RegExp(`^\\S+ ${directory} `, 'm'));
    }
    expect(readFileSync('/proc/1/cmdline', 'utf8')).toContain('--inside');
  });

  test.runIf(isSystemLab)('has its own network: the host sees nothing of a bridge or a firewall rule', () => {
    const links = (text: string) => [...text.matchAll(/^\d+: ([^:@]+)/gm)].map(([, name]) => name);
    const ofHost = (file: string, ...args: string[]) =>
      tool('nsenter', ['--net=/run/host-network', file, ...args]);
    const host = () => [
      links(ofHost('ip', '-o', 'link')),
      ofHost('iptables', '-S'),
      ofHost('iptables', '-t', 'nat', '-S'),
    ];
    expect(links(tool('ip', ['-o', 'link']))).toEqual(['lo']);
    const before = host();
    const file = join(scratch, 'network.xml');
    writeFileSync(file, "<network><name>lan</name><bridge name='kvmsnap0'/></network>");
    mkdirSync('/var/lib/libvirt/dnsmasq', { recursive: true });
    virsh('net-create', file);
    try {
      expect(links(tool('ip', ['-o', 'link']))).toEqual(['lo', 'kvmsnap0']);
      expect(tool('iptables', ['-S'])).toContain('kvmsnap0');
      expect(host()).toEqual(before);
    } finally {
      virsh('net-destroy', 'lan');
    }
    expect(host()).toEqual(before);
  });

  test('nests: the inner lab sees nothing of the outer one, and hands its exit code out', async () => {
    defineVm({ name: 'outer' });
    const inner = await run(enter, ['sh', '-c', 'virsh list --all --name; echo "lab $KVMSNAP_LAB"']);
    expect(inner.stdout).not.toContain('outer');
    const directory = /lab (.+)/.exec(inner.stdout)?.[1] ?? '';
    expect(directory).not.toBe(scratch);
    expect(existsSync(directory)).toBe(false);
    expect(virsh('list', '--all', '--name').trim()).toBe('outer');
    await expect(run(enter, ['sh', '-c', 'exit 42'])).rejects.toMatchObject({ code: 42 });
    await expect(run(enter, ['sh', '-c', 'kill -KILL $$'])).rejects.toMatchObject({ code: 137 });
  });

  test('is one of several at once', async () => {
    const script = `for i in 1 2 3; do virsh net-list --all --name; virsh list --all --name; sleep 0.1; done | sort -u`;
    const define =
      'echo "<domain type=\'qemu\'><name>$0</name><memory>9999</memory><os><type>hvm</type></os></domain>"';
    const lab = (name: string) =>
      run(enter, ['sh', '-c', `${define} >$KVMSNAP_LAB/x; virsh define $KVMSNAP_LAB/x >&2; ${script}`, name]);
    const [a, b] = await Promise.all([lab('a'), lab('b')]);
    expect([a.stdout.trim(), b.stdout.trim()]).toEqual(['a', 'b']);
  });

  test.each(['SIGTERM', 'SIGHUP', 'SIGINT'] as const)('hands %s to the command', async (signal) => {
    const words = [
      'bash',
      '-c',
      `trap 'echo caught; exit 3' ${signal}; echo ready; while :; do sleep 0.05; done`,
    ];
    // setsid: without a terminal, for a terminal's Ctrl-C reaches the command by itself
    const child = spawn('setsid', [enter, ...words], { stdio: ['ignore', 'pipe', 'inherit'] });
    let said = '';
    child.stdout.on('data', (text: Buffer) => {
      said += text.toString();
      if (said === 'ready\n') child.kill(signal);
    });
    const code = await new Promise((resolve) => child.on('close', resolve));
    expect({ said, code }).toEqual({ said: 'ready\ncaught\n', code: 3 });
  });

  test('lets the Ctrl-C of a terminal reach the command, once', async () => {
    const terminal = commandOnTerminal([
      enter,
      'bash',
      '-c',
      'trap "echo int" INT; echo go; sleep 9; exit 8',
    ]);
    await terminal.waitForText(/go/);
    terminal.type('\x03');
    expect(await terminal.done).toEqual({ code: 8, screen: 'go\r\n^Cint\r\n' });
  });

  test('works with stdin, stdout and stderr closed', () => {
    const file = join(scratch, 'said');
    const { code } = tryTool('sh', ['-c', `'${enter}' sh -c 'virsh uri >"${file}"; exit 6' <&- >&- 2>&-`]);
    expect(code).toBe(6);
    expect(readFileSync(file, 'utf8')).toContain('qemu:///');
  });

  test('killed with SIGKILL, leaves no process and no file', async () => {
    const before = new Set(readdirSync(join(scratch, '..')));
    const script = 'virsh uri; cd "$KVMSNAP_LAB"; touch file; exec sleep 987654';
    const child = spawn(enter, ['bash', '-c', script], { stdio: ['ignore', 'pipe', 'inherit'] });
    await new Promise((resolve) => child.stdout.once('data', resolve));
    const sleeper = () => processes().some(({ args }) => args.join(' ') === 'sleep 987654');
    await waitFor(sleeper, { what: 'the command' });
    child.kill('SIGKILL');
    await waitFor(() => !sleeper(), { what: 'the end of the command' });
    await waitFor(() => readdirSync(join(scratch, '..')).every((name) => before.has(name)), {
      what: 'no files',
    });
  });

  test.runIf(isSystemLab)('lets the libvirt group in, and nobody else', () => {
    const group = tryTool('getent', ['group', 'libvirt']).stdout.split(':')[2] ?? '';
    const virshAs = (gid: string) =>
      tryTool('setpriv', [
        '--reuid=65534',
        `--regid=${gid}`,
        '--clear-groups',
        'virsh',
        '-c',
        'qemu:///system',
        'uri',
      ]);
    expect(virshAs(group)).toMatchObject({ code: 0 });
    const refused = virshAs('65534');
    expect(refused.code).toBe(1);
    expect(refused.stderr).toContain('Permission denied');
  });
});

describe('libvirtd', () => {
  test('can be killed and started again while a VM runs', async () => {
    const vm = defineVm({ name: 'survivor', boot: 'idle' });
    start(vm);
    const pid = qemuPid(vm);
    await killLibvirtd();
    expect(libvirtdPid()).toBeUndefined();
    await startLibvirtd();
    expect(state(vm)).toBe('running');
    expect(qemuPid(vm)).toBe(pid);
  });

  test('can be hung', () => {
    signalLibvirtd('SIGSTOP');
    expect(tryTool('timeout', ['1', 'virsh', 'list']).code).toBe(124);
    signalLibvirtd('SIGCONT');
    expect(tryTool('timeout', ['10', 'virsh', 'list']).code).toBe(0);
  });
});

describe('a virsh that stays', () => {
  test('reads what one of its own prints, also after libvirtd was killed', async () => {
    const vm = defineVm({ name: 'read', boot: 'idle' });
    const { uuid } = vm;
    virsh('snapshot-create-as', uuid, "it's 1");
    start(vm);
    const reads = [
      ['list', '--all'],
      ['domstate', uuid, '--reason'],
      ['dumpxml', uuid],
      ['domcontrol', uuid],
      ['snapshot-list', uuid, '--tree'],
      ['snapshot-current', uuid, '--name'],
      ['snapshot-dumpxml', uuid, "it's 1"],
      ['checkpoint-list', uuid],
      ['qemu-monitor-command', uuid, '--hmp', `xp /1xw ${MiB}`],
    ];
    const expectSame = () => {
      for (const args of reads) expect(bySession(args)).toEqual(tryTool('virsh', args));
    };
    expectSame();
    await killLibvirtd();
    expect(() => virsh('domstate', uuid)).toThrow('failed to connect');
    await startLibvirtd();
    virsh('domstate', uuid); // it connects again
    expectSame();
  });

  test('fails as one of its own does', async () => {
    const vm = defineVm({ name: 'fails' });
    for (const args of [
      ['start', 'nobody'],
      ['destroy', vm.uuid],
      ['snapshot-delete', vm.uuid, 's1'],
    ]) {
      expect(bySession(args)).toEqual({ ...tryTool('virsh', args), code: 1 });
    }
    virsh('snapshot-create-as', vm.uuid, 's1');
    expect(tryVirsh('snapshot-create-as', vm.uuid, 's1').stderr).toContain('s1 already exists');
    await killLibvirtd();
    expect(bySession(['snapshot-delete', vm.uuid, 's1'])).toBeNull();
    await startLibvirtd();
    expect(snapshotNames(vm)).toEqual(['s1']);
  });

  test('leaves to one of its own what it would do twice, and what its line editor would change', () => {
    expect(bySession(['domstate', 'nobody'])).toBeNull();
    expect(bySession(['managedsave', 'nobody'])).toBeNull();
    expect(bySession(['undefine', 'nobody', '--nonsense'])).toBeNull();
    expect(bySession(['snapshot-dumpxml', 'nobody', 'a\tb'])).toBeNull();
  });
});

describe('terminals', () => {
  test('are terminals, of the size asked for', async () => {
    const script =
      'const { isatty } = require("tty"); const { stdout, stderr } = process;' +
      'stdout.write([[0, 1, 2].map(isatty), stdout.columns, stdout.rows, stderr.columns, stderr.rows].join(" "))';
    const terminal = commandOnTerminal([process.execPath, '-e', script], { columns: 77, rows: 22 });
    expect(await terminal.done).toEqual({ code: 0, screen: 'true,true,true 77 22 77 22' });
  });

  test('take answers and echo them', async () => {
    const terminal = commandOnTerminal([
      'sh',
      '-c',
      'printf "sure? "; read -r x </dev/tty; echo "got <$x>"; exit 9',
    ]);
    await terminal.waitForText(/sure\? $/);
    terminal.type('yes\r');
    expect(await terminal.done).toEqual({ code: 9, screen: 'sure? yes\r\ngot <yes>\r\n' });
  });

  test('pass Ctrl-C on to the whole command', async () => {
    const terminal = commandOnTerminal(['sh', '-c', 'trap "echo parent" INT; echo go; cat; echo then; cat']);
    await terminal.waitForText(/go/);
    terminal.type('\x03');
    await terminal.waitForText(/parent\r\nthen/);
    terminal.type('\x04');
    expect((await terminal.done).code).toBe(0);
    const killed = commandOnTerminal(['sleep', '60']);
    killed.type('\x03');
    expect((await killed.done).code).toBe(130);
  });

  test('hang up when they are closed', async () => {
    const file = join(scratch, 'hup');
    const terminal = commandOnTerminal([
      'sh',
      '-c',
      `trap 'echo hup >${file}; exit' HUP; echo go; sleep 60 & wait`,
    ]);
    await terminal.waitForText(/go/);
    terminal.close();
    await waitFor(() => existsSync(file), { what: 'SIGHUP' });
  });

  test('show nothing of the test runner in the environment', () => {
    const names = Object.keys(cleanEnvironment({ PATH: undefined, X: '1' }));
    expect(names.filter((name) => /VITEST|NODE_|npm_|^CI$|PATH|COLOR/.test(name))).toEqual([]);
    expect(names).toContain('X');
  });
});
