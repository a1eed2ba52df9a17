import * as z from 'zod/mini';
import { INTERPRETED, understand } from '../errors.ts';
import type { Appearance, Image } from '../model/image.ts';
import { backingLocation } from './backing-name.ts';
import { commaDoubled } from './command-lines.ts';

/**
 * `qemu-img info` of one image with an explicit format. Format of the output: QEMU's qapi/block-core.json, ImageInfo;
 * fixtures of four versions.
 */

const ImageInfo = z.object({
  filename: z.string(),
  format: z.string(),
  'virtual-size': z.number(),
  'actual-size': z.optional(z.number()),
  'cluster-size': z.optional(z.number()),
  'dirty-flag': z.optional(z.boolean()),
  encrypted: z.optional(z.boolean()),
  'backing-filename': z.optional(z.string()),
  'backing-filename-format': z.optional(z.string()),
  snapshots: z.optional(
    z.array(
      z.object({ id: z.string(), name: z.string(), 'vm-state-size': z.number(), 'date-sec': z.number() }),
    ),
  ),
  'format-specific': z.optional(
    z.object({
      data: z.optional(
        z.object({
          corrupt: z.optional(z.boolean()),
          'data-file': z.optional(z.string()),
          'refcount-bits': z.optional(z.number()),
          bitmaps: z.optional(z.array(z.object({ name: z.string() }))),
        }),
      ),
    }),
  ),
});

/** The recorded name and format of a backing file; the format is null if none is recorded. */
export interface RecordedBacking {
  readonly name: string;
  readonly format: string | null;
}

/** An image with what it records about its backing file. */
export interface Link {
  readonly image: Image;
  readonly below: RecordedBacking | null;
}

/**
 * The arguments name the format, and no other file is opened. `-U`: a guest may be using the image. The absolute path
 * stands after `--`, because a name that starts with `-`, `nbd:` or `json:` would be misunderstood. QEMU before 7.2
 * opens the data file that a qcow2 image names, unless it is given another one.
 */
export function infoArguments(path: string, format: string, hasDataFile: boolean): string[] {
  const asked = ['info', '-U', '--output=json'];
  if (!hasDataFile) return [...asked, '-f', format, '--', path];
  const options = `driver=${format},file.filename=${commaDoubled(path)},data-file.driver=null-co`;
  return [...asked, '--image-opts', '--', options];
}

/** Parses the output about the image at that path; throws `refused` if that fails. */
export function parseInfo(path: string, stdout: string, looksLike: Appearance | null): Link {
  const info = understand(`qemu-img about ${path}`, () =>
    z.parse(ImageInfo, JSON.parse(stdout), INTERPRETED),
  );
  const data = info['format-specific']?.data;
  const name = info['backing-filename'];
  const below = name === undefined ? null : { name, format: info['backing-filename-format'] ?? null };
  const image: Image = {
    path,
    format: info.format,
    virtualBytes: info['virtual-size'],
    allocatedBytes: info['actual-size'] ?? 0,
    clusterBytes: info['cluster-size'] ?? null,
    tags: (info.snapshots ?? []).map((tag) => ({
      id: tag.id,
      name: tag.name,
      vmStateBytes: tag['vm-state-size'],
      createdAtSeconds: tag['date-sec'],
    })),
    backing: below && backingOf(below, path),
    looksLike: info.format === 'raw' ? looksLike : null,
    corrupt: data?.corrupt ?? false,
    dirty: info['dirty-flag'] ?? false,
    encrypted: info.encrypted ?? false,
    dataFile: data?.['data-file'] ?? null,
    refcountBits: data?.['refcount-bits'] ?? null,
    ...(data?.bitmaps && data.bitmaps.length > 0 ? { bitmaps: data.bitmaps.map(({ name }) => name) } : {}),
  };
  return { image, below };
}

/** The absolute path of the backing file, or its name if it is not a file of this host. */
export function backingOf({ name }: RecordedBacking, path: string): string {
  const place = backingLocation(name, path);
  return place.kind === 'file' ? place.path : place.name;
}
