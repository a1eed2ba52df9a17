// A file system in user space that holds one empty file and counts its blocks as it is told. The protocol: linux/fuse.h, 7.31.
import { spawnSync } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, read, write } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { scratch, tryTool } from '../lab/lab.ts';

export interface FuseNumbers {
  /** `f_bsize`, the size that reads and writes had best have. */
  readonly ioBytes: number;
  /** `f_frsize`, the unit of the counts. */
  readonly unitBytes: number;
  readonly blocks: number;
  readonly available: number;
}

export interface FuseMount {
  /** The one file. */
  readonly file: string;
  unmount(): void;
}

const [LOOKUP, FORGET, GETATTR, STATFS, INIT, BATCH_FORGET] = [1, 2, 3, 17, 26, 42];
const NOT_SUPPORTED = -38;
const IN_HEADER = 40;
const NAME = 'file';

/** Only root can; the lab alone sees it. */
export function mountFuse(numbers: FuseNumbers): FuseMount {
  const directory = mkdtempSync(join(scratch, 'fuse-'));
  const device = openSync('/dev/fuse', 'r+');
  const options = 'fd=3,rootmode=40000,user_id=0,group_id=0';
  const { status, stderr } = spawnSync(
    'mount',
    ['-n', '-i', '-t', 'fuse', '-o', options, 'test', directory],
    {
      stdio: ['ignore', 'ignore', 'pipe', device],
      encoding: 'utf8',
    },
  );
  if (status !== 0) throw new Error(`mount -t fuse: ${stderr}`);
  serve(device, numbers).finally(() => closeSync(device));
  return {
    file: join(directory, NAME),
    unmount: () => void tryTool('umount', ['-n', '-l', directory]),
  };
}

/** Answers until it is unmounted. */
async function serve(device: number, numbers: FuseNumbers): Promise<void> {
  const request = Buffer.alloc(256 * 1024);
  for (;;) {
    const got = await promisify(read)(device, request, 0, request.length, null).catch(() => null);
    if (!got) return;
    const [opcode, node] = [request.readUInt32LE(4), Number(request.readBigUInt64LE(16))];
    if (opcode === FORGET || opcode === BATCH_FORGET) continue;
    const body = answer(opcode, node, request.subarray(IN_HEADER, got.bytesRead), numbers);
    const head = Buffer.alloc(16);
    head.writeUInt32LE(16 + (body?.length ?? 0), 0);
    head.writeInt32LE(body ? 0 : opcode === LOOKUP ? -2 : NOT_SUPPORTED, 4);
    request.copy(head, 8, 8, 16);
    await promisify(write)(device, Buffer.concat([head, body ?? Buffer.alloc(0)])).catch(() => undefined);
  }
}

function answer(opcode: number, node: number, body: Buffer, numbers: FuseNumbers): Buffer | null {
  switch (opcode) {
    case INIT: {
      const out = Buffer.alloc(64);
      out.writeUInt32LE(7, 0);
      out.writeUInt32LE(31, 4);
      out.writeUInt32LE(4096, 20);
      return out;
    }
    case LOOKUP:
      return body.toString('utf8').split('\0')[0] === NAME ? Buffer.concat([entry(2), attributes(2)]) : null;
    case GETATTR:
      return Buffer.concat([Buffer.alloc(16), attributes(node)]);
    case STATFS: {
      const out = Buffer.alloc(80);
      out.writeBigUInt64LE(BigInt(numbers.blocks), 0);
      out.writeBigUInt64LE(BigInt(numbers.available), 8);
      out.writeBigUInt64LE(BigInt(numbers.available), 16);
      out.writeUInt32LE(numbers.ioBytes, 40);
      out.writeUInt32LE(255, 44);
      out.writeUInt32LE(numbers.unitBytes, 48);
      return out;
    }
    default:
      return null;
  }
}

function entry(node: number): Buffer {
  const out = Buffer.alloc(40);
  out.writeBigUInt64LE(BigInt(node), 0);
  return out;
}

function attributes(node: number): Buffer {
  const out = Buffer.alloc(88);
  out.writeBigUInt64LE(BigInt(node), 0);
  out.writeUInt32LE(node === 1 ? 0o40755 : 0o100644, 60);
  out.writeUInt32LE(1, 64);
  return out;
}
