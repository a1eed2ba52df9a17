import fc from 'fast-check';
import { expect, test } from 'vitest';
import { nagiosLine, unknownLine } from '../../src/output/nagios.ts';

const bound = (amount: number) => ({ amount, says: String(amount) });

test('state, text and performance data', () => {
  expect(
    nagiosLine('WARNING', '1 warning on web', [
      { label: 'vms', value: 1, unit: '' },
      { label: 'newest_age', value: 100, unit: 's', limit: { warn: bound(60), crit: bound(120) } },
      { label: 'space', value: 5, unit: 'B', limit: { warn: null, crit: bound(9) } },
      { label: 'depth', value: 2, unit: '', limit: null },
    ]),
  ).toBe(
    'KVMSNAP WARNING - 1 warning on web | vms=1;;;0 newest_age=100s;60;120;0 space=5B;;9;0 depth=2;;;0\n',
  );
});

test('it is one line without a bar in its text, whatever the text is', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 3000 }), (text) => {
      const line = nagiosLine('OK', text);
      expect(line).toMatch(/^KVMSNAP OK - [^|\p{Cc}]*\n$/u);
      expect(line.length).toBeLessThan(8192);
    }),
  );
});

test('a failure is unknown, whatever was thrown', () => {
  expect(unknownLine(new Error('no virsh\nhere'))).toBe('KVMSNAP UNKNOWN - no virsh here\n');
  expect(unknownLine('x | y')).toBe('KVMSNAP UNKNOWN - x / y\n');
});
