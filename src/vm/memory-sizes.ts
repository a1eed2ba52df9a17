import { type HostFiles, unlessOurs } from '../host/files.ts';
import type { SnapshotReport } from '../model/report.ts';
import { isRemote } from './disks.ts';

/**
 * The same snapshots, those whose memory is in a file with the size of that file; null where it cannot be asked. No process is
 * needed for it.
 */
export async function withMemoryFiles(
  { files }: { readonly files: Pick<HostFiles, 'stat'> },
  uri: string,
  snapshots: readonly SnapshotReport[],
): Promise<SnapshotReport[]> {
  return Promise.all(
    snapshots.map(async (snapshot) => {
      const { location, file } = snapshot.memory;
      if (location !== 'external' || file === null || isRemote(uri)) return snapshot;
      const status = await files.stat(file).catch(unlessOurs);
      return { ...snapshot, memoryBytes: status?.sizeBytes ?? null };
    }),
  );
}
