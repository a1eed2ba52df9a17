import type { Domain } from '../model/domain.ts';

/** Device state, video memory and qcow2 tables beside the guest's memory, with some air for what the guest writes. */
const MARGIN_BYTES = 64 * 1024 * 1024;

/** What saving the memory of a running VM may take. `residentBytes`: what QEMU's process holds; null when unknown. */
export const savedMemoryBytes = ({
  domain,
  residentBytes,
}: {
  readonly domain: Domain;
  readonly residentBytes: number | null;
}): number => (residentBytes ?? domain.memoryBytes) + MARGIN_BYTES;
