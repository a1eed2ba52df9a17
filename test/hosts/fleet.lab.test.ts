// Several hosts at once. kvm1 and kvm3 are this lab, kvm2 is another one with a libvirtd of its own, and one host is dead.

import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { DOCUMENTS } from '../../src/output/contract.ts';
import { kvmsnap } from '../lab/cli.ts';
import { isSystemLab, scratch, virsh } from '../lab/lab.ts';
import { hasPattern, tags, writePattern } from '../scene/disk.ts';
import { type OwnLab, startOwnLab } from '../scene/own-lab.ts';
import { snapshotNames } from '../scene/snapshot.ts';
import { hasSshd, type SshHosts, startSshHosts } from '../scene/ssh-host.ts';
import { cleanUp, defineVm, pathOf, type Vm } from '../scene/vm.ts';

let hosts: SshHosts;
let other: OwnLab;
const home = join(scratch, 'home');

/** The VM web of kvm1; kvm2 has another one with this name. */
let web: Vm;
/** The image of that one. */
let image: string;

const run = (args: readonly string[]) =>
  kvmsnap(args, {
    env: { PATH: hosts.path, XDG_RUNTIME_DIR: hosts.directory, HOME: home, XDG_STATE_HOME: home },
  });
const names = (path: string) => tags(path).map(({ name }) => name);
const namesThere = () => other.virsh('snapshot-list', 'web', '--name').trim().split('\n').filter(Boolean);

beforeAll(async () => {
  if (!isSystemLab || !hasSshd) return;
  other = await startOwnLab();
  hosts = await startSshHosts(['kvm1', 'kvm2', 'kvm3'], {
    client: ['Host dead', '  HostName 127.0.0.1', '  Port 1'],
    inside: { kvm2: other.inside },
  });
  web = defineVm({ name: 'web', disks: [{ size: '16M' }] });
  image = other.defineLike(web);
});
afterAll(async () => {
  hosts?.stop();
  await other?.stop();
  return cleanUp();
});

describe.runIf(isSystemLab && hasSshd)('hosts with VMs of the same name', () => {
  test('TAB completes VMs and snapshots of another host, and hosts of a hosts file', async () => {
    other.virsh('snapshot-create-as', 'web', 'there');
    mkdirSync(join(home, '.config/kvmsnap'), { recursive: true });
    writeFileSync(join(home, '.config/kvmsnap/hosts'), 'kvm[1-2] @prod\n');
    const offered = async (...words: string[]) => {
      const { code, stdout, stderr } = await run(['complete', 'bash', '--', words.join(' '), ' ']);
      expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
      return stdout.split('\n').filter(Boolean);
    };
    expect(await offered('kvmsnap info kvm2:')).toEqual(['kvm2:web']);
    expect(await offered('kvmsnap info kvm2:web/t')).toEqual(['kvm2:web/there']);
    expect(await offered('kvmsnap revert --host kvm2 web ')).toEqual(['there']);
    expect(await offered('kvmsnap list dead:')).toEqual([]);
    expect(await offered('kvmsnap list --host @')).toEqual(['@prod']);
    other.virsh('snapshot-delete', 'web', 'there');
  });

  test('a snapshot is taken on all of them, and a revert of one changes nothing on another', async () => {
    for (const path of [pathOf(web), image]) writePattern(path, 0x11, 0, 4096);
    const taken = await run(['create-as', 'web', 's1', '--host', 'kvm1,kvm2', '-q']);
    expect(taken).toMatchObject({ code: 0, stdout: 'kvm1:web/s1\nkvm2:web/s1\n' });
    for (const path of [pathOf(web), image]) writePattern(path, 0x22, 0, 4096);
    const reverted = await run(['revert', 'kvm2:web', 's1']);
    expect({ ...reverted, stdout: '' }).toMatchObject({ code: 0 });
    expect(hasPattern(image, 0x11, 0, 4096)).toBe(true);
    expect(hasPattern(pathOf(web), 0x22, 0, 4096)).toBe(true);
    expect((await run(['delete', 'kvm1:web/s1'])).code).toBe(0);
    expect([snapshotNames(web), names(pathOf(web))]).toEqual([[], []]);
    expect([namesThere(), names(image)]).toEqual([['s1'], ['s1']]);
  });

  test('create with keep rules and prune do their work beside a dead host, which has a row', async () => {
    const rules = ['--label', 'nightly', '--keep-last', '1'];
    const [old, newer] = ['nightly-20200101T000000Z', 'nightly-20200102T000000Z'];
    virsh('snapshot-create-as', 'web', old);
    other.virsh('snapshot-create-as', 'web', old);
    const created = await run(['create', '--all', ...rules, '--host', 'kvm1,kvm2,dead', '-o', 'csv']);
    expect(created.code).toBe(3);
    expect(created.stdout).toMatch(/^kvm1,web,nightly-/m);
    expect(created.stdout).toMatch(/^kvm2,web,nightly-/m);
    expect(created.stdout).toMatch(/^dead,.*cannot reach the host dead/m);
    expect(names(pathOf(web))).toEqual([expect.stringMatching(/^nightly-20(?!20)/)]);
    expect(names(image)).toEqual(['s1', expect.stringMatching(/^nightly-20(?!20)/)]);

    virsh('snapshot-create-as', 'web', newer);
    other.virsh('snapshot-create-as', 'web', newer);
    const pruned = await run(['prune', 'web', ...rules, '--host', 'kvm1,kvm2,dead', '--json']);
    expect(pruned.code).toBe(3);
    const document = DOCUMENTS.hosts.parse(JSON.parse(pruned.stdout));
    expect(document.hosts.map(({ name, outcome }) => [name, outcome])).toEqual([
      ['kvm1', 'done'],
      ['kvm2', 'done'],
      ['dead', 'failed'],
    ]);
    expect([names(pathOf(web)), snapshotNames(web)]).toEqual([[newer], [newer]]);
    expect([names(image), namesThere().sort()]).toEqual([
      ['s1', newer],
      [newer, 's1'],
    ]);
    expect((await run(['create', '--all', ...rules, '--host', 'dead'])).code).toBe(8);

    // kvm3 has the very same VM: what is deleted on one would be missing on the other
    virsh('snapshot-create-as', 'web', 'nightly-20200103T000000Z');
    const refused = await run(['prune', 'web', ...rules, '--host', 'kvm1,kvm3']);
    expect(refused.stderr).toContain('cannot prune web: it is defined on kvm3 too');
    expect([refused.code, names(pathOf(web))]).toEqual([5, [newer, 'nightly-20200103T000000Z']]);
  });
});
