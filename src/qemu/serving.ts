import { commaDoubled } from './command-lines.ts';

/**
 * The arguments with which QEMU's tools serve and copy what a snapshot contains. Every link of a chain has its format, so that no
 * tool probes it, and nothing is locked (`force-share`), because a guest may be using the image.
 */

/** What is served: an image with all below it, or an internal snapshot in it. */
export interface ServedImage {
  /** The image first, then its backing file, and so on; paths are absolute. */
  readonly chain: readonly { readonly path: string; readonly format: string }[];
  /** The id of the snapshot in the first image; null: the image itself. */
  readonly tagId: string | null;
}

/** A unix socket on which a disk is served, and the bytes of it that count: the server may show more. */
export interface ServedDisk {
  readonly socket: string;
  readonly diskBytes: number;
}

/** The arguments of qemu-nbd. Without `-t` it ends when its last client has gone; `clients`: how many there may be at once. */
export const serveArguments = (
  { chain, tagId }: ServedImage,
  { socket, clients }: { readonly socket: string; readonly clients: number },
): string[] => [
  '-r',
  `--shared=${clients}`,
  ...(tagId === null ? [] : ['-l', `snapshot.id=${commaDoubled(tagId)}`]),
  '-k',
  socket,
  '--image-opts',
  `${chainOptions(chain)},force-share=on`,
];

/** The same for a server in front of another one, which shows only the bytes that count. */
export const narrowArguments = (
  disk: ServedDisk,
  { socket, clients }: { readonly socket: string; readonly clients: number },
): string[] => ['-r', `--shared=${clients}`, '-k', socket, '--image-opts', diskOptions(disk)];

const chainOptions = (chain: ServedImage['chain']): string =>
  chain
    .flatMap(({ path, format }, depth) => {
      const prefix = 'backing.'.repeat(depth);
      return [`${prefix}driver=${format}`, `${prefix}file.filename=${commaDoubled(path)}`];
    })
    .join(',');

/** The image options for a disk that is served. */
export const diskOptions = ({ socket, diskBytes }: ServedDisk): string =>
  `driver=raw,size=${diskBytes},file.driver=nbd,file.server.type=unix,file.server.path=${commaDoubled(socket)}`;

/** The arguments of qemu-img that copy a served disk into a new file. */
export const copyArguments = (
  disk: ServedDisk,
  to: { readonly path: string; readonly format: string; readonly compress: boolean },
): string[] => [
  'convert',
  ...(to.compress ? ['-c'] : []),
  '-O',
  to.format,
  '--image-opts',
  diskOptions(disk),
  to.path,
];

/** The arguments of qemu-img that compare a file with a served disk. */
export const compareArguments = (
  disk: ServedDisk,
  file: { readonly path: string; readonly format: string },
): string[] => [
  'compare',
  '--image-opts',
  `driver=${file.format},file.filename=${commaDoubled(file.path)}`,
  diskOptions(disk),
];

/** The arguments of qemu-img that tell how large a qcow2 copy of a served disk becomes. */
export const measureArguments = (disk: ServedDisk): string[] => [
  'measure',
  '--output=json',
  '-O',
  'qcow2',
  '--image-opts',
  diskOptions(disk),
];

/** The arguments of qemu-img that make an overlay over a served disk; it does not connect to it. */
export const overlayArguments = ({ socket, diskBytes }: ServedDisk, path: string): string[] => [
  ...['create', '-q', '-u', '-f', 'qcow2'],
  ...['-b', `nbd+unix:///?socket=${encodeURI(socket)}`, '-F', 'raw'],
  ...[path, String(diskBytes)],
];
