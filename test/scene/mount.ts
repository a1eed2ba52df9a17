// What only root can make: filesystems and block devices.
import { mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { scratch, tool, tryTool } from '../lab/lab.ts';
import { imageInfo } from './disk.ts';

const mounted: string[] = [];
const attached: string[] = [];

/**
 * Mounts an empty filesystem of that size and returns where: in a new directory, or over the one given.
 * It lies in memory, and only the lab sees it.
 */
export function smallFilesystem(sizeMiB: number, over?: string): string {
  const directory = over ?? mkdtempSync(join(scratch, 'small-'));
  tool('mount', ['-n', '-t', 'tmpfs', '-o', `size=${sizeMiB}M,mode=755`, 'tmpfs', directory]);
  mounted.push(directory);
  return directory;
}

/**
 * Adds commands to a directory of the system as an installation would, each name with its file; only the lab sees them.
 * What was there stays, seen through a read-only mount that lies in the lab's own /run.
 */
export function installCommands(directory: string, commands: Readonly<Record<string, string>>): void {
  const before = `/run/installed${directory}`;
  mkdirSync(before, { recursive: true });
  tool('mount', ['-n', '--bind', '-o', 'ro', directory, before]);
  mounted.push(before);
  smallFilesystem(1, directory);
  for (const name of readdirSync(before)) symlinkSync(join(before, name), join(directory, name));
  for (const [name, file] of Object.entries(commands)) {
    rmSync(join(directory, name), { force: true });
    symlinkSync(file, join(directory, name));
  }
}

/** Puts a script in the place of a command, for the lab only; it is told where the command itself is to be found. */
export function replaceCommand(path: string, script: (original: string) => string): void {
  const directory = mkdtempSync(join(scratch, 'command-'));
  const [original, replacement] = [join(directory, 'original'), join(directory, 'replacement')];
  writeFileSync(original, '');
  writeFileSync(replacement, script(original), { mode: 0o755 });
  for (const [from, to] of [
    [path, original],
    [replacement, path],
  ] as const) {
    tool('mount', ['-n', '--bind', from, to]);
    mounted.push(to);
  }
}

/** Shows a directory under another path too, which is there. */
export function bindMount(directory: string, at: string): void {
  tool('mount', ['-n', '--bind', directory, at]);
  mounted.push(at);
}

/**
 * Nothing on this file system can be opened for writing any more, as after `mount -o remount,ro`, which the kernel refuses
 * while a QEMU has an image open: it goes on writing.
 */
export function makeReadOnly(directory: string): void {
  bindMount(directory, directory);
  tool('mount', ['-n', '-o', 'remount,bind,ro', directory]);
}

export function makeWritable(directory: string): void {
  tool('mount', ['-n', '-o', 'remount,bind,rw', directory]);
}

/** Leaves no byte free, in a file `fill`. */
export function fillFilesystem(directory: string): void {
  tryTool('sh', ['-c', 'cat /dev/zero > "$1"', 'sh', join(directory, 'fill')]);
}

/** Writes to all of the qcow2 image on a block device, and hands back whether that is full now; the machine must be off. */
export function fillDevice(path: string): boolean {
  const { 'virtual-size': bytes } = imageInfo(path);
  const writes = Array.from({ length: bytes / 65536 }, (_, i) => [
    '-c',
    `write -P 9 ${i * 65536} 64k`,
  ]).flat();
  const { stdout, stderr } = tryTool('qemu-io', ['-f', 'qcow2', ...writes, path]);
  return (stdout + stderr).includes('No space left');
}

/** Unmounts one of `smallFilesystem`. */
export function unmount(directory: string): void {
  tool('umount', ['-n', '-l', directory]);
  mounted.splice(mounted.lastIndexOf(directory), 1);
}

/** A block device (loop) over a file; the lab's end detaches it too, for devices know no namespaces. */
export function blockDevice(path: string): string {
  const device = tool('losetup', ['--find', '--show', '--', path]).trim();
  attached.push(device);
  // that it may not be written to is kept by the kernel beyond the file that it stood for: a test may have died
  tool('blockdev', ['--setrw', device]);
  return device;
}

/** Unmounts and detaches all that this test file made. */
export function removeMounts(): void {
  for (const directory of mounted.splice(0).reverse()) tryTool('umount', ['-n', '-l', directory]);
  for (const device of attached.splice(0)) {
    tryTool('blockdev', ['--setrw', device]); // the next that gets this number would be read-only too
    tryTool('losetup', ['-d', device]);
  }
}
