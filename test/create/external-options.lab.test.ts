// Options and XML of external snapshots, as virsh has them.
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterAll, afterEach, describe, expect, test } from 'vitest';
import { kvmsnap } from '../lab/cli.ts';
import { fingerprint, pasteOk, refused } from '../lab/evidence.ts';
import { scratch, tool, virsh } from '../lab/lab.ts';
import { since } from '../lab/version.ts';
import { imageInfo, tags } from '../scene/disk.ts';
import { currentSnapshot, snapshotNames, snapshotXml } from '../scene/snapshot.ts';
import { fitting } from '../scene/steps.ts';
import { cleanUp, defineVm, pathOf, start, state, type Vm } from '../scene/vm.ts';
import { active, FORCE, SMALL, WARNING } from './external-vm.ts';

afterEach(cleanUp);

afterAll(cleanUp);

describe('options of virsh', () => {
  async function one(running: boolean): Promise<Vm> {
    const vm = defineVm({ name: 'web-1', disks: [SMALL], boot: 'counter' });
    if (running) start(vm);
    return vm;
  }

  test('--disk-only --atomic, and --live --halt: each ends as it says', async () => {
    const vm = await one(true);
    const disks = await kvmsnap(['create-as', 'web-1', 'disks', '--disk-only', '--atomic', ...FORCE]);
    expect(disks).toMatchObject({ code: 0, stderr: WARNING });
    expect(snapshotXml(vm, 'disks')).toContain('<state>disk-snapshot</state>');
    expect(state(vm)).toBe('running');
    const all = await kvmsnap(['create-as', 'web-1', 'all', '--external', '--live', '--halt', ...FORCE]);
    expect(all).toMatchObject({ code: 0, stderr: WARNING });
    expect(state(vm)).toBe('shut off');
    const memory = join(dirname(pathOf(vm)), 'web-1.all.mem');
    expect(snapshotXml(vm, 'all')).toContain(`<memory snapshot='external' file='${memory}'/>`);
    expect(statSync(memory).size).toBeGreaterThan(100_000);
  });

  test('--halt of an internal one', async () => {
    const vm = await one(true);
    expect((await kvmsnap(['create-as', 'web-1', 's1', '--halt'])).code).toBe(0);
    expect(state(vm)).toBe('shut off');
    expect(tags(pathOf(vm)).map(({ name }) => name)).toEqual(['s1']);
  });

  test('--no-metadata leaves no trace in libvirt, and says so', async () => {
    const vm = await one(false);
    for (const [options, what] of [
      [[], 'in the images it counts as an orphan'],
      [['--disk-only'], 'continues in overlays that belong to no snapshot'],
    ] as const) {
      const name = options[0] ?? 'inside';
      const result = await kvmsnap(['create-as', 'web-1', `x${name}`, '--no-metadata', ...options]);
      expect(result).toMatchObject({ code: 0, stderr: expect.stringContaining(what) });
    }
    expect(snapshotNames(vm)).toEqual([]);
    expect(tags(pathOf(vm)).map(({ name }) => name)).toEqual(['xinside']);
    expect(active(vm)).toEqual([pathOf(vm).replace('.qcow2', '.x--disk-only')]);
  });

  test('--reuse-external takes an overlay that was made for the image, and no other', async () => {
    const vm = await one(false);
    const base = pathOf(vm);
    const overlay = join(scratch, 'made.qcow2');
    const args = [
      'create-as',
      'web-1',
      's1',
      '--disk-only',
      '--reuse-external',
      '--diskspec',
      `vda,file=${overlay}`,
    ];
    const missing = await refused(...args);
    expect(missing.message).toContain('does not exist');
    tool('qemu-img', ['create', '-q', '-f', 'qcow2', overlay, '4M']);
    expect((await refused(...args)).message).toContain('has no backing file instead of');
    tool('rm', [overlay]);
    pasteOk(missing.command);
    expect(await kvmsnap([...args, ...FORCE])).toMatchObject({ code: 0, stderr: WARNING });
    expect(active(vm)).toEqual([overlay]);
    expect(imageInfo(overlay)['backing-filename']).toBe(base);
  });

  test('--print-xml is what virsh would hand over, and does nothing', async () => {
    const vm = await one(false);
    const before = fingerprint(vm);
    const { code, stdout } = await kvmsnap(['create-as', 'web-1', 's1', '--external', '--print-xml']);
    expect(code).toBe(0);
    expect(stdout).toContain('<name>s1</name>');
    expect(stdout).toContain(`<source file='${pathOf(vm).replace('.qcow2', '.s1')}'/>`);
    expect(fingerprint(vm)).toEqual(before);
  });

  test('--validate', async () => {
    await one(false);
    const { code, stderr } = await kvmsnap(['create-as', 'web-1', 's1', '--validate']);
    expect({ code, stderr }).toEqual(
      since({
        '7.0': { code: 5, stderr: expect.stringContaining('this virsh does not have the option --validate') },
        '9.0': { code: 0, stderr: '' },
      }),
    );
  });

  test('--quiesce without an agent that answers fails before anything is touched', async () => {
    const channel = `<channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>`;
    for (const [extraDevicesXml, says] of [
      ['', 'no channel for a guest agent'],
      [channel, 'no guest agent is connected'],
    ] as const) {
      const vm = defineVm({ name: 'web-1', disks: [SMALL], extraDevicesXml });
      start(vm);
      const { message } = await refused('create-as', 'web-1', 's1', '--disk-only', '--quiesce', '--force');
      expect(message).toContain(says);
      expect(active(vm)).toEqual([pathOf(vm)]);
      await cleanUp();
    }
  });

  test('--quiesce for a VM that is off is taken, and says that there is nothing to freeze', async () => {
    const vm = await one(false);
    const { code, stderr } = await kvmsnap([
      'create-as',
      'web-1',
      's1',
      '--disk-only',
      '--quiesce',
      '--force',
    ]);
    expect(code).toBe(0);
    expect(stderr).toContain('the VM is off, so there is no guest to freeze');
    expect(active(vm)).not.toEqual([pathOf(vm)]);
  });

  test('a label, for a prune that cannot delete them', async () => {
    const vm = await one(false);
    const { code, stderr } = await kvmsnap([
      'create',
      'web-1',
      '--external',
      '--label',
      'nightly',
      '--force',
    ]);
    const refuses = since({ '7.0': true, '9.0': false });
    expect(code).toBe(refuses ? 5 : 0);
    if (refuses) expect(stderr).toContain('this libvirtd (before 9.0) cannot delete external snapshots');
    expect(snapshotNames(vm).map((name) => name.startsWith('nightly-'))).toEqual(refuses ? [] : [true]);
  });
});

describe('--xml', () => {
  const file = (text: string): string => {
    const path = join(scratch, 'snapshot.xml');
    writeFileSync(path, text);
    return path;
  };

  test('takes what the file says: name, files and all, checked before', async () => {
    const vm = defineVm({
      name: 'web-1',
      disks: [SMALL, { ...SMALL, format: 'raw' }],
      boot: 'idle',
    });
    start(vm);
    const [memory, overlay] = [join(scratch, 'm'), join(scratch, 'o')];
    const xml = file(`<domainsnapshot><name>of a file</name><description>d</description>
      <memory snapshot='external' file='${memory}'/>
      <disks><disk name='vda' snapshot='external'><source file='${overlay}'/></disk></disks></domainsnapshot>`);
    writeFileSync(memory, 'mine');
    const refusal = await refused('create', 'web-1', '--xml', xml, '--force');
    expect(refusal.message).toContain(`${memory} already exists`);
    tool('rm', [memory]);
    expect(await kvmsnap(['create', 'web-1', '-q', '--xml', xml, ...FORCE])).toMatchObject({
      code: 0,
      stdout: 'of a file\n',
      stderr: WARNING,
    });
    expect(active(vm)).toEqual([overlay, pathOf(vm, 1).replace('.raw', '.of a file')]);
    expect(statSync(memory).size).toBeGreaterThan(100_000);
    expect(snapshotXml(vm, 'of a file')).toContain('<description>d</description>');
  });

  test('without a name in it, one is given', async () => {
    const vm = defineVm({ name: 'web-1', disks: [SMALL] });
    const args = ['create', 'web-1', '-q', '--xml', file('<domainsnapshot/>')];
    const { code, stdout } = await kvmsnap(args, { env: { XDG_STATE_HOME: join(scratch, 'state') } });
    expect({ code, stdout }).toEqual({ code: 0, stdout: expect.stringMatching(/^\d{10}\n$/) });
    expect(snapshotNames(vm)).toEqual([stdout.trim()]);
    expect(tags(pathOf(vm)).map(({ name }) => name)).toEqual([stdout.trim()]);
  });

  test('--redefine registers again what was unregistered, and no more than the images hold', async () => {
    const vm = defineVm({ name: 'web-1', disks: [SMALL] });
    const state = { env: { XDG_STATE_HOME: join(scratch, 'state') } };
    const xmls = ['s1', 's2'].map((name) => {
      virsh('snapshot-create-as', vm.uuid, name);
      return snapshotXml(vm, name);
    });
    for (const name of ['s1', 's2']) virsh('snapshot-delete', vm.uuid, name, '--metadata');
    const redefine = (n: number, ...options: string[]) =>
      kvmsnap(['create', 'web-1', '--redefine', '--xml', file(xmls[n] ?? ''), ...options], state);

    expect(await redefine(1)).toMatchObject({
      code: 5,
      stderr: expect.stringContaining('parent s1 is not a snapshot of the VM'),
    });
    expect((await redefine(0)).code).toBe(0);
    expect(currentSnapshot(vm)).toBeNull();
    expect((await redefine(1, '--current')).code).toBe(0);
    expect([snapshotNames(vm), currentSnapshot(vm)]).toEqual([['s1', 's2'], 's2']);
    expect(snapshotXml(vm, 's2')).toBe(xmls[1]);
    virsh('snapshot-revert', vm.uuid, 's1');

    // what it knew is kept, and the current one stays
    const described = (xmls[0] ?? '').replace('</name>', '</name><description>new</description>');
    const again = await kvmsnap(['create', 'web-1', '--redefine', '--xml', file(described), '--json'], state);
    expect(fitting('create', JSON.parse(again.stdout)).domains[0]?.snapshot?.children).toEqual(['s2']);
    const [, kept = ''] = /is saved in (\S+)/.exec(again.stderr) ?? [];
    expect(readFileSync(kept, 'utf8').trim()).toBe((xmls[0] ?? '').trim());
    expect(snapshotXml(vm, 's1')).toContain('<description>new</description>');
    expect(currentSnapshot(vm)).toBe('s1');

    tool('qemu-img', ['snapshot', '-d', 's2', pathOf(vm)]);
    virsh('snapshot-delete', vm.uuid, 's2', '--metadata');
    expect(await redefine(1)).toMatchObject({
      code: 5,
      stderr: expect.stringContaining('disk vda contains no snapshot of that name'),
    });
  });
});
