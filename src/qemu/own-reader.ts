import type { HostFiles, OpenFile } from '../host/files.ts';
import type { Appearance, Image } from '../model/image.ts';
import { appearanceOf } from './appearance.ts';
import { type Closed, withImageFile } from './image-file.ts';
import { backingOf, type Link } from './info.ts';
import { asAnswer } from './qcow2/bytes.ts';
import { readIdentity } from './qcow2/identity.ts';
import { readTags } from './qcow2/snapshot-table.ts';

/**
 * Reads one image without QEMU: what its first bytes look like, and the header of a raw or qcow2 image. Opens no other
 * file.
 */

export interface Head {
  /** What it looks like, only to be shown; null: raw. */
  readonly appearance: Appearance | null;
  /** A qcow2 header that names a data file. */
  readonly hasDataFile: boolean;
}

/** The first bytes of a file, or the reason why it is not opened. */
export async function readHead(files: HostFiles, path: string): Promise<Head | Closed> {
  const opened = await withImageFile(files, path, (image): Head => {
    const appearance = appearanceOf(image);
    return { appearance, hasDataFile: appearance?.format === 'qcow2' && hasDataFile(image) };
  });
  return 'closed' in opened ? opened.closed : opened.value;
}

const hasDataFile = (image: OpenFile): boolean =>
  (unlessDamaged(() => readIdentity(image))?.dataFile ?? null) !== null;

/** The image from its own header; null if its format or state can only be read by QEMU. */
export async function readOwn(files: HostFiles, path: string, format: string): Promise<Link | Closed | null> {
  const read = { raw: rawLink, qcow2: qcow2Link }[format];
  if (!read) return null;
  const opened = await withImageFile(files, path, (file) => unlessDamaged(() => read(path, file)));
  return 'closed' in opened ? opened.closed : opened.value;
}

function unlessDamaged<T>(read: () => T): T | null {
  try {
    return read();
  } catch (error) {
    asAnswer(error);
    return null;
  }
}

const NOTHING_ELSE: Pick<Image, 'tags' | 'backing' | 'corrupt' | 'dirty' | 'encrypted' | 'dataFile'> = {
  tags: [],
  backing: null,
  corrupt: false,
  dirty: false,
  encrypted: false,
  dataFile: null,
};

/** QEMU counts whole sectors. */
const SECTOR_BYTES = 512;

function rawLink(path: string, image: OpenFile): Link {
  return {
    image: {
      ...NOTHING_ELSE,
      path,
      format: 'raw',
      virtualBytes: Math.ceil(image.size / SECTOR_BYTES) * SECTOR_BYTES,
      allocatedBytes: image.occupiedBytes,
      clusterBytes: null,
      looksLike: appearanceOf(image),
      refcountBits: null,
    },
    below: null,
  };
}

function qcow2Link(path: string, image: OpenFile): Link | null {
  const identity = readIdentity(image);
  if (!identity) return null;
  const { snapshots, backing, ...rest } = identity;
  return {
    image: {
      ...rest,
      path,
      format: 'qcow2',
      allocatedBytes: image.occupiedBytes,
      looksLike: null,
      tags: readTags(image, snapshots),
      backing: backing && backingOf(backing, path),
    },
    below: backing,
  };
}
