import fc from 'fast-check';
import { expect, test } from 'vitest';
import { formatMetrics, parseMetrics, type Series } from '../../src/output/prometheus.ts';

const series = (vm: string, label: string, value: number): Series => ({
  family: 'kvmsnap_snapshots',
  labels: { vm, label },
  value,
});

test('each metric has one help and one type, and its series in order', () => {
  const text = formatMetrics([
    series('web-2', '', 3),
    { family: 'kvmsnap_newest_timestamp_seconds', labels: { vm: 'web-1', label: 'n' }, value: 1795930539 },
    series('web-1', 'n', 0),
  ]);
  expect(text).toBe(`# HELP kvmsnap_newest_timestamp_seconds When the newest snapshot was taken.
# TYPE kvmsnap_newest_timestamp_seconds gauge
kvmsnap_newest_timestamp_seconds{vm="web-1",label="n"} 1795930539
# HELP kvmsnap_snapshots Number of snapshots that are not on hold.
# TYPE kvmsnap_snapshots gauge
kvmsnap_snapshots{vm="web-1",label="n"} 0
kvmsnap_snapshots{vm="web-2",label=""} 3
`);
});

test('what is read again is what was written, whatever the names', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), fc.string(), fc.nat(), (vm, label, value) => {
      const one = series(vm, label, value);
      const text = formatMetrics([one]);
      expect(text.split('\n').length).toBe(4);
      expect(parseMetrics(text)).toEqual([one]);
    }),
  );
});

test.each([
  ['nothing', '', []],
  ['comments', '# anything\n\n', []],
  ['a metric of another version', 'kvmsnap_more{vm="a"} 1\n', []],
  ['a metric of another program', 'node_load1 0.5\n', null],
  ['a text', 'root:x:0:0\n', null],
  ['a line that was cut', 'kvmsnap_snapshots{vm="a', null],
])('%s', (_, text, expected) => {
  expect(parseMetrics(text)).toEqual(expected);
});
