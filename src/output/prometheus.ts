/**
 * Metrics in the text format of Prometheus: as they are printed, and as they are read again from a file that kvmsnap has
 * written (https://prometheus.io/docs/instrumenting/exposition_formats/).
 */

/** The metrics with their help texts, all gauges, in the order in which they are printed. */
const FAMILIES = {
  kvmsnap_newest_timestamp_seconds: 'When the newest snapshot was taken.',
  kvmsnap_oldest_timestamp_seconds: 'When the oldest snapshot that is not on hold was taken.',
  kvmsnap_proven_timestamp_seconds: 'When kvmsnap verify last proved that a snapshot works.',
  kvmsnap_snapshots: 'Number of snapshots that are not on hold.',
  kvmsnap_held_snapshots: 'Number of snapshots on hold.',
  kvmsnap_frees_bytes: 'Bytes that deleting all snapshots that are not on hold gives back to the host.',
  kvmsnap_last_run_timestamp_seconds: 'When kvmsnap last ended, whatever the result.',
  kvmsnap_last_run_success: 'Whether the last run ended with exit code 0.',
  kvmsnap_last_success_timestamp_seconds: 'When a run last ended with exit code 0.',
} as const;

export type FamilyName = keyof typeof FAMILIES;

/** One line: a metric with its labels, in their order, and its value. */
export interface Series {
  readonly family: FamilyName;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

/** The series as text, grouped by metric and sorted within it. */
export function formatMetrics(series: readonly Series[]): string {
  return (Object.keys(FAMILIES) as FamilyName[])
    .map((family) => ({
      family,
      lines: series.filter((each) => each.family === family).map((each) => `${nameOf(each)} ${each.value}\n`),
    }))
    .filter(({ lines }) => lines.length > 0)
    .map(
      ({ family, lines }) =>
        `# HELP ${family} ${FAMILIES[family]}\n# TYPE ${family} gauge\n${lines.sort().join('')}`,
    )
    .join('');
}

/** `kvmsnap_snapshots{vm="web-1",label="nightly"}` */
const nameOf = ({ family, labels }: Series): string =>
  `${family}{${Object.entries(labels)
    .map(([name, value]) => `${name}="${escaped(value)}"`)
    .join(',')}}`;

const escaped = (value: string): string =>
  value.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n');

const plain = (value: string): string =>
  value.replace(/\\(.)/g, (_, char: string) => (char === 'n' ? '\n' : char));

const LABEL = /([a-z_]+)="((?:[^"\\]|\\.)*)"/g;
const LINE = new RegExp(`^(kvmsnap_[a-z_]+)\\{((?:${LABEL.source},?)*)\\} (-?[0-9.e+]+)$`);

/** The series of a text that `formatMetrics` has made; null if another program has written it. Unknown metrics are left out. */
export function parseMetrics(text: string): Series[] | null {
  const lines = text.split('\n').filter((line) => line.trim() !== '' && !line.startsWith('#'));
  const parsed = lines.map((line) => LINE.exec(line));
  if (parsed.includes(null)) return null;
  return parsed.flatMap((match) => {
    const [, family = '', labels = ''] = match ?? [];
    if (!(family in FAMILIES)) return [];
    const pairs = [...labels.matchAll(LABEL)].map(([, name = '', value = '']) => [name, plain(value)]);
    return [
      { family: family as FamilyName, labels: Object.fromEntries(pairs), value: Number(match?.at(-1)) },
    ];
  });
}
