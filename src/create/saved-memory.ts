import type { Domain } from '../model/domain.ts';

/** Bytes for device state, video memory and qcow2 tables, and for what the guest writes meanwhile. */
const MARGIN_BYTES = 64 * 1024 * 1024;

/**
 * The bytes that saving the memory of a running VM may need. `residentBytes`: what QEMU's process holds; null when
 * unknown.
 */
export const savedMemoryBytes = ({
  domain,
  residentBytes,
}: {
  readonly domain: Domain;
  readonly residentBytes: number | null;
}): number => (residentBytes ?? domain.memoryBytes) + MARGIN_BYTES;
