// `clone`: a second VM from a snapshot; judged by qemu-io, virsh and the directory.
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { kvmsnap, spawnKvmsnap } from '../lab/cli.ts';
import { fingerprint, pasteOk, refused } from '../lab/evidence.ts';
import { scratch, tool, virsh, waitFor } from '../lab/lab.ts';
import { imageInfo, writePattern } from '../scene/disk.ts';
import { removeMounts, replaceCommand } from '../scene/mount.ts';
import { byteIn, countTo, document, NOW, succeed, THEN, take, write, writeAsGuest } from '../scene/steps.ts';
import {
  cleanUp,
  defineVm,
  destroy,
  domainXml,
  pathOf,
  start,
  state,
  type Vm,
  type VmSpec,
} from '../scene/vm.ts';

let next = 0;
const fresh = (): string => join(scratch, `out-${next++}`);

afterEach(async () => {
  removeMounts();
  await cleanUp();
});

/** Off, two disks with the snapshot `s1` of THEN, and NOW on both. */
function movedOn(more: Partial<VmSpec> = {}): Vm {
  const vm = defineVm({ name: 'web', boot: 'counter', disks: [{ size: '8M' }, { size: '8M' }], ...more });
  write(vm, THEN);
  take(vm, 's1');
  write(vm, NOW);
  return vm;
}

const vms = (): string[] => virsh('list', '--all', '--name').split('\n').filter(Boolean).sort();
const files = (directory: string): string[] => (existsSync(directory) ? readdirSync(directory).sort() : []);
const values = (xml: string, pattern: RegExp): string[] =>
  [...xml.matchAll(pattern)].map(([, value = '']) => value);

/** The definition for the next start. */
const definition = (name: string): string => virsh('dumpxml', '--inactive', '--domain', name);

describe('an internal snapshot', () => {
  test('of a VM that is off: disks and definition of that time, and a name, UUID, MAC and sockets of its own', async () => {
    const vm = movedOn({
      osXml: `<title>the web</title><genid/><metadata><k:policy xmlns:k='urn:kvmsnap:policy' name='nightly'/></metadata>
        <os><type arch='x86_64' machine='pc'>hvm</type></os>`,
      extraDevicesXml: `<interface type='user'><model type='virtio'/></interface>
        <channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>
        <serial type='unix'><source mode='bind' path='${scratch}/web.sock'/><log file='${scratch}/serial.log'/></serial>
        <graphics type='vnc' port='5977' passwd='secret'/>`,
    });
    const before = fingerprint(vm);
    const found = await document('clone', 'clone', 'web', 's1', 'test');
    const directory = dirname(pathOf(vm));
    expect(found.disks.map(({ path }) => path)).toEqual([
      join(directory, 'test-vda.qcow2'),
      join(directory, 'test-vdb.qcow2'),
    ]);
    for (const { path } of found.disks)
      expect([statSync(path).mode & 0o777, byteIn(path), imageInfo(path).snapshots]).toEqual([
        0o600 | (statSync(pathOf(vm)).mode & 0o060),
        THEN,
        undefined,
      ]);
    expect(fingerprint(vm)).toEqual(before);
    const [was, is] = [definition('web'), definition('test')];
    for (const pattern of [
      /<uuid>(.*)<\/uuid>/g,
      /<genid>(.*)<\/genid>/g,
      /<mac address='(.*)'/g,
      /<title>(.*)</g,
    ]) {
      const [old, own] = [values(was, pattern), values(is, pattern)];
      expect([own.length, own.filter((each) => old.includes(each))]).toEqual([1, []]);
    }
    expect(found.clone).toEqual({
      name: 'test',
      uuid: values(is, /<uuid>(.*)<\/uuid>/g)[0],
      macAddresses: values(is, /<mac address='(.*)'/g),
    });
    for (const path of [`${scratch}/test.sock`, `${scratch}/test-serial.log`]) expect(is).toContain(path);
    for (const word of ['web.sock', '/serial.log', 'kvmsnap:policy', "port='5977'", vm.uuid])
      expect(is).not.toContain(word);
    expect(virsh('dumpxml', '--security-info', '--domain', 'test')).toContain("passwd='secret'");
    expect(virsh('domstate', 'test').trim()).toBe('shut off');
    expect(virsh('list', '--all', '--autostart', '--name').trim()).toBe('');
    expect(virsh('snapshot-list', 'test', '--name').trim()).toBe('');
    expect(files('/run/kvmsnap')).toEqual([]);
  });

  test('of a running VM with memory: it runs on, and both run side by side', async () => {
    const vm = defineVm({
      name: 'web',
      boot: 'counter',
      disks: [{ size: '8M' }],
      extraDevicesXml: `<interface type='user'/><channel type='unix'><target type='virtio' name='a.b'/></channel>
        <graphics type='vnc' autoport='yes'/>`,
    });
    write(vm, THEN);
    start(vm);
    await countTo(vm, 5);
    take(vm, 's1');
    writeAsGuest(vm, NOW);
    const to = fresh();
    await succeed('clone', 'web/s1', 'test', '--to', to);
    expect([files(to), byteIn(join(to, 'test-vda.qcow2')), state(vm)]).toEqual([
      ['test-vda.qcow2'],
      THEN,
      'running',
    ]);
    virsh('start', 'test');
    await countTo({ ...vm, uuid: virsh('domuuid', 'test').trim() }, 5);
    expect(state(vm)).toBe('running');
    const paths = ['web', 'test'].map(
      (name) =>
        values(
          domainXml({ ...vm, uuid: name }),
          /channel type='unix'>\s*<source mode='bind' path='(.*)'/g,
        )[0],
    );
    expect(paths[0]).not.toBe(paths[1]);
  });
});

test('an external snapshot: from the chain, and the NVRAM is copied', async () => {
  const [loader, nvram] = [join(scratch, 'code.fd'), join(scratch, 'web_VARS.fd')];
  // no firmware, and so this VM is never started
  for (const path of [loader, nvram]) tool('sh', ['-c', `head -c 131072 /dev/urandom > ${path}`]);
  const vm = defineVm({
    name: 'web',
    disks: [{ size: '8M' }, { size: '8M', format: 'raw' }],
    osXml: `<os><type arch='x86_64' machine='pc'>hvm</type>
      <loader readonly='yes' type='pflash'>${loader}</loader><nvram>${nvram}</nvram></os>`,
  });
  write(vm, THEN);
  take(vm, 'e1', '--disk-only');
  const [overlay = ''] = values(definition('web'), /<source file='([^']*\.e1)'/g);
  writePattern(overlay, NOW, 2 ** 20, 65536);
  await succeed('clone', 'web', 'e1', 'test');
  const paths = values(definition('test'), /<source file='([^']*)'/g);
  expect(paths.map((path) => [byteIn(path), imageInfo(path)['backing-filename']])).toEqual([
    [THEN, undefined],
    [THEN, undefined],
  ]);
  expect(definition('test')).not.toContain("type='raw'");
  expect(definition('test')).toContain(`>${scratch}/test_VARS.fd</nvram>`);
  expect(readFileSync(join(scratch, 'test_VARS.fd')).equals(readFileSync(nvram))).toBe(true);
});

describe('nothing is cloned', () => {
  test('onto a VM or a file that exists, with a disk that the snapshot does not contain, without a usable name', async () => {
    const vm = movedOn();
    const raw = defineVm({
      name: 'raw',
      disks: [{ size: '8M' }, { size: '8M', format: 'raw', snapshot: 'no' }],
    });
    take(raw, 's1', '--disk-only');
    const to = fresh();
    mkdirSync(to);
    writeFileSync(join(to, 'test-vdb.qcow2'), 'mine');
    const before = [fingerprint(vm), fingerprint(raw)];
    expect((await refused('clone', 'web', 's1', 'raw')).exitCode).toBe(6);
    const exists = await refused('clone', 'web', 's1', 'test', '--to', to);
    expect([exists.exitCode, exists.message]).toEqual([
      6,
      expect.stringContaining('test-vdb.qcow2 exists already'),
    ]);
    const shared = await refused('clone', 'raw', 's1', 'test');
    expect([shared.exitCode, shared.message]).toEqual([
      5,
      expect.stringContaining('disk vdb is not part of the snapshot'),
    ]);
    expect((await refused('clone', 'web', 's1', 'a/b')).exitCode).toBe(2);
    expect([files(to), readFileSync(join(to, 'test-vdb.qcow2'), 'utf8')]).toEqual([
      ['test-vdb.qcow2'],
      'mine',
    ]);
    expect([fingerprint(vm), fingerprint(raw), vms()]).toEqual([...before, ['raw', 'web']]);
  });

  test('if libvirt refuses the definition, or defines another VM: the files are removed', async () => {
    movedOn();
    const above = fresh();
    const to = join(above, 'a');
    replaceCommand(
      '/usr/bin/virsh',
      (
        original,
      ) => `#!/bin/sh\ncase "$*" in *define*--*|*undefine*) ;; *define*) [ -e ${scratch}/swap ] || exit 1
        sed -i "s/test-vdb/other/" "$(echo "$*" | sed 's/.*define //')" ;; esac\nexec '${original}' "$@"\n`,
    );
    expect((await refused('clone', 'web', 's1', 'test', '--to', to)).exitCode).toBe(1);
    expect([existsSync(above), vms()]).toEqual([false, ['web']]);
    writeFileSync(join(scratch, 'swap'), '');
    const { message } = await refused('clone', 'web', 's1', 'test', '--to', to);
    expect(message).toMatch(/its disk vdb is .*other.*it was removed again/);
    expect([existsSync(to), vms()]).toEqual([false, ['web']]);
  });

  test('after Ctrl-C in the middle: what this run made is removed, and nothing else', async () => {
    const vm = movedOn();
    const before = fingerprint(vm);
    const to = fresh();
    mkdirSync(to);
    writeFileSync(join(to, 'other'), 'mine');
    replaceCommand(
      '/usr/bin/qemu-img',
      (original) =>
        `#!/bin/sh\n[ "$1" != compare ] || { touch ${scratch}/reached; exec sleep 60; }\nexec '${original}' "$@"\n`,
    );
    const run = spawnKvmsnap(['clone', 'web', 's1', 'test', '--to', to]);
    await waitFor(() => existsSync(join(scratch, 'reached')), { what: 'the comparison' });
    run.kill('SIGINT');
    expect((await run.done).code).toBe(130);
    expect([files(to), vms()]).toEqual([['other'], ['web']]);
    expect(fingerprint(vm)).toEqual(before);
  });
});

describe('killed in the middle', () => {
  /** Runs a clone, whose program stops at this place of a shell script, and kills it there. */
  async function killed(to: string, program: string, script: string): Promise<void> {
    const reached = join(scratch, `reached-${next++}`);
    replaceCommand(
      program,
      (original) => `#!/bin/sh\nreal() { '${original}' "$@"; }\nstop() { touch ${reached}; exec sleep 60; }
        ${script}\nexec '${original}' "$@"\n`,
    );
    const run = spawnKvmsnap(['clone', 'web', 's1', 'test', '--to', to]);
    await waitFor(() => existsSync(reached), { what: 'the place in the middle' });
    run.kill('SIGKILL');
    await run.done;
    removeMounts();
  }

  test('the next run removes what no VM uses, and leaves a clone alone that was defined', async () => {
    const vm = movedOn();
    const before = fingerprint(vm);
    const to = fresh();
    const [vda, vdb] = ['test-vda.qcow2', 'test-vdb.qcow2'] as const;
    const deep = join(to, 'a', 'b');
    await killed(deep, '/usr/bin/qemu-img', '[ "$1" != compare ] || stop');
    expect([files(deep).length, vms()]).toEqual([1, ['web']]);
    await succeed('export', 'web', 's1', fresh(), '--disk', 'vda');
    expect(existsSync(to)).toBe(false);
    await killed(deep, '/usr/bin/virsh', 'case "$*" in *define*.xml) stop;; esac');
    // with a file of somebody else, only what is empty
    writeFileSync(join(to, 'other'), 'mine');
    await succeed('export', 'web', 's1', fresh(), '--disk', 'vda');
    expect(files(to)).toEqual(['other']);
    rmSync(to, { recursive: true });
    await killed(to, '/usr/bin/virsh', 'case "$*" in *define*.xml) stop;; esac');
    expect([files(to), vms()]).toEqual([[vda, vdb], ['web']]);
    // with a change by somebody else it is his
    writePattern(join(to, vdb), NOW, 0, 512);
    const again = await kvmsnap(['clone', 'web', 's1', 'test', '--to', to]);
    expect([again.code, again.stderr]).toEqual([6, expect.stringContaining(`removed ${to}/${vda}, which`)]);
    expect(files(to)).toEqual([vdb]);
    rmSync(join(to, vdb));
    await killed(to, '/usr/bin/virsh', 'case "$*" in *define*.xml) real "$@"; stop;; esac');
    expect(vms()).toEqual(['test', 'web']);
    const { stderr } = await succeed('clone', 'web', 's1', 'other', '--to', to);
    expect(stderr).not.toContain('removed');
    expect(values(definition('test'), /<source file='([^']*)'/g).map(byteIn)).toEqual([THEN, THEN]);
    expect(files(to)).toEqual(['other-vda.qcow2', 'other-vdb.qcow2', vda, vdb]);
    expect([fingerprint(vm), files('/run/kvmsnap')]).toEqual([before, []]);
  });
});

test('a dry run changes nothing, and its commands make the same VM', async () => {
  const vm = movedOn({ extraDevicesXml: "<graphics type='vnc' port='5977' passwd='secret'/>" });
  const to = fresh();
  const { stdout } = await succeed('clone', 'web', 's1', 'test', '--to', to, '--dry-run');
  expect([files(to), vms(), stdout.includes('secret')]).toEqual([[], ['web'], false]);
  mkdirSync(to);
  // an old qemu-nbd keeps the pipe of the test open
  for (const line of stdout.trim().split('\n')) pasteOk(`${line} >/dev/null 2>&1`);
  expect(values(definition('test'), /<source file='([^']*)'/g).map(byteIn)).toEqual([THEN, THEN]);
  destroy(vm);
});
