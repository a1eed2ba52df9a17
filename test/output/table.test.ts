import stringWidth from 'string-width';
import { beforeEach, describe, expect, test, vi } from 'vitest';
import { createPaint } from '../../src/output/color.ts';
import { type Canvas, renderTable } from '../../src/output/table.ts';
import type { Column } from '../../src/output/view.ts';
import { MiB, TAKEN_AT } from '../model.ts';

interface Row {
  readonly name: string;
  readonly on?: boolean;
  readonly at?: number | null;
  readonly bytes?: number | null;
  readonly count?: number;
  readonly note?: string | null;
}

const COLUMNS: readonly Column<Row>[] = [
  { key: 'on', title: '', kind: 'mark', value: ({ on = false }) => on, tone: () => 'good' },
  { key: 'name', title: 'NAME', kind: 'text', value: ({ name }) => name },
  { key: 'at', title: 'AT', kind: 'time', value: ({ at = TAKEN_AT }) => at },
  { key: 'bytes', title: 'SIZE', kind: 'bytes', value: ({ bytes = null }) => bytes },
  { key: 'count', title: 'COUNT', kind: 'count', value: ({ count = 0 }) => count },
  { key: 'note', title: 'NOTE', kind: 'text', value: ({ note = null }) => note, flexible: true },
];

const ROWS: readonly Row[] = [
  { name: '快照-1', on: true, bytes: 5 * MiB, count: 12, note: 'before the upgrade' },
  { name: 'b', at: null, note: 'a\nb' },
];

beforeEach(() => {
  vi.stubEnv('TZ', 'Asia/Shanghai');
  return () => vi.unstubAllEnvs();
});

const canvas = (changes: Partial<Canvas> = {}): Canvas => ({
  isTerminal: true,
  columns: 120,
  paint: createPaint(0),
  now: TAKEN_AT + 7200,
  ...changes,
});

const draw = (rows: readonly Row[], changes?: Partial<Canvas>) =>
  renderTable({ columns: COLUMNS, rows }, canvas(changes));

describe('on a terminal', () => {
  test('a head over a rule, local times with their age, sizes to the right', async () => {
    expect(await draw(ROWS)).toBe(
      `
   NAME    AT                            SIZE  COUNT  NOTE
─  ──────  ─────────────────────────  ───────  ─────  ──────────────────
*  快照-1  2026-11-23 17:06:40 (2 h)  5.0 MiB     12  before the upgrade
   b       -                                -      0  a\\nb
`.slice(1),
    );
  });

  test('colors do not move the columns', async () => {
    const colored = await draw(ROWS, { paint: createPaint(1) });
    expect(colored).toContain('\x1b[1mNAME\x1b[22m');
    expect(colored).toContain('\x1b[32m*\x1b[39m');
    // biome-ignore lint/suspicious/noControlCharactersInRegex: it is what colors are made of
    const bare = colored.replace(/\x1b\[\d+m/g, '');
    expect(bare.split('\n').map((line) => line.trimEnd())).toEqual((await draw(ROWS)).split('\n'));
  });

  const widest = (lines: readonly string[]) => Math.max(...lines.map((line) => stringWidth(line)));

  test.each([61, 66, 70, 72])(
    '%i columns: the flexible column is cut, and no line is longer',
    async (columns) => {
      const note = 'before the upgrade of 数据库服务器 and all that hangs on it';
      const rows = [
        { name: 'a', on: true, note },
        { name: 'b', note: 'short' },
      ];
      const lines = (await draw(rows, { columns })).trimEnd().split('\n');
      expect(widest(lines)).toBeLessThanOrEqual(columns);
      expect(lines[2]).toMatch(/before the.*…$/);
      expect(lines[3]).toMatch(/short$/);
    },
  );

  test('a column with nothing in it counts too', async () => {
    const text = await draw([{ name: 'a', note: 'x'.repeat(80) }], { columns: 70 });
    expect(widest(text.split('\n'))).toBeLessThanOrEqual(70);
  });

  test('wide characters are not cut in half', async () => {
    const rows = [{ name: 'a', on: true, note: '数据库服务器备份快照说明' }];
    const lines = (await draw(rows, { columns: 63 })).trimEnd().split('\n');
    expect(widest(lines)).toBeLessThanOrEqual(63);
    expect(lines[2]).toMatch(/ 数据库服务器备?…$/);
  });

  test('what needs no cutting is not cut', async () => {
    expect(await draw(ROWS, { columns: 73 })).toBe(await draw(ROWS, { columns: 500 }));
  });

  test.each([
    [55, ['', 'NAME', 'AT', 'SIZE', 'COUNT']],
    [46, ['', 'NAME', 'AT', 'SIZE']],
    [40, ['', 'NAME', 'AT']],
    [20, ['', 'NAME', 'AT']],
    [8, ['', 'NAME']],
  ])('%i columns leave out the last ones, and cut text but no numbers', async (columns, heads) => {
    const lines = (await draw(ROWS, { columns })).trimEnd().split('\n');
    expect(widest(lines)).toBeLessThanOrEqual(columns);
    expect(lines[0]?.split(/ {2,}/)).toEqual(heads);
    expect(lines[2]).toMatch(columns < 30 ? /…$/ : / {2}\S.*[^…]$/);
  });

  test('a column that is worth nothing when cut stays whole, and then nothing is left out', async () => {
    const whole = COLUMNS.map((column) => (column.key === 'name' ? { ...column, whole: true } : column));
    const text = await renderTable({ columns: whole, rows: ROWS }, canvas({ columns: 10 }));
    expect(text).toMatch(/NAME +AT +SIZE +COUNT +NOTE\n/);
    // a row may wrap, its rule need not
    expect(text.split('\n')[1]?.length).toBeLessThanOrEqual(10);
  });
});

describe('in a pipe', () => {
  test('no rule, nothing cut, absolute times', async () => {
    expect(await draw(ROWS, { isTerminal: false, columns: 20 })).toBe(
      `
   NAME    AT                            SIZE  COUNT  NOTE
*  快照-1  2026-11-23T17:06:40+08:00  5.0 MiB     12  before the upgrade
   b       -                                -      0  a\\nb
`.slice(1),
    );
  });

  test('colors only where they were asked for', async () => {
    expect(await draw(ROWS, { isTerminal: false })).not.toContain('\x1b');
    expect(await draw(ROWS, { isTerminal: false, paint: createPaint(1) })).toContain('\x1b[1mNAME');
  });
});

describe.each([true, false])('terminal: %s', (isTerminal) => {
  test('without rows there is still the head', async () => {
    expect(await draw([], { isTerminal })).toMatch(/^\s*NAME +AT +SIZE +COUNT +NOTE\n/);
  });

  test('what could redraw the terminal is escaped, and lines stay lines', async () => {
    const text = await draw([{ name: '\x1b[2J\u009b', note: '\u202ex\r' }], { isTerminal });
    expect(text).toContain('\\x1b[2J\\x9b');
    expect(text).toContain('\\u202ex\\x0d');
    // biome-ignore lint/suspicious/noControlCharactersInRegex: exactly these must be gone
    expect(text).not.toMatch(/[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]/);
  });

  test('an empty text is a dash, as what is absent', async () => {
    expect(await draw([{ name: '', note: '' }], { isTerminal })).toMatch(/\n +- .* -\n$/);
  });

  test('a title stands above', async () => {
    const titled = await renderTable(
      { title: 'DISKS', columns: COLUMNS, rows: ROWS },
      canvas({ isTerminal }),
    );
    expect(titled).toBe(`DISKS\n${await draw(ROWS, { isTerminal })}`);
  });

  test('tones', async () => {
    const toned: readonly Column<Row>[] = [
      {
        key: 'name',
        title: 'NAME',
        kind: 'text',
        value: ({ name }) => name,
        tone: ({ on }) => (on ? 'good' : 'bad'),
      },
    ];
    const text = await renderTable(
      { columns: toned, rows: [{ name: 'a', on: true }, { name: 'b' }] },
      canvas({ isTerminal, paint: createPaint(1) }),
    );
    expect(text).toContain('\x1b[32ma\x1b[39m');
    expect(text).toContain('\x1b[31mb\x1b[39m');
  });

  test('a thousand lines are quick', async () => {
    const rows = Array.from({ length: 1000 }, (_, i) => ({ name: `snapshot-${i}` }));
    expect((await draw(rows, { isTerminal })).split('\n')).toHaveLength(1000 + (isTerminal ? 3 : 2));
  });
});
