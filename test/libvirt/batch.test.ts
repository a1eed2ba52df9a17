import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { MAX_BATCH_BYTES, packBatches, splitAnswers, type VirshCommand } from '../../src/libvirt/batch.ts';
import { dumpCommand } from '../../src/libvirt/snapshots.ts';
import { anyName } from '../any-name.ts';
import { capture, VERSIONS } from '../captures.ts';
import { parseScript } from './virsh-script.ts';

const UUID = '423f4d57-8887-409e-a29c-e2ee1690a61b';

/** What virsh is told by these batches, without the markers. */
const told = (commands: readonly VirshCommand[]): string[][] =>
  packBatches(commands, 'nonce')
    .flatMap(({ script }) => parseScript(script))
    .filter(([verb]) => verb !== 'echo');

describe('packing', () => {
  test('one word, a marker before each command', () => {
    expect(packBatches([['uri'], ['domname', '--domain', "it's"]], 'abc')).toEqual([
      { script: "echo @@abc-0; uri; echo @@abc-1; domname --domain 'it'\\''s'", size: 2 },
    ]);
  });

  test('nothing costs nothing', () => {
    expect(packBatches([], 'abc')).toEqual([]);
  });

  test('virsh reads every name as it is', () => {
    fc.assert(
      fc.property(fc.array(anyName, { maxLength: 6 }), (names) => {
        const commands = names.map((name) => dumpCommand(UUID, name));
        expect(told(commands)).toEqual(commands);
      }),
    );
  });

  test.each([
    ['plain names', 'snapshot-'],
    ['three bytes a character', '快照'.repeat(30)],
    ['four bytes a character', '🙂'.repeat(40)],
    ['quotes, each of which becomes four characters', "'".repeat(100)],
  ])('2000 commands with %s: as few batches as fit below the limit, in order', (_, prefix) => {
    const commands = Array.from({ length: 2000 }, (_, i) => dumpCommand(UUID, `${prefix}${i}`));
    const batches = packBatches(commands, 'nonce');
    const bytes = batches.map(({ script }) => Buffer.byteLength(script));
    expect(Math.max(...bytes)).toBeLessThanOrEqual(MAX_BATCH_BYTES);
    expect(Math.min(...bytes)).toBeGreaterThan(0.9 * Math.max(...bytes));
    expect(batches.length).toBeLessThanOrEqual(
      Math.ceil(bytes.reduce((a, b) => a + b) / (0.95 * MAX_BATCH_BYTES)),
    );
    expect(batches.reduce((sum, { size }) => sum + size, 0)).toBe(commands.length);
    expect(told(commands)).toEqual(commands);
  });

  test('a command that is longer than the limit stands alone', () => {
    const long = ['domname', '--domain', 'x'.repeat(MAX_BATCH_BYTES)];
    expect(packBatches([['uri'], long, ['uri']], 'n').map(({ size }) => size)).toEqual([1, 1, 1]);
  });

  test('the limit leaves room in the one argument that Linux takes', () => {
    expect(MAX_BATCH_BYTES).toBeLessThan(128 * 1024);
  });
});

describe('splitting', () => {
  const [batch = { script: '', size: 0 }] = packBatches([['a'], ['b'], ['c']], 'n');

  test.each([
    [
      'each answer without its last line feed',
      '@@n-0\nx\n\n@@n-1\ny\n@@n-2\nz\nz\n\n',
      ['x\n', 'y', 'z\nz\n'],
    ],
    ['a failed command says nothing', '@@n-0\nx\n@@n-1\n\n@@n-2\nz\n', ['x', '', 'z']],
    ['virsh ended in the middle', '@@n-0\nx\n@@n-1\nhal', ['x', 'hal', null]],
    ['virsh never began', '', [null, null, null]],
    ['talk before the first marker', 'welcome\n@@n-0\nx\n@@n-1\ny\n@@n-2\n', ['x', 'y', '']],
    [
      'a line much like a marker',
      '@@n-0\n@@1\n@@n-11\n@@m-1\n@@n-1x\n@@n-1\ny\n@@n-2\n',
      ['@@1\n@@n-11\n@@m-1\n@@n-1x', 'y', ''],
    ],
  ])('%s', (_, stdout, answers) => {
    expect(splitAnswers(stdout, batch, 'n')).toEqual(answers);
  });

  test('whatever was answered, each command gets its own back', () => {
    fc.assert(
      fc.property(fc.array(anyName, { minLength: 1, maxLength: 12 }), (texts) => {
        const [packed = { script: '', size: 0 }] = packBatches(
          texts.map(() => ['uri']),
          'nonce',
        );
        const stdout = texts.map((text, i) => `@@nonce-${i}\n${text}\n`).join('');
        expect(splitAnswers(stdout, packed, 'nonce')).toEqual(texts);
      }),
    );
  });

  test.each(VERSIONS)('the answers of libvirt %s', (version) => {
    const stdout = capture(version, 'batch.out').replace(/^@@(\d)$/gm, (_, n) => `@@n-${Number(n) - 1}`);
    const [run1, missing, names, last] = splitAnswers(stdout, { script: '', size: 4 }, 'n');
    expect(run1).toMatch(/^<domainsnapshot>\n {2}<name>run1<\/name>\n.*<\/domainsnapshot>\n$/s);
    expect(missing).toBe('');
    expect(names).toMatch(/^\d+\next1\nextmem1\nrun1\n$/);
    expect(last).toBe('');
  });
});
