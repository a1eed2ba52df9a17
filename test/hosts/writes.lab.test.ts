// Commands that write, on hosts that are named. kvm1 and kvm2 are this lab itself behind one real sshd, so they have the same VMs.
import { chmodSync, existsSync, mkdirSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { DOCUMENTS } from '../../src/output/contract.ts';
import { type CliOptions, kvmsnap, spawnKvmsnap } from '../lab/cli.ts';
import { isSystemLab, scratch, tool, tryVirsh, virsh, waitFor } from '../lab/lab.ts';
import { hasPattern, tags, writePattern } from '../scene/disk.ts';
import { currentSnapshot, snapshotNames, snapshotXml } from '../scene/snapshot.ts';
import { hasSshd, type SshHosts, startSshHosts } from '../scene/ssh-host.ts';
import { cleanUp, defineVm, pathOf, state, type Vm } from '../scene/vm.ts';

let hosts: SshHosts;
const home = join(scratch, 'home');
/** Of the host: its own programs, and what kvmsnap keeps there. */
const bin = join(scratch, 'there');
const kept = join(scratch, 'kept');

const options = (more: CliOptions = {}): CliOptions => ({
  timeoutMs: 300_000, // dozens of round trips each, and other tests run beside this one
  ...more,
  env: { PATH: hosts.path, XDG_RUNTIME_DIR: hosts.directory, HOME: home, XDG_STATE_HOME: home },
});
const run = (args: readonly string[], more?: CliOptions) => kvmsnap(args, options(more));

/** A virsh of the host that waits, before it does anything, when its command line has this word. */
function slowVirsh(word: string) {
  const path = join(bin, 'virsh');
  const [waits, go] = [join(scratch, 'waits'), join(scratch, 'go')];
  for (const each of [waits, go]) rmSync(each, { force: true });
  writeFileSync(
    path,
    `#!/bin/sh\ncase $* in *'${word}'*) : >'${waits}'; while [ ! -e '${go}' ]; do sleep 0.02; done ;; esac\nPATH='${process.env['PATH']}' exec virsh "$@"\n`,
  );
  chmodSync(path, 0o755);
  return {
    waits: () => waitFor(() => existsSync(waits), { what: `virsh ${word}` }),
    goOn() {
      writeFileSync(go, '');
      rmSync(path);
    },
  };
}

beforeAll(async () => {
  if (!isSystemLab || !hasSshd) return;
  mkdirSync(bin);
  hosts = await startSshHosts(['kvm1', 'kvm2'], {
    environment: { PATH: `${bin}:${process.env['PATH']}`, XDG_STATE_HOME: kept },
    profile: 'echo welcome\n',
    client: ['Host dead', '  HostName 127.0.0.1', '  Port 1'],
  });
});
afterAll(() => {
  hosts?.stop();
  return cleanUp();
});

describe.runIf(isSystemLab && hasSshd)('writing on one host', () => {
  test('from the first snapshot of a VM to the last', async () => {
    const vm = defineVm({ name: 'web-1' });
    const disk = pathOf(vm);
    writePattern(disk, 0x11, 0, 4096);
    expect(await run(['create-as', 'kvm1:web-1', 's1', '-q'])).toMatchObject({
      code: 0,
      stdout: 'kvm1:web-1/s1\n',
    });
    writePattern(disk, 0x22, 0, 4096);
    expect((await run(['hold', 'web-1', 's1', '--host', 'kvm1'])).code).toBe(0);
    expect(snapshotXml(vm, 's1')).toContain('Kvmsnap-Hold: yes');
    const refused = await run(['delete', 'kvm1:web-1/s1']);
    expect(refused).toMatchObject({ code: 5, stdout: '' });
    expect(refused.stderr).toContain('kvmsnap unhold --host kvm1 web-1 s1');
    expect((await run(['unhold', 'kvm1:web-1', 's1'])).code).toBe(0);
    expect((await run(['describe', 'kvm1:web-1', 's1', "it's <here>"])).code).toBe(0);
    expect(snapshotXml(vm, 's1')).toContain('s &lt;here&gt;</description>');
    // the XML from before is there, and nobody else can read it
    const [before = ''] = readdirSync(join(kept, 'kvmsnap'));
    expect(statSync(join(kept, 'kvmsnap', before)).mode & 0o777).toBe(0o600);
    expect(existsSync(join(home, 'kvmsnap'))).toBe(false);

    const reverted = await run(['revert', 'kvm1:web-1', 's1', '--json']);
    expect(reverted.code).toBe(0);
    expect(DOCUMENTS.hosts.parse(JSON.parse(reverted.stdout)).hosts[0]).toMatchObject({
      name: 'kvm1',
      outcome: 'done',
    });
    expect(hasPattern(disk, 0x11, 0, 4096)).toBe(true);
    expect((await run(['delete', 'kvm1:web-1', 's1'])).code).toBe(0);
    expect([tags(disk), snapshotNames(vm)]).toEqual([[], []]);
  });

  test('the XML of --xml, and the history of a VM, are files of this host', async () => {
    const vm = defineVm({ name: 'web-2' });
    const file = join(scratch, 'wanted.xml');
    writeFileSync(file, '<domainsnapshot><name>by-xml</name></domainsnapshot>');
    chmodSync(file, 0o600);
    expect((await run(['create', 'kvm1:web-2', '--xml', file])).code).toBe(0);
    expect(tags(pathOf(vm)).map(({ name }) => name)).toEqual(['by-xml']);
    const saved = join(scratch, 'web-2.history');
    writeFileSync(saved, (await run(['history', 'save', 'kvm1:web-2'])).stdout);
    virsh('snapshot-delete', 'web-2', 'by-xml', '--metadata');
    expect((await run(['history', 'load', 'kvm2:web-2', saved])).code).toBe(0);
    expect(currentSnapshot(vm)).toBe('by-xml');
    expect(readdirSync(join(kept, 'kvmsnap')).filter((name) => /create|history/.test(name))).toEqual([]);
  });

  test('check --fix changes the host, and keeps there what it takes away', async () => {
    const vm = defineVm({ name: 'web-3' });
    for (const name of ['gone', 'stays']) virsh('snapshot-create-as', 'web-3', name);
    tool('qemu-img', ['snapshot', '-d', 'gone', pathOf(vm)]);
    const fixed = await run(['check', '--fix', '--yes', 'web-3', '--host', 'kvm1']);
    expect(fixed.code).toBe(0);
    expect(snapshotNames(vm)).toEqual(['stays']);
    const backup = readdirSync(join(kept, 'kvmsnap')).find((name) => /fix-.*xml$/.test(name));
    expect(backup).toBeDefined();
  });

  test('the files of an external snapshot are checked and made there', async () => {
    const vm = defineVm({ name: 'web-4' });
    expect((await run(['create-as', 'kvm1:web-4', 'e1', '--external', '--force'])).code).toBe(0);
    const overlay = `${pathOf(vm).replace(/\.[^.]*$/, '')}.e1`;
    expect(statSync(overlay).mode & 0o777).toBe(0o600);
    writeFileSync(overlay.replace(/e1$/, 'e2'), 'of somebody else');
    expect((await run(['create-as', 'kvm1:web-4', 'e2', '--external', '--force'])).code).toBe(5);
    expect(snapshotNames(vm)).toEqual(['e1']);
  });

  test('try runs the command here, with its exit code', async () => {
    const vm = defineVm({ name: 'web-5' });
    const line = [
      'try',
      'kvm1:web-5',
      '--name',
      't',
      '--keep',
      '--',
      'sh',
      '-c',
      'echo $KVMSNAP_SNAPSHOT; exit 7',
    ];
    expect(await run(line)).toMatchObject({ code: 7, stdout: 't\n' });
    expect(snapshotNames(vm)).toEqual(['t']);
    expect((await run(['try', 'web-5', '--host', 'kvm1,kvm2', '--', 'true'])).code).toBe(125);
    expect((await run(['try', 'dead:web-5', '--', 'true'])).code).toBe(125);
  });
});

describe.runIf(isSystemLab && hasSshd)('a connection that is lost in the middle of a write', () => {
  const begin = async (vm: Vm, name: string) => {
    const slow = slowVirsh('snapshot-create-as');
    const running = spawnKvmsnap(['create-as', `kvm1:${vm.name}`, name], options());
    await Promise.race([slow.waits(), running.done.then((ended) => expect(ended).toBe('under way'))]);
    return { slow, running };
  };

  test('the write ends, its result is found, and the disks are verified', async () => {
    const vm = defineVm({ name: 'cut-1' });
    const { slow, running } = await begin(vm, 's1');
    hosts.cut();
    await waitFor(() => running.stderr.includes('the connection to kvm1 was lost'), { what: 'the warning' });
    slow.goOn();
    expect((await running.done).code).toBe(0);
    expect(tags(pathOf(vm)).map(({ name }) => name)).toEqual(['s1']);
  });

  test('a write that fails meanwhile is a failure', async () => {
    const vm = defineVm({ name: 'cut-2' });
    const { slow, running } = await begin(vm, 's1');
    hosts.cut();
    tryVirsh('undefine', 'cut-2');
    slow.goOn();
    expect((await running.done).code).not.toBe(0);
    expect(tags(pathOf(vm))).toEqual([]);
  });

  test('a kvmsnap that is killed leaves the write to end', async () => {
    const vm = defineVm({ name: 'cut-3' });
    const { slow, running } = await begin(vm, 's1');
    running.kill('SIGKILL');
    await running.done;
    hosts.cut();
    slow.goOn();
    await waitFor(() => snapshotNames(vm).includes('s1'), { what: 'the snapshot' });
    expect(tags(pathOf(vm)).map(({ name }) => name)).toEqual(['s1']);
    expect(state(vm)).toBe('shut off');
  });
});
