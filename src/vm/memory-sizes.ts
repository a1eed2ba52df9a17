import { type HostFiles, unlessOurs } from '../host/files.ts';
import type { SnapshotReport } from '../model/report.ts';
import { isRemote } from './disks.ts';

/** The same snapshots, with the size of the memory file if they have one; null if the size is unknown. Needs no process. */
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
