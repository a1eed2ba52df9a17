// What a guest writes to the beginning of its raw disk: a qemu-img that probes believes it, and kvmsnap must not.
import { spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync, rmSync, statSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, expect } from 'vitest';
import { kvmsnap } from '../lab/cli.ts';
import { pasteOk, type Refusal, refused } from '../lab/evidence.ts';
import { scratch, tool, tryVirsh, virsh } from '../lab/lab.ts';
import { share } from '../lab/share.ts';
import { since } from '../lab/version.ts';
import { MiB } from '../model.ts';
import { signature, vmdkDescriptor } from '../qemu/headers.ts';
import { hasPattern, imageInfo } from '../scene/disk.ts';
import { listener, pipe, SECRET_BYTE, secretFile, type Trap } from '../scene/trap.ts';
import { cleanUp, defineVm, domainXml, pathOf, start, type Vm } from '../scene/vm.ts';
import { hazard, type Outcome } from './promise/promise.ts';

afterEach(cleanUp);
afterAll(cleanUp);

const NAME = 'web-1';

/** What a guest writes, and where that leads. */
interface Header {
  readonly format: string;
  readonly trap: () => Trap | Promise<Trap>;
  readonly bytes: (trap: Trap) => Buffer;
  /** The host's file is in the copy that a probing qemu-img makes. */
  readonly isCopied?: true;
}

/** The bytes of an image that qemu-img makes, as a guest would have copied them from its own. */
function madeBy(...args: string[]): Buffer {
  const path = join(scratch, 'made');
  tool('qemu-img', ['create', '-q', ...args, path, '4M']);
  const bytes = readFileSync(path);
  rmSync(path);
  return bytes;
}

/** It records no format, so that whoever opens the image reads the file below it, too, to probe. */
const overlayOver = ({ name }: Trap) => withoutFormat(madeBy('-f', 'qcow2', '-u', '-F', 'raw', '-b', name));

/** As qemu-img before 6.1 made it: instead of the extension with the format, one that nobody knows. */
function withoutFormat(image: Buffer): Buffer {
  const at = image.indexOf(Buffer.from('e2792aca', 'hex'));
  if (at < 0) throw new Error('it records no format');
  image.write('kvms', at);
  return image;
}

function withDataIn({ name }: Trap): Buffer {
  const data = join(scratch, 'data');
  const options = `data_file=${data},data_file_raw=on,preallocation=metadata`;
  const bytes = madeBy('-f', 'qcow2', '-o', options);
  rmSync(data);
  // the same length, so that the header stays as it is
  const other = name.padEnd(data.length, '\0');
  const at = bytes.indexOf(data);
  if (at < 0 || other.length !== data.length) throw new Error(`no ${name} for ${data}`);
  bytes.write(other, at);
  return bytes;
}

/** Named as long as the file that an image with its data elsewhere is made with. */
const shortSecret = (): Trap => secretFile('file');

const HEADERS: Readonly<Record<string, Header>> = {
  'qcow2 header that names a file of the host': {
    format: 'qcow2',
    trap: () => secretFile(),
    bytes: overlayOver,
    isCopied: true,
  },
  'qcow2 header with its data in a file of the host': {
    format: 'qcow2',
    trap: shortSecret,
    bytes: withDataIn,
    isCopied: true,
  },
  'qcow2 header that names an address': { format: 'qcow2', trap: listener, bytes: overlayOver },
  'qcow2 header that names a named pipe': { format: 'qcow2', trap: pipe, bytes: overlayOver },
  'VMDK descriptor of a file of the host': {
    format: 'vmdk',
    trap: () => secretFile(),
    bytes: ({ name }) => vmdkDescriptor(name),
    isCopied: true,
  },
};

/** A VM whose second disk is raw, and whose guest has written that to it. */
function vmWith(name: string, bytes: Buffer): Vm {
  const vm = defineVm({ name, disks: [{ size: '4M' }, { size: '4M', format: 'raw' }] });
  writeTo(pathOf(vm, 1), bytes);
  return vm;
}

function writeTo(path: string, bytes: Buffer): void {
  const file = openSync(path, 'r+');
  writeSync(file, bytes);
  closeSync(file);
}

/** Runs a tool beside us, so that the traps can tell. */
const run = (file: string, ...args: string[]): Promise<number | null> =>
  new Promise((resolve, reject) => {
    const child = spawn(file, args, { stdio: 'ignore', timeout: 20_000, killSignal: 'SIGKILL' });
    child.on('error', reject).on('close', resolve);
  });

/** Every command that looks at disks; whether it succeeds is not the question. */
const COMMANDS: readonly (readonly string[])[] = [
  ['list', NAME],
  ['list'],
  ['info', NAME],
  ['space', NAME],
  ['check', NAME],
  ['check', NAME, '--fix', '--yes'],
  ['create', NAME],
  ['create-as', NAME, 'a', '--force'],
  ['create-as', NAME, 'e1', '--disk-only', '--force'],
  ['create-as', NAME, 'e2', '--external', '--label', 'nightly'],
  ['list', NAME],
  ['current', NAME],
  ['info', NAME, 'e1'],
  ['space', NAME],
  ['check', NAME, '--fix', '--yes'],
  ['hold', NAME, 'e1'],
  ['unhold', NAME, 'e1'],
  ['complete', 'bash', '--', 'kvmsnap', 'revert', NAME, ''],
  ['revert', NAME, 'e1', '--yes', '--force', '--backup'],
  ['revert', NAME, 'e1', '--yes', '--force'],
  ['create-as', NAME, 'e3', '--disk-only', '--label', 'nightly'],
  ['prune', NAME, '--label', 'nightly', '--keep-last', '1'],
  ['prune', NAME, '--label', 'nightly', '--free-min', '99%'],
  ['delete', NAME, 'e1', '--yes'],
  ['delete', NAME, '--all', '--yes'],
  ['check', '--leftovers'],
];

async function told(format: string, { name }: Trap): Promise<Refusal> {
  const checked = await kvmsnap(['check', NAME, '--json']);
  expect(checked.stdout).toContain(`looks like ${format} and names ${name}`);
  expect(checked.stdout).toContain('if the guest wrote this header, do not change the type');
  const refusal = await refused('create-as', NAME, 'a');
  expect(refusal).toMatchObject({
    exitCode: 5,
    message: expect.stringContaining(`looks like ${format} and names ${name}`),
    hint: expect.stringContaining('if the guest wrote this header, do not change the type: QEMU would open'),
  });
  return refusal;
}

/** An external snapshot is taken, over what the overlay records as raw. */
function showOverlay(vm: Vm, stderr: string, { name }: Trap): void {
  expect(stderr).toMatch(/warning: disk vdb .* looks like/);
  expect(stderr).toContain(name);
  const [, overlay = ''] = /<source file='([^']*)'[^>]*>(?:(?!<source).)*<target dev='vdb'/s.exec(
    domainXml(vm),
  ) ?? [''];
  expect(overlay).toMatch(/\.e1$/);
  expect(imageInfo(overlay)).toMatchObject({
    'backing-filename': pathOf(vm, 1),
    'backing-filename-format': 'raw',
  });
}

async function shown({ format, trap, bytes, isCopied }: Header): Promise<Outcome> {
  const twinTrap = await trap();
  const header = bytes(twinTrap);
  const twin = vmWith('twin', header);
  const copy = join(scratch, 'copy');
  await run('qemu-img', 'convert', '-O', 'qcow2', pathOf(twin, 1), copy);
  expect(twinTrap.isSprung()).toBe(true);
  if (isCopied) expect(hasPattern(copy, SECRET_BYTE, 0, 4 * MiB)).toBe(true);
  twinTrap.close();
  await cleanUp();

  const own = await trap();
  try {
    const vm = vmWith(NAME, bytes(own));
    const disk = pathOf(vm, 1);
    const { command } = await told(format, own);
    // what it advises copies what the guest has written, and no more
    expect(command).toContain('qemu-img convert -f raw ');
    pasteOk(command);
    const copied = command?.split(' ').at(-1) ?? '';
    tool('qemu-img', ['compare', '-f', 'raw', '-F', 'qcow2', disk, copied]);
    rmSync(copied);
    const before = readFileSync(disk);
    for (const words of COMMANDS) {
      const { stderr } = await kvmsnap(words);
      if (words.includes('e1') && words.includes('--disk-only')) showOverlay(vm, stderr, own);
    }
    expect(own.isSprung()).toBe(false);
    expect(readFileSync(disk).equals(before)).toBe(true);
  } finally {
    own.close();
  }
  return {
    virsh: `a probing qemu-img opens it${isCopied ? ", and copies the host's file" : ''}`,
    kvmsnap: 'opens only the raw disk, and warns; its advice copies no other file',
  };
}

for (const [what, header] of share(2, Object.entries(HEADERS)))
  hazard(51, `${what}, in a raw disk`, () => shown(header));

hazard(51, 'VHDX header in a raw disk', async () => {
  const vm = vmWith(NAME, madeBy('-f', 'vhdx', '-o', 'subformat=dynamic,block_size=1M'));
  await tellsOf(vm, 'vhdx');
  expect(imageInfo(pathOf(vm, 1)).format).toBe('vhdx');
  expect((await kvmsnap(['create-as', NAME, 'e1', '--disk-only', '--force'])).code).toBe(0);
  start(vm);
  return {
    virsh: 'a probing qemu-img treats the disk as vhdx',
    kvmsnap: 'treats it as raw, and says what it looks like',
  };
});

hazard(51, 'LUKS header in a raw disk that the guest encrypts', async () => {
  const bytes = signature('LUKS\xba\xbe\0\x01');
  const [twin, vm] = [vmWith('twin', bytes), vmWith(NAME, bytes)];
  virsh('snapshot-create-as', twin.uuid, 's1', '--disk-only');
  expect(tryVirsh('start', twin.uuid)).toMatchObject({
    code: 1,
    stderr: expect.stringMatching(
      since({
        '7.0': /missing secret info/,
        '9.0': /Unexpected enum value 0 for virStorageEncryptionEngine/,
      }),
    ),
  });
  await tellsOf(vm, 'luks');
  const refusal = await refused('create-as', NAME, 's1', '--disk-only', '--force');
  expect(refusal).toMatchObject({ exitCode: 5, message: expect.stringContaining('looks like luks') });
  start(vm);
  return {
    virsh: 'external: takes it, exit 0, and the VM cannot be started any more',
    kvmsnap: 'refuses, exit 5, and says what it looks like; the VM starts',
  };
});

/** The disk is raw, and only looks like something else. */
async function tellsOf(vm: Vm, format: string): Promise<void> {
  const { stdout } = await kvmsnap(['info', NAME, '--json']);
  expect(JSON.parse(stdout).domain.disks[1].chain).toMatchObject([
    { format: 'raw', virtualBytes: statSync(pathOf(vm, 1)).size, flags: [`looks like ${format}`] },
  ]);
  expect((await kvmsnap(['check', NAME, '--json'])).stdout).toContain(`looks like ${format}`);
}

hazard(51, 'overlay without a recorded format, over a file with the header of another one', async () => {
  const secret = secretFile();
  const of = (name: string) => {
    const vm = defineVm({ name, disks: [{ size: '4M' }] });
    const [path, base] = [pathOf(vm), `${pathOf(vm)}.base`];
    tool('truncate', ['--size=4M', base]);
    writeTo(base, overlayOver(secret));
    tool('qemu-img', ['create', '-q', '-f', 'qcow2', '-u', '-F', 'raw', '-b', base, path, '4M']);
    writeTo(path, withoutFormat(readFileSync(path)));
    return vm;
  };
  const twin = of('twin');
  expect(tryVirsh('start', twin.uuid)).toMatchObject({
    code: 1,
    stderr: expect.stringMatching(/was not specified in the image metadata/),
  });
  expect(secret.isSprung()).toBe(false);
  virsh('snapshot-create-as', twin.uuid, 's1');
  expect(secret.isSprung()).toBe(true);
  await cleanUp();

  const other = secretFile();
  const vm = of(NAME);
  const refusal = await refused('create-as', NAME, 's1');
  expect(refusal).toMatchObject({ exitCode: 5, hint: expect.stringContaining('-F FORMAT') });
  for (const words of COMMANDS) await kvmsnap(words);
  expect(other.isSprung()).toBe(false);
  pasteOk(`qemu-img rebase -u -f qcow2 -F raw -b ${pathOf(vm)}.base ${pathOf(vm)}`);
  expect((await kvmsnap(['create-as', NAME, 's1'])).code).toBe(0);
  expect(other.isSprung()).toBe(false);
  return {
    virsh: 'takes it, and qemu-img opens the file of the host, exit 0; the VM cannot be started',
    kvmsnap: 'refuses, exit 5, nothing opened; its advice works',
  };
});
