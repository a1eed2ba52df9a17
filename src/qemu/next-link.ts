import type { HostFiles } from '../host/files.ts';
import { backingLocation } from './backing-name.ts';
import type { Closed } from './image-file.ts';
import type { Link } from './info.ts';
import { readHead } from './own-reader.ts';

/** Where a backing chain goes on below an image. */

export type NextLink =
  | { readonly kind: 'file'; readonly path: string; readonly format: string }
  /** Nothing is below it, or what is below is no file of this host: nobody here follows that. */
  | { readonly kind: 'end' }
  /** No format is recorded for that file, and what it looks like may not be believed. */
  | { readonly kind: 'unrecorded'; readonly path: string; readonly detail: string }
  | { readonly kind: 'closed'; readonly path: string; readonly closed: Closed };

/** `formatsBelow`: by path, the formats that the VM's XML gives; they come before what the image records. */
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
 * libvirt's rule for a file of which no format is recorded (virStorageSourceGetMetadataRecurse, since 6.1): it is what it
 * looks like, unless that lies on another file; then libvirt refuses to start the VM.
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
