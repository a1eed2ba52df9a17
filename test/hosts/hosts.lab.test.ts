// Commands on hosts that are named: this lab as several hosts over a real sshd, one that is dead, and one that lies.
import { spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { DOCUMENTS } from '../../src/output/contract.ts';
import { type CliOptions, kvmsnap } from '../lab/cli.ts';
import { isSystemLab, scratch, tool, virsh } from '../lab/lab.ts';
import { share } from '../lab/share.ts';
import { hasSshd, type SshHosts, startSshHosts } from '../scene/ssh-host.ts';
import { cleanUp, defineVm } from '../scene/vm.ts';

let hosts: SshHosts;
const home = join(scratch, 'home');

const run = (args: readonly string[], options: CliOptions = {}) =>
  kvmsnap(args, {
    ...options,
    env: { PATH: hosts.path, XDG_RUNTIME_DIR: hosts.directory, HOME: home, ...options.env },
  });

beforeAll(async () => {
  if (!isSystemLab || !hasSshd) return;
  hosts = await startSshHosts(['kvm1', 'kvm2', 'kvm3'], {
    profile: 'echo welcome\n',
    client: ['Host dead', '  HostName 127.0.0.1', '  Port 1'],
  });
  const image = join(scratch, 'web-1.qcow2');
  tool('qemu-img', ['create', '-q', '-f', 'qcow2', image, '16M']);
  defineVm({ name: 'web-1', disks: [{ source: image, format: 'qcow2' }] });
  virsh('snapshot-create-as', 'web-1', 's1');
  mkdirSync(join(home, '.config/kvmsnap'), { recursive: true });
  writeFileSync(join(home, '.config/kvmsnap/hosts'), 'kvm[1-2] @prod\none ssh=kvm3\ndead @prod @old\n');
});
afterAll(() => {
  hosts?.stop();
  return cleanUp();
});

describe.runIf(isSystemLab && hasSshd)('reading', () => {
  test('one host is as this one, with its column', async () => {
    const here = JSON.parse((await run(['list', '--all', '--json'])).stdout);
    const there = await run(['list', '--all', '--json', '--host', 'kvm1']);
    const document = DOCUMENTS.hosts.parse(JSON.parse(there.stdout));
    expect(document.hosts).toEqual([{ name: 'kvm1', outcome: 'done', errors: [], domains: here.domains }]);
    expect(there).toMatchObject({ code: 0, stderr: '' });
    expect((await run(['list', 'web-1', '-q', '--host', 'one'])).stdout).toBe('one:web-1/s1\n');
  });

  test('all that is read of images is read there: check, info, space', async () => {
    const words = [['check'], ['info', 'web-1', 's1'], ['space', 'web-1'], ['list', 'web-1', '--space']];
    for (const line of words) {
      const [here, there] = await Promise.all([
        run([...line, '-o', 'csv']),
        run([...line, '-o', 'csv', '--host', 'local,kvm1']),
      ]);
      const rows = (text: string) => text.trimEnd().split('\n').slice(1);
      const own = rows(there.stdout).filter((row) => row.startsWith('kvm1,'));
      expect(own.map((row) => row.replace(/^kvm1,/, ''))).toEqual(
        rows(there.stdout)
          .filter((row) => row.startsWith('local,'))
          .map((row) => row.replace(/^local,/, '')),
      );
      expect([line, here.code, own.length]).toEqual([line, there.code, rows(here.stdout).length]);
    }
  });

  test('a group with a dead host: a row, a code, and the last line folds; all dead', async () => {
    const some = await run(['list', '--host', '@prod']);
    expect(some.code).toBe(3);
    expect(some.stdout.match(/^kvm\d {2}web-1/gm)).toHaveLength(2);
    expect(some.stderr).toContain('error: cannot reach the host dead: ');
    expect(some.stderr).toContain('  ssh -o BatchMode=yes dead true');
    expect(some.stderr).toContain('is defined on several hosts (kvm[1-2])');
    expect(some.stderr.trimEnd().split('\n').at(-1)).toBe(
      'error: 2 hosts ok (kvm[1-2]), 1 unreachable (dead)',
    );
    const json = DOCUMENTS.hosts.parse(JSON.parse((await run(['list', '--host', '@prod', '--json'])).stdout));
    expect(json.hosts.map(({ name, outcome, domains }) => [name, outcome, domains?.length])).toEqual([
      ['kvm1', 'done', 1],
      ['kvm2', 'done', 1],
      ['dead', 'failed', 0],
    ]);
    expect((await run(['list', '--host', '@old'])).code).toBe(8);
    expect((await run(['list', '--host', '@prod', '--exclude-host', 'dead'])).code).toBe(0);
  });

  test('HOST:VM, a VM of this host whose name has a colon, and local:NAME', async () => {
    const image = join(scratch, 'colon.qcow2');
    tool('qemu-img', ['create', '-q', '-f', 'qcow2', image, '1M']);
    defineVm({ name: 'kvm9:web', disks: [{ source: image, format: 'qcow2' }] });
    virsh('snapshot-create-as', 'kvm9:web', 'of-colon');
    expect((await run(['list', 'kvm1:web-1', 'local:kvm9:web', '-q'])).stdout).toBe(
      'kvm1:web-1/s1\nlocal:kvm9:web/of-colon\n',
    );
    expect((await run(['list', 'kvm9:web', '-q'])).stdout).toBe('of-colon\n');
    expect((await run(['info', 'kvm1:web-1/s1', '-q'])).stdout).toBe('kvm1:web-1/s1\n');
    expect((await run(['list', 'dead:web-1'])).code).toBe(8);
  });

  test('a list of hosts from stdin', async () => {
    const inventory = { _meta: { hostvars: {} }, kvm: { hosts: ['kvm1', 'kvm2'] } };
    const { stdout } = await run(['current', 'web-1', '-q', '--hosts-from', '-'], {
      stdin: JSON.stringify(inventory),
    });
    expect(stdout).toBe('kvm1:web-1/s1\nkvm2:web-1/s1\n');
  });

  test.each(
    share(4, [
      ['a command that does not take hosts', ['timer', 'web-1', '--host', 'kvm1']],
      ['the same with HOST:VM', ['open', 'kvm1:web-1', 's1']],
      ['an option instead of a host', ['list', '--host', '-oProxyCommand=x']],
      ['a URI of another host', ['list', '--host', 'kvm1', '-c', 'qemu+ssh://kvm1/system']],
      ['two ways to name a host', ['list', 'kvm1:web-1', '--host', 'kvm2']],
      ['a VM without a host', ['list', 'kvm1:web-1', 'web-1']],
      ['a set without an end', ['list', '--host', 'kvm[1-']],
      ['XML of several hosts', ['info', 'web-1', 's1', '--xml', '--host', 'kvm1,kvm2']],
      ['XML for several hosts', ['create', 'web-1', '--print-xml', '--host', 'kvm1,kvm2']],
      ['the history of several hosts', ['history', 'save', 'web-1', '--host', 'kvm1,kvm2']],
      ['the same mistake on several hosts', ['create', '--host', 'kvm1,kvm2']],
      ['a file for metrics that is none', ['check', '--host', 'kvm1', '--metrics', '/dev/null']],
      ['an exclusion from nothing', ['list', '--exclude-host', 'kvm1']],
    ]),
  )('refused as wrong: %s', async (_, line) => {
    // one error, and no table of hosts
    expect(await run(line)).toMatchObject({ code: 2, stdout: '', stderr: expect.stringMatching(/^error: /) });
  });

  test('metrics have the label host; a host that is not reached keeps its values, and its run has failed', async () => {
    const file = join(scratch, 'hosts.prom');
    const config = join(home, '.config/kvmsnap/watch.conf');
    writeFileSync(config, `--metrics ${file}\n--label n\n--most 5\n`);
    const lines = () => readFileSync(file, 'utf8').split('\n');
    const printed = await run(['check', '--host', 'kvm1,dead', '-o', 'prometheus']);
    expect(printed.code).toBe(3);
    expect(spawnSync('promtool', ['check', 'metrics'], { input: printed.stdout }).status).toBe(0);
    expect(printed.stdout).toContain('\nkvmsnap_snapshots{host="kvm1",vm="web-1",label=""} 1\n');
    expect(printed.stdout).toContain('\nkvmsnap_last_run_success{host="kvm1",command="check",label=""} 1\n');
    expect(printed.stdout).toContain('\nkvmsnap_last_run_success{host="dead",command="check",label=""} 0\n');
    // a plugin is about one host
    expect(await run(['check', '--host', 'kvm1', '-o', 'nagios'])).toMatchObject({ code: 3, stderr: '' });
    // the file that a policy names; what an earlier run has left of the dead host
    writeFileSync(file, 'kvmsnap_snapshots{host="dead",vm="old",label="n"} 7\n');
    expect((await run(['check', '@watch', '--host', 'kvm1,dead'])).code).toBe(3);
    expect(lines()).toContain('kvmsnap_snapshots{host="dead",vm="old",label="n"} 7');
    expect(lines()).toContain('kvmsnap_snapshots{host="kvm1",vm="web-1",label="n"} 0');
    expect(lines()).toContain('kvmsnap_last_run_success{host="kvm1",command="check",label="n"} 1');
    expect(lines()).toContain('kvmsnap_last_run_success{host="dead",command="check",label="n"} 0');
    // a line that cannot be run has failed on all hosts
    expect((await run(['check', '--label', 'n', '--metrics', file, '--host', 'kvm[1-'])).code).toBe(2);
    expect(lines()).toContain('kvmsnap_last_run_success{host="kvm1",command="check",label="n"} 0');
    expect(lines().filter((line) => line.startsWith('kvmsnap_last_run_success'))).toHaveLength(2);
  });

  test('nothing of this user: no agent, no variables that point to another libvirt', async () => {
    const env = { LIBVIRT_DEFAULT_URI: 'test:///default', VIRSH_DEFAULT_CONNECT_URI: 'test:///default' };
    const { stdout } = await run(['list', '-q', '--host', 'kvm1'], { env });
    expect(stdout).toContain('kvm1:web-1\n');
    expect((await run(['list', '-q', '--host', 'kvm1', '-c', 'test:///default'])).stdout).toBe('kvm1:test\n');
  });

  test('a host that answers nonsense harms no other one', async () => {
    const bin = join(scratch, 'lying');
    mkdirSync(bin);
    const real = hosts.path.split(':')[0];
    // its answers are those of a host with other programs
    writeFileSync(
      join(bin, 'ssh'),
      `#!/bin/sh\ncase "$*" in *"kvm2 exec sh -s") yes '<domain>../../x\x1b[31m' ;; *) exec ${real}/ssh "$@" ;; esac\n`,
    );
    chmodSync(join(bin, 'ssh'), 0o755);
    const { code, stdout, stderr } = await run(['list', '--host', 'kvm[1-2]', '-q'], {
      env: { PATH: `${bin}:${hosts.path}` },
    });
    expect({ code, stdout }).toMatchObject({ code: 3, stdout: expect.stringMatching(/^kvm1:/) });
    expect(stderr).toContain('the host kvm2 printed');
    expect(stderr).not.toContain('\x1b');
  });
});
