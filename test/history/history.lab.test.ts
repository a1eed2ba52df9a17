// `history`: the snapshots of a VM that libvirt has forgotten are registered again; judged by virsh and by the bytes after a revert.
import { mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { kvmsnap, spawnKvmsnap } from '../lab/cli.ts';
import { fingerprint, pasteOk, refused } from '../lab/evidence.ts';
import { scratch, tryVirsh, virsh } from '../lab/lab.ts';
import { share } from '../lab/share.ts';
import { since } from '../lab/version.ts';
import { removeMounts, replaceCommand } from '../scene/mount.ts';
import { currentSnapshot, snapshotNames, snapshotXml } from '../scene/snapshot.ts';
import { bytes, count, countTo, document, fail, NOW, succeed, THEN, take, write } from '../scene/steps.ts';
import { cleanUp, defineVm, destroy, domainXml, pathOf, start, state, type Vm } from '../scene/vm.ts';

afterEach(async () => {
  removeMounts();
  await cleanUp();
});

const FILE = join(scratch, 'web.history');

/** Two snapshots of a VM that is off, with THEN on both disks. */
function twoSnapshots(): Vm {
  const vm = defineVm({ name: 'web', disks: [{ size: '8M' }, { size: '8M' }] });
  write(vm, THEN);
  take(vm, 's1', '--description', 'a <b> & "c"');
  take(vm, "it's 2");
  return vm;
}

async function save(...options: string[]): Promise<string> {
  const { stdout } = await succeed('history', 'save', 'web', ...options);
  writeFileSync(FILE, stdout);
  return stdout;
}

/** The VM under another name, UUID and with other paths: as after a move to another host. */
function movedTo(vm: Vm, name: string, move: (path: string) => string = (path) => path): Vm {
  let xml = virsh('dumpxml', '--inactive', '--domain', vm.uuid);
  virsh('undefine', '--domain', vm.uuid, '--snapshots-metadata');
  const disks = vm.disks.map(({ target, path }) => ({ target, path: move(path) }));
  for (const [i, { path }] of vm.disks.entries()) {
    const to = disks[i]?.path ?? path;
    xml = xml.replaceAll(`'${path}'`, `'${to}'`);
    if (to !== path) renameSync(path, to);
  }
  const file = join(scratch, 'moved.xml');
  writeFileSync(
    file,
    xml.replace(/<name>.*<\/name>/, `<name>${name}</name>`).replace(/ *<uuid>.*<\/uuid>\n/, ''),
  );
  virsh('define', file);
  return { name, uuid: virsh('domuuid', name).trim(), disks };
}

const xmls = (vm: Vm): string[] => snapshotNames(vm).map((name) => snapshotXml(vm, name));

describe('a VM that libvirt has forgotten', () => {
  test('knows its snapshots again, under another name and with other paths, and each can be gone back to', async () => {
    const old = twoSnapshots();
    await save();
    mkdirSync(join(scratch, 'elsewhere'), { recursive: true });
    const vm = movedTo(old, 'web-2', (path) => join(scratch, 'elsewhere', `new-${basename(path)}`));
    const before = fingerprint(vm);
    const refusal = await refused('history', 'load', 'web-2', FILE);
    expect(refusal.exitCode).toBe(5);
    expect(refusal.message).toContain(`s1: disk vda (${pathOf(old)}) does not exist`);
    expect(fingerprint(vm)).toEqual(before);
    pasteOk(refusal.findings[0]?.commands[0] ?? null);
    expect([snapshotNames(vm).sort(), currentSnapshot(vm)]).toEqual([['s1', "it's 2"].sort(), "it's 2"]);
    expect(xmls(vm).join()).not.toContain(pathOf(old));
    expect(xmls(vm).join()).not.toContain(old.uuid);
    write(vm, NOW);
    await succeed('revert', 'web-2', 's1');
    expect([bytes(vm), state(vm)]).toEqual([[THEN, THEN], 'shut off']);
    expect(domainXml(vm)).toContain('<name>web-2</name>');
    await succeed('delete', 'web-2', 's1', "it's 2");
    expect(snapshotNames(vm)).toEqual([]);
  });

  test('with a directory that was moved, given by --map; the description and the parent are as they were', async () => {
    const old = twoSnapshots();
    const [first] = xmls(old);
    await save();
    const from = pathOf(old).replace(/\/[^/]*$/, '');
    const to = `${from}-moved`;
    mkdirSync(to);
    const vm = movedTo(old, 'web', (path) => path.replace(from, to));
    const { snapshots } = await document(
      'history',
      'history',
      'load',
      'web',
      FILE,
      '--map',
      `${from}=${to}/`,
    );
    expect(snapshots.map(({ outcome }) => outcome)).toEqual(['registered', 'registered']);
    expect(xmls(vm)[0]?.replaceAll(to, from).replaceAll(vm.uuid, old.uuid)).toBe(first);
  });

  test('with memory: the guest goes on from there', async () => {
    const old = defineVm({ name: 'web', boot: 'counter', disks: [{ size: '8M' }] });
    start(old);
    await countTo(old, 20);
    take(old, 'm1');
    const then = count(old);
    destroy(old);
    await save();
    const vm = movedTo(old, 'web');
    await succeed('history', 'load', 'web', FILE);
    await succeed('revert', 'web', 'm1');
    expect(state(vm)).toBe('running');
    expect(count(vm)).toBeGreaterThanOrEqual(then - 20);
  });

  test('external ones, whose files must be there', async () => {
    const old = defineVm({ name: 'web', disks: [{ size: '8M' }] });
    write(old, THEN);
    take(old, 'e1', '--disk-only');
    await save();
    const [overlay] = (domainXml(old).match(/(?<=<source file=')[^']*(?=')/g) ?? []).filter((path) =>
      path.endsWith('e1'),
    );
    const vm = movedTo({ ...old, disks: [{ target: 'vda', path: overlay ?? '' }] }, 'web');
    renameSync(pathOf(old), `${pathOf(old)}.kept`);
    const { message } = await refused('history', 'load', 'web', FILE);
    expect(message).toContain(`the file ${pathOf(old)} does not exist`);
    renameSync(`${pathOf(old)}.kept`, pathOf(old));
    await succeed('history', 'load', 'web', FILE);
    expect([snapshotNames(vm), currentSnapshot(vm)]).toEqual([['e1'], 'e1']);
    if (since({ '7.0': false, '9.9': true })) await succeed('revert', 'web', 'e1');
  });
});

describe('nothing is registered', () => {
  test('for images of another time, and for a VM without the disk', async () => {
    const old = twoSnapshots();
    await save();
    for (const name of snapshotNames(old)) tryVirsh('snapshot-delete', old.uuid, name);
    take(old, 's1');
    take(old, "it's 2");
    const later = snapshotXml(old, 's1');
    const file = join(scratch, 'older.history');
    const text = (await save()).replace(/<creationTime>\d+/g, '<creationTime>1700000000');
    writeFileSync(file, text);
    const vm = movedTo(old, 'web');
    const before = fingerprint(vm);
    expect((await refused('history', 'load', 'web', file)).message).toContain(
      'contains a snapshot of that name from another time',
    );
    const other = defineVm({ name: 'small', disks: [{ size: '8M' }] });
    expect((await refused('history', 'load', 'small', FILE)).message).toContain('the VM has no disk vdb');
    expect([fingerprint(vm), snapshotNames(other)]).toEqual([before, []]);
    expect(later).toContain('<name>s1</name>');
  });

  test('if the images are those of another VM', async () => {
    const old = twoSnapshots();
    await save();
    const other = defineVm({ name: 'other', disks: [{ size: '8M' }, { size: '8M' }] });
    const { exitCode, message } = await refused('history', 'load', 'other', FILE);
    expect([exitCode, message]).toEqual([
      5,
      expect.stringContaining(
        `${pathOf(old)} is not in use by this VM, and VM web (shut off) uses it as disk vda`,
      ),
    ]);
    expect(snapshotNames(other)).toEqual([]);
  });

  test('if the VM has another snapshot of that name: exit 6', async () => {
    const vm = twoSnapshots();
    await save();
    tryVirsh('snapshot-delete', vm.uuid, 's1', '--metadata');
    tryVirsh('snapshot-delete', vm.uuid, "it's 2", '--metadata');
    take(vm, "it's 2");
    const before = xmls(vm);
    expect((await refused('history', 'load', 'web', FILE)).exitCode).toBe(6);
    expect(xmls(vm)).toEqual(before);
  });

  test.each(
    share(3, [
      ['no such file', ['load', 'web', '/no/such/file'], /cannot read the file of history load/],
      ['another file', ['load', 'web', '/etc/hostname'], /was not written by kvmsnap history save/],
      ['no file', ['load', 'web'], /<file> is missing/],
      ['a file to save in', ['save', 'web', 'file'], /history save prints to stdout/],
      ['an unknown action', ['restore', 'web'], /expected save or load/],
      [
        'relative paths',
        ['load', 'web', FILE, '--map', 'a=b'],
        /--map cannot be 'a=b': expected two absolute paths/,
      ],
      ['--readonly', ['load', 'web', FILE, '--readonly'], /--readonly/],
    ]),
  )('%s: a usage error', async (_, args, says) => {
    const vm = twoSnapshots();
    writeFileSync(FILE, '{}');
    const before = fingerprint(vm);
    expect(await fail(2, 'history', ...args)).toMatch(says);
    expect(fingerprint(vm)).toEqual(before);
  });
});

test('a load that fails in the middle says how far it came, and the same line continues', async () => {
  const old = twoSnapshots();
  await save();
  const vm = movedTo(old, 'web');
  const broken = join(scratch, 'broken');
  writeFileSync(broken, '');
  replaceCommand(
    '/usr/bin/virsh',
    (original) =>
      `#!/bin/sh\ncase "$*" in *snapshot-create*--redefine*--current*) [ ! -e ${broken} ] || { echo 'error: none today' >&2; exit 1; } ;; esac\nexec '${original}' "$@"\n`,
  );
  const { code, stderr } = await kvmsnap(['history', 'load', 'web', FILE]);
  expect([code, snapshotNames(vm)]).toEqual([1, ['s1']]);
  expect(stderr).toContain('1 of 2 snapshots were registered (s1); the same command registers the rest');
  rmSync(broken);
  const { snapshots } = await document('history', 'history', 'load', 'web', FILE);
  expect(snapshots.map(({ outcome }) => outcome)).toEqual(['registered before', 'registered']);
  expect(currentSnapshot(vm)).toBe("it's 2");
});

test('passwords are left out unless asked for; a dry run registers nothing, and its lines work', async () => {
  const old = defineVm({
    name: 'web',
    disks: [{ size: '8M' }],
    extraDevicesXml: "<graphics type='vnc' autoport='yes' passwd='geheim'/>",
  });
  take(old, 's1');
  expect(await save('--security-info')).toContain("passwd='geheim'");
  const text = await save();
  expect(text).not.toContain('geheim');
  const vm = movedTo(old, 'web');
  const { stdout } = await succeed('history', 'load', 'web', FILE, '--dry-run');
  expect(snapshotNames(vm)).toEqual([]);
  pasteOk(stdout);
  expect(snapshotNames(vm)).toEqual(['s1']);
  virsh('snapshot-delete', vm.uuid, 's1', '--metadata');
  const run = await spawnKvmsnap(['history', 'load', 'web', '-', '-q'], { stdin: text }).done;
  expect([run.code, run.stdout, snapshotNames(vm)]).toEqual([0, 's1\n', ['s1']]);
});
