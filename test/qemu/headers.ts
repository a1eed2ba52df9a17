/** The first bytes of images, as QEMU writes them or as a guest may write them to the beginning of its raw disk. */

export interface Qcow2Names {
  readonly backing?: string;
  readonly backingFormat?: string;
  readonly dataFile?: string;
}

/** A header of version 3 that names other files, in a file of 64 KiB with nothing else in it. */
export function qcow2Header({ backing, backingFormat, dataFile }: Qcow2Names = {}): Buffer {
  const bytes = Buffer.alloc(65_536);
  bytes.write('QFI\xfb', 0, 'latin1');
  bytes.writeUInt32BE(3, 4);
  bytes.writeUInt32BE(16, 20);
  bytes.writeBigUInt64BE(4n * 1024n * 1024n, 24);
  bytes.writeUInt32BE(dataFile === undefined ? 0 : 4, 76);
  bytes.writeUInt32BE(4, 96);
  bytes.writeUInt32BE(104, 100);
  let at = 104;
  const extend = (kind: number, text: string | undefined) => {
    if (text === undefined) return;
    bytes.writeUInt32BE(kind, at);
    bytes.writeUInt32BE(Buffer.byteLength(text), at + 4);
    bytes.write(text, at + 8);
    at += 8 + Math.ceil(Buffer.byteLength(text) / 8) * 8;
  };
  extend(0xe2792aca, backingFormat);
  extend(0x44415441, dataFile);
  if (backing !== undefined) {
    bytes.writeBigUInt64BE(BigInt(at + 8), 8);
    bytes.writeUInt32BE(Buffer.byteLength(backing), 16);
    bytes.write(backing, at + 8);
  }
  return bytes;
}

/** A VMDK image that is a text, with its data in another file. */
export const vmdkDescriptor = (extent: string): Buffer =>
  Buffer.from(
    `# Disk DescriptorFile\nversion=1\nCID=12345678\nparentCID=ffffffff\ncreateType="monolithicFlat"\n\n# Extent\nRW 8192 FLAT "${extent}" 0\n\n# DDB\nddb.virtualHWVersion = "4"\nddb.geometry.cylinders = "8"\nddb.geometry.heads = "16"\nddb.geometry.sectors = "63"\nddb.adapterType = "ide"\n`,
  );

/** One that is a single file, with a parent. */
export function vmdkSparse(parent: string | null): Buffer {
  const bytes = Buffer.alloc(65_536);
  bytes.write('KDMV', 0, 'latin1');
  bytes.writeUInt32LE(1, 4);
  bytes.writeBigUInt64LE(8192n, 12);
  bytes.write(
    `# Disk DescriptorFile\nversion=1\n${parent === null ? '' : `parentFileNameHint="${parent}"\n`}`,
    512,
  );
  return bytes;
}

/** Only what a probe looks for. */
export const signature = (text: string, offset = 0): Buffer => {
  const bytes = Buffer.alloc(65_536);
  bytes.write(text, offset, 'latin1');
  return bytes;
};
