import type { HostFiles } from '../host/files.ts';
import { backingLocation } from './backing-name.ts';
import type { Closed } from './image-file.ts';
import type { Link } from './info.ts';
import { readHead } from './own-reader.ts';

/** Finds the next image in a backing chain. */

export type NextLink =
  | { readonly kind: 'file'; readonly path: string; readonly format: string }
  /** There is no backing file, or it is not on this host and is not followed. */
  | { readonly kind: 'end' }
  /** No format is recorded for the backing file, and what it looks like cannot be trusted. */
  | { readonly kind: 'unrecorded'; readonly path: string; readonly detail: string }
  | { readonly kind: 'closed'; readonly path: string; readonly closed: Closed };

/** `formatsBelow`: by path, the formats from the VM's XML, which take precedence over what the image records. */
export async function nextLink(
  files: HostFiles,
  { image, below }: Link,
  formatsBelow?: ReadonlyMap<string, string>,
): Promise<NextLink> {
  if (!below) return { kind: 'end' };
  const place = backingLocation(below.name, image.path);
  if (place.kind === 'elsewhere') return { kind: 'end' };
  const { path } = place;
  const recorded = formatsBelow?.get(path) ?? below.format ?? place.format;
  return recorded === null ? unrecorded(files, image.path, path) : { kind: 'file', path, format: recorded };
}

/**
 * libvirt's rule for a backing file without a recorded format (virStorageSourceGetMetadataRecurse, since 6.1): it has
 * the format that it looks like, unless it has a backing file itself; then libvirt refuses to start the VM.
 */
async function unrecorded(files: HostFiles, image: string, path: string): Promise<NextLink> {
  const head = await readHead(files, path);
  if (typeof head === 'string') return { kind: 'closed', path, closed: head };
  const { appearance } = head;
  if (appearance === null || appearance.format === 'luks') return { kind: 'file', path, format: 'raw' };
  if (!appearance.mayName) return { kind: 'file', path, format: appearance.format };
  const detail = `${image} names it without a format, and it looks like ${appearance.format}, which can name other files`;
  return { kind: 'unrecorded', path, detail };
}
