import { uint64, viewOf } from './bytes.ts';
import { MAGIC } from './header.ts';

/** The part of the header that names the file below. Source of the format: QEMU's docs/interop/qcow2.rst. */

const LONGEST_NAME = 1023;

/**
 * The name of the file that an image is laid over, as it stands in the image: null for none, for a file that is no qcow2,
 * and where the name is not within `head`, the file's first bytes.
 */
export function backingName(head: Uint8Array): string | null {
  const view = viewOf(head);
  if (head.length < 20 || view.getUint32(0) !== MAGIC) return null;
  const [offset, length] = [uint64(view, 8), view.getUint32(16)];
  if (offset === 0 || length === 0 || length > LONGEST_NAME || offset + length > head.length) return null;
  return new TextDecoder().decode(head.subarray(offset, offset + length));
}
