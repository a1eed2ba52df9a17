// Disk images as qemu-img and qemu-io see them.
import { closeSync, mkdtempSync, openSync, readSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { scratch, tool, tryTool } from '../lab/lab.ts';

/** What `qemu-img info` says of an image, as far as the tests look at it. */
export interface ImageInfo {
  readonly format: string;
  readonly 'virtual-size': number;
  readonly 'actual-size'?: number;
  readonly 'cluster-size'?: number;
  readonly 'backing-filename'?: string;
  readonly 'backing-filename-format'?: string;
  readonly snapshots?: readonly {
    readonly id: string;
    readonly name: string;
    readonly 'vm-state-size': number;
  }[];
}

/** A snapshot inside an image. */
export interface Tag {
  readonly id: string;
  readonly name: string;
  readonly vmStateSize: number;
}

export interface CheckResult {
  readonly clean: boolean;
  readonly leaks: number;
  readonly corruptions: number;
}

/** `qemu-img info`; works beside a running VM too. */
export function imageInfo(path: string): ImageInfo {
  return JSON.parse(tool('qemu-img', ['info', '-U', '--output=json', '--', path])) as ImageInfo;
}

/** The first bytes of every qcow2 image. */
const QCOW2 = Buffer.from('QFI\xfb', 'latin1');

/** The format of an image, a file or a URL. Most are qcow2 files, which need no process to be seen. */
export function formatOf(path: string): string {
  if (!path.startsWith('/')) return imageInfo(path).format;
  const begin = Buffer.alloc(QCOW2.length);
  const file = openSync(path, 'r');
  try {
    readSync(file, begin, 0, begin.length, 0);
  } finally {
    closeSync(file);
  }
  return begin.equals(QCOW2) ? 'qcow2' : imageInfo(path).format;
}

/** The snapshots inside an image, in its order; two may have one name. */
export function tags(path: string): Tag[] {
  return (imageInfo(path).snapshots ?? []).map((snapshot) => ({
    id: snapshot.id,
    name: snapshot.name,
    vmStateSize: snapshot['vm-state-size'],
  }));
}

/** `qemu-img check`; the VM must be off. */
export function checkImage(path: string): CheckResult {
  const { code, stdout, stderr } = tryTool('qemu-img', ['check', '--output=json', '--', path]);
  if (code === 1 || stdout === '') throw new Error(`qemu-img check ${path}: exit ${code}\n${stderr}`);
  const { leaks = 0, corruptions = 0 } = JSON.parse(stdout) as { leaks?: number; corruptions?: number };
  return { clean: code === 0, leaks, corruptions };
}

/** Fills a range of the disk (multiples of 512) with one byte; the VM must be off. */
export function writePattern(path: string, byte: number, offset: number, length: number): void {
  const command = `write -P ${byte} ${offset} ${length}`;
  const { code, stdout, stderr } = tryTool('qemu-io', ['-f', formatOf(path), '-c', command, path]);
  if (code !== 0 || /failed|error/i.test(stdout + stderr)) {
    throw new Error(`qemu-io ${command} ${path}: exit ${code}\n${stdout}${stderr}`);
  }
}

/** Whether a range of the disk holds one byte throughout. */
export function hasPattern(path: string, byte: number, offset: number, length: number): boolean {
  const command = `read -P ${byte} ${offset} ${length}`;
  const { stdout, stderr } = tryTool('qemu-io', ['-r', '-U', '-f', formatOf(path), '-c', command, path]);
  if (/^read \d+\/\d+ bytes/m.test(stdout)) return !stdout.includes('Pattern verification failed');
  throw new Error(`qemu-io ${command} ${path}:\n${stdout}${stderr}`);
}

/** The same of the disk as a snapshot inside the image keeps it. */
export function hasPatternIn(
  path: string,
  tag: string,
  byte: number,
  offset: number,
  length: number,
): boolean {
  const directory = mkdtempSync(join(scratch, 'tag-'));
  const copy = join(directory, 'disk.raw');
  try {
    const name = `snapshot.name=${tag.replaceAll(',', ',,')}`;
    tool('qemu-img', ['convert', '-U', '-f', formatOf(path), '-l', name, '-O', 'raw', '--', path, copy]);
    return hasPattern(copy, byte, offset, length);
  } finally {
    rmSync(directory, { recursive: true });
  }
}
