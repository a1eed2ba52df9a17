import type { Domain } from '../model/domain.ts';

/** Bytes for device state, video memory and qcow2 tables, and for what the guest writes during the save. */
const MARGIN_BYTES = 64 * 1024 * 1024;

/**
 * The bytes that saving the memory of a running VM may need. `residentBytes`: resident memory of the QEMU process; null
 * if unknown.
 */
export const savedMemoryBytes = ({
  domain,
  residentBytes,
}: {
  readonly domain: Domain;
  readonly residentBytes: number | null;
}): number => (residentBytes ?? domain.memoryBytes) + MARGIN_BYTES;
