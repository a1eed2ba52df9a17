import type { HostFiles } from '../host/files.ts';
import type { Appearance, DiskImage, Image } from '../model/image.ts';
import type { Closed } from './image-file.ts';
import { infoArguments, type Link, parseInfo } from './info.ts';
import { nextLink } from './next-link.ts';
import { type Head, readHead, readOwn } from './own-reader.ts';

/**
 * Reads an image and its backing chain. The format of an image is the one with which it is used: that of the VM's XML,
 * or the one that the image above it records. Only the files of this chain are opened.
 */

/** Runs qemu-img and returns its output; a narrow form of the host's Exec. */
export type RunQemuImg = (
  args: readonly string[],
) => Promise<{ readonly stdout: string; readonly stderr: string; readonly exitCode: number | null }>;

/** The ports for inspecting an image. */
export interface ImageTools {
  readonly qemuImg: RunQemuImg;
  readonly files: HostFiles;
}

/** An image to inspect. */
export interface ImageLocation {
  readonly path: string;
  /** The format that libvirt uses for it. */
  readonly format: string;
  /** By path, the formats of the backing files in the VM's XML, which take precedence over what the images record. */
  readonly formatsBelow?: ReadonlyMap<string, string>;
}

type Broken = Extract<DiskImage, { kind: 'broken' }>;
type Unseen = Extract<DiskImage, { kind: 'unseen' }>;
type Failed = Broken | Unseen;

/**
 * Inspects an image with `qemu-img info`, and its backing files by reading their headers. Works also while a guest
 * writes to the image; then the answer may be a little old. A problem with the image is returned, not thrown; throws
 * `refused` if the output of qemu-img cannot be parsed.
 */
export async function inspectImage(tools: ImageTools, place: ImageLocation): Promise<DiskImage> {
  const { path, format } = place;
  const head = await readHead(tools.files, path);
  if (head === 'no-file') return closedTop(path, head);
  // also for a file that cannot be opened, so that a missing qemu-img is reported
  const first = await info(tools, path, format, head);
  if (head === 'permission') return closedTop(path, head);
  // another process may have been taking a snapshot of it
  const top = 'image' in first || head === 'missing' ? first : await info(tools, path, format, head);
  if ('image' in top) return follow(tools, top, place);
  if (head === 'missing') return { ...top, why: 'missing' };
  const { appearance } = head;
  const found = appearance?.format ?? 'raw';
  return found === format ? top : follow(tools, await mistaken(tools, path, found, appearance), place);
}

/**
 * The same for backing files, without a process: reads only their headers. qemu-img is used only for formats that are
 * not read here.
 */
export async function readChain(tools: ImageTools, place: ImageLocation): Promise<DiskImage> {
  const { path, format } = place;
  const top = await readLink(tools, path, format);
  return 'image' in top
    ? follow(tools, top, place)
    : top.kind === 'broken' && top.why === 'backing-missing'
      ? { ...top, why: 'missing' }
      : top;
}

function closedTop(path: string, closed: Closed): Failed {
  const failed = closedLink(path, closed);
  return failed.kind === 'broken' && failed.why === 'backing-missing'
    ? { ...failed, why: 'missing' }
    : failed;
}

function closedLink(path: string, closed: Closed): Failed {
  if (closed === 'permission') return { kind: 'unseen', why: 'permission', format: null, source: "VM's XML" };
  return closed === 'missing'
    ? { kind: 'broken', why: 'backing-missing', path, detail: 'there is no such file' }
    : { kind: 'broken', why: 'unreadable', path, detail: 'it is neither a file nor a block device' };
}

async function info(
  { qemuImg }: ImageTools,
  path: string,
  format: string,
  head: Head | Closed,
): Promise<Link | Broken> {
  const known = typeof head === 'object' ? head : null;
  const hasDataFile = format === 'qcow2' && known?.hasDataFile === true;
  const { stdout, stderr, exitCode } = await qemuImg(infoArguments(path, format, hasDataFile));
  if (exitCode === 0) return parseInfo(path, stdout, known?.appearance ?? null);
  const detail = stderr.trim().replace(/^qemu-img: /, '') || 'qemu-img failed without an error message';
  return { kind: 'broken', why: 'unreadable', path, detail };
}

/**
 * A file that does not have the format that it should have, described without opening it as the format that it looks
 * like, because that may name other files.
 */
async function mistaken(
  tools: ImageTools,
  path: string,
  found: string,
  appearance: Appearance | null,
): Promise<Link> {
  const plain = await readOwn(tools.files, path, 'raw');
  const raw = typeof plain === 'object' && plain ? plain : await rawInfo(tools, path);
  return { image: { ...raw.image, format: found, looksLike: appearance }, below: null };
}

async function rawInfo({ qemuImg }: ImageTools, path: string): Promise<Link> {
  const { stdout } = await qemuImg(infoArguments(path, 'raw', false));
  return parseInfo(path, stdout, null);
}

/** One link of a chain. */
async function readLink(tools: ImageTools, path: string, format: string): Promise<Link | Failed> {
  const own = await readOwn(tools.files, path, format);
  if (typeof own === 'string') return closedLink(path, own);
  if (own) return own;
  const head = await readHead(tools.files, path);
  return typeof head === 'string' ? closedLink(path, head) : info(tools, path, format, head);
}

/** Follows the chain from the top, link by link, as long as the files are on this host. */
async function follow(
  tools: ImageTools,
  top: Link,
  { path, formatsBelow }: ImageLocation,
): Promise<DiskImage> {
  const chain: [Image, ...Image[]] = [top.image];
  const visited = new Set([path]);
  let link = top;
  for (;;) {
    const next = await nextLink(tools.files, link, formatsBelow);
    if (next.kind === 'end') return { kind: 'seen', chain };
    if (next.kind === 'closed') return closedLink(next.path, next.closed);
    if (next.kind === 'unrecorded')
      return { kind: 'broken', why: 'format-unrecorded', path: next.path, detail: next.detail };
    if (visited.has(next.path))
      return { kind: 'broken', why: 'unreadable', path, detail: 'its backing chain is a loop' };
    visited.add(next.path);
    const below = await readLink(tools, next.path, next.format);
    if (!('image' in below)) return below;
    chain.push(below.image);
    link = below;
  }
}
