import { KvmsnapError } from '../errors.ts';
import { readReplaceable, replaceFile } from '../host/replaced-file.ts';
import { inText } from '../model/text.ts';
import { formatMetrics, parseMetrics, type Series } from '../output/prometheus.ts';
import type { Recording } from '../run/recording.ts';
import { afterRun } from './metrics.ts';

/** The file of `--metrics`, which the textfile collector of node_exporter reads. */

/** The series in the file, none if it does not exist. Throws `usage` for a file that kvmsnap must not or cannot replace. */
export async function readMetricsFile(path: string): Promise<Series[]> {
  const text = await readReplaceable(path).catch((error: Error) => {
    throw new KvmsnapError('usage', `cannot write to the file of --metrics: ${error.message}`);
  });
  const series = parseMetrics(text ?? '');
  if (series) return series;
  throw new KvmsnapError(
    'usage',
    `${inText(path)} is not replaced, because it does not contain only metrics of kvmsnap`,
    { hint: 'choose another file for --metrics' },
  );
}

/** Writes the ends of runs into the file, with what was read; every user may read it. Throws `refused`. */
export async function addRuns(path: string, recordings: readonly Recording[]): Promise<void> {
  const series = recordings.reduce<readonly Series[]>(afterRun, await readMetricsFile(path));
  await replaceFile(path, formatMetrics(series), 0o644).catch((error: Error) => {
    throw new KvmsnapError('refused', `cannot write the file of --metrics: ${error.message}`, {
      hint: 'the action itself was done; only the metrics are those of an earlier run',
    });
  });
}
